//! Requests of Dub's SDKs against a catalog, without servers.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;
use crate::requests::Request;

const AT: i64 = 1_760_000_000_000;

struct World {
    catalog: Catalog,
    chance: u64,
    at: i64,
}

impl World {
    fn new(url: &str) -> Self {
        let mut world = Self {
            catalog: Catalog::default(),
            chance: 0,
            at: AT,
        };
        let hash = |key: &str| hex::encode(Sha256::digest(key));
        for (kind, id, document) in [
            (
                "workspace",
                "acme",
                json!({"id": "acme", "domains": ["go.acme.test", "acme.link"], "api_keys": [
                {"name": "s", "sha256": hash("sk")}, {"name": "p", "sha256": hash("pk"), "kind": "publishable"}]}),
            ),
            ("program", "main", json!({"id": "main", "url": url})),
            (
                "partner",
                "ada",
                json!({"id": "ada", "name": "Ada", "program": "main", "tenant_id": "t-ada"}),
            ),
        ] {
            let config = Config {
                workspace: "acme".into(),
                kind: kind.into(),
                id: id.into(),
                at: 1,
                document: document.to_string(),
                ..Config::default()
            };
            world.catalog.apply(&config).unwrap();
        }
        world
    }

    fn task(&mut self, method: &str, path: &str, body: &Value) -> Result<Task, ApiError> {
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(path, query)| (path, Some(query)));
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let request = Request {
            method,
            path,
            query,
            host: "api.test",
            header: &|name| (name == "authorization").then_some("Bearer sk"),
            body: &body,
            remote_ip: None,
            place: &|_| crate::requests::Place::default(),
        };
        let caller = self
            .catalog
            .caller((request.header)("authorization"), request.method, request.path)?;
        let mut random = || {
            self.chance += 1;
            self.chance
        };
        task(&request, &self.catalog, &caller, &mut random)
    }

    fn ask(&mut self, method: &str, path: &str, body: Value) -> Result<Answer, ApiError> {
        let write = match self.task(method, path, &body)? {
            Task::Answer(answer) => return Ok(answer),
            Task::Write(write) => write,
        };
        self.at += 1;
        let plan = write.plan(&self.catalog, self.at)?;
        for config in &plan.records {
            self.catalog.apply(config).unwrap();
        }
        Ok(plan.answer)
    }

    fn ok(&mut self, method: &str, path: &str, body: Value) -> Value {
        self.ask(method, path, body).unwrap().body
    }

    fn refused(&mut self, method: &str, path: &str, body: Value) -> (u16, String) {
        let error = self.ask(method, path, body).unwrap_err();
        (error.status, error.message)
    }
}

#[test]
fn a_link_is_created_found_changed_and_deleted() {
    let mut world = World::new("");
    let made = world.ok("POST", "/links", json!({"url": "https://a.example/?b=1", "key": "/sale", "externalId": "e1",
        "utm_source": "news letter", "geo": {"de": "https://a.example/de"}, "expiresAt": "2030-01-01", "tagIds": []}));
    assert_eq!(made["shortLink"], "https://go.acme.test/sale");
    assert_eq!(made["url"], "https://a.example/?b=1&utm_source=news%20letter");
    assert_eq!(
        (&made["utm_source"], &made["trackConversion"]),
        (&json!("news letter"), &json!(false))
    );
    assert_eq!(
        (&made["geo"]["DE"], &made["expiresAt"]),
        (&json!("https://a.example/de"), &json!("2030-01-01T00:00:00.000Z"))
    );
    assert_eq!(made["createdAt"], "2025-10-09T08:53:20.001Z");
    let id = made["id"].as_str().unwrap().to_owned();
    for query in [
        format!("linkId={id}"),
        "externalId=ext_e1".into(),
        "domain=GO.acme.test&key=sale".into(),
    ] {
        assert_eq!(
            world.ok("GET", &format!("/links/info?{query}"), Value::Null),
            made,
            "{query}"
        );
    }
    let changed = world.ok(
        "PATCH",
        "/links/ext_e1",
        json!({"key": "moved", "geo": null, "comments": "c"}),
    );
    assert_eq!(
        (&changed["id"], &changed["key"], &changed["geo"]),
        (&json!(id), &json!("moved"), &Value::Null)
    );
    assert_eq!(
        (&changed["createdAt"], &changed["updatedAt"]),
        (&made["createdAt"], &json!("2025-10-09T08:53:20.002Z"))
    );
    // Its old place is free, its new one is not.
    world.ok(
        "POST",
        "/links",
        json!({"url": "https://b.example", "key": "sale"}),
    );
    assert_eq!(
        world
            .refused(
                "POST",
                "/links",
                json!({"url": "https://b.example", "key": "moved"})
            )
            .0,
        409
    );
    assert_eq!(
        world
            .refused("PATCH", &format!("/links/{id}"), json!({"key": "sale"}))
            .0,
        409
    );
    assert_eq!(
        world
            .refused(
                "POST",
                "/links",
                json!({"url": "https://b.example", "externalId": "e1"})
            )
            .0,
        409
    );
    assert_eq!(
        world.ok("DELETE", &format!("/links/{id}"), Value::Null),
        json!({"id": id})
    );
    assert_eq!(
        world.refused("DELETE", &format!("/links/{id}"), Value::Null).0,
        404
    );
    assert_eq!(
        world.refused("GET", "/links/info?externalId=e1", Value::Null).0,
        404
    );
}

