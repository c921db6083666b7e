//! Outgoing webhooks: where events of the ledger are sent to.

use serde::{Deserialize, Serialize};
use tributary_avro::Config;

use super::Workspace;
use super::links::{declared, instant};

/// What a subscription may name.
pub const EVENTS: [&str; 6] = [
    "lead",
    "sale",
    "redemption",
    "subscription",
    "commission",
    "refund",
];
/// What becomes of them: an entry is there, replaced by a better one, or taken back.
pub const CHANGES: [&str; 3] = ["created", "corrected", "retracted"];

/// Events that are sent to an address of the customer's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// ID within the workspace; its secret has the same name.
    pub id: String,
    /// Where events are posted.
    pub url: String,
    /// Events that are sent.
    #[serde(default = "created")]
    pub events: Vec<String>,
    /// Modes whose events are sent.
    #[serde(default = "live")]
    pub modes: Vec<String>,
    /// Events written to the ledger since then are sent, RFC 3339; by default since it was declared. Another time sends
    /// them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

fn created() -> Vec<String> {
    ["lead", "sale", "commission", "refund"]
        .map(|event| format!("{event}.created"))
        .to_vec()
}

fn live() -> Vec<String> {
    vec!["live".to_owned()]
}

impl Webhook {
    /// Events written to the ledger since then are sent, UTC milliseconds; None: since it was declared.
    pub fn since(&self) -> Option<i64> {
        self.from.as_deref().and_then(instant)
    }

    /// Its record in topic `config`.
    pub fn config(&self, workspace: &Workspace, at: i64) -> Config {
        declared(workspace, ("webhook", &self.id), self.from.as_ref(), at, self)
    }
}

/// What is wrong with it: field and rule.
pub(super) fn problems(webhook: &Webhook, modes: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    if !super::file::is_id(&webhook.id) {
        problems.push(format!(
            "id: {:?} is not 1 to 64 characters a-z 0-9 _ -",
            webhook.id
        ));
    }
    let rest = webhook
        .url
        .strip_prefix("https://")
        .or_else(|| webhook.url.strip_prefix("http://"));
    let authority = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    if authority.is_none_or(str::is_empty) {
        problems.push("url: http:// or https:// with a host".to_owned());
    }
    if authority.is_some_and(|authority| authority.contains('@')) {
        problems
            .push("url: no user and password: it is no secret, and the signature says who calls".to_owned());
    }
    for event in &webhook.events {
        let known = event
            .split_once('.')
            .is_some_and(|(what, change)| EVENTS.contains(&what) && CHANGES.contains(&change));
        if !known {
            problems.push(format!(
                "events: {event:?} is not one of {} with .{} after it",
                EVENTS.join(", "),
                CHANGES.join(", .")
            ));
        }
    }
    if webhook.events.is_empty() {
        problems.push("events: at least one".to_owned());
    }
    if let Some(mode) = webhook.modes.iter().find(|mode| !modes.contains(mode)) {
        problems.push(format!("modes: the workspace has no mode {mode:?}"));
    }
    if webhook
        .from
        .as_deref()
        .is_some_and(|from| instant(from).is_none())
    {
        problems.push("from: not RFC 3339".to_owned());
    }
    if webhook.modes.is_empty() {
        problems.push("modes: at least one".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_webhook_must_be_like() {
        let good = json!({"id": "crm", "url": "https://crm.example/hooks"});
        let with = |name: &str, value: serde_json::Value| {
            let mut document = good.clone();
            document[name] = value;
            problems(&serde_json::from_value(document).unwrap(), &["live".to_owned()])
        };
        assert_eq!(
            with("events", json!(["sale.corrected", "lead.retracted"])),
            Vec::<String>::new()
        );
        for (name, value, told) in [
            ("id", json!("../x"), "id: "),
            ("url", json!("ftp://crm.example"), "url: http"),
            ("url", json!("crm.example"), "url: http"),
            ("url", json!("https://u:p@crm.example"), "url: no user"),
            ("events", json!([]), "events: at least"),
            ("events", json!(["sale"]), "events: \"sale\""),
            ("events", json!(["sale.made"]), "events: \"sale.made\""),
            ("events", json!(["click.created"]), "events: \"click.created\""),
            ("from", json!("soon"), "from: "),
            ("modes", json!([]), "modes: at least"),
            ("modes", json!(["test"]), "modes: the workspace"),
        ] {
            let found = with(name, value);
            assert!(
                found.len() == 1 && found[0].starts_with(told),
                "{told}: {found:?}"
            );
        }
    }
}
