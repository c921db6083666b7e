//! Validity in time: which version of a declared object was in force when something happened.
//!
//! A version holds from its `from`, or else from its declaration. The version that was declared first also
//! holds before that, unless its `from` is given (rule C6: a code mapped after it was used still finds
//! its sales). Of several that hold at a time the one declared last counts: whoever changes a rule from a day in the
//! past on changes what other versions said of the time since. Invariant: a function of the set of versions, whatever
//! their order of arrival.

use serde::{Deserialize, Serialize};

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version<T> {
    /// Fact that declared it.
    pub fact: String,
    /// Declared start of validity, UTC milliseconds.
    pub from: Option<i64>,
    /// As-of time of the declaration, UTC milliseconds.
    pub at: i64,
    /// None: the object was deleted.
    pub value: Option<T>,
}

impl<T> Version<T> {
    fn start(&self) -> i64 {
        self.from.unwrap_or(self.at)
    }
}

/// All versions of one object, in the order of their declaration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versions<T>(Vec<Version<T>>);

impl<T> Default for Versions<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Versions<T> {
    /// Adds a version; false if the fact was there.
    pub fn add(&mut self, version: Version<T>) -> bool {
        if self.0.iter().any(|v| v.fact == version.fact) {
            return false;
        }
        let rank = |v: &Version<T>| (v.at, v.fact.clone());
        let index = self.0.partition_point(|v| rank(v) < rank(&version));
        self.0.insert(index, version);
        true
    }

    /// The object as it was in force at `at`; None if it was not there or deleted.
    pub fn at(&self, at: i64) -> Option<&T> {
        let in_force = self.0.iter().rev().find(|v| v.start() <= at);
        let first = self.0.first().filter(|v| v.from.is_none());
        in_force.or(first)?.value.as_ref()
    }

    /// Every version that is no deletion.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(|v| v.value.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(fact: &str, from: Option<i64>, at: i64, value: Option<i32>) -> Version<i32> {
        Version {
            fact: fact.into(),
            from,
            at,
            value,
        }
    }

    #[test]
    fn the_first_version_holds_from_the_beginning_unless_it_says_from() {
        let mut versions = Versions::default();
        assert!(versions.add(version("b", None, 20, Some(2))));
        assert!(versions.add(version("a", None, 10, Some(1))));
        assert!(!versions.add(version("a", None, 10, Some(1))));
        assert_eq!(
            [5, 10, 19, 20, 99].map(|t| versions.at(t).copied()),
            [Some(1), Some(1), Some(1), Some(2), Some(2)]
        );
        let mut versions = Versions::default();
        versions.add(version("a", Some(10), 99, Some(1)));
        versions.add(version("c", None, 120, None));
        assert_eq!(
            [9, 10, 119, 120].map(|t| versions.at(t).copied()),
            [None, Some(1), Some(1), None]
        );
    }

    #[test]
    fn of_those_in_force_the_one_declared_last_counts() {
        let mut versions = Versions::default();
        versions.add(version("c", Some(5), 30, Some(3)));
        versions.add(version("b", None, 20, Some(2)));
        versions.add(version("a", None, 10, Some(1)));
        assert_eq!(
            [1, 4, 5, 15, 25, 99].map(|t| versions.at(t).copied()),
            [Some(1), Some(1), Some(3), Some(3), Some(3), Some(3)]
        );
    }

    #[test]
    fn of_those_declared_at_one_time_the_greater_fact_counts_in_any_order() {
        for order in [["a", "b"], ["b", "a"]] {
            let mut versions = Versions::default();
            for fact in order {
                let value = if fact == "a" { 1 } else { 2 };
                assert!(versions.add(version(fact, None, 10, Some(value))));
            }
            assert_eq!(versions.at(10), Some(&2), "{order:?}");
        }
    }

    #[test]
    fn all_leaves_out_deletions() {
        let mut versions = Versions::default();
        versions.add(version("a", None, 10, Some(1)));
        versions.add(version("b", None, 20, None));
        versions.add(version("c", None, 30, Some(3)));
        assert_eq!(versions.all().copied().collect::<Vec<_>>(), [1, 3]);
    }
}
