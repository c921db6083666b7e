//! Recomputing a case: index its changed objects, build the view, settle what the change can reach, and
//! give the difference to what stands in the ledger.
//!
//! An object is settled if its own facts changed, or the view did, or a rule did; nothing else can alter
//! its entries.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use tributary_avro::{Body, ClickFact, Fact, Op};

use super::book::Book;
use super::cases::{is_superseded, members, reference_key};
use super::dirty::{Dirty, Marks};
use super::keys::coupon_refs;
use super::state::{Case, Emitted, Object, Table, Tables, decode, encode, hash, ordered};
use crate::fact::{BROWSER, is_of_browser};
use crate::ledger::{Birth, CouponUse, Inputs, LeadKind, Row, Told, Touches, View, entries, resolve};
use crate::rules::{Rules, day_of};
use crate::store::StoreError;
use crate::tenant::Tenant;

/// Objects of one case that are settled at once: a transaction has a time limit.
const MOST_OBJECTS: usize = 500;
/// A limit may depend on another one, and that on none: what is taken stands after so many rounds at the latest.
const MOST_ROUNDS: usize = 4;
/// Clicks that browsers tell of one customer and that are looked at.
const MOST_TOLD: usize = 100;
/// Kinds of entries in [`Table::Times`].
const TRACKED_LEAD: u8 = b'l';
const CUSTOMER_LEAD: u8 = b'm';
const PAYMENT_LEAD: u8 = b'n';
const COUPON_LEAD: u8 = b'o';
const TRIAL_LEAD: u8 = b'p';
const SUBSCRIPTION: u8 = b'u';
const SALE: u8 = b's';
const COUPON: u8 = b'k';

/// Whether a settlement gives rows, or opens the books only: then its objects stay dirty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Emits {
    /// The difference to what stands.
    Rows,
    /// Nothing.
    Nothing,
}

/// Recomputes one case and appends the difference to `rows`. Gives the objects that are left for the next time: those
/// of a very large case, or all if only the books were opened.
pub(super) fn settle_case(
    tables: &mut Tables<'_>,
    dirty: &mut Dirty,
    (tenant, rules): (&Tenant, &Rules),
    number: u64,
    marks: Marks,
    (emits, rows): (Emits, &mut Vec<Row>),
) -> Result<BTreeSet<u64>, StoreError> {
    let mut left = BTreeSet::new();
    let Some(mut case) = tables.take_case(number)? else {
        return Ok(left);
    };
    // A rule can make a sale of what was none (bare payments), so that the index must follow before the view.
    let touched: Vec<u64> = if marks.all {
        members(tables, number, &case)?
    } else {
        marks.objects.iter().copied().collect()
    };
    let mut changed = BTreeMap::new();
    for object in touched {
        if let Some(mut record) = tables.take_object(object)? {
            let told = told(tables, &record.facts, rules)?;
            index(tables, (number, &mut case), &mut record, &told)?;
            changed.insert(object, (record, told, true));
        }
    }
    let view = view(tables, number, &case, rules)?;
    let hash = hash(&encode(&view)?);
    if hash != case.view {
        // The customer reads the touches that browsers told of it.
        for key in case.keys.iter().filter_map(|key| key.strip_prefix(BROWSER)) {
            let customer = tables.node(key)?.map(|node| node.to);
            if let Some(customer) = customer.filter(|number| *number != 0) {
                dirty.case(tables.tenant, customer);
            }
        }
        for object in members(tables, number, &case)? {
            if let Entry::Vacant(slot) = changed.entry(object)
                && let Some(record) = tables.take_object(object)?
            {
                let told = told(tables, &record.facts, rules)?;
                slot.insert((record, told, false));
            }
        }
    }
    let mut refs = BTreeSet::new();
    let mut changed: Vec<Settling> = changed
        .into_iter()
        .map(|(object, (record, told, changed))| Settling {
            object,
            record,
            told,
            changed,
            candidates: Vec::new(),
        })
        .collect();
    for later in changed.split_off(changed.len().min(MOST_OBJECTS)) {
        tables.put_object(later.object, later.record);
        left.insert(later.object);
    }
    // What one takes of a shared limit may leave less for another: until nobody takes anything else than before.
    for _ in 0..MOST_ROUNDS {
        let mut taken_otherwise = false;
        for settling in &mut changed {
            let inputs = Inputs {
                tenant,
                facts: &settling.record.facts,
                told: &settling.told,
                view: &view,
                rules,
            };
            let mut book = Book::new(tables, dirty, number, settling.object);
            settling.candidates = entries(&inputs, &mut book)?;
            book.release(&settling.record.uses)?;
            taken_otherwise |= book.changed;
            settling.changed |= book.used != settling.record.uses;
            settling.record.uses = book.used;
        }
        if !taken_otherwise {
            break;
        }
    }
    for settling in changed {
        let Settling {
            object,
            mut record,
            told,
            changed,
            candidates,
        } = settling;
        refs.extend(references(&told, &view, rules));
        if emits == Emits::Nothing {
            left.insert(object);
            tables.put_object(object, record);
        } else if emit(&mut record, candidates, rows)? || changed {
            tables.put_object(object, record);
        } else {
            tables.return_object(object, record);
        }
    }
    let new_refs: Vec<String> = refs.difference(&case.refs).cloned().collect();
    if !marks.objects.is_empty() || marks.all || case.view != hash || !new_refs.is_empty() {
        for reference in &new_refs {
            tables.mark(Table::Refs, &reference_key(reference, number));
        }
        case.refs.extend(new_refs);
        case.view = hash;
        tables.put_case(number, case);
    } else {
        tables.return_case(number, case);
    }
    Ok(left)
}

