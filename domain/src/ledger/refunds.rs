//! Money that goes back (rules G1 to G5): refunds, credit notes and disputes of one payment in order, and what each takes
//! back.
//!
//! Invariant: what is taken back never exceeds the payment, and a full refund takes back exactly all.

use std::collections::BTreeMap;

use tributary_avro::{Body, ChargeFact, CommandFact, CreditNoteFact, DisputeFact, Fact, RefundFact};

use super::money;
use super::sale::{Sale, latest};
use crate::fact::object;

const BY_API: &str = "re:api/";
/// The amount of a refund of all that is left.
const ALL: i64 = i64::MIN;

/// One refund or credit note of a payment, or a dispute that took its money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Back {
    /// refund, credit_note or dispute.
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
    /// Where credit notes name lines: of each line of the sale its net amount, and what of it was taken back before this
    /// one and with it.
    pub lines: Option<Vec<LineBack>>,
}

/// What is taken back of one line, minor units of the sale's currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineBack {
    /// Net amount of the line.
    pub whole: i64,
    /// Taken back before.
    pub before: i64,
    /// Taken back with this one.
    pub after: i64,
}

impl Back {
    /// This one's part of what a payment of `gross` takes back of a whole that is divided over the lines (rules G2, G3).
    pub fn share(&self, of_lines: &[i64], whole: i64, gross: i64) -> i64 {
        let Some(lines) = &self.lines else {
            return money::scale(whole, self.after, gross) - money::scale(whole, self.before, gross);
        };
        // A line of the other sign may be left: what is taken back of all together stays within the whole.
        let until = |part: fn(&LineBack) -> i64, of_payment: i64| {
            let of_line = |(line, whole): (&LineBack, &i64)| match line.whole {
                0 => money::scale(*whole, of_payment, gross),
                all => money::scale(*whole, part(line), all),
            };
            let sum: i64 = lines.iter().zip(of_lines).map(of_line).sum();
            sum.clamp(whole.min(0), whole.max(0))
        };
        until(|line| line.after, self.after) - until(|line| line.before, self.before)
    }

