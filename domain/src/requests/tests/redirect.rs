//! Short links.

use super::*;

#[test]
fn a_redirect_carries_the_click_and_records_it() {
    let sent = Sent::get("/ada").header("referer", "https://news.example/a?b=c");
    let accepted = sent.to(&directory()).unwrap();
    let click = click(&accepted);
    assert!(crate::click_id::is_valid(&click.id));
    assert_eq!(crate::click_id::time(&click.id), Some(AT));
    assert_eq!(accepted.response.status, 302);
    assert_eq!(
        header(&accepted.response, "location"),
        format!("https://acme.example/?utm_source=ada&dub_id={}#top", click.id)
    );
    assert_eq!(
        header(&accepted.response, "set-cookie"),
        format!("dub_id={}; Path=/; Max-Age=7776000; SameSite=Lax", click.id)
    );
    let expected = Click {
        id: click.id.clone(),
        workspace: "acme".into(),
        mode: "live".into(),
        at: AT,
        received: AT,
        link_id: "l_1".into(),
        domain: "go.acme.example".into(),
        key: "ada".into(),
        url: "https://acme.example/?utm_source=ada#top".into(),
        partner_id: "p_ada".into(),
        program_id: "main".into(),
        group_id: "gold".into(),
        trigger: "link".into(),
        device: "mobile".into(),
        browser: "Safari".into(),
        os: "iOS".into(),
        referer: "news.example".into(),
        referer_url: "https://news.example/a".into(),
        utm_source: "ada".into(),
        tracked: true,
        visitor: click.visitor.clone(),
        ..Click::default()
    };
    assert_eq!(click, &expected);
    assert_eq!(click.visitor.len(), 12);
}

#[test]
fn links_of_payment_pages_carry_the_reference() {
    let accepted = Sent::get("/pay").to(&directory()).unwrap();
    let click = click(&accepted);
    assert_eq!(
        header(&accepted.response, "location"),
        format!(
            "https://buy.stripe.example/x?dub_id={0}&client_reference_id=dub_id_{0}",
            click.id
        )
    );
    assert_eq!(click.link_id, "go.acme.example/pay");
    assert!(!click.tracked);
    assert_eq!(click.referer, "(direct)");
}

#[test]
fn triggers_and_machines_are_tagged() {
    let directory = directory();
    let bot = |sent: &Sent<'_>| click(&sent.to(&directory).unwrap()).bot.clone();
    assert_eq!(bot(&Sent::get("/ada")), "");
    assert_eq!(
        bot(&Sent {
            method: "HEAD",
            ..Sent::get("/ada")
        }),
        "head"
    );
    assert_eq!(
        bot(&Sent::get("/ada").header("sec-purpose", "prefetch;prerender")),
        "prefetch"
    );
    assert_eq!(
        bot(&Sent::get("/ada").header("user-agent", "Slackbot 1.0")),
        "list"
    );
    assert_eq!(
        bot(&Sent {
            headers: vec![],
            ..Sent::get("/ada")
        }),
        "list"
    );
    let qr = Sent {
        query: Some("a=b&qr=1"),
        ..Sent::get("/ada")
    };
    assert_eq!(click(&qr.to(&directory).unwrap()).trigger, "qr");
}

#[test]
fn keys_are_decoded_and_belong_to_their_domain() {
    let zoe = Sent {
        host: "acme.example",
        ..Sent::get("/Zo%C3%AB")
    };
    assert_eq!(click(&zoe.to(&directory()).unwrap()).key, "Zoë");
    let elsewhere = Sent {
        host: "other.example",
        ..Sent::get("/ada")
    };
    assert_eq!(elsewhere.to(&directory()).unwrap_err().status, 404);
}

#[test]
fn the_cookie_is_secure_behind_https() {
    let sent = Sent::get("/ada").header("x-forwarded-proto", "https");
    let accepted = sent.to(&directory()).unwrap();
    assert!(header(&accepted.response, "set-cookie").ends_with("; Secure"));
}

#[test]
fn a_device_has_a_destination_of_its_own() {
    let mut file = program();
    let ios = "https://apps.example/ios?utm_source=app";
    file.links[0].ios = ios.to_owned();
    file.links[0].android = "https://apps.example/android".to_owned();
    let directory = Directory::from_program(&file);
    let location = |sent: Sent<'_>| {
        let accepted = sent.to(&directory).unwrap();
        let click = click(&accepted);
        let location = header(&accepted.response, "location").to_owned();
        (
            click.url.clone(),
            click.utm_source.clone(),
            location.contains(&format!("dub_id={}", click.id)),
        )
    };
    assert_eq!(location(Sent::get("/ada")), (ios.into(), "app".into(), true));
    let android =
        "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/126.0.0.0 Mobile Safari/537.36";
    assert_eq!(
        location(Sent::get("/ada").header("user-agent", android)),
        ("https://apps.example/android".into(), String::new(), true)
    );
    let desktop =
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36";
    assert_eq!(
        location(Sent::get("/ada").header("user-agent", desktop)),
        (
            "https://acme.example/?utm_source=ada#top".into(),
            "ada".into(),
            true
        )
    );
}

#[test]
fn an_expired_link_leads_elsewhere_and_makes_no_click() {
    let mut file = program();
    let at = |millis: i64| Some(jiff::Timestamp::from_millisecond(millis).unwrap().to_string());
    let answer = |file: &ProgramFile| Sent::get("/ada").to(&Directory::from_program(file));
    file.links[0].expires_at = at(AT + 1);
    assert!(answer(&file).unwrap().record.is_some());
    file.links[0].expires_at = at(AT);
    let error = answer(&file).unwrap_err();
    assert_eq!((error.status, error.code), (410, Code::NotFound));
    file.links[0].expired_url = "https://acme.example/over?a=b".to_owned();
    let accepted = answer(&file).unwrap();
    assert!(accepted.record.is_none());
    assert_eq!(accepted.response.status, 302);
    assert_eq!(
        header(&accepted.response, "location"),
        "https://acme.example/over?a=b"
    );
    assert_eq!(header(&accepted.response, "cache-control"), "no-store");
}
