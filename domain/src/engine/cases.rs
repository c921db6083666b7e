//! Adding a fact: finds or makes its object and case, merges what it ties together (rule B1), and takes
//! apart what an address named by too many customers had tied (rule B3).
//!
//! Invariant: objects and cases are the connected components over the keys of all facts, whatever the
//! order; the smaller one moves, so that a key moves at most log n times.

use std::collections::BTreeSet;

use tributary_avro::{Body, ClickFact, Fact};

use super::dirty::Dirty;
use super::keys::{Keys, keys};
use super::state::{Case, Node, Object, Table, Tables, last_number, pair};
use crate::fact::{BROWSER, is_by_browser};
use crate::ledger::Redeemed;
use crate::store::StoreError;

/// Rule B3: an address named by more than so many distinct customers stops joining.
const SHARED_ADDRESS: usize = 20;
/// Cases that a click's record holds itself. More name it only if its URL was shared.
const FEW_CASES: usize = 16;

/// Where a fact was added.
pub(super) enum Added {
    /// The same fact was there.
    Duplicate,
    /// Added to this object.
    Object(u64),
    /// Added to the case itself.
    Case,
}

/// Adds a fact that belongs to a case.
pub(super) fn add(tables: &mut Tables<'_>, dirty: &mut Dirty, fact: Fact) -> Result<Added, StoreError> {
    let keys = keys(&fact);
    let is_by_browser = is_by_browser(&fact);
    let added = if keys.objects.is_empty() {
        add_to_case(tables, dirty, fact, &keys)?
    } else {
        add_to_object(tables, dirty, fact, &keys)?
    };
    if matches!(added, Added::Duplicate) {
        return Ok(added);
    }
    if is_by_browser {
        tables.cells.browsers.insert(tables.tenant);
    } else if tables.cells.browsers.contains(&tables.tenant) {
        mark_told_by_browser(tables, dirty, &keys)?;
    }
    for address in keys.case.iter().filter(|k| k.starts_with("mail:")) {
        if count_names(tables, address, &keys)? {
            stop_joining(tables, dirty, address)?;
        }
    }
    Ok(added)
}

/// What a browser told of an object says no more once somebody else tells of it (rule C9).
fn mark_told_by_browser(tables: &mut Tables<'_>, dirty: &mut Dirty, keys: &Keys) -> Result<(), StoreError> {
    for key in keys.objects.iter().filter(|key| !key.starts_with(BROWSER)) {
        let Some(number) = tables.node(&format!("{BROWSER}{key}"))?.map(|node| node.to) else {
            continue;
        };
        if let Some(case) = tables.object(number)?.map(|object| object.case) {
            dirty.object(tables.tenant, case, number);
        }
    }
    Ok(())
}

/// Whether somebody else than a browser told of the object that only browsers' facts are of.
pub(super) fn is_superseded(tables: &mut Tables<'_>, facts: &[Fact]) -> Result<bool, StoreError> {
    let own = facts.iter().find(|fact| is_by_browser(fact));
    let Some(key) = own.and_then(|fact| keys(fact).objects.first().cloned()) else {
        return Ok(false);
    };
    let other = key.strip_prefix(BROWSER).unwrap_or(&key);
    let Some(number) = tables.node(other)?.map(|node| node.to) else {
        return Ok(false);
    };
    let told = |fact: &Fact| !matches!(fact.body, Body::Command(_));
    Ok(tables
        .object(number)?
        .is_some_and(|object| object.facts.iter().any(told)))
}

fn add_to_object(
    tables: &mut Tables<'_>,
    dirty: &mut Dirty,
    fact: Fact,
    keys: &Keys,
) -> Result<Added, StoreError> {
    let mut numbers = BTreeSet::new();
    for key in &keys.objects {
        numbers.extend(tables.node(key)?.map(|node| node.to));
    }
    for number in &numbers {
        let object = tables.object(*number)?;
        if object.is_some_and(|object| object.facts.iter().any(|f| f.id == fact.id)) {
            return Ok(Added::Duplicate);
        }
    }
    let mut found = Vec::new();
    for number in numbers {
        found.push((number, tables.take_object(number)?.unwrap_or_default()));
    }
    found.sort_by_key(|(number, object)| (std::cmp::Reverse(object.facts.len()), *number));
    let mut found = found.into_iter();
    let (number, mut object) = match found.next() {
        Some(first) => first,
        None => (tables.number()?, Object::default()),
    };
    let mut cases = case_numbers(tables, keys)?;
    cases.extend(Some(object.case).filter(|case| *case != 0));
    for (other, absorbed) in found {
        cases.insert(absorbed.case);
        absorb(tables, dirty, (number, &mut object), (other, absorbed))?;
    }
    let is_new = object.case == 0;
    object.facts.push(fact);
    // Before the join, which may move it.
    tables.put_object(number, object);
    let (case, mut record) = join_cases(tables, dirty, cases)?;
    if is_new {
        adopt(tables, (case, &mut record), number)?;
    }
    for key in &keys.objects {
        tables.point(key, number)?;
    }
    name_case(tables, (case, &mut record), keys)?;
    tables.put_case(case, record);
    dirty.object(tables.tenant, case, number);
    Ok(Added::Object(number))
}

