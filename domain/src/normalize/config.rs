//! Declared objects to rule facts: one for each mode of the workspace.
//!
//! The document is checked against its kind, so that what the engine finds in a rule fact always reads.

use serde::de::DeserializeOwned;
use tributary_avro::{Body, Config, RuleFact};

use super::{Outcome, Rejection};
use crate::fact::Origin;
use crate::rules::{Coupon, Link, Partner, Program, Workspace};
use crate::tenant::Tenant;

/// The rule facts of a declaration.
pub fn config(config: &Config) -> Result<Outcome, Rejection> {
    let check = match config.kind.as_str() {
        "workspace" => valid::<Workspace>,
        "program" => valid::<Program>,
        "partner" => valid::<Partner>,
        "link" => valid::<Link>,
        "coupon" => valid::<Coupon>,
        kind => {
            return Err(Rejection::new(
                "unknown_kind",
                format!("config.kind: {kind:?} is none of workspace, program, partner, link, coupon"),
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
            document: config.document.clone(),
        })))
    });
    Ok(Outcome::Facts(facts.collect()))
}

fn valid<T: DeserializeOwned>(document: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<T>(document).map(drop)
}