#[test]
fn a_record_is_what_apply_would_make_of_the_link() {
    let mut world = World::new("");
    let body = json!({"url": "https://a.example", "key": "k", "partnerId": "ada"});
    let Ok(Task::Write(write)) = world.task("POST", "/links", &body) else {
        panic!()
    };
    let plan = write.plan(&world.catalog, AT).unwrap();
    let [record] = plan.records.as_slice() else {
        panic!("{plan:?}")
    };
    let link: Link = serde_json::from_str(&record.document).unwrap();
    assert_eq!(
        (link.partner.as_str(), link.program.as_str(), link.tracked),
        ("ada", "main", true)
    );
    assert_eq!(
        (record.kind.as_str(), &record.id, record.modes.as_slice()),
        (
            "link",
            &link.id,
            ["live".to_owned(), "test".to_owned()].as_slice()
        )
    );
    assert!(crate::normalize::config(record, &mail::MailKey::new("k")).is_ok());
    let names: Vec<String> = write.names(&world.catalog).into_iter().collect();
    assert_eq!(names, ["link/go.acme.test/k"]);
    world.catalog.apply(record).unwrap();
    let Ok(Task::Write(same)) = world.task("PATCH", &format!("/links/{}", link.id), &json!({"key": "k"}))
    else {
        panic!()
    };
    assert!(
        same.plan(&world.catalog, AT + 5).unwrap().records.is_empty(),
        "nothing has changed"
    );
}

#[test]
fn many_at_once() {
    let mut world = World::new("");
    let made = world.ok("POST", "/links/bulk", json!([
        {"url": "https://a.example", "key": "a"}, {"url": "nowhere", "key": "b"},
        {"url": "https://a.example", "key": "a"}, {"url": "https://c.example", "keyLength": 4, "prefix": "/c/"}]));
    assert_eq!(
        (&made[1]["code"], &made[2]["code"]),
        (&json!("unprocessable_entity"), &json!("conflict"))
    );
    assert_eq!(made[1]["link"]["key"], "b");
    let key = made[3]["key"].as_str().unwrap();
    assert!(key.starts_with("c/") && key.len() == 6, "{key}");
    let ids = [&made[0]["id"], &made[3]["id"]];
    let changed = world.ok(
        "PATCH",
        "/links/bulk",
        json!({"linkIds": ids, "data": {"archived": true}}),
    );
    assert_eq!(
        (changed.as_array().unwrap().len(), &changed[1]["archived"]),
        (2, &json!(true))
    );
    assert_eq!(
        world
            .refused(
                "PATCH",
                "/links/bulk",
                json!({"linkIds": ids, "data": {"key": "x"}})
            )
            .0,
        422
    );
    assert_eq!(world.refused("POST", "/links/bulk", json!([])).0, 422);
    assert_eq!(world.ok("GET", "/links/count", Value::Null), json!(0));
    let ids = ids.map(|id| id.as_str().unwrap().to_owned()).join(",");
    let gone = world.ok(
        "DELETE",
        &format!("/links/bulk?linkIds={ids},link_none"),
        Value::Null,
    );
    assert_eq!(gone, json!({"deletedCount": 2}));
    assert_eq!(
        world.ok("GET", "/links?showArchived=true", Value::Null),
        json!([])
    );
}