/// Makes an object that is in no case one of this case, whose record is the caller's to write.
fn adopt(tables: &mut Tables<'_>, (case, record): (u64, &mut Case), number: u64) -> Result<(), StoreError> {
    record.objects += 1;
    record
        .members
        .put(tables, Table::Members, pair(case, number).to_vec(), Vec::new());
    let mut object = tables.take_object(number)?.unwrap_or_default();
    object.case = case;
    tables.put_object(number, object);
    Ok(())
}

fn add_to_case(
    tables: &mut Tables<'_>,
    dirty: &mut Dirty,
    fact: Fact,
    keys: &Keys,
) -> Result<Added, StoreError> {
    let cases = case_numbers(tables, keys)?;
    for case in &cases {
        let record = tables.case(*case)?;
        if record.is_some_and(|record| record.facts.iter().any(|f| f.id == fact.id)) {
            return Ok(Added::Duplicate);
        }
    }
    let (case, mut record) = join_cases(tables, dirty, cases)?;
    record.facts.push(fact);
    name_case(tables, (case, &mut record), keys)?;
    tables.put_case(case, record);
    dirty.case(tables.tenant, case);
    Ok(Added::Case)
}

/// The cases that the case keys of a fact lead to.
fn case_numbers(tables: &mut Tables<'_>, keys: &Keys) -> Result<BTreeSet<u64>, StoreError> {
    let mut cases = BTreeSet::new();
    for key in &keys.case {
        cases.extend(
            tables
                .node(key)?
                .filter(|node| !node.stopped && node.to != 0)
                .map(|node| node.to),
        );
    }
    Ok(cases)
}

/// Notes keys and clicks of a fact with its case, whose record is the caller's to write.
fn name_case(
    tables: &mut Tables<'_>,
    (case, record): (u64, &mut Case),
    keys: &Keys,
) -> Result<(), StoreError> {
    for key in &keys.case {
        if record.keys.contains(key) || tables.node(key)?.is_some_and(|node| node.stopped) {
            continue;
        }
        tables.point(key, case)?;
        record.keys.insert(key.clone());
    }
    record.disposable |= keys.disposable;
    for id in &keys.clicks {
        if record.clicks.insert(id.clone()) {
            name_click(tables, id, case)?;
        }
    }
    Ok(())
}

/// Notes with a click that a case names it.
fn name_click(tables: &mut Tables<'_>, id: &str, case: u64) -> Result<(), StoreError> {
    let mut click = tables.take_click(id)?.unwrap_or_default();
    click.cases.insert(case);
    if click.many || click.cases.len() > FEW_CASES {
        click.many = true;
        for case in std::mem::take(&mut click.cases) {
            tables.mark(Table::Refs, &reference_key(&click_reference(id), case));
        }
    }
    tables.put_click(id, click);
    Ok(())
}

/// Notes with a click that a case is no more.
fn forget_click(tables: &mut Tables<'_>, id: &str, case: u64) -> Result<(), StoreError> {
    let mut click = tables.take_click(id)?.unwrap_or_default();
    click.cases.remove(&case);
    if click.many {
        tables.delete(Table::Refs, &reference_key(&click_reference(id), case));
    }
    tables.put_click(id, click);
    Ok(())
}

/// The reference under which the cases of a click stand that has many.
fn click_reference(id: &str) -> String {
    format!("click:{id}")
}

/// What a click ID or CID turns out to be.
pub(super) enum Told {
    Click(Box<(String, ClickFact)>),
    Redemption((String, Redeemed)),
}