    fn new(kind: &'static str, anchor: String, at: i64, amount: i64, currency: &str) -> Self {
        Self {
            kind,
            anchor,
            at,
            amount,
            currency: currency.to_owned(),
            status: String::new(),
            reason: String::new(),
            before: 0,
            after: 0,
            lines: None,
        }
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
        .map(|(fact, r)| {
            let at = if r.created > 0 { r.created } else { fact.at };
            Back {
                status: r.status.clone(),
                reason: r.reason.clone(),
                ..Back::new("refund", format!("re:{}", r.refund), at, r.amount, &r.currency)
            }
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
            let anchor = format!("re:excess/{}", charge.charge);
            out.push(Back {
                status: "succeeded".to_owned(),
                ..Back::new("refund", anchor, since(facts, charge), excess, &charge.currency)
            });
        }
    }
    let notes = latest(facts, |b| {
        if let Body::CreditNote(c) = b {
            Some(&**c)
        } else {
            None
        }
    });
    let notes: Vec<(&Fact, &CreditNoteFact)> = notes
        .into_iter()
        .filter(|(_, note)| note.status != "void")
        .collect();
    out.extend(
        notes
            .iter()
            .filter_map(|(fact, note)| unpaid_part(fact, note, &objects)),
    );
    out.extend(disputes(facts).filter_map(|dispute| dispute.back()));
    out.extend(commanded(facts, &sale.currency));
    out.sort_by(|a, b| (a.at, &a.anchor).cmp(&(b.at, &b.anchor)));
    let mut sum = 0;
    for back in &mut out {
        back.before = sum.min(gross);
        if back.amount == ALL {
            back.amount = gross - back.before;
        }
        sum += back.amount.max(0);
        back.after = sum.min(gross);
    }
    // Nothing was left for these.
    out.retain(|back| back.amount > 0 || !back.anchor.starts_with(BY_API));
    let by_line =
        |note: &CreditNoteFact| note.currency == sale.currency && note.lines.iter().any(|l| !l.id.is_empty());
    if notes.iter().any(|(_, note)| by_line(note)) {
        take_lines(&mut out, &notes, sale, gross);
    }
    (gross, out)
}

/// The key of a refund that was told by API, from its command.
pub fn refund_by_api(command: &Body) -> String {
    format!("{BY_API}{}", object(command))
}

/// Refunds told by API (rule G7): each of its own ID once, and one of all that is left.
fn commanded<'a>(facts: &'a [Fact], currency: &'a str) -> impl Iterator<Item = Back> + 'a {
    let told = facts.iter().filter_map(|fact| match &fact.body {
        Body::Command(command) if command.command == "refund" => Some((fact, &**command)),
        _ => None,
    });
    let mut first: BTreeMap<&str, (&Fact, &CommandFact)> = BTreeMap::new();
    for (fact, command) in told {
        let known = first.entry(&command.payout_id).or_insert((fact, command));
        if (fact.at, &fact.id) < (known.0.at, &known.0.id) {
            *known = (fact, command);
        }
    }
    first.into_values().map(move |(fact, command)| {
        let anchor = refund_by_api(&fact.body);
        let amount = if command.amount == 0 { ALL } else { command.amount };
        Back {
            status: "succeeded".to_owned(),
            reason: command.reason.clone(),
            ..Back::new("refund", anchor, fact.at, amount, currency)
        }
    })
}

/// What a credit note takes back itself: all of it, unless refunds pay it out, which are rows of their own.
fn unpaid_part(fact: &Fact, note: &CreditNoteFact, refunds: &[(&Fact, &RefundFact)]) -> Option<Back> {
    let mut amount = note.amount;
    for id in &note.refunds {
        let (_, refund) = refunds.iter().find(|(_, refund)| refund.refund == *id)?;
        amount = amount.saturating_sub(refund.amount);
    }
    let at = if note.created > 0 { note.created } else { fact.at };
    let back = Back {
        status: note.status.clone(),
        reason: note.reason.clone(),
        ..Back::new(
            "credit_note",
            format!("cn:{}", note.credit_note),
            at,
            amount,
            &note.currency,
        )
    };
    Some(back).filter(|back| back.amount > 0)
}

/// Rule G3: what credit notes name is taken back of the lines that they name, the rest of all lines in proportion to
/// what is left of them.
fn take_lines(backs: &mut [Back], notes: &[(&Fact, &CreditNoteFact)], sale: &Sale, gross: i64) {
    let mut left: Vec<i64> = sale.lines.iter().map(|l| l.amount).collect();
    let mut named: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for (_, note) in notes.iter().filter(|(_, note)| note.currency == sale.currency) {
        for line in note.lines.iter().filter(|line| !line.id.is_empty()) {
            *named.entry((&note.credit_note, &line.id)).or_default() += line.amount;
        }
    }
    let mut taken: i64 = 0;
    for back in backs {
        let before = left.clone();
        let mut needed = money::scale(sale.amount, back.after, gross) - taken;
        taken += needed;
        let note = notes.iter().map(|(_, note)| *note).find(|note| {
            let refund = back.anchor.strip_prefix("re:").unwrap_or_default();
            back.anchor.strip_prefix("cn:") == Some(&note.credit_note)
                || note.refunds.iter().any(|id| id == refund)
        });
        for (line, left) in sale.lines.iter().zip(&mut left) {
            let Some(credited) =
                note.and_then(|note| named.get_mut(&(note.credit_note.as_str(), line.id.as_str())))
            else {
                continue;
            };
            let part = needed.min(*left).min(*credited).max(0);
            *credited -= part;
            *left -= part;
            needed -= part;
        }
        if back.after == gross {
            // Nothing is left of any line, also where lines of both signs cancel.
            left.fill(0);
        } else if let Some(parts) = money::allocate(needed, &left) {
            for (left, part) in left.iter_mut().zip(parts) {
                *left -= part;
            }
        }
        let lines = sale.lines.iter().zip(before.iter().zip(&left));
        let line = |(line, (before, after)): (&tributary_avro::Line, (&i64, &i64))| LineBack {
            whole: line.amount,
            before: line.amount - before,
            after: line.amount - after,
        };
        back.lines = Some(lines.map(line).collect());
    }
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
        let anchor = format!("dp:{}", dispute.dispute);
        Some(Back {
            status: dispute.status.clone(),
            reason: dispute.reason.clone(),
            ..Back::new("dispute", anchor, self.taken?, dispute.amount, &dispute.currency)
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
