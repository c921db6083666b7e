//! What a fourth of the worlds have: links with rewards, days that closed, redemptions, accounts that leave and come
//! back, prices, refunds by API. Drawn aside, so that the rest of these worlds stays as it was.

use tributary_avro::{
    AccountFact, Body, ClickTotalsFact, CommandFact, CountryClicks, CustomerRef, Fact, IdentifyFact,
    LeadFact, PartnerTotalsFact, PriceFact, RedemptionFact, SaleFact,
};

use super::{HOUR, Random, T0, fact, more, rule};

const DAY: i64 = 24 * HOUR;
const REDEEMED: &str = "Redeem0000000001";

pub fn facts(seed: u64, facts: &mut Vec<Fact>) {
    let random = &mut Random(seed ^ 0x5eed_da75);
    links(random, facts);
    closed_days(random, facts);
    redemption(random, facts);
    decisions(random, facts);
    account(random, facts);
    browsers(random, facts);
    let price = PriceFact {
        price: "price_team".into(),
        product: "prod_gold".into(),
        ..Default::default()
    };
    facts.push(fact(T0, "evt_price", Body::Price(Box::new(price))));
}

fn links(random: &mut Random, facts: &mut Vec<Fact>) {
    let rewards = r#","rewards":[
        {"id":"clicks","event":"click","amount":7,"cap":{"amount":300,"per":"month"},
         "modifiers":[{"conditions":[{"attribute":"customer.country","operator":"equals_to","value":"DE"}],"amount":11}]},
        {"id":"base","event":"sale","percent":"15","max_charges":2,
         "modifiers":[{"conditions":[{"attribute":"partner.totalSaleAmount","operator":"greater_than","value":5000}],"percent":"50"}]}]"#;
    for partner in ["p1", "p2"] {
        let link = format!("link_{partner}");
        for (at, has) in [(T0, random.below(2) == 0), (T0 + DAY, random.below(2) == 0)] {
            let document = format!(
                r#"{{"id":"{link}","key":"{partner}","url":"https://acme.test/","partner":"{partner}","program":"main"{}}}"#,
                if has { rewards } else { "" }
            );
            facts.push(rule(at, "link", &link, None, &document));
        }
    }
}

fn closed_days(random: &mut Random, facts: &mut Vec<Fact>) {
    for step in 0..4 {
        let day = T0.div_euclid(DAY) + step;
        let closed = (day + 1) * DAY - 1;
        for partner in ["p1", "p2"] {
            // Some days are stated twice: late clicks, or two who stated it.
            for _ in 0..random.below(3) {
                let countries = ["", "DE"].map(|country| CountryClicks {
                    country: country.into(),
                    clicks: random.below(20) as i64,
                });
                let body = ClickTotalsFact {
                    link_id: format!("link_{partner}"),
                    partner_id: partner.into(),
                    program_id: "main".into(),
                    day,
                    countries: countries.into(),
                    ..Default::default()
                };
                facts.push(fact(closed, "totals", Body::ClickTotals(Box::new(body))));
                let body = PartnerTotalsFact {
                    partner_id: partner.into(),
                    day,
                    sale_amount: 3000 * random.below(4) as i64,
                    ..Default::default()
                };
                facts.push(fact(closed, "totals", Body::PartnerTotals(Box::new(body))));
            }
        }
        let about = format!("clicks:link_p1/p1/{day}");
        let command = ["approve", "reject", "pay"][random.below(3) as usize];
        let body = CommandFact {
            command: command.into(),
            names: about.clone(),
            object: about,
            partner_id: "p1".into(),
            amount: if command == "pay" { 21 } else { 0 },
            currency: if command == "pay" { "usd" } else { "" }.into(),
            payout_id: if command == "pay" { "po_3" } else { "" }.into(),
            ..Default::default()
        };
        facts.push(fact(closed + HOUR, "operator", Body::Command(Box::new(body))));
    }
}

fn redemption(random: &mut Random, facts: &mut Vec<Fact>) {
    let at = T0 + (60 + random.below(30) as i64) * HOUR;
    let body = RedemptionFact {
        cid: REDEEMED.into(),
        coupon: "SAVE20".into(),
        customer: if random.below(2) == 0 {
            more::person(1)
        } else {
            Default::default()
        },
        ..Default::default()
    };
    facts.push(fact(at, "trk_r", Body::Redemption(Box::new(body))));
    for n in 0..2 {
        let body = SaleFact {
            external_id: format!("order_{n}"),
            amount: 4000,
            currency: "usd".into(),
            click_id: REDEEMED.into(),
            program_id: ["", "main", "other"][random.below(3) as usize].into(),
            customer: if random.below(2) == 0 {
                more::person(2)
            } else {
                Default::default()
            },
            ..Default::default()
        };
        let at = T0 + (80 + random.below(40) as i64) * HOUR;
        facts.push(fact(at, &format!("trk_o{n}"), Body::Sale(Box::new(body))));
    }
}

/// Refunds by API, and decisions that name no partner.
fn decisions(random: &mut Random, facts: &mut Vec<Fact>) {
    for names in ["order_0", "order_1", "ch_0"] {
        for n in 0..random.below(3) {
            let is_refund = random.below(3) > 0;
            let body = CommandFact {
                command: if is_refund { "refund" } else { "reject" }.into(),
                names: names.into(),
                amount: if is_refund { 900 * n as i64 } else { 0 },
                payout_id: if is_refund {
                    format!("back_{n}")
                } else {
                    String::new()
                },
                ..Default::default()
            };
            let at = T0 + (130 + random.below(40) as i64) * HOUR;
            facts.push(fact(at, "operator", Body::Command(Box::new(body))));
        }
    }
}

/// What browsers say of customers and orders that servers tell of, too, and of others.
fn browsers(random: &mut Random, facts: &mut Vec<Fact>) {
    let clicks = ["click00000000000", "click00000000001", REDEEMED];
    for n in 0..random.below(5) {
        let customer = CustomerRef {
            external_id: format!("user_{}", random.below(4)),
            mail: ["", "mail0"][random.below(2) as usize].into(),
            ..Default::default()
        };
        let click_id = clicks[random.below(3) as usize].to_owned();
        let body = match random.below(3) {
            0 => Body::Identify(Box::new(IdentifyFact { click_id, customer })),
            1 => Body::Lead(Box::new(LeadFact {
                event_name: "Sign up".into(),
                quantity: 1,
                click_id,
                customer,
                ..Default::default()
            })),
            _ => Body::Sale(Box::new(SaleFact {
                external_id: ["order_0", "order_7", "ch_0"][random.below(3) as usize].into(),
                amount: 100 + n as i64,
                currency: "usd".into(),
                click_id,
                coupon: ["", "SAVE20"][random.below(2) as usize].into(),
                customer,
                ..Default::default()
            })),
        };
        let mut told = fact(
            T0 + random.below(100) as i64 * HOUR + 1,
            &format!("web_{n}"),
            body,
        );
        told.trust = "browser".into();
        facts.push(told);
    }
}

fn account(random: &mut Random, facts: &mut Vec<Fact>) {
    if random.below(2) == 0 {
        return;
    }
    for fact in facts.iter_mut().filter(|fact| fact.trust == "stripe") {
        fact.account = "acct_1".into();
    }
    for connected in [false, true].into_iter().take(1 + random.below(2) as usize) {
        let at = T0 + (40 + random.below(60) as i64) * HOUR;
        let body = AccountFact {
            account: "acct_1".into(),
            connected,
        };
        facts.push(fact(at, "evt_account", Body::Account(Box::new(body))));
    }
}