/// The redemption that a fact tells of, with the fact's ID.
pub(super) fn redeemed(fact: &Fact) -> Option<(String, Redeemed)> {
    let Body::Redemption(redemption) = &fact.body else {
        return None;
    };
    let redeemed = Redeemed {
        at: fact.at,
        cid: redemption.cid.clone(),
        coupon: redemption.coupon.clone(),
    };
    Some((fact.id.clone(), redeemed))
}

/// Notes what an ID is, and marks the cases that name it. False if it is known: should two ever claim one ID, the
/// click with the least fact ID counts, and the first redemption, so that order does not matter.
pub(super) fn tell(tables: &mut Tables<'_>, dirty: &mut Dirty, told: Told) -> Result<bool, StoreError> {
    let id = match &told {
        Told::Click(told) => told.1.click_id.clone(),
        Told::Redemption((_, redeemed)) => redeemed.cid.clone(),
    };
    let mut record = tables.take_click(&id)?.unwrap_or_default();
    let is_known = match &told {
        Told::Click(told) => record.told.as_ref().is_some_and(|(known, _)| *known <= told.0),
        Told::Redemption((fact, told)) => {
            let first = record.redeemed.as_ref().map(|(fact, told)| (told.at, fact));
            first.is_some_and(|first| first <= (told.at, fact))
        }
    };
    if is_known {
        tables.return_click(&id, record);
        return Ok(false);
    }
    match told {
        Told::Click(click) => record.told = Some(*click),
        Told::Redemption(redeemed) => record.redeemed = Some(redeemed),
    }
    if record.many {
        dirty.sweep(tables.tenant, &click_reference(&id));
    }
    for case in &record.cases {
        dirty.case(tables.tenant, *case);
    }
    tables.put_click(&id, record);
    Ok(true)
}

/// Moves facts and entries of one object into another. Its record is the caller's to write.
fn absorb(
    tables: &mut Tables<'_>,
    dirty: &mut Dirty,
    (into, object): (u64, &mut Object),
    (from, absorbed): (u64, Object),
) -> Result<(), StoreError> {
    for fact in &absorbed.facts {
        for key in keys(fact).objects {
            tables.point(&key, into)?;
        }
    }
    if let Some(mut case) = tables.take_case(absorbed.case)? {
        for key in &absorbed.times {
            case.times.remove(tables, Table::Times, key);
        }
        case.members
            .remove(tables, Table::Members, &pair(absorbed.case, from));
        case.objects = case.objects.saturating_sub(1);
        tables.put_case(absorbed.case, case);
    }
    tables.delete_object(from);
    if let Some(marks) = dirty.cases.get_mut(&(tables.tenant, absorbed.case)) {
        marks.objects.remove(&from);
    }
    object.facts.extend(absorbed.facts);
    object.emitted.extend(absorbed.emitted);
    object.retired.extend(absorbed.retired);
    object.uses.extend(absorbed.uses);
    Ok(())
}

/// Makes several cases one: the smaller ones move into the largest, whose record is the caller's to write.
fn join_cases(
    tables: &mut Tables<'_>,
    dirty: &mut Dirty,
    cases: BTreeSet<u64>,
) -> Result<(u64, Case), StoreError> {
    let mut records = Vec::new();
    for case in cases {
        records.push((case, tables.take_case(case)?.unwrap_or_default()));
    }
    let weight = |case: &Case| case.objects + (case.keys.len() + case.facts.len()) as u64;
    records.sort_by_key(|(number, case)| (std::cmp::Reverse(weight(case)), *number));
    let mut records = records.into_iter();
    let Some((into, mut largest)) = records.next() else {
        return Ok((tables.number()?, Case::default()));
    };
    for (from, case) in records {
        move_case(tables, dirty, (into, &mut largest), (from, case))?;
    }
    Ok((into, largest))
}

fn move_case(
    tables: &mut Tables<'_>,
    dirty: &mut Dirty,
    (into, largest): (u64, &mut Case),
    (from, mut case): (u64, Case),
) -> Result<(), StoreError> {
    let tenant = tables.tenant;
    for key in &case.keys {
        tables.point(key, into)?;
    }
    for reference in &case.refs {
        tables.delete(Table::Refs, &reference_key(reference, from));
        tables.mark(Table::Refs, &reference_key(reference, into));
    }
    for id in &case.clicks {
        forget_click(tables, id, from)?;
        name_click(tables, id, into)?;
    }
    for number in members(tables, from, &case)? {
        let mut object = tables.take_object(number)?.unwrap_or_default();
        for key in std::mem::take(&mut object.times) {
            case.times.remove(tables, Table::Times, &key); // written again when it is settled, which it must be
        }
        object.case = into;
        tables.put_object(number, object);
        case.members.remove(tables, Table::Members, &pair(from, number));
        largest
            .members
            .put(tables, Table::Members, pair(into, number).to_vec(), Vec::new());
        dirty.object(tenant, into, number);
    }
    largest.keys.extend(case.keys);
    largest.facts.extend(case.facts);
    largest.clicks.extend(case.clicks);
    largest.refs.extend(case.refs);
    largest.disposable |= case.disposable;
    largest.objects += case.objects;
    tables.delete_case(from);
    let marks = dirty.cases.remove(&(tenant, from)).unwrap_or_default();
    let target = dirty.case(tenant, into);
    target.objects.extend(marks.objects);
    target.all |= marks.all;
    Ok(())
}

