//! The groups of `/analytics` in the shapes that the `dub` SDKs check for.
//!
//! Their sets of continents and triggers are closed, and their links have a date: what the ledger knows less or more of
//! is counted with the member that comes nearest. `/funnel` groups by what the ledger says.
//!
//! Invariant: groups that become one are added up, so the sum of all groups stays the count.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tributary_domain::rules::Link;

use crate::analytics::{dimensions, figures};
use crate::dimensions::Grouping;
use crate::server::Application;
use crate::sums::{Event, Sums};

const CONTINENTS: [&str; 7] = ["AF", "AN", "AS", "EU", "NA", "OC", "SA"];
/// Where nobody lives: who clicks from an unknown place is counted there.
const NOWHERE: &str = "AN";

/// Groupings that the SDKs' types of an answer have. Of the others they keep a group's name under a field of these.
const KNOWN: [&str; 12] = [
    "continents",
    "countries",
    "regions",
    "cities",
    "devices",
    "browsers",
    "os",
    "triggers",
    "referers",
    "referer_urls",
    "top_links",
    "top_urls",
];

/// Rows with the fields that name each group and its figures, the largest first.
pub fn groups(
    application: &Application,
    workspace: &str,
    grouping: &Grouping,
    event: Event,
    rows: &[Sums],
) -> Vec<(Map<String, Value>, Sums)> {
    let mut found: BTreeMap<String, (Map<String, Value>, Sums)> = BTreeMap::new();
    for sums in rows {
        let mut name = dimensions(grouping, &sums.dimensions);
        conform(&mut name, grouping, application, workspace);
        let id = Value::Object(name.clone()).to_string();
        let (_, sum) = found.entry(id).or_insert_with(|| (name, Sums::default()));
        sum.clicks += sums.clicks;
        sum.leads += sums.leads;
        sum.sales += sums.sales;
        sum.amount += sums.amount;
    }
    let mut groups: Vec<_> = found.into_values().collect();
    groups.sort_by_key(|(_, sums)| {
        Reverse(match event {
            Event::Leads => (sums.leads, 0, 0),
            Event::Sales => (sums.amount, sums.sales, 0),
            Event::Clicks | Event::Composite => (sums.clicks, sums.amount, sums.leads),
        })
    });
    groups
}

/// One group as JSON.
pub fn row((mut name, sums): (Map<String, Value>, Sums)) -> Value {
    name.extend(figures(&sums));
    Value::Object(name)
}

fn conform(name: &mut Map<String, Value>, grouping: &Grouping, application: &Application, workspace: &str) {
    let text = |field: &str| {
        let value = name.get(field).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let mut set = Map::new();
    match grouping.name {
        "continents" if !CONTINENTS.contains(&text("continent").as_str()) => {
            set.insert("continent".to_owned(), NOWHERE.into());
        }
        "triggers" => drop(set.insert("trigger".to_owned(), trigger(&text("trigger")).into())),
        "top_links" => {
            let named = Link {
                id: text("id"),
                domain: text("domain"),
                key: text("key"),
                ..Link::default()
            };
            set = application.link_name(workspace, named);
            // Its name before there was `id`.
            set.insert("link".to_owned(), set.get("id").cloned().unwrap_or_default());
        }
        "top_partners" => {
            let id = text("partnerId");
            let partner = application.partner_name(workspace, &id);
            set.insert("partner".to_owned(), json!({"id": id, "name": partner}));
        }
        _ => {}
    }
    name.extend(set);
    if !KNOWN.contains(&grouping.name)
        && let Some((field, _)) = grouping.fields.first()
        && let Some(value) = name.get(*field).cloned()
    {
        name.insert("referer".to_owned(), value);
    }
}

/// The SDKs' word for what made a click. Coupons need no click: theirs is that of links.
fn trigger(ours: &str) -> &str {
    match ours {
        "qr" | "deeplink" | "pageview" => ours,
        "script" => "pageview",
        _ => "link",
    }
}
