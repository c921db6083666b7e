//! What a payment or lead reads of its customer: touches, first lead, first sale, name.
//!
//! If the view did not change, entries of other objects of the case cannot change either: that is what
//! makes the 20,000th payment cost like the 20th.

use serde::{Deserialize, Serialize};
use tributary_avro::{ClickFact, DiscountRef};

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
    /// It is the start of a trial.
    pub is_trial: bool,
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

impl CouponUse {
    /// The use of a coupon that a redemption is.
    pub fn of(redeemed: &Redeemed) -> Self {
        let code = DiscountRef {
            code: redeemed.coupon.clone(),
            ..DiscountRef::default()
        };
        Self {
            at: redeemed.at,
            anchor: format!("redemption:{}", redeemed.cid),
            discounts: vec![code],
        }
    }
}

/// A redemption whose CID a case names (rule D4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Redeemed {
    /// Event time, UTC milliseconds.
    pub at: i64,
    /// ID that it returned.
    pub cid: String,
    /// Coupon code.
    pub coupon: String,
}

/// The touches of a case (rule C1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touches {
    /// Clicks that are named and known, by time and ID.
    pub clicks: Vec<ClickFact>,
    /// Only browsers said that the clicks are this customer's.
    pub by_browser: bool,
    /// Redemptions that are named and known, by time.
    pub redemptions: Vec<Redeemed>,
    /// Click IDs and CIDs that are named and not known yet.
    pub missing: Vec<String>,
}

/// The part of a case that its entries read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// External ID, else Stripe customer ID, else guest hash, else empty.
    pub customer: String,
    /// Hashes of its addresses that are some partner's, too.
    pub mails: Vec<String>,
    /// Any of its addresses is a throw-away one.
    pub disposable: bool,
    /// Touches of the case.
    pub touches: Touches,
    /// Leads by time, one for each event: tracked ones, or else the one born lead; and the first trial.
    pub leads: Vec<Birth>,
    /// First sale.
    pub first_sale: Option<Birth>,
    /// First use of a coupon that belongs to a partner.
    pub first_coupon: Option<CouponUse>,
    /// Partners that the customer was given to by hand, each from when on (UTC milliseconds), by time; empty: to nobody.
    pub assignments: Vec<(i64, String)>,
    /// Subscriptions, by anchor.
    pub subscriptions: Vec<Span>,
}

/// From when to when a subscription went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Key of the subscription.
    pub anchor: String,
    /// Start, UTC milliseconds.
    pub start: i64,
    /// End, UTC milliseconds; None while it goes on.
    pub end: Option<i64>,
}

impl View {
    /// The moment that a click must precede (rule C2): the first lead, else the first sale.
    pub fn anchor(&self) -> Option<&Birth> {
        self.leads.first().or(self.first_sale.as_ref())
    }

    /// From when on, and to which partner, the customer was given by hand at `at`; None if to nobody.
    pub fn assigned(&self, at: i64) -> Option<(i64, &str)> {
        let (from, partner) = self.assignments.iter().rev().find(|(from, _)| *from <= at)?;
        Some((*from, partner.as_str())).filter(|(_, partner)| !partner.is_empty())
    }

    /// The start of a subscription, UTC milliseconds.
    pub fn start_of(&self, subscription: &str) -> Option<i64> {
        let same = |span: &&Span| span.anchor.strip_prefix("subscription:") == Some(subscription);
        self.subscriptions.iter().find(same).map(|span| span.start)
    }

    /// Whether a customer had no subscription any more when this one ended (rule E9).
    pub fn is_last(&self, ended: &Span) -> bool {
        let Some(end) = ended.end else { return false };
        self.subscriptions.iter().all(|other| {
            let goes_on = other
                .end
                .is_none_or(|theirs| (theirs, &other.anchor) > (end, &ended.anchor));
            other.anchor == ended.anchor || other.start > end || !goes_on
        })
    }
}