/// What the facts of an object say by themselves: nothing, if a browser told them and somebody else tells of it, too.
fn told(tables: &mut Tables<'_>, facts: &[Fact], rules: &Rules) -> Result<Told, StoreError> {
    Ok(if is_of_browser(facts) && is_superseded(tables, facts)? {
        Told::of(&[], rules)
    } else {
        Told::of(facts, rules)
    })
}

/// An object on its way through a settlement.
struct Settling {
    object: u64,
    record: Object,
    told: Told,
    /// The record must be written.
    changed: bool,
    candidates: Vec<Row>,
}

/// References under which rules that decide about an object find its case.
fn references(told: &Told, view: &View, rules: &Rules) -> BTreeSet<String> {
    let mut refs = BTreeSet::new();
    let clicked = view.touches.clicks.iter().map(|click| click.partner_id.as_str());
    let assigned = view.assignments.iter().map(|(_, partner)| partner.as_str());
    let totals = told.clicks.iter().map(|(_, totals)| totals.partner_id.as_str());
    let touching = clicked.chain(assigned).chain(totals);
    let mut partners: BTreeSet<String> = touching.map(str::to_owned).collect();
    if let Ok(sale) = &told.payment.sale {
        let unnamed = sale.lines.iter().filter(|line| !line.price.is_empty());
        refs.extend(unnamed.map(|line| format!("price:{}", line.price)));
    }
    if let Ok(sale) = &told.payment.sale
        && rules
            .workspace(sale.at)
            .is_none_or(|w| w.currency != sale.currency)
    {
        refs.insert(format!("fx:{}", day_of(sale.at)));
    }
    let first_use = view.first_coupon.iter().flat_map(|used| &used.discounts);
    let redeemed: Vec<CouponUse> = view.touches.redemptions.iter().map(CouponUse::of).collect();
    let redeemed = redeemed.iter().flat_map(|used| &used.discounts);
    for discount in told.payment.discounts.iter().chain(first_use).chain(redeemed) {
        let text = rules.code_of(&discount.promotion_code);
        refs.extend(coupon_refs(discount, text));
        let texts = [discount.code.as_str(), &discount.coupon, text.unwrap_or_default()];
        let owners = rules.partners_of(&texts, &discount.promotion_code);
        partners.extend(owners.map(str::to_owned));
    }
    partners.remove("");
    for partner in partners {
        if rules.asks().totals {
            let reads = told.times().map(|at| totals_reference(&partner, day_of(at)));
            refs.extend(reads);
        }
        refs.insert(format!("partner:{partner}"));
    }
    refs
}

