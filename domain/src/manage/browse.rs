//! What is declared, for whoever shows it beside its figures.
//!
//! These lists are not Dub's: the ledger decides which objects a page shows, and they add those that it knows nothing
//! of, and what each is called. Invariant: keys, their hashes and hashes of addresses are not shown.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::catalog::{Catalog, Space, address};
use super::{list, partner};
use crate::rules::{Coupon, Program};

/// Objects that fit a search, the youngest first: ID and creation, UTC milliseconds.
pub type Found = Vec<(String, i64)>;

/// How many partners are in each state.
pub type Members = BTreeMap<&'static str, usize>;

impl Catalog {
    /// Links with `search` in their address, destination or comment, of a partner if one is named; `most` of them.
    pub fn find_links(&self, workspace: &str, search: &str, of: Option<&str>, most: usize) -> Found {
        let text = search.to_lowercase();
        let links = self.space(workspace).into_iter().flat_map(Space::links);
        let fitting = links.filter(|known| {
            let link = &known.value;
            of.is_none_or(|partner| partner == link.partner)
                && !link.archived
                && (text.is_empty()
                    || address(&link.domain, &link.key).to_lowercase().contains(&text)
                    || [&link.id, &link.url, &link.comments]
                        .iter()
                        .any(|found| found.to_lowercase().contains(&text)))
        });
        let found = fitting.map(|known| (known.value.id.clone(), known.created));
        found.take(most).collect()
    }

    /// Partners with `search` in their ID, name or address.
    pub fn find_partners(&self, workspace: &str, search: &str, most: usize) -> Found {
        let text = search.to_lowercase();
        let partners = self
            .space(workspace)
            .into_iter()
            .flat_map(|space| space.partners.values());
        let mut found: Found = partners
            .filter(|known| {
                let partner = &known.value;
                [&partner.id, &partner.name, &partner.email]
                    .iter()
                    .any(|found| found.to_lowercase().contains(&text))
            })
            .map(|known| (known.value.id.clone(), known.created))
            .collect();
        found.sort_by(|a, b| (b.1, &b.0).cmp(&(a.1, &a.0)));
        found.truncate(most);
        found
    }

    /// A partner as the API shows it, with its links and codes.
    pub fn show_partner(&self, workspace: &str, id: &str) -> Option<Value> {
        let space = self.space(workspace)?;
        let known = space.partners.get(id)?;
        let mut shown = partner::shown(known, list::links_of(space, id));
        let codes = space.coupons.values().filter(|coupon| coupon.partner == id);
        let codes: Vec<Value> = codes
            .map(|coupon| json!({"code": coupon.code, "active": coupon.active}))
            .collect();
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("coupons".to_owned(), codes.into());
        }
        Some(shown)
    }

    /// Codes, by their text.
    pub fn coupons(&self, workspace: &str) -> impl Iterator<Item = &Coupon> {
        self.space(workspace)
            .into_iter()
            .flat_map(|space| space.coupons.values())
    }

    /// Programs by their ID, each with its partners. Who names no program is of the only one; of several it is told of
    /// none.
    pub fn programs(&self, workspace: &str) -> Vec<(&Program, Members)> {
        let Some(space) = self.space(workspace) else {
            return Vec::new();
        };
        let is_only = space.programs.len() == 1;
        let of = |program: &Program| {
            let mut members = Members::new();
            for known in space.partners.values() {
                let own = &known.value.program;
                if *own == program.id || (own.is_empty() && is_only) {
                    *members.entry(partner::status(known.value.status)).or_default() += 1;
                }
            }
            members
        };
        space
            .programs
            .values()
            .map(|program| (program, of(program)))
            .collect()
    }

    /// The currency that the workspace's ledger is kept in.
    pub fn currency(&self, workspace: &str) -> Option<&str> {
        let settings = self.settings(workspace).ok()?;
        Some(&settings.currency)
    }

    /// What the workspace says about Stripe: the connected accounts that it takes, and its modes.
    pub fn stripe(&self, workspace: &str) -> Option<(Vec<String>, Vec<String>)> {
        let settings = self.settings(workspace).ok()?;
        Some((settings.stripe_accounts.clone(), settings.modes.clone()))
    }
}
