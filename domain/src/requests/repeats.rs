//! Repeats: a visitor who clicks a link again within the same hour of the clock (UTC) is told the first click's ID.
//!
//! The hour is the one by which [clicks are paid for](crate::totals): whoever forgets a first click, or never saw it,
//! only lets a repeat stand as a click of its own, which is not paid twice either. So no click is looked for in Kafka,
//! and nothing needs to be shared between edges.

use std::hash::{Hash as _, Hasher as _};

use rustc_hash::{FxHashMap, FxHasher};

use super::NewClick;

const HOUR_MS: i64 = 3_600_000;
const ID_LENGTH: usize = 16;

/// Who clicked which link in which hour, and the ID of that click.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Hash of visitor, workspace, mode, link, and what of the link decides about money; evenly spread.
    pub key: u64,
    /// Hours since 1970, UTC.
    pub hour: i64,
    id: [u8; ID_LENGTH],
}

/// The ID of a first click.
pub type FirstId = [u8; ID_LENGTH];

impl Visit {
    /// The visit that a click is; None if its ID has not the form of one.
    pub(super) fn of(click: &NewClick<'_>, visitor: &[u8; 16]) -> Option<Self> {
        let mut link = FxHasher::default();
        // What is paid follows the partner and the switch: after a change of the link a click is a first one again.
        (click.workspace, click.mode, click.link_id).hash(&mut link);
        (click.partner_id, click.tracked).hash(&mut link);
        let (low, high) = visitor.split_at(8);
        // The visitor is a hash under a secret: what is mixed with it needs no strength of its own.
        let half = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
        Some(Self {
            key: half(low) ^ half(high).wrapping_mul(link.finish() | 1),
            hour: click.at.div_euclid(HOUR_MS),
            id: click.id.as_bytes().try_into().ok()?,
        })
    }
}

/// First clicks of the hour, at most so many. When it is full, the older half is forgotten.
#[derive(Debug)]
pub struct Firsts {
    hour: i64,
    young: FxHashMap<u64, FirstId>,
    old: FxHashMap<u64, FirstId>,
    half: usize,
}

impl Firsts {
    /// For at most `limit` first clicks, rounded up to an even number; each takes 30 to 60 bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            hour: i64::MIN,
            young: FxHashMap::default(),
            old: FxHashMap::default(),
            half: limit.div_ceil(2),
        }
    }

    /// The first click of this visitor on this link in this hour, if it is known.
    pub fn first(&self, key: u64, hour: i64) -> Option<FirstId> {
        if hour != self.hour {
            return None;
        }
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    /// Remembers a first click. To be called once its record is durable: an ID that is given again must not be one
    /// that was lost.
    pub fn keep(&mut self, visit: Visit) {
        if visit.hour < self.hour || self.half == 0 {
            return;
        }
        if visit.hour > self.hour {
            self.hour = visit.hour;
            self.young.clear();
            self.old.clear();
        }
        // Of two that were on their way at once the first to be durable stays.
        if self.first(visit.key, visit.hour).is_some() {
            return;
        }
        if self.young.len() >= self.half {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.insert(visit.key, visit.id);
    }

    /// How many it remembers.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(key: u64, hour: i64, id: u8) -> Visit {
        Visit {
            key,
            hour,
            id: [id; ID_LENGTH],
        }
    }

    #[test]
    fn the_first_of_the_hour_stays() {
        let mut firsts = Firsts::new(10);
        firsts.keep(visit(1, 7, b'a'));
        firsts.keep(visit(1, 7, b'b'));
        assert_eq!(firsts.first(1, 7), Some([b'a'; 16]));
        assert_eq!((firsts.first(2, 7), firsts.first(1, 8)), (None, None));
        firsts.keep(visit(2, 8, b'c'));
        // What was answered late belongs to an hour that is over.
        firsts.keep(visit(1, 7, b'd'));
        assert_eq!((firsts.first(1, 7), firsts.len()), (None, 1));
    }

    #[test]
    fn it_never_holds_more_than_its_limit_and_forgets_the_older() {
        let mut firsts = Firsts::new(8);
        for key in 0..100 {
            firsts.keep(visit(key, 7, b'a'));
            assert!(firsts.len() <= 8, "{}", firsts.len());
            assert!(firsts.first(key, 7).is_some(), "{key}");
        }
        assert!(firsts.first(96, 7).is_some() && firsts.first(90, 7).is_none());
        let mut none = Firsts::new(0);
        none.keep(visit(1, 7, b'a'));
        assert!(none.is_empty());
    }
}