/// The reference of who reads the totals of a partner on a day; they sort by day.
pub(super) fn totals_reference(partner: &str, day: i64) -> String {
    format!("totals:{partner}/{:08}", day.max(0))
}

/// Rewrites the entries of one object in the index by time.
fn index(
    tables: &mut Tables<'_>,
    (number, case): (u64, &mut Case),
    record: &mut Object,
    told: &Told,
) -> Result<(), StoreError> {
    let mut wanted: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    if let Some(lead) = &told.lead {
        let kind = match lead.kind {
            LeadKind::Tracked => TRACKED_LEAD,
            LeadKind::Customer => CUSTOMER_LEAD,
            LeadKind::Payment => PAYMENT_LEAD,
            LeadKind::Coupon => COUPON_LEAD,
            LeadKind::Trial => TRIAL_LEAD,
        };
        let birth = Birth {
            at: lead.at,
            anchor: lead.anchor.clone(),
            event: lead.event(),
            clicks: lead.clicks.clone(),
            is_trial: lead.kind == LeadKind::Trial,
        };
        wanted.push((time_key(number, kind, lead.at, &birth.anchor), encode(&birth)?));
    }
    let payment = &told.payment;
    if let Ok(sale) = &payment.sale {
        let birth = Birth {
            at: sale.at,
            anchor: sale.anchor.clone(),
            event: String::new(),
            clicks: payment.clicks.clone(),
            is_trial: false,
        };
        wanted.push((time_key(number, SALE, sale.at, &sale.anchor), encode(&birth)?));
        if !payment.discounts.is_empty() {
            let used = CouponUse {
                at: sale.at,
                anchor: sale.anchor.clone(),
                discounts: payment.discounts.clone(),
            };
            wanted.push((time_key(number, COUPON, sale.at, &sale.anchor), encode(&used)?));
        }
    }
    if let Some(subscription) = &told.subscription {
        let span = &subscription.span;
        wanted.push((
            time_key(number, SUBSCRIPTION, span.start, &span.anchor),
            encode(span)?,
        ));
    }
    for old in record
        .times
        .iter()
        .filter(|old| !wanted.iter().any(|(key, _)| key == *old))
    {
        case.times.remove(tables, Table::Times, old);
    }
    record.times.clear();
    for (time, value) in wanted {
        case.times.put(tables, Table::Times, time.clone(), value);
        record.times.push(time);
    }
    Ok(())
}

/// Case, kind, time, then the anchor, so that ties in time are broken by what the entry is about.
fn time_key(case: u64, kind: u8, at: i64, anchor: &str) -> Vec<u8> {
    let mut key = case.to_be_bytes().to_vec();
    key.push(kind);
    key.extend_from_slice(&ordered(at));
    key.extend_from_slice(anchor.as_bytes());
    key
}

/// What stands of a kind in the index of a case, the earliest first.
fn by_time<T: DeserializeOwned>(
    tables: &Tables<'_>,
    (number, case): (u64, &Case),
    kind: u8,
    limit: usize,
) -> Result<Vec<T>, StoreError> {
    let mut prefix = number.to_be_bytes().to_vec();
    prefix.push(kind);
    case.times
        .scan(tables, Table::Times, &prefix, limit)?
        .iter()
        .map(|(_, value)| decode(value))
        .collect()
}

/// The clicks that browsers said were this customer's: the first ones, as anybody may say so.
fn told_by_browsers(tables: &mut Tables<'_>, case: &Case) -> Result<Vec<ClickFact>, StoreError> {
    let mut ids = BTreeSet::new();
    for key in &case.keys {
        let node = tables.node(&format!("{BROWSER}{key}"))?.map(|node| node.to);
        if let Some(number) = node.filter(|number| *number != 0)
            && let Some(told) = tables.case(number)?
        {
            ids.extend(told.clicks.iter().take(MOST_TOLD).cloned());
        }
    }
    let mut clicks = Vec::new();
    for id in ids {
        let click = tables.click(&id)?.and_then(|record| record.told.as_ref());
        clicks.extend(click.map(|(_, click)| click.clone()));
    }
    Ok(clicks)
}

