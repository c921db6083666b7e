//! Tokens: what their scopes name and nothing else; a partner's, what is that partner's and nothing else.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::harness::told;
use super::links::{LEDGER, World};

/// What is not Ada's: a sale of another partner to a customer of hers, one of nobody, a click, an earning; and how her
/// customers are called, one of them by an address.
const OTHERS: [&str; 4] = [
    "INSERT INTO conversions (id, revision, sign, workspace, mode, kind, at, object, keys, customer, amount, currency,
        quantity, sale_type, attributed_by, reason, partner_id, program_id) VALUES
     ('o1', 1, 1, 'acme', 'live', 'sale', '2025-06-01 10:00:00', 'in:in_o1', ['in:in_o1'], 'u_1', 1000, 'usd', 1, 'recurring',
        'coupon', '', 'bob', 'main'),
     ('o2', 1, 1, 'acme', 'live', 'sale', '2025-06-02 10:00:00', 'in:in_o2', ['in:in_o2'], 'u_9', 500, 'usd', 1, 'new',
        'none', 'no_identity', '', ''),
     ('o3', 1, 1, 'acme', 'live', 'lead', '2024-06-02 10:00:00', 'lead:o3', [], 'mia@example.com', 0, '', 1, '', 'click', '',
        'ada', 'main')",
    "INSERT INTO clicks (id, workspace, mode, at, link_id, partner_id) VALUES
     ('c000000000000009', 'acme', 'live', '2025-06-01 09:00:00', 'link_bob', 'bob')",
    "INSERT INTO commissions (id, revision, sign, workspace, mode, kind, at, conversion_id, customer, amount, currency, state,
        partner_id, program_id) VALUES
     ('o1k', 1, 1, 'acme', 'live', 'sale', '2025-06-01 10:00:00', 'o1', 'u_1', 100, 'usd', 'pending', 'bob', 'main')",
    "INSERT INTO people (workspace, mode, customer, name, email, avatar, at, version) VALUES
     ('acme', 'live', 'u_1', 'Jane Doe', 'jane@example.com', 'https://pictures.example/jane', '2025-01-01 00:00:00', 1),
     ('acme', 'live', 'u_9', 'Zoe', 'zoe@example.com', '', '2025-01-01 00:00:00', 2)",
];

async fn seeded() -> Result<World> {
    let world = World::start(1).await?;
    for statement in LEDGER.iter().chain(&OTHERS) {
        world.sql(statement, &world.clickhouse.1).await?;
    }
    for (key, partner) in [("hers", "ada"), ("his", "bob")] {
        world
            .declare(
                "link",
                &format!("l_{key}"),
                json!({"key": key, "url": "https://acme.example", "partner": partner}),
            )
            .await?;
    }
    for partner in ["ada", "bob"] {
        world
            .declare(
                "partner",
                partner,
                json!({"id": partner, "program": "main", "name": partner, "email": format!("{partner}@partners.example")}),
            )
            .await?;
    }
    Ok(world)
}

impl World {
    /// As the API host answers, and the process behind it: the same.
    async fn asked(&self, token: &str, method: &str, path: &str, body: &str) -> Result<(u16, Value)> {
        let mut answers = Vec::new();
        for server in [format!("http://{}", self.edge.address), self.apis[0].clone()] {
            let request = self.edge.http.request(method.parse()?, format!("{server}{path}"));
            let request = request.bearer_auth(token).body(body.to_owned());
            let (status, _, answer) = told(request.send().await?).await?;
            answers.push((status, answer));
        }
        ensure!(answers[0] == answers[1], "{method} {path}: {answers:?}");
        answers.pop().context("no answer")
    }

