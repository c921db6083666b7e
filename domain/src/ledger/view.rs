//! What a payment or lead reads of its customer: touches, first lead, first sale, name.
//!
//! If the view did not change, entries of other objects of the case cannot change either: that is what
//! makes the 20,000th payment cost like the 20th.

use serde::{Deserialize, Serialize};
use tributary_avro::{ClickFact, DiscountRef};

use super::lead::LeadKind;

/// A lead or sale of the case, as the others see it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Birth {
    /// Event time, UTC milliseconds.
    pub at: i64,
    /// Key of the object that its entry is about.
    pub anchor: String,
    /// Normalized event name; empty for sales.
    pub event: String,
    /// Click IDs that it names.
    pub clicks: Vec<String>,
}

/// A use of coupons on a payment of the case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponUse {
    /// Event time of the sale, UTC milliseconds.
    pub at: i64,
    /// Key of the payment.
    pub anchor: String,
    /// What was used.
    pub discounts: Vec<DiscountRef>,
}

/// The touches of a case (rule C1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touches {
    /// Clicks that are named and known, by time and ID.
    pub clicks: Vec<ClickFact>,
    /// Click IDs that are named and not known yet.
    pub missing: Vec<String>,
}

/// The part of a case that its entries read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// External ID, else Stripe customer ID, else guest hash, else empty.
    pub customer: String,
    /// Touches of the case.
    pub touches: Touches,
    /// Tracked leads, by time; or else the one born lead.
    pub leads: Vec<Birth>,
    /// How the leads came to be.
    pub lead_kind: Option<u8>,
    /// First sale.
    pub first_sale: Option<Birth>,
    /// First use of a coupon that belongs to a partner.
    pub first_coupon: Option<CouponUse>,
}

impl View {
    /// The moment that a click must precede (rule C2): the first lead, else the first sale.
    pub fn anchor(&self) -> Option<&Birth> {
        self.leads.first().or(self.first_sale.as_ref())
    }

    /// Whether born leads of this kind count.
    pub fn counts(&self, kind: LeadKind) -> bool {
        self.lead_kind == Some(kind as u8)
    }
}