/// What the entries of a case read of it.
fn view(tables: &mut Tables<'_>, number: u64, case: &Case, rules: &Rules) -> Result<View, StoreError> {
    let mut touches = Touches::default();
    for id in &case.clicks {
        let record = tables.click(id)?;
        let click = record.and_then(|record| record.told.as_ref());
        let redeemed = record.and_then(|record| record.redeemed.as_ref());
        touches.clicks.extend(click.map(|(_, click)| click.clone()));
        touches
            .redemptions
            .extend(redeemed.map(|(_, redeemed)| redeemed.clone()));
        if click.is_none() && redeemed.is_none() {
            touches.missing.push(id.clone());
        }
    }
    // Rule C9: what browsers told never overrides what others told.
    if touches.clicks.is_empty() && tables.cells.browsers.contains(&tables.tenant) {
        touches.clicks = told_by_browsers(tables, case)?;
        touches.by_browser = !touches.clicks.is_empty();
    }
    touches.redemptions.sort();
    touches
        .clicks
        .sort_by(|a, b| (a.clicked_at, &a.click_id).cmp(&(b.clicked_at, &b.click_id)));
    // Tracked leads go before born ones; of the born ones only the first counts (rule D2).
    let tracked: Vec<Birth> = by_time(tables, (number, case), TRACKED_LEAD, usize::MAX)?;
    let mut events = BTreeSet::new();
    let mut leads: Vec<Birth> = tracked
        .into_iter()
        .filter(|l| events.insert(l.event.clone()))
        .collect();
    for born in [CUSTOMER_LEAD, PAYMENT_LEAD] {
        if leads.is_empty() {
            leads = by_time(tables, (number, case), born, 1)?;
        }
    }
    let first_sale: Option<Birth> = by_time(tables, (number, case), SALE, 1)?.pop();
    if leads.is_empty() {
        // Rule D2: only who comes with a coupon is a lead by it, not who uses one later.
        let by_coupon = by_time::<Birth>(tables, (number, case), COUPON_LEAD, 1)?.into_iter();
        let of_first = |lead: &Birth| {
            let payment = lead.anchor.strip_prefix("lead:");
            first_sale
                .as_ref()
                .is_some_and(|sale| payment == Some(sale.anchor.as_str()))
        };
        leads = by_coupon.filter(of_first).collect();
    }
    let trial: Option<Birth> = by_time(tables, (number, case), TRIAL_LEAD, 1)?.pop();
    leads.extend(trial.filter(|trial| leads.iter().all(|l| l.event != trial.event)));
    leads.sort();
    let mut prefix = number.to_be_bytes().to_vec();
    prefix.push(COUPON);
    let mut first_coupon = None;
    for (_, value) in case.times.scan(tables, Table::Times, &prefix, usize::MAX)? {
        let used: CouponUse = decode(&value)?;
        if used
            .discounts
            .iter()
            .any(|d| resolve(d, used.at, rules).is_some())
        {
            first_coupon = Some(used);
            break;
        }
    }
    let redeemed = touches.redemptions.iter().map(CouponUse::of);
    let redeemed = redeemed
        .filter(|used| {
            used.discounts
                .iter()
                .any(|d| resolve(d, used.at, rules).is_some())
        })
        .min_by_key(|used| used.at);
    if let Some(redeemed) = redeemed
        && first_coupon.as_ref().is_none_or(|used| redeemed.at <= used.at)
    {
        first_coupon = Some(redeemed);
    }
    let mut assignments: Vec<_> = case
        .facts
        .iter()
        .filter_map(|fact| match &fact.body {
            Body::Assignment(assignment) => Some((fact.at, &fact.source, &fact.id, &assignment.partner_id)),
            _ => None,
        })
        .collect();
    assignments.sort();
    let assignments = assignments
        .into_iter()
        .map(|(at, _, _, partner)| (at, partner.clone()));
    Ok(View {
        assignments: assignments.collect(),
        subscriptions: by_time(tables, (number, case), SUBSCRIPTION, usize::MAX)?,
        customer: customer(case),
        disposable: case.disposable,
        mails: {
            let mails = case.keys.iter().filter_map(|key| key.strip_prefix("mail:"));
            mails
                .filter(|mail| rules.is_partners_mail(mail))
                .map(str::to_owned)
                .collect()
        },
        touches,
        leads,
        first_sale,
        first_coupon,
    })
}

