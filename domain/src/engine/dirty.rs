//! What must be recomputed: objects of cases, and sweeps over the cases that read a changed rule.
//!
//! It lives in memory and is written to the store by `checkpoint`, so that a restart loses none.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What of a case is dirty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Objects whose own facts changed.
    pub objects: BTreeSet<u64>,
    /// Rules changed: every object, whatever the view.
    pub all: bool,
}

/// The dirty cases and sweeps of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dirty {
    /// By tenant and case.
    pub cases: BTreeMap<(u32, u64), Marks>,
    /// By tenant and reference (empty: all cases; one that ends with `/`: all that begin so): the key after which the sweep goes on.
    pub sweeps: BTreeMap<(u32, String), Vec<u8>>,
}

impl Dirty {
    /// Marks a case whose view may have changed.
    pub fn case(&mut self, tenant: u32, case: u64) -> &mut Marks {
        self.cases.entry((tenant, case)).or_default()
    }

    /// Marks an object.
    pub fn object(&mut self, tenant: u32, case: u64, object: u64) {
        self.case(tenant, case).objects.insert(object);
    }

    /// Starts a sweep over all cases that read a reference.
    pub fn sweep(&mut self, tenant: u32, reference: &str) {
        self.sweeps.insert((tenant, reference.to_owned()), Vec::new());
    }

    /// Starts a sweep over all cases that read a reference which begins with a text that ends with `/`, from one on.
    pub fn sweep_from(&mut self, tenant: u32, prefix: &str, from: &str) {
        let from = from.as_bytes().to_vec();
        let known = self
            .sweeps
            .entry((tenant, prefix.to_owned()))
            .or_insert(from.clone());
        *known = from.min(std::mem::take(known));
    }

    /// Bounds what must be written down: many dirty cases become a sweep over all cases of their tenants.
    pub fn compact(&mut self, most: usize) {
        if self.cases.len() > most {
            for (tenant, _) in std::mem::take(&mut self.cases).into_keys() {
                self.sweep(tenant, "");
            }
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty() && self.sweeps.is_empty()
    }
}
