//! What clicks earn (rule F1): one entry for each link and day, once the day has closed.
//!
//! Clicks themselves are no ledger entries; only what a reward pays for them is.

use tributary_avro::{Body, ClickFact, ClickTotalsFact, Conversion, Fact, Metadata};

use super::attribution::Credit;
use super::books::Books;
use super::commission::{self, Circumstances, Earner};
use super::entries::Inputs;
use super::money;
use super::row::Row;
use crate::fact::object;
use crate::store::StoreError;

/// The clicks of a link in a day that the facts of one object tell of. A day may be stated again when clicks come late:
/// the statement that knows of most counts.
pub(super) fn clicks(facts: &[Fact]) -> Option<(i64, ClickTotalsFact)> {
    let told = facts.iter().filter_map(|fact| match &fact.body {
        Body::ClickTotals(totals) => Some((fact, totals)),
        _ => None,
    });
    let most = told.max_by_key(|(fact, totals)| {
        let clicks = totals.countries.iter().map(|country| country.clicks);
        (money::sum(clicks), &fact.id)
    });
    most.map(|(fact, totals)| (fact.at, (**totals).clone()))
}

impl Inputs<'_> {
    /// The commission of a day's clicks on one link.
    pub(super) fn clicks(&self, books: &mut dyn Books, rows: &mut Vec<Row>) -> Result<(), StoreError> {
        let Some((at, totals)) = &self.told.clicks else {
            return Ok(());
        };
        let object = object(&Body::ClickTotals(Box::new(totals.clone())));
        let none = Metadata::new();
        let of = Circumstances {
            at: *at,
            anchor: &object,
            country: "",
            source: "",
            signup: None,
            first_sale: None,
            is_first: false,
            subscription_start: None,
            amount: None,
            sale_metadata: &none,
            lead_metadata: &none,
        };
        let earner = Earner {
            partner: &totals.partner_id,
            program: &totals.program_id,
            link: &totals.link_id,
            rules: self.rules,
        };
        let earned = commission::of_clicks(earner, &totals.countries, &of, books)?;
        // Of the click's dimensions those that all of them share.
        let click = ClickFact {
            link_id: totals.link_id.clone(),
            group_id: totals.group_id.clone(),
            ..ClickFact::default()
        };
        let credit = Credit {
            partner: totals.partner_id.clone(),
            program: totals.program_id.clone(),
            click: Some(&click),
            weight: 1,
        };
        let clicks = Conversion {
            workspace: self.tenant.workspace.clone(),
            mode: self.tenant.mode.clone(),
            kind: "click".to_owned(),
            at: *at,
            object: object.clone(),
            currency: self.currency(*at),
            ..Conversion::default()
        };
        self.commission(&clicks, &[(&credit, earned)], rows);
        Ok(())
    }
}
