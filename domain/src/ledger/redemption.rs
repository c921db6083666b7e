//! Redemptions as entries (rule D4): that somebody used a partner's code, before anything was paid.
//!
//! They inform, and earn nothing. The ID that a redemption returned brings its coupon to whoever names it later.

use tributary_avro::{Body, Conversion, DiscountRef};

use super::attribution::{Claimant, attribute};
use super::entries::{Inputs, dimensions, explain, id};
use super::row::Row;
use super::view::View;
use crate::fact::{BROWSER, is_by_browser, object};

impl Inputs<'_> {
    /// The entry of a redemption. Of several facts that claim one CID the least ID counts.
    pub(super) fn redemption(&self, rows: &mut Vec<Row>) {
        let told = self.facts.iter().filter_map(|fact| match &fact.body {
            Body::Redemption(redemption) => Some((fact, redemption)),
            _ => None,
        });
        let Some((fact, redemption)) = told.min_by_key(|(fact, _)| &fact.id) else {
            return;
        };
        let used = [DiscountRef {
            code: redemption.coupon.clone(),
            ..DiscountRef::default()
        }];
        let claimant = Claimant {
            at: fact.at,
            clicks: &[],
            discounts: &used,
            account: "",
            program: &redemption.program_id,
            has_identity: !self.view.customer.is_empty(),
        };
        // Its coupon's partner, whatever was clicked.
        let none = View::default();
        let decision = attribute(&claimant, &none, self.rules);
        let key = object(&fact.body);
        let object = if is_by_browser(fact) {
            format!("{BROWSER}{key}")
        } else {
            key
        };
        let event_name = match redemption.event_name.as_str() {
            "" => "Coupon redeemed",
            name => name,
        };
        rows.push(Row::Conversion(Box::new(Conversion {
            id: id("conv", self.tenant, &[&object]),
            workspace: self.tenant.workspace.clone(),
            mode: self.tenant.mode.clone(),
            kind: "redemption".to_owned(),
            at: fact.at,
            keys: vec![redemption.cid.clone()],
            object,
            customer: self.view.customer.clone(),
            event_name: event_name.to_owned(),
            status: "approved".to_owned(),
            currency: self.currency(fact.at),
            quantity: 1,
            source: "api".to_owned(),
            attributed_by: decision.by.text().to_owned(),
            reason: decision.reason.to_owned(),
            rule: decision.rule.to_owned(),
            dims: dimensions(&decision),
            explanation: explain(&decision, &[], None, None),
            ..Conversion::default()
        })));
    }
}