#[test]
fn lists_are_filtered_and_paged_the_youngest_first() {
    let mut world = World::new("");
    for n in 0..5 {
        let domain = if n == 4 { "acme.link" } else { "go.acme.test" };
        world.ok(
            "POST",
            "/links",
            json!({"url": format!("https://a.example/{n}"), "key": format!("k{n}"),
            "domain": domain, "tenantId": format!("t{}", n % 2)}),
        );
    }
    let mut keys = |query: &str| {
        let list = world.ok("GET", &format!("/links?{query}"), Value::Null);
        let list: Vec<String> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|l| l["key"].as_str().unwrap().into())
            .collect();
        list.join(" ")
    };
    assert_eq!(
        keys("showArchived=false&withTags=false&pageSize=100"),
        "k4 k3 k2 k1 k0"
    );
    assert_eq!(keys("pageSize=2&page=2"), "k2 k1");
    assert_eq!(keys("tenantId=t1"), "k3 k1");
    assert_eq!(keys("domain=acme.link"), "k4");
    assert_eq!(keys("search=EXAMPLE%2F2"), "k2");
    let list = world.ok("GET", "/links", Value::Null);
    let id = list[2]["id"].as_str().unwrap().to_owned();
    let mut keys = |query: &str| {
        let list = world.ok("GET", &format!("/links?pageSize=1&{query}={id}"), Value::Null);
        list[0]["key"].clone()
    };
    assert_eq!(
        (keys("startingAfter"), keys("endingBefore")),
        (json!("k1"), json!("k3"))
    );
    assert_eq!(world.ok("GET", "/links/count?tenantId=t0", Value::Null), json!(3));
    assert_eq!(
        world.refused("GET", "/links?tagIds=x", Value::Null),
        (422, "tagIds: is not offered here; leave it out".into())
    );
    assert_eq!(world.refused("GET", "/links?pageSize=101", Value::Null).0, 422);
    assert_eq!(
        world.refused("GET", "/links/count?groupBy=domain", Value::Null).0,
        501
    );
}

#[test]
fn upserts_go_by_destination() {
    let mut world = World::new("");
    let first = world.ok(
        "PUT",
        "/links/upsert",
        json!({"url": "https://a.example", "utm_source": "x"}),
    );
    let again = world.ok(
        "PUT",
        "/links/upsert",
        json!({"url": "https://a.example", "utm_source": "x", "comments": "c"}),
    );
    assert_eq!(
        (&again["id"], &again["key"], &again["comments"]),
        (&first["id"], &first["key"], &json!("c"))
    );
    let of_ada = json!({"partnerId": "ada", "url": "https://a.example?utm_source=x"});
    let other = world.ok("PUT", "/partners/links/upsert", of_ada.clone());
    assert_ne!(other["id"], first["id"]);
    assert_eq!(
        world.ok("PUT", "/partners/links/upsert", of_ada)["id"],
        other["id"]
    );
    let Ok(Task::Write(write)) = world.task("PUT", "/links/upsert", &json!({"url": "https://n.example"}))
    else {
        panic!()
    };
    assert!(write.names(&world.catalog).contains("url/acme/https://n.example"));
}

