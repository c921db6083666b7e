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
    out.extend(commanded(facts, sale));
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

/// Refunds told by API (rule G7): each of its own ID once, and one of all that is left. They are told in the currency of
/// the sale, and count in the one in which it was paid.
fn commanded<'a>(facts: &'a [Fact], sale: &'a Sale) -> impl Iterator<Item = Back> + 'a {
    let (part, of, currency) = match &sale.presented {
        Some(shown) => (shown.total, shown.source_total, &shown.currency),
        None => (1, 1, &sale.currency),
    };
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
        let amount = match command.amount {
            0 => ALL,
            told => money::scale(told, part, of),
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sale::Presented;
    use tributary_avro::{Line, PaymentIntentFact};

    fn fact(at: i64, body: Body) -> Fact {
        Fact {
            id: String::new(),
            workspace: "acme".to_owned(),
            mode: "live".to_owned(),
            at,
            source: String::new(),
            trust: "stripe".to_owned(),
            body,
            account: String::new(),
        }
    }

    fn line(id: &str, amount: i64) -> Line {
        Line {
            id: id.to_owned(),
            amount,
            ..Line::default()
        }
    }

    fn sale(paid: i64, lines: &[Line]) -> Sale {
        Sale {
            anchor: "in:in_1".to_owned(),
            at: 0,
            amount: paid,
            currency: "usd".to_owned(),
            lines: lines.to_vec(),
            billing: "one_time",
            event_name: String::new(),
            source: "stripe",
            client_side: false,
            paid,
            presented: None,
        }
    }

    #[test]
    fn a_refund_by_api_is_told_in_the_currency_of_the_shop() {
        let sale = Sale {
            amount: 6_700,
            presented: Some(Presented {
                total: 10_000,
                currency: "jpy".to_owned(),
                source_total: 6_700,
            }),
            ..sale(10_000, &[])
        };
        let refund = |at, amount, id: &str| {
            let command = CommandFact {
                command: "refund".to_owned(),
                names: "cs_1".to_owned(),
                amount,
                payout_id: id.to_owned(),
                ..CommandFact::default()
            };
            fact(at, Body::Command(Box::new(command)))
        };
        let (gross, backs) = refunds(&[refund(1, 3_350, "half"), refund(2, 0, "")], &sale);
        let told: Vec<_> = backs
            .iter()
            .map(|back| (back.amount, back.currency.as_str(), back.share(&[], 6_700, gross)))
            .collect();
        assert_eq!(told, [(5_000, "jpy", 3_350), (5_000, "jpy", 3_350)]);
    }

    fn charge(id: &str, status: &str, captured: i64, refunded: i64) -> Body {
        Body::Charge(Box::new(ChargeFact {
            charge: id.to_owned(),
            payment_intent: "pi_1".to_owned(),
            status: status.to_owned(),
            amount_captured: captured,
            amount_refunded: refunded,
            currency: "usd".to_owned(),
            ..ChargeFact::default()
        }))
    }

    fn intent(id: &str, status: &str, received: i64) -> Body {
        Body::PaymentIntent(Box::new(PaymentIntentFact {
            payment_intent: id.to_owned(),
            status: status.to_owned(),
            amount_received: received,
            ..PaymentIntentFact::default()
        }))
    }

    fn refund(id: &str, created: i64, amount: i64) -> RefundFact {
        RefundFact {
            refund: id.to_owned(),
            charge: "ch_1".to_owned(),
            status: "succeeded".to_owned(),
            amount,
            currency: "usd".to_owned(),
            reason: "duplicate".to_owned(),
            created,
            ..RefundFact::default()
        }
    }

    fn told(at: i64, refund: RefundFact) -> Fact {
        fact(at, Body::Refund(Box::new(refund)))
    }

    fn note(id: &str, amount: i64, refunds: &[&str], lines: &[Line]) -> CreditNoteFact {
        CreditNoteFact {
            credit_note: id.to_owned(),
            invoice: "in_1".to_owned(),
            status: "issued".to_owned(),
            amount,
            currency: "usd".to_owned(),
            refunds: refunds.iter().map(|id| (*id).to_owned()).collect(),
            lines: lines.to_vec(),
            reason: "order_change".to_owned(),
            created: 30,
        }
    }

    fn noted(at: i64, note: CreditNoteFact) -> Fact {
        fact(at, Body::CreditNote(Box::new(note)))
    }

    fn disputed(at: i64, id: &str, status: &str, funds: &str) -> Fact {
        fact(
            at,
            Body::Dispute(Box::new(DisputeFact {
                dispute: id.to_owned(),
                status: status.to_owned(),
                funds: funds.to_owned(),
                amount: 1000,
                currency: "usd".to_owned(),
                reason: "fraudulent".to_owned(),
                ..DisputeFact::default()
            })),
        )
    }

    /// Anchor, time and amount of everything that goes back.
    fn backs(facts: &[Fact]) -> Vec<(String, i64, i64)> {
        let (_, backs) = refunds(facts, &sale(1000, &[]));
        let row = |back: Back| (back.anchor, back.at, back.amount);
        backs.into_iter().map(row).collect()
    }

    fn row(anchor: &str, at: i64, amount: i64) -> (String, i64, i64) {
        (anchor.to_owned(), at, amount)
    }

    #[test]
    fn each_takes_the_difference_to_what_should_be_gone_by_then() {
        let share = |before, after, lines| {
            let back = Back {
                before,
                after,
                lines,
                ..Back::new("refund", String::new(), 0, after - before, "usd")
            };
            move |of_lines: &[i64], whole| back.share(of_lines, whole, 10_000)
        };
        assert_eq!(share(0, 3333, None)(&[], 2000), 667);
        assert_eq!(share(3333, 6666, None)(&[], 2000), 666);
        assert_eq!(share(6666, 10_000, None)(&[], 2000), 667);
        let line = |whole, before, after| LineBack { whole, before, after };
        // 2000 of 4000 and 400 of 500; of the free line 5 % were gone, and 50 % are.
        let lines = vec![line(8000, 0, 4000), line(2000, 400, 2000), line(0, 0, 0)];
        assert_eq!(share(500, 5000, Some(lines))(&[4000, 500, 100], 4600), 2445);
        // The line that stays is worth less than nothing: all of the two is 2400.
        let lines = vec![line(12_000, 0, 12_000), line(-2000, 0, 0)];
        assert_eq!(share(0, 9000, Some(lines))(&[2800, -400], 2400), 2400);
    }

    #[test]
    fn the_largest_of_what_is_known_was_paid() {
        let charges = [
            fact(1, charge("ch_0", "failed", 9000, 0)),
            fact(2, charge("ch_1", "succeeded", 700, 0)),
            fact(3, charge("ch_2", "succeeded", 100, 0)),
        ];
        assert_eq!(refunds(&charges, &sale(500, &[])), (800, vec![]));
        let intents = [
            fact(4, intent("pi_0", "requires_payment_method", 9000)),
            fact(5, intent("pi_1", "succeeded", 900)),
        ];
        let facts = [&charges[..], &intents[..]].concat();
        assert_eq!(refunds(&facts, &sale(500, &[])), (900, vec![]));
        assert_eq!(refunds(&facts, &sale(1000, &[])), (1000, vec![]));
    }

    #[test]
    fn a_refund_counts_when_it_was_made_and_says_why() {
        let mut failed = refund("re_3", 20, 1);
        failed.status = "failed".to_owned();
        let mut canceled = refund("re_4", 20, 1);
        canceled.status = "canceled".to_owned();
        let facts = [
            told(50, refund("re_1", 30, 600)),
            told(20, refund("re_2", 0, 700)),
            told(60, failed),
            told(60, canceled),
        ];
        let (gross, backs) = refunds(&facts, &sale(1000, &[]));
        let back = |anchor: &str, at, amount, before, after| Back {
            kind: "refund",
            anchor: anchor.to_owned(),
            at,
            amount,
            currency: "usd".to_owned(),
            status: "succeeded".to_owned(),
            reason: "duplicate".to_owned(),
            before,
            after,
            lines: None,
        };
        // Of 1300 only what was paid.
        let expected = [
            back("re:re_2", 20, 700, 0, 700),
            back("re:re_1", 30, 600, 700, 1000),
        ];
        assert_eq!((gross, &backs[..]), (1000, &expected[..]));
    }

    #[test]
    fn what_a_charge_tells_beyond_its_refunds_goes_back_when_it_was_first_told() {
        let facts = [
            fact(5, charge("ch_2", "succeeded", 0, 100)),
            fact(10, charge("ch_1", "succeeded", 0, 0)),
            fact(20, charge("ch_1", "succeeded", 0, 100)),
            fact(30, charge("ch_1", "succeeded", 0, 100)),
        ];
        let expected = [row("re:excess/ch_2", 5, 100), row("re:excess/ch_1", 20, 100)];
        assert_eq!(backs(&facts), expected);
        let (_, all) = refunds(&facts, &sale(1000, &[]));
        assert!(all.iter().all(|back| back.status == "succeeded"));
    }

    #[test]
    fn a_charge_counts_its_own_refunds_that_it_could_know_of() {
        let of = |charge: &str, intent: &str, refund: RefundFact| RefundFact {
            charge: charge.to_owned(),
            payment_intent: intent.to_owned(),
            ..refund
        };
        let facts = [
            fact(30, charge("ch_1", "succeeded", 0, 100)),
            told(30, refund("re_1", 30, 1)),
            told(30, of("", "pi_1", refund("re_2", 20, 2))),
            told(30, of("", "pi_9", refund("re_3", 20, 4))), // of another payment
            told(40, refund("re_4", 31, 8)),                 // later
            told(30, of("ch_9", "pi_1", refund("re_5", 20, 16))), // of another attempt
        ];
        let excess = |facts: &[Fact]| {
            let found = backs(facts);
            found.into_iter().find(|(anchor, ..)| anchor == "re:excess/ch_1")
        };
        assert_eq!(excess(&facts), Some(row("re:excess/ch_1", 30, 97)));
        for amount in [97, 98] {
            let more = [&facts[..], &[told(30, refund("re_6", 20, amount))]].concat();
            assert_eq!(excess(&more), None, "{amount}");
        }
    }

    #[test]
    fn a_credit_note_takes_back_what_no_refund_pays_out() {
        let mut void = note("cn_4", 400, &[], &[]);
        void.status = "void".to_owned();
        let mut undated = note("cn_5", 7, &[], &[]);
        undated.created = 0;
        let facts = [
            told(10, refund("re_0", 10, 50)),
            told(20, refund("re_1", 20, 200)),
            noted(50, note("cn_1", 500, &["re_1"], &[])),
            noted(50, note("cn_2", 200, &["re_1"], &[])), // all of it
            noted(50, note("cn_3", 300, &["re_9"], &[])), // waits for its refund
            noted(50, void),
            noted(60, undated),
        ];
        let expected = [
            row("re:re_0", 10, 50),
            row("re:re_1", 20, 200),
            row("cn:cn_1", 30, 300),
            row("cn:cn_5", 60, 7),
        ];
        assert_eq!(backs(&facts), expected);
        let (_, all) = refunds(&facts, &sale(1000, &[]));
        let told: Vec<(&str, &str)> = all.iter().map(|b| (&*b.status, &*b.reason)).collect();
        assert_eq!(told[2..], [("issued", "order_change"); 2]);
    }

    /// What of each line went back with each of what went back.
    fn taken(facts: &[Fact], lines: &[Line]) -> Vec<Option<Vec<i64>>> {
        let paid = lines.iter().map(|line| line.amount).sum();
        let (_, backs) = refunds(facts, &sale(paid, lines));
        let mut before = vec![0; lines.len()];
        let of = |back: Back| {
            let found = back.lines?;
            assert_eq!(found.iter().map(|l| l.before).collect::<Vec<_>>(), before);
            assert!(found.iter().zip(lines).all(|(l, line)| l.whole == line.amount));
            before = found.iter().map(|l| l.after).collect();
            Some(found.iter().map(|l| l.after - l.before).collect())
        };
        backs.into_iter().map(of).collect()
    }

    #[test]
    fn credit_notes_take_back_of_the_lines_that_they_name_and_the_rest_of_what_is_left() {
        let lines = [line("a", 10_000), line("b", 5000)];
        let named = [line("b", 1500), line("", 9000), line("b", 500)];
        let facts = [
            told(10, refund("re_1", 10, 1000)),
            told(20, refund("re_2", 20, 2000)),
            noted(30, note("cn_1", 3000, &["re_1", "re_2"], &named)),
            noted(30, note("cn_2", 500, &[], &[line("a", 500)])),
            told(40, refund("re_3", 40, 1000)),
            told(50, refund("re_4", 50, 10_500)),
        ];
        let expected = [
            [0, 1000],    // named
            [769, 1231],  // 1000 more is named, 1000 is divided 10,000 to 3000
            [500, 0],     // named
            [759, 241],   // 8731 to 2769
            [7972, 2528], // everything
        ];
        assert_eq!(taken(&facts, &lines), expected.map(|parts| Some(parts.to_vec())));
    }

    #[test]
    fn each_refund_goes_by_its_own_credit_note() {
        let lines = [line("a", 10_000), line("b", 5000)];
        let mut foreign = note("cn_0", 400, &["re_3"], &[line("a", 400)]);
        foreign.currency = "eur".to_owned();
        let facts = [
            told(10, refund("re_1", 10, 300)),
            told(20, refund("re_2", 20, 200)),
            told(30, refund("re_3", 30, 1450)),
            noted(40, foreign),
            noted(40, note("cn_1", 300, &["re_1"], &[line("a", 300)])),
            noted(40, note("cn_2", 200, &["re_2"], &[line("b", 200)])),
        ];
        let expected = [[300, 0], [0, 200], [970, 480]].map(|parts| Some(parts.to_vec()));
        assert_eq!(taken(&facts, &lines), expected);
    }

    #[test]
    fn a_credit_note_that_names_no_line_of_the_sale_takes_of_the_whole() {
        let lines = [line("a", 10_000), line("b", 5000)];
        let mut foreign = note("cn_2", 300, &[], &[line("a", 300)]);
        foreign.currency = "eur".to_owned();
        for note in [note("cn_1", 300, &[], &[line("", 300)]), foreign] {
            assert_eq!(taken(&[noted(30, note)], &lines), [None]);
        }
    }

    #[test]
    fn the_money_of_a_dispute_is_gone_until_it_comes_back() {
        let facts = [
            disputed(10, "dp_1", "needs_response", ""),
            disputed(20, "dp_1", "under_review", "withdrawn"),
            disputed(30, "dp_1", "under_review", "reinstated"),
            disputed(40, "dp_1", "lost", ""),
        ];
        let gone = |at| vec![row("dp:dp_1", at, 1000)];
        assert_eq!((backs(&facts[..1]), is_disputed(&facts[..1])), (vec![], true));
        assert_eq!((backs(&facts[..2]), is_disputed(&facts[..2])), (gone(20), false));
        assert_eq!((backs(&facts[..3]), is_disputed(&facts[..3])), (vec![], true));
        assert_eq!((backs(&facts), is_disputed(&facts)), (gone(20), false));
        // Lost without a word about its money.
        let lost = [facts[0].clone(), facts[3].clone()];
        assert_eq!((backs(&lost), is_disputed(&lost)), (gone(40), false));
        let (_, all) = refunds(&lost, &sale(1000, &[]));
        assert_eq!(
            all.iter().map(|b| (b.kind, &*b.status, &*b.reason)).next(),
            Some(("dispute", "lost", "fraudulent"))
        );
        // Won without a word about its money.
        let won = [facts[1].clone(), disputed(50, "dp_1", "won", "")];
        assert_eq!((backs(&won), is_disputed(&won)), (vec![], false));
    }

    #[test]
    fn each_dispute_is_its_own() {
        let facts = [
            disputed(10, "dp_1", "under_review", "withdrawn"),
            disputed(20, "dp_1", "under_review", "reinstated"),
            disputed(30, "dp_2", "under_review", "withdrawn"),
        ];
        assert_eq!(backs(&facts), [row("dp:dp_2", 30, 1000)]);
        assert!(is_disputed(&facts));
        assert!(!is_disputed(&facts[2..]));
        assert!(!is_disputed(&[]));
    }
}