/// The seller's own ID, else the Stripe customer ID, else a guest hash: the first by text, so that order
/// does not matter.
fn customer(case: &Case) -> String {
    let external = || case.keys.iter().filter_map(|key| key.strip_prefix("ext:"));
    let named = external()
        .find(|id| !id.starts_with("cus_"))
        .or_else(|| external().next());
    let guest = || case.keys.iter().find_map(|key| key.strip_prefix("mail:"));
    match named {
        Some(id) => id.to_owned(),
        None => guest()
            .map(|hash| format!("guest_{}", hash.get(..12).unwrap_or(hash)))
            .unwrap_or_default(),
    }
}

/// Gives the difference between what stands in the ledger and what should: retractions first. Says whether there
/// is any.
fn emit(record: &mut Object, candidates: Vec<Row>, rows: &mut Vec<Row>) -> Result<bool, StoreError> {
    let mut asserts = Vec::new();
    let mut kept = Vec::new();
    let before = rows.len();
    let mut old: Vec<Emitted> = std::mem::take(&mut record.emitted);
    for mut row in candidates {
        let text = row.take_explanation();
        let explanation = hash(text.as_bytes());
        let bytes = encode(&row)?;
        let revision = match old.iter().position(|e| e.id == row.id()) {
            Some(index) => {
                let stands = old.swap_remove(index);
                if stands.explanation == explanation && stands.row == bytes {
                    kept.push(stands);
                    continue;
                }
                rows.push(stands.row()?.retraction());
                stands.revision + 1
            }
            None => match record.retired.iter().position(|(id, _)| id == row.id()) {
                Some(index) => record.retired.swap_remove(index).1 + 1,
                None => 1,
            },
        };
        kept.push(Emitted {
            id: row.id().to_owned(),
            revision,
            explanation,
            row: bytes,
        });
        row.number(revision);
        row.explain(text);
        asserts.push(row);
    }
    for gone in old {
        rows.push(gone.row()?.retraction());
        record.retired.push((gone.id, gone.revision));
    }
    rows.extend(asserts);
    kept.sort_by(|a, b| a.id.cmp(&b.id));
    record.emitted = kept;
    Ok(rows.len() > before)
}

/// Restore: takes a row of the ledger into what stands emitted.
pub(super) fn take(record: &mut Object, row: &Row) -> Result<(), StoreError> {
    record.emitted.retain(|e| e.id != row.id());
    record.retired.retain(|(id, _)| id != row.id());
    match row.op() {
        Op::Assert => record.emitted.push(Emitted::new(row.clone())?),
        Op::Retract => record.retired.push((row.id().to_owned(), row.revision())),
    }
    Ok(())
}

/// What a fact may wait for.
pub(super) enum Needs {
    Nothing,
    /// The sale of its object.
    Sale,
    /// A click.
    Click(String),
}

impl Needs {
    pub(super) fn of(body: &Body) -> Self {
        match body {
            Body::Refund(_)
            | Body::Dispute(_)
            | Body::CreditNote(_)
            | Body::Charge(_)
            | Body::PaymentIntent(_)
            | Body::InvoicePayment(_)
            | Body::Command(_) => Self::Sale,
            Body::Lead(lead) if !lead.click_id.is_empty() => Self::Click(lead.click_id.clone()),
            _ => Self::Nothing,
        }
    }
}

/// Whether a fact waits for another one, now that it is in its object.
pub(super) fn waits(
    tables: &mut Tables<'_>,
    rules: &Rules,
    object: u64,
    needs: &Needs,
) -> Result<bool, StoreError> {
    Ok(match needs {
        Needs::Sale => tables
            .object(object)?
            .is_none_or(|record| Told::of(&record.facts, rules).payment.sale.is_err()),
        Needs::Click(id) => tables
            .click(id)?
            .is_none_or(|click| click.told.is_none() && click.redeemed.is_none()),
        Needs::Nothing => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_keys_order_negative_before_positive_times() {
        let times = [-5, -1, 0, 1, i64::MAX].map(|at| time_key(1, SALE, at, "in:1"));
        assert!(times.is_sorted());
    }
}