#[test]
fn partners_and_their_links() {
    let mut world = World::new("https://acme.test/");
    let made = world.ok(
        "POST",
        "/partners",
        json!({"name": "Bob Böhm", "email": "bob@x.example", "country": "at", "tenantId": "t-bob"}),
    );
    assert_eq!(
        (&made["programId"], &made["country"], &made["status"]),
        (&json!("main"), &json!("AT"), &json!("approved"))
    );
    assert_eq!(made["links"][0]["shortLink"], "https://go.acme.test/bob-böhm");
    let again = world.ok(
        "POST",
        "/partners",
        json!({"email": "BOB@x.example", "name": "Robert"}),
    );
    assert_eq!(
        (
            &again["id"],
            &again["name"],
            again["links"].as_array().unwrap().len()
        ),
        (&made["id"], &json!("Robert"), 1)
    );
    let twin = world.ok(
        "POST",
        "/partners",
        json!({"name": "Bob Böhm", "email": "bob@y.example"}),
    );
    assert!(twin["links"][0]["key"].as_str().unwrap().starts_with("bob-böhm-"));
    assert_eq!(
        world
            .refused(
                "POST",
                "/partners",
                json!({"email": "c@x.example", "username": "bob-böhm"})
            )
            .0,
        409
    );
    let link = world.ok(
        "POST",
        "/partners/links",
        json!({"tenantId": "t-bob", "key": "bob2", "linkProps": {"tenantId": "z"}}),
    );
    assert_eq!(
        (&link["url"], &link["partnerId"], &link["tenantId"]),
        (&json!("https://acme.test/"), &made["id"], &json!("z"))
    );
    assert_eq!(link["trackConversion"], true);
    let links = world.ok("GET", "/partners/links?tenantId=t-bob", Value::Null);
    assert_eq!(
        (links.as_array().unwrap().len(), &links[0]["key"]),
        (2, &json!("bob2"))
    );
    assert_eq!(
        world.refused("GET", "/partners?sortBy=netRevenue", Value::Null).0,
        422
    );
    let list = world.ok(
        "GET",
        "/partners?search=robert&sortBy=totalSaleAmount",
        Value::Null,
    );
    assert_eq!((list.as_array().unwrap().len(), &list[0]["id"]), (1, &made["id"]));
    assert_eq!(
        world
            .refused("GET", "/partners/links?partnerId=nobody", Value::Null)
            .0,
        404
    );
    assert_eq!(
        world.refused("POST", "/partners", json!({"name": "x"})),
        (422, "email: is no e-mail address".into())
    );
    assert_eq!(world.refused("GET", "/partners/analytics", Value::Null).0, 501);
    // Its record becomes a fact, which is kept for ever and holds no address.
    let body = json!({"name": "eve@x.example", "email": "eve@x.example"});
    let Ok(Task::Write(write)) = world.task("POST", "/partners", &body) else {
        panic!()
    };
    let plan = write.plan(&world.catalog, AT).unwrap();
    let shown = &plan.answer.body;
    assert_eq!(
        (&shown["name"], &shown["links"][0]["key"]),
        (&json!("eve@x.example"), &json!("eve"))
    );
    for record in &plan.records {
        let facts = crate::normalize::config(record, &mail::MailKey::new("k")).unwrap();
        assert!(!format!("{facts:?}").contains("eve@x"), "{facts:?}");
    }
    let mut without = World::new("");
    assert_eq!(
        without.ok("POST", "/partners", json!({"email": "d@x.example"}))["links"],
        json!([])
    );
    assert_eq!(
        without
            .refused("POST", "/partners/links", json!({"partnerId": "ada"}))
            .0,
        422
    );
}

#[test]
fn what_is_refused_names_the_field() {
    let mut world = World::new("");
    for (body, status, told) in [
        (json!({"key": "k"}), 422, "url: "),
        (
            json!({"url": "https://a.example", "domain": "other.test"}),
            422,
            "domain: ",
        ),
        (json!({"url": "https://a.example", "key": "links"}), 422, "key: "),
        (
            json!({"url": "https://a.example", "partnerId": "nobody"}),
            422,
            "partnerId: there",
        ),
        (
            json!({"url": "https://a.example", "password": "x"}),
            422,
            "password: is not offered",
        ),
        (
            json!({"url": "https://a.example", "expiredUrl": "x"}),
            422,
            "expiredUrl: ",
        ),
        (
            json!({"url": "https://a.example", "tagNames": ["x"]}),
            422,
            "tagNames: is not offered",
        ),
        (
            json!({"url": "https://a.example", "colour": 1}),
            422,
            "colour: is no field",
        ),
        (
            json!({"url": "https://a.example", "tenantId": "a@x.example"}),
            422,
            "tenantId: must hold no",
        ),
        (json!([]), 400, "the body must be"),
    ] {
        let (found, message) = world.refused("POST", "/links", body.clone());
        assert!(
            found == status && message.starts_with(told),
            "{body}: {found} {message}"
        );
    }
}

#[test]
fn a_link_declared_without_domain_is_shown_by_its_address() {
    let mut world = World::new("");
    let declare = Config {
        workspace: "acme".into(),
        kind: "link".into(),
        id: "l1".into(),
        at: AT,
        document: json!({"id": "l1", "key": "sale", "url": "https://a.example", "partner": "ada"})
            .to_string(),
        ..Config::default()
    };
    world.catalog.apply(&declare).unwrap();
    let shown = world.catalog.shown_link("acme", "l1").unwrap();
    let named = world.catalog.named_link("acme", "l1").unwrap();
    assert_eq!(shown["shortLink"], "https://go.acme.test/sale");
    assert_eq!(named["partnerId"], "ada");
    // The names are some of the fields, and no others.
    for (field, value) in &named {
        assert_eq!(&shown[field], value, "{field}");
    }
    assert_eq!(world.catalog.named_link("acme", "l2"), None);
    assert_eq!(undeclared_name(Link::default())["shortLink"], "");
}
