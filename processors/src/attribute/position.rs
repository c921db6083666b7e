//! Where a partition's state stands in its four logs, and what became of its facts so far.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tributary_domain::engine::Verdict;

/// Written in one batch with the state it describes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// F: the next fact.
    pub facts: i64,
    /// E: for each ledger topic, the next row that the state does not know of.
    pub ledger: [i64; 3],
    /// Facts by verdict, for ever: they add up to the facts read.
    pub verdicts: BTreeMap<String, i64>,
}

impl Position {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn count(&mut self, verdict: Verdict) {
        let name = verdict_name(verdict);
        if let Some(count) = self.verdicts.get_mut(name) {
            *count += 1;
        } else {
            self.verdicts.insert(name.to_owned(), 1);
        }
    }

    /// Whether every offset is within its log: facts up to `committed`, ledger rows up to `ends`.
    pub(super) fn is_within(&self, committed: i64, ends: [i64; 3]) -> bool {
        self.facts <= committed && self.ledger.iter().zip(ends).all(|(own, end)| *own <= end)
    }
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Applied => "applied",
        Verdict::Held => "held",
        Verdict::Duplicate => "duplicate",
        Verdict::Rejected(_) => "rejected",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_and_is_compared_with_the_logs() {
        let mut position = Position {
            facts: 10,
            ledger: [1, 2, 3],
            ..Default::default()
        };
        position.count(Verdict::Applied);
        position.count(Verdict::Applied);
        position.count(Verdict::Rejected("x"));
        assert_eq!(Position::parse(&position.bytes()), Some(position.clone()));
        assert_eq!(position.verdicts.get("applied"), Some(&2));
        assert!(position.is_within(10, [1, 2, 3]));
        assert!(!position.is_within(9, [1, 2, 3]));
        assert!(!position.is_within(10, [1, 1, 3]));
        assert_eq!(Position::parse(b"?"), None);
    }
}