    async fn reads(&self, token: &str, path: &str) -> Result<Value> {
        let (status, answer) = self.asked(token, "GET", path, "").await?;
        ensure!(status == 200, "{path}: {status} {answer}");
        Ok(answer)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_do_what_their_scopes_name() -> Result<()> {
    let world = seeded().await?;
    for (token, method, path, status) in [
        ("tk_reads", "GET", "/analytics?interval=all", 200),
        ("tk_reads", "GET", "/overview", 200),
        ("tk_reads", "GET", "/links", 200),
        ("tk_reads", "GET", "/customers", 403),
        ("tk_reads", "GET", "/commissions", 403),
        ("tk_reads", "GET", "/partners", 403),
        ("tk_reads", "GET", "/payments/in_1", 403),
        ("tk_reads", "POST", "/links", 403),
        ("tk_reads", "DELETE", "/links/l_his", 403),
        ("tk_writes", "GET", "/analytics", 403),
        ("tk_writes", "GET", "/links", 403),
        ("tk_writes", "POST", "/partners", 403),
        ("tk_ada", "POST", "/partners/links", 403),
        ("tk_nobody", "GET", "/analytics", 401),
    ] {
        let (found, answer) = world.asked(token, method, path, "").await?;
        assert_eq!(found, status, "{token} {method} {path}: {answer}");
        if status == 403 {
            assert_eq!(answer["error"]["code"], "forbidden");
            let message = answer["error"]["message"].as_str().context("message")?;
            assert!(message.starts_with("Authorization: "), "{message}");
        }
    }
    let body = json!({"url": "https://acme.example/new", "key": "by-token"});
    let server = format!("http://{}", world.edge.address);
    let send = |method: &str, path: &str, token: &str, body: &Value| {
        let request = world
            .edge
            .http
            .request(method.parse().unwrap(), format!("{server}{path}"));
        request.bearer_auth(token).body(body.to_string()).send()
    };
    assert_eq!(send("POST", "/links", "tk_writes", &body).await?.status(), 200);
    world.leads_to("by-token", "https://acme.example/new").await?;
    // At the edge: decisions with their scope, and no facts with any.
    let approve = json!({"status": "approved"});
    for (token, status) in [("tk_writes", 200), ("tk_reads", 403), ("tk_ada", 403)] {
        let answer = send("PATCH", "/commissions/in_1", token, &approve).await?;
        assert_eq!(answer.status(), status, "{token}: {}", answer.text().await?);
    }
    let lead = json!({"clickId": "0123456789abcdEF", "eventName": "Sign up", "customerExternalId": "u_1"});
    let click = json!({"domain": super::harness::HOST, "key": "ada"});
    for (path, body) in [
        ("/track/lead", &lead),
        ("/track/lead/client", &lead),
        ("/track/click", &click),
    ] {
        let answer = send("POST", path, "tk_writes", body).await?;
        assert_eq!(answer.status(), 403, "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_sees_its_own_rows_and_no_addresses() -> Result<()> {
    let world = seeded().await?;
    let period = "start=2025-01-01&end=2025-12-31";
    // What the workspace has more of, to know that there is something to hide.
    let all = world
        .reads("tk_reads", &format!("/analytics?event=composite&{period}"))
        .await?;
    assert_eq!((&all["clicks"], &all["sales"]), (&json!(5), &json!(4)));
    for query in ["", "&city=-Nowhere"] {
        let own = world
            .reads("tk_ada", &format!("/analytics?event=composite&{period}{query}"))
            .await?;
        assert_eq!(
            own,
            json!({"clicks": 2, "leads": 0, "sales": 3, "saleAmount": 9700}),
            "{query}"
        );
    }
    let groups = format!("/analytics?event=composite&groupBy=top_partners&{period}");
    let groups = world.reads("tk_ada", &groups).await?;
    let partners = groups.as_array().context("groups")?.iter();
    assert_eq!(partners.map(|row| &row["partnerId"]).collect::<Vec<_>>(), ["ada"]);
    let funnel = world
        .reads("tk_ada", &format!("/funnel?{period}&groupBy=top_links"))
        .await?;
    assert_eq!(funnel["steps"][0]["count"], 2);
    let cohorts = world.reads("tk_ada", &format!("/cohorts?{period}")).await?;
    let sizes = cohorts["cohorts"].as_array().context("cohorts")?.iter();
    assert_eq!(sizes.filter_map(|row| row["customers"].as_i64()).sum::<i64>(), 2);
    for (event, count) in [("clicks", 2), ("sales", 3), ("leads", 0), ("refunds", 0)] {
        let events = world
            .reads("tk_ada", &format!("/events?event={event}&{period}"))
            .await?;
        let events = events.as_array().context("events")?;
        assert_eq!(events.len(), count, "{event}");
        assert!(events.iter().all(|event| event["partner"]["id"] == "ada"));
    }
    let sales = world
        .reads("tk_ada", &format!("/events?event=sales&{period}"))
        .await?;
    assert_eq!(sales[1]["customer"]["email"], "j***@example.com");
    // That of a sale is of all who share it.
    assert_eq!(sales[1].get("commission"), None);

    let customers = world.reads("tk_ada", "/customers?sortBy=saleAmount").await?;
    let shown = customers.as_array().context("customers")?.iter();
    let shown: Vec<_> = shown.map(|row| (&row["id"], &row["saleAmount"])).collect();
    // Nothing of what Bob sold to the same customer.
    assert_eq!(
        shown,
        [
            (&json!("u_1"), &json!(7800)),
            (&json!("u_2"), &json!(1900)),
            (&json!("m***@example.com"), &json!(0))
        ]
    );
    let jane = world.reads("tk_ada", "/customers/u_1").await?;
    assert_eq!(
        (&jane["name"], &jane["email"], &jane["avatar"]),
        (&json!("J***"), &json!("j***@example.com"), &Value::Null)
    );
    let whole = world.ok(0, "GET", "/customers/u_1", Value::Null).await?;
    assert_eq!(
        (&whole["email"], &whole["saleAmount"]),
        (&json!("jane@example.com"), &json!(8800))
    );
    let earned = world.reads("tk_ada", "/commissions").await?;
    let earned = earned.as_array().context("commissions")?;
    assert_eq!(earned.len(), 4);
    assert!(!Value::Array(earned.clone()).to_string().contains("jane@"));
    let links = world.reads("tk_ada", "/links").await?;
    let links = links.as_array().context("links")?;
    assert_eq!(
        links.iter().map(|link| &link["id"]).collect::<Vec<_>>(),
        ["l_hers"]
    );
    assert_eq!(world.reads("tk_ada", "/links/count").await?, 1);
    let partners = world.reads("tk_ada", "/partners").await?;
    let partners = partners.as_array().context("partners")?;
    assert_eq!(partners.iter().map(|one| &one["id"]).collect::<Vec<_>>(), ["ada"]);
    let own = world.reads("tk_ada", "/partners/links").await?;
    assert_eq!(own[0]["id"], "l_hers");
    let own = world
        .reads("tk_ada", &format!("/partners/analytics?partnerId=ada&{period}"))
        .await?;
    assert_eq!(own["earnings"], 1260);

    for (path, status) in [
        ("/overview", 403),
        ("/events/stream", 403),
        ("/payments/in_1", 403),
        ("/workspaces", 403),
        ("/analytics?partnerId=bob", 403),
        ("/analytics?attribution=all", 403),
        ("/events?event=sales&attribution=unattributed", 403),
        ("/partners/analytics?partnerId=bob", 403),
        ("/links?partnerId=bob", 403),
        ("/partners/links?partnerId=bob", 403),
        ("/customers?email=jane@example.com", 403),
        ("/customers?search=jane", 403),
        ("/customers/u_9", 404),
        ("/links/info?linkId=l_his", 404),
    ] {
        let url = format!("http://{}{path}", world.edge.address);
        let (found, _, answer) = told(world.edge.http.get(url).bearer_auth("tk_ada").send().await?).await?;
        assert_eq!(found, status, "{path}: {answer}");
        assert!(answer["error"]["message"].is_string(), "{path}: {answer}");
    }
    // In other words, and by what a token may not say of itself: its own rows, or a refusal.
    for path in [
        format!("/analytics?event=composite&{period}&partner%49d=bob"),
        format!("/analytics?event=composite&{period}&partnerId=-ada%2C"),
        format!("/analytics?event=composite&{period}&ownPartner=bob"),
        format!("/analytics?event=composite&{period}&own%50artner=bob"),
        format!("/analytics?event=composite&{period}&linkId=link_bob"),
    ] {
        let (status, answer) = world.asked("tk_ada", "GET", &path, "").await?;
        let sales = answer["sales"].as_i64().unwrap_or_default();
        assert!(
            status != 200 || sales == 0 || sales == 3,
            "{path}: {status} {answer}"
        );
    }
    Ok(())
}
