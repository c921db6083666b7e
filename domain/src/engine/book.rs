//! Books in the store: who takes how much of a limit, in the order of time, and who must be looked at again.
//!
//! Invariant: what fits is a function of what stands in the book. Whoever changes it marks those whose part may change:
//! the ones behind it, up to where the limit is used up before and after.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::dirty::Dirty;
use super::state::{Table, Tables, UseKey, decode, encode, ordered};
use crate::ledger::{Books, Use};
use crate::store::StoreError;

/// Entries read at once.
const PAGE: usize = 256;

/// What one lead or sale takes of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Taken {
    wanted: i64,
    largest: i64,
    case: u64,
    object: u64,
}

/// The books as one object sees them while it is settled.
pub(super) struct Book<'a, 't> {
    pub tables: &'a mut Tables<'t>,
    pub dirty: &'a mut Dirty,
    pub case: u64,
    pub object: u64,
    /// The keys that it used.
    pub used: Vec<UseKey>,
    /// Something stands in a book that did not, or no more.
    pub changed: bool,
}

impl<'a, 't> Book<'a, 't> {
    pub(super) fn new(tables: &'a mut Tables<'t>, dirty: &'a mut Dirty, case: u64, object: u64) -> Self {
        Self {
            tables,
            dirty,
            case,
            object,
            used: Vec::new(),
            changed: false,
        }
    }

    /// Sets or removes one entry, and gives what those before it take: all of it, or as much as the largest limit is.
    fn set(&mut self, used: &UseKey, new: Option<Taken>) -> Result<i64, StoreError> {
        let key = used.key.as_slice();
        let old: Option<Taken> = self
            .tables
            .get(Table::Books, key)?
            .map(|value| decode(&value))
            .transpose()?;
        let scope = key.get(..used.scope).unwrap_or_default();
        let wanted = |taken: Option<Taken>| taken.map_or(0, |t| t.wanted);
        // Behind the point where the largest limit is used up, before and after, nobody's part changes.
        let least = wanted(old).min(wanted(new));
        let largest = old
            .iter()
            .chain(&new)
            .map(|t| t.largest)
            .max()
            .unwrap_or_default();
        let (mut ahead, mut sum): (i64, i64) = (0, 0);
        let mut behind: Vec<Taken> = Vec::new();
        let mut from = scope.to_vec();
        'pages: while sum < largest {
            let page = self.tables.scan_from(Table::Books, scope, &from, PAGE)?;
            for (at, value) in &page {
                let taken: Taken = decode(value)?;
                match at.as_slice().cmp(key) {
                    Ordering::Less => ahead = ahead.saturating_add(taken.wanted),
                    Ordering::Equal => continue,
                    Ordering::Greater if old == new => break 'pages,
                    Ordering::Greater => behind.push(taken),
                }
                sum = sum.saturating_add(taken.wanted);
                let own = if at.as_slice() > key { least } else { 0 };
                if sum.saturating_add(own) >= largest {
                    break 'pages;
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => from = [last.as_slice(), &[0]].concat(),
                _ => break,
            }
        }
        if old != new {
            self.changed = true;
            match new {
                Some(taken) => self.tables.set(Table::Books, key, &encode(&taken)?),
                None => self.tables.delete(Table::Books, key),
            }
            for taken in behind {
                self.dirty.object(self.tables.tenant, taken.case, taken.object);
            }
        }
        Ok(ahead)
    }

    /// Takes back what the object used before and uses no more.
    pub(super) fn release(&mut self, before: &[UseKey]) -> Result<(), StoreError> {
        for used in before {
            if !self.used.contains(used) {
                self.set(used, None)?;
            }
        }
        Ok(())
    }
}

impl Books for Book<'_, '_> {
    fn allot(&mut self, wanted: Use<'_>) -> Result<i64, StoreError> {
        let owner = if wanted.across_customers { 0 } else { self.case };
        let mut key = owner.to_be_bytes().to_vec();
        key.extend_from_slice(wanted.scope.as_bytes());
        key.push(0);
        let scope = key.len();
        key.extend_from_slice(&ordered(wanted.at));
        key.extend_from_slice(wanted.anchor.as_bytes());
        let used = UseKey { key, scope };
        let taken = Taken {
            wanted: wanted.wanted,
            largest: wanted.largest,
            case: self.case,
            object: self.object,
        };
        let ahead = self.set(&used, Some(taken))?;
        self.used.push(used);
        Ok(wanted.limit.saturating_sub(ahead).clamp(0, wanted.wanted))
    }
}