/// Key of a reference's index entry.
pub(super) fn reference_key(reference: &str, case: u64) -> Vec<u8> {
    let mut key = reference.as_bytes().to_vec();
    key.push(0);
    key.extend_from_slice(&case.to_be_bytes());
    key
}

/// The objects of a case.
pub(super) fn members(tables: &Tables<'_>, number: u64, case: &Case) -> Result<Vec<u64>, StoreError> {
    let found = case
        .members
        .scan(tables, Table::Members, &number.to_be_bytes(), usize::MAX)?;
    Ok(found.iter().map(|(key, _)| last_number(key)).collect())
}

/// Notes who named an address; true if one customer too many just did.
fn count_names(tables: &mut Tables<'_>, address: &str, keys: &Keys) -> Result<bool, StoreError> {
    let Some(mut node) = tables.node(address)?.filter(|node| !node.stopped).cloned() else {
        return Ok(false);
    };
    let before = node.customers.len() + node.externals.len();
    for key in &keys.case {
        if key.starts_with("cus:") {
            node.customers.insert(key.clone());
        } else if key.starts_with("ext:") && !key.starts_with("ext:cus_") {
            node.externals.insert(key.clone());
        }
    }
    let too_many = node.customers.len() > SHARED_ADDRESS || node.externals.len() > SHARED_ADDRESS;
    if before != node.customers.len() + node.externals.len() {
        tables.put_node(address, node);
    }
    Ok(too_many)
}

/// Rule B3: the case that an address held together is built again from its facts, without the address.
fn stop_joining(tables: &mut Tables<'_>, dirty: &mut Dirty, address: &str) -> Result<(), StoreError> {
    let tenant = tables.tenant;
    let Some(node) = tables.node(address)? else {
        return Ok(());
    };
    let old = node.to;
    let stopped = Node {
        stopped: true,
        ..Node::default()
    };
    tables.put_node(address, stopped);
    let mut case = tables.take_case(old)?.unwrap_or_default();
    let objects = members(tables, old, &case)?;
    for key in case.keys.iter().filter(|key| *key != address) {
        tables.point(key, 0)?;
    }
    for reference in &case.refs {
        tables.delete(Table::Refs, &reference_key(reference, old));
    }
    for id in &case.clicks {
        forget_click(tables, id, old)?;
    }
    tables.delete_case(old);
    dirty.cases.remove(&(tenant, old));
    for number in objects {
        case.members.remove(tables, Table::Members, &pair(old, number));
        let mut object = tables.take_object(number)?.unwrap_or_default();
        for key in std::mem::take(&mut object.times) {
            case.times.remove(tables, Table::Times, &key);
        }
        let all: Vec<Keys> = object.facts.iter().map(keys).collect();
        tables.put_object(number, object);
        let mut cases = BTreeSet::new();
        for keys in &all {
            cases.extend(case_numbers(tables, keys)?);
        }
        let (into, mut record) = join_cases(tables, dirty, cases)?;
        adopt(tables, (into, &mut record), number)?;
        for keys in &all {
            name_case(tables, (into, &mut record), keys)?;
        }
        tables.put_case(into, record);
        dirty.object(tenant, into, number);
    }
    for fact in case.facts {
        let keys = keys(&fact);
        add_to_case(tables, dirty, fact, &keys)?;
    }
    Ok(())
}

/// Whether a body belongs to no case: rules, clicks, and what Stripe tells of codes, prices and accounts are references.
pub(super) fn is_reference(body: &Body) -> bool {
    matches!(
        body,
        Body::Rule(_)
            | Body::Click(_)
            | Body::PromotionCode(_)
            | Body::PartnerTotals(_)
            | Body::Account(_)
            | Body::Price(_)
            | Body::Coupon(_)
    )
}
