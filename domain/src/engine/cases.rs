//! Adding a fact: finds or makes its object and case, merges what it ties together (rule B1), and takes
//! apart what an address named by too many customers had tied (rule B3).
//!
//! Invariant: objects and cases are the connected components over the keys of all facts, whatever the
//! order; the smaller one moves, so that a key moves at most log n times.

use std::collections::BTreeSet;

use tributary_avro::{Body, Fact};

use super::dirty::Dirty;
use super::keys::{Keys, keys};
use super::state::{Case, Node, Object, Table, Tables, last_number, pair};
use crate::store::StoreError;

/// Rule B3: an address named by more than so many distinct customers stops joining.
const SHARED_ADDRESS: usize = 20;

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
pub(super) fn add(tables: &mut Tables<'_>, dirty: &mut Dirty, fact: &Fact) -> Result<Added, StoreError> {
    let keys = keys(fact);
    let added = if keys.objects.is_empty() {
        add_to_case(tables, dirty, fact, &keys)?
    } else {
        add_to_object(tables, dirty, fact, &keys)?
    };
    if matches!(added, Added::Duplicate) {
        return Ok(added);
    }
    for address in keys.case.iter().filter(|k| k.starts_with("mail:")) {
        if count_names(tables, address, &keys)? {
            stop_joining(tables, dirty, address)?;
        }
    }
    Ok(added)
}

fn add_to_object(
    tables: &mut Tables<'_>,
    dirty: &mut Dirty,
    fact: &Fact,
    keys: &Keys,
) -> Result<Added, StoreError> {
    let mut numbers = BTreeSet::new();
    for key in &keys.objects {
        numbers.extend(tables.node(key)?.map(|node| node.to));
    }
    let mut found = Vec::new();
    for number in numbers {
        let object = tables.object(number)?;
        if object.facts.iter().any(|f| f.id == fact.id) {
            return Ok(Added::Duplicate);
        }
        found.push((number, object));
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
    object.facts.push(fact.clone());
    if !is_new {
        // Before the join, which may move it.
        tables.put(Table::Objects, &number.to_be_bytes(), &object)?;
    }
    let (case, mut record) = join_cases(tables, dirty, cases)?;
    if is_new {
        record.objects += 1;
        object.case = case;
        tables.put(Table::Objects, &number.to_be_bytes(), &object)?;
        record
            .members
            .put(tables, Table::Members, pair(case, number).to_vec(), Vec::new());
    }
    for key in &keys.objects {
        tables.point(key, number)?;
    }
    name_case(tables, (case, &mut record), keys)?;
    tables.put(Table::Cases, &case.to_be_bytes(), &record)?;
    dirty.object(tables.tenant, case, number);
    Ok(Added::Object(number))
}

fn add_to_case(
    tables: &mut Tables<'_>,
    dirty: &mut Dirty,
    fact: &Fact,
    keys: &Keys,
) -> Result<Added, StoreError> {
    let cases = case_numbers(tables, keys)?;
    for case in &cases {
        if tables.case(*case)?.facts.iter().any(|f| f.id == fact.id) {
            return Ok(Added::Duplicate);
        }
    }
    let (case, mut record) = join_cases(tables, dirty, cases)?;
    record.facts.push(fact.clone());
    name_case(tables, (case, &mut record), keys)?;
    tables.put(Table::Cases, &case.to_be_bytes(), &record)?;
    dirty.case(tables.tenant, case);
    Ok(Added::Case)
}

/// The cases that the case keys of a fact lead to.
fn case_numbers(tables: &Tables<'_>, keys: &Keys) -> Result<BTreeSet<u64>, StoreError> {
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
    record.clicks.extend(keys.clicks.iter().cloned());
    Ok(())
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
    let mut case = tables.case(absorbed.case)?;
    for key in &absorbed.times {
        case.times.remove(tables, Table::Times, key);
    }
    case.members
        .remove(tables, Table::Members, &pair(absorbed.case, from));
    case.objects = case.objects.saturating_sub(1);
    tables.put(Table::Cases, &absorbed.case.to_be_bytes(), &case)?;
    tables.delete(Table::Objects, &from.to_be_bytes());
    if let Some(marks) = dirty.cases.get_mut(&(tables.tenant, absorbed.case)) {
        marks.objects.remove(&from);
    }
    object.facts.extend(absorbed.facts);
    object.emitted.extend(absorbed.emitted);
    object.retired.extend(absorbed.retired);
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
        records.push((case, tables.case(case)?));
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
    for number in members(tables, from, &case)? {
        let mut object = tables.object(number)?;
        for key in std::mem::take(&mut object.times) {
            case.times.remove(tables, Table::Times, &key); // written again when it is settled, which it must be
        }
        object.case = into;
        tables.put(Table::Objects, &number.to_be_bytes(), &object)?;
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
    largest.objects += case.objects;
    tables.delete(Table::Cases, &from.to_be_bytes());
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
    let Some(mut node) = tables.node(address)?.filter(|node| !node.stopped) else {
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
    if before != node.customers.len() + node.externals.len() {
        tables.put(Table::Keys, address.as_bytes(), &node)?;
    }
    Ok(node.customers.len() > SHARED_ADDRESS || node.externals.len() > SHARED_ADDRESS)
}

/// Rule B3: the case that an address held together is built again from its facts, without the address.
fn stop_joining(tables: &mut Tables<'_>, dirty: &mut Dirty, address: &str) -> Result<(), StoreError> {
    let tenant = tables.tenant;
    let Some(node) = tables.node(address)? else {
        return Ok(());
    };
    let old = node.to;
    tables.put(
        Table::Keys,
        address.as_bytes(),
        &Node {
            stopped: true,
            ..Node::default()
        },
    )?;
    let mut case = tables.case(old)?;
    let objects = members(tables, old, &case)?;
    for key in case.keys.iter().filter(|key| *key != address) {
        tables.point(key, 0)?;
    }
    for reference in &case.refs {
        tables.delete(Table::Refs, &reference_key(reference, old));
    }
    tables.delete(Table::Cases, &old.to_be_bytes());
    dirty.cases.remove(&(tenant, old));
    for number in objects {
        case.members.remove(tables, Table::Members, &pair(old, number));
        let mut object = tables.object(number)?;
        for key in std::mem::take(&mut object.times) {
            case.times.remove(tables, Table::Times, &key);
        }
        let all: Vec<Keys> = object.facts.iter().map(keys).collect();
        let mut cases = BTreeSet::new();
        for keys in &all {
            cases.extend(case_numbers(tables, keys)?);
        }
        let (into, mut record) = join_cases(tables, dirty, cases)?;
        record.objects += 1;
        for keys in &all {
            name_case(tables, (into, &mut record), keys)?;
        }
        record
            .members
            .put(tables, Table::Members, pair(into, number).to_vec(), Vec::new());
        tables.put(Table::Cases, &into.to_be_bytes(), &record)?;
        object.case = into;
        tables.put(Table::Objects, &number.to_be_bytes(), &object)?;
        dirty.object(tenant, into, number);
    }
    for fact in &case.facts {
        add_to_case(tables, dirty, fact, &keys(fact))?;
    }
    Ok(())
}

/// Whether a body belongs to no case: rules, clicks and promotion codes are references.
pub(super) fn is_reference(body: &Body) -> bool {
    matches!(body, Body::Rule(_) | Body::Click(_) | Body::PromotionCode(_))
}
