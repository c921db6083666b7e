//! Who may write what, agreed upon in the log: claims of names, in the order of topic `config`.
//!
//! A claim and its release are records without value, so nobody else reads them and compaction leaves nothing.
//! Whoever claimed a name first holds it until its release; the next in the order follows. Every process reads
//! the same order, so every process sees the same holder.
//!
//! Invariant: at each place of the log a name has at most one holder.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// What stands before a name in the record's key, where other keys have a workspace and a kind.
pub(super) const PREFIX: &str = "*/claim/";
/// Header of a claim; its value is the claimant.
pub(super) const CLAIM: &str = "claim";
/// Header of a release.
pub(super) const RELEASE: &str = "release";

/// A claim that stands longer was left by a process that died: nobody needs half of it.
const ABANDONED: Duration = Duration::from_secs(30);

struct Claim {
    claimant: u64,
    seen: Instant,
}

/// All claims that stand.
#[derive(Default)]
pub(super) struct Claims(HashMap<String, VecDeque<Claim>>);

impl Claims {
    /// A claim was read.
    pub(super) fn claim(&mut self, name: &str, claimant: u64, now: Instant) {
        let queue = self.0.entry(name.to_owned()).or_default();
        if !queue.iter().any(|claim| claim.claimant == claimant) {
            queue.push_back(Claim { claimant, seen: now });
        }
    }

    /// A release was read.
    pub(super) fn release(&mut self, name: &str, claimant: u64) {
        if let Some(queue) = self.0.get_mut(name) {
            queue.retain(|claim| claim.claimant != claimant);
            if queue.is_empty() {
                self.0.remove(name);
            }
        }
    }

    /// Whether the claimant holds the name.
    pub(super) fn holds(&self, name: &str, claimant: u64) -> bool {
        let holder = self.0.get(name).and_then(VecDeque::front);
        holder.is_some_and(|claim| claim.claimant == claimant)
    }

    /// Who holds the name and has left it: to be released by whoever waits.
    pub(super) fn abandoned(&self, name: &str, now: Instant) -> Option<u64> {
        let holder = self.0.get(name).and_then(VecDeque::front)?;
        (now.duration_since(holder.seen) >= ABANDONED).then_some(holder.claimant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_in_the_log_holds_and_the_next_follows() {
        let (mut claims, now) = (Claims::default(), Instant::now());
        claims.claim("k", 1, now);
        claims.claim("k", 2, now);
        claims.claim("k", 3, now);
        claims.claim("other", 2, now);
        assert!(claims.holds("k", 1) && !claims.holds("k", 2) && claims.holds("other", 2));
        // Told twice, as a producer may: it does not queue again.
        claims.claim("k", 1, now);
        claims.release("k", 2);
        claims.release("k", 1);
        assert!(claims.holds("k", 3) && !claims.holds("k", 1));
        claims.release("k", 3);
        claims.release("k", 3);
        assert!(!claims.0.contains_key("k"), "nothing stays");
    }

    #[test]
    fn a_claim_is_abandoned_once_no_operation_can_still_run() {
        let (mut claims, now) = (Claims::default(), Instant::now());
        claims.claim("k", 1, now);
        assert_eq!(
            claims.abandoned("k", now + ABANDONED - Duration::from_millis(1)),
            None
        );
        assert_eq!(claims.abandoned("k", now + ABANDONED), Some(1));
        assert_eq!(claims.abandoned("other", now + ABANDONED), None);
    }
}
