//! Money that goes back (rules G1, G2, G4, G5): refunds and disputes of one payment in order, and what each takes back.
//!
//! Invariant: what is taken back never exceeds the payment, and a full refund takes back exactly all.

use tributary_avro::{Body, ChargeFact, DisputeFact, Fact, RefundFact};

use super::money;
use super::sale::{Sale, latest};

/// One refund of a payment, or a dispute that took its money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Back {
    /// refund or dispute.
    pub kind: &'static str,
    /// Key, e.g. `re:re_1` or `dp:dp_1`; `re:excess/ch_1` for what a charge tells without refund objects.
    pub anchor: String,
    /// Event time, UTC milliseconds.
    pub at: i64,
    /// Amount as refunded, with tax, minor units of the payment's currency.
    pub amount: i64,
    /// Currency of `amount`.
    pub currency: String,
    /// Stripe's status.
    pub status: String,
    /// Stripe's reason.
    pub reason: String,
    /// Refunded of the payment before this one, at most its gross.
    pub before: i64,
    /// Refunded of the payment with this one, at most its gross.
    pub after: i64,
}

impl Back {
    /// This refund's part of what a payment of `gross` takes back of `whole` (rule G2).
    pub fn share(&self, whole: i64, gross: i64) -> i64 {
        money::scale(whole, self.after, gross) - money::scale(whole, self.before, gross)
    }
}

/// Gross of a payment and its refunds by time and ID. Failed and canceled refunds are left out: the money
/// came back (rule G4).
pub fn refunds(facts: &[Fact], sale: &Sale) -> (i64, Vec<Back>) {
    let charges = latest(facts, |b| if let Body::Charge(c) = b { Some(&**c) } else { None });
    let intents = latest(facts, |b| {
        if let Body::PaymentIntent(p) = b {
            Some(&**p)
        } else {
            None
        }
    });
    let objects = latest(facts, |b| if let Body::Refund(r) = b { Some(&**r) } else { None });
    let captured: i64 = charges
        .iter()
        .filter(|(_, c)| c.status == "succeeded")
        .map(|(_, c)| c.amount_captured)
        .sum();
    let received: i64 = intents
        .iter()
        .filter(|(_, p)| p.status == "succeeded")
        .map(|(_, p)| p.amount_received)
        .sum();
    // The largest of what is known: charges may be told of only because they were refunded.
    let gross = captured.max(received).max(sale.paid);

    let mut out: Vec<Back> = objects
        .iter()
        .filter(|(_, r)| !matches!(r.status.as_str(), "failed" | "canceled"))
        .map(|(fact, r)| Back {
            kind: "refund",
            anchor: format!("re:{}", r.refund),
            at: if r.created > 0 { r.created } else { fact.at },
            amount: r.amount,
            currency: r.currency.clone(),
            status: r.status.clone(),
            reason: r.reason.clone(),
            before: 0,
            after: 0,
        })
        .collect();
    for (fact, charge) in &charges {
        let of_charge = |r: &RefundFact| {
            r.charge == charge.charge || (r.charge.is_empty() && r.payment_intent == charge.payment_intent)
        };
        let told: i64 = objects
            .iter()
            .filter(|(_, r)| of_charge(r) && r.created <= fact.at)
            .map(|(_, r)| r.amount)
            .sum();
        let excess = charge.amount_refunded - told;
        if excess > 0 {
            out.push(Back {
                kind: "refund",
                anchor: format!("re:excess/{}", charge.charge),
                at: since(facts, charge),
                amount: excess,
                currency: charge.currency.clone(),
                status: "succeeded".to_owned(),
                reason: String::new(),
                before: 0,
                after: 0,
            });
        }
    }
    out.extend(disputes(facts).filter_map(|dispute| dispute.back()));
    out.sort_by(|a, b| (a.at, &a.anchor).cmp(&(b.at, &b.anchor)));
    let mut sum = 0;
    for back in &mut out {
        back.before = sum.min(gross);
        sum += back.amount.max(0);
        back.after = sum.min(gross);
    }
    (gross, out)
}

/// A dispute of a payment.
struct Dispute<'a> {
    /// Its latest fact.
    latest: &'a DisputeFact,
    /// When its money first went, UTC milliseconds; None if it did not, or came back.
    taken: Option<i64>,
}

impl Dispute<'_> {
    /// Whether the commission is withheld until it is decided.
    fn is_open(&self) -> bool {
        self.taken.is_none()
            && matches!(
                self.latest.status.as_str(),
                "needs_response" | "under_review" | "warning_needs_response" | "warning_under_review"
            )
    }

    fn back(&self) -> Option<Back> {
        let dispute = self.latest;
        Some(Back {
            kind: "dispute",
            anchor: format!("dp:{}", dispute.dispute),
            at: self.taken?,
            amount: dispute.amount,
            currency: dispute.currency.clone(),
            status: dispute.status.clone(),
            reason: dispute.reason.clone(),
            before: 0,
            after: 0,
        })
    }
}

/// Whether a dispute of a payment is open (rule G5).
pub fn is_disputed(facts: &[Fact]) -> bool {
    disputes(facts).any(|dispute| dispute.is_open())
}

/// The disputes of a payment (rule G5). Its money is gone if it was lost, or if it was withdrawn and neither won nor
/// reinstated since.
fn disputes(facts: &[Fact]) -> impl Iterator<Item = Dispute<'_>> {
    let moved = latest(facts, |b| dispute(b).filter(|d| !d.funds.is_empty()));
    latest(facts, dispute).into_iter().map(move |(_, dispute)| {
        let last_moved = moved.iter().find(|(_, d)| d.dispute == dispute.dispute);
        let is_taken = match dispute.status.as_str() {
            "won" => false,
            "lost" => true,
            _ => last_moved.is_some_and(|(_, d)| d.funds == "withdrawn"),
        };
        let since = facts.iter().filter_map(|fact| match &fact.body {
            Body::Dispute(d)
                if d.dispute == dispute.dispute && (d.status == "lost" || d.funds == "withdrawn") =>
            {
                Some(fact.at)
            }
            _ => None,
        });
        Dispute {
            latest: dispute,
            taken: since.min().filter(|_| is_taken),
        }
    })
}

fn dispute(body: &Body) -> Option<&DisputeFact> {
    if let Body::Dispute(d) = body {
        Some(d)
    } else {
        None
    }
}

/// When a charge first told the amount that it tells last.
fn since(facts: &[Fact], charge: &ChargeFact) -> i64 {
    let told = facts.iter().filter_map(|f| match &f.body {
        Body::Charge(c) if c.charge == charge.charge && c.amount_refunded == charge.amount_refunded => {
            Some(f.at)
        }
        _ => None,
    });
    told.min().unwrap_or_default()
}
