//! A row of the ledger, whichever of the three topics it stands in.

use serde::{Deserialize, Serialize};
use tributary_avro::{Commission, Conversion, Op, Refund};

/// A row of one of the three ledger topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Row {
    /// Topic conversions.
    Conversion(Box<Conversion>),
    /// Topic refunds.
    Refund(Box<Refund>),
    /// Topic commissions.
    Commission(Box<Commission>),
}

macro_rules! each {
    ($row:expr, $r:ident => $out:expr) => {
        match $row {
            Row::Conversion($r) => $out,
            Row::Refund($r) => $out,
            Row::Commission($r) => $out,
        }
    };
}

pub(super) use each;

/// Stripe's ID of the invoice among the IDs that find an entry, its own object last.
pub fn invoice<'a>(keys: &'a [String], object: &'a str) -> Option<&'a str> {
    keys.iter()
        .map(String::as_str)
        .chain([object])
        .map(|key| key.strip_prefix("in:").unwrap_or(key))
        .find(|key| key.starts_with("in_"))
}

impl Row {
    /// Entry ID.
    pub fn id(&self) -> &str {
        each!(self, r => &r.id)
    }

    /// Revision, from 1 once emitted.
    pub fn revision(&self) -> i64 {
        each!(self, r => r.revision)
    }

    /// Whether it adds or takes back.
    pub fn op(&self) -> Op {
        each!(self, r => r.op)
    }

    /// Event time, UTC milliseconds.
    pub fn at(&self) -> i64 {
        each!(self, r => r.at)
    }

    /// Workspace and mode.
    pub fn tenant(&self) -> crate::tenant::Tenant {
        each!(self, r => crate::tenant::Tenant::new(r.workspace.as_str(), r.mode.as_str()))
    }

    /// Key of the object that it is about.
    pub fn object(&self) -> &str {
        each!(self, r => &r.object)
    }

    /// Numbers this emission of the entry.
    pub fn number(&mut self, revision: i64) {
        each!(self, r => r.revision = revision);
    }

    /// The row that takes this one back. It carries no explanation.
    pub fn retraction(mut self) -> Row {
        each!(&mut self, r => {
            r.op = Op::Retract;
            r.explanation.clear();
        });
        self
    }

    /// Takes the explanation out, for comparing and keeping.
    pub fn take_explanation(&mut self) -> String {
        each!(self, r => std::mem::take(&mut r.explanation))
    }

    /// Puts an explanation in.
    pub fn explain(&mut self, text: String) {
        each!(self, r => r.explanation = text);
    }

    /// JSON: why.
    pub fn explanation(&self) -> &str {
        each!(self, r => &r.explanation)
    }
}
