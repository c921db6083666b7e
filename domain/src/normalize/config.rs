//! Declared objects to rule facts: one for each mode of the workspace.
//!
//! The document is checked against its kind, so that what the engine finds in a rule fact always reads.

use serde::de::DeserializeOwned;
use tributary_avro::{Body, Config, RuleFact};

use super::{ERASED, Outcome, Rejection};
use crate::fact::Origin;
use crate::mail::MailKey;
use crate::rules::{Coupon, DayRates, Link, Partner, Program, Webhook, Workspace};
use crate::tenant::Tenant;

/// The rule facts of a declaration. Addresses in it are hashed under `mail`.
pub fn config(config: &Config, mail: &MailKey) -> Result<Outcome, Rejection> {
    let check = match config.kind.as_str() {
        "workspace" => valid::<Workspace>,
        "program" => valid::<Program>,
        "partner" => valid::<Partner>,
        "link" => valid::<Link>,
        "coupon" => valid::<Coupon>,
        "fx" => rates,
        "webhook" => valid::<Webhook>,
        ERASED => return Ok(Outcome::Ignored("erasure")),
        kind => {
            return Err(Rejection::new(
                "unknown_kind",
                format!(
                    "config.kind: {kind:?} is none of workspace, program, partner, link, coupon, webhook, fx"
                ),
            ));
        }
    };
    for (name, value) in [("workspace", &config.workspace), ("id", &config.id)] {
        if value.is_empty() {
            return Err(Rejection::new(
                "missing_field",
                format!("config.{name}: required"),
            ));
        }
    }
    if config.modes.is_empty() {
        return Err(Rejection::new(
            "missing_field",
            "config.modes: at least one mode is required",
        ));
    }
    // What is deleted needs no document.
    if !config.deleted {
        check(&config.document)
            .map_err(|e| Rejection::new("invalid_document", format!("config.document: {e}")))?;
    }
    // No rule: who is told of an entry changes none.
    if config.kind == "webhook" {
        return Ok(Outcome::Ignored("webhook"));
    }
    let document = if config.kind == "partner" && !config.deleted {
        without_address(&config.document, mail)
    } else {
        config.document.clone()
    };
    let mut modes: Vec<&String> = config.modes.iter().collect();
    modes.sort();
    modes.dedup();
    let facts = modes.into_iter().map(|mode| {
        Origin {
            tenant: Tenant::new(&config.workspace, mode),
            at: config.at,
            source: format!("config/{}/{}", config.kind, config.id),
            trust: "operator",
        }
        .fact(Body::Rule(Box::new(RuleFact {
            kind: config.kind.clone(),
            id: config.id.clone(),
            from: config.from,
            deleted: config.deleted,
            document: document.clone(),
        })))
    });
    Ok(Outcome::Facts(facts.collect()))
}

/// Facts are kept for ever, and hold no address: the partner's is replaced by its hash (rule C10).
fn without_address(document: &str, mail: &MailKey) -> String {
    let hashed = serde_json::from_str(document)
        .ok()
        .and_then(|mut partner: Partner| {
            partner.mail = mail.hash(&std::mem::take(&mut partner.email)).unwrap_or_default();
            serde_json::to_string(&partner).ok()
        });
    hashed.unwrap_or_else(|| document.to_owned())
}

fn rates(document: &str) -> Result<(), serde_json::Error> {
    let day: DayRates = serde_json::from_str(document)?;
    day.numbers().map(drop).map_err(serde::de::Error::custom)
}

fn valid<T: DeserializeOwned>(document: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<T>(document).map(drop)
}
