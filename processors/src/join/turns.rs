//! Which of two topics a worker goes on with.

use std::time::{Duration, Instant};

use super::{CLAIMS, CLICKS};
use crate::runtime::batch::Batch;
use crate::runtime::queue::{Choice, Heads};

/// If all clicks were read, none is on its way that a claim could wait for, but what is being fetched.
const CLICKS_IDLE: Duration = Duration::from_millis(20);

/// Whose turn it is: a claim's once the clicks that are as old were read. In order it meets its click at once and
/// spares attribute a revision, as after a pause, when both topics are read as fast as can be. Out of order it costs
/// no more than that: nothing depends on it.
pub(super) struct Turns {
    /// Since when a claim is the next one.
    waiting: Instant,
    /// How long it may wait.
    patience: Duration,
}

impl Turns {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            waiting: Instant::now(),
            patience,
        }
    }

    /// `behind` says whether there are clicks in the log that were not read yet.
    pub(super) fn choose(
        &mut self,
        heads: &Heads<'_, Batch>,
        now: Instant,
        behind: impl Fn() -> bool,
    ) -> Choice {
        let clicks = heads.of(CLICKS);
        let Some(claims) = heads.of(CLAIMS) else {
            self.waiting = now;
            return clicks.map_or(Choice::Nothing, |_| Choice::Take(CLICKS));
        };
        // Caught up, clicks and claims come as they happen: then no clock that is slow may hold claims up.
        let patience = if behind() { self.patience } else { CLICKS_IDLE };
        let patience = patience.saturating_sub(now.saturating_duration_since(self.waiting));
        match clicks {
            Some(clicks) if !patience.is_zero() && !is_before(claims, clicks) => Choice::Take(CLICKS),
            None if !patience.is_zero() => Choice::Later(patience.min(CLICKS_IDLE)),
            _ => {
                self.waiting = now;
                Choice::Take(CLAIMS)
            }
        }
    }
}

fn is_before(claims: &Batch, clicks: &Batch) -> bool {
    match (claims.span(), clicks.span()) {
        (Some((_, last)), Some((first, _))) => last < first,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::batch::Record;
    use crate::runtime::queue::{Popped, Queue};

    fn batch(topic: usize, timestamps: &[i64]) -> Batch {
        let mut batch = Batch::new(topic, 0);
        for timestamp in timestamps {
            batch.push(Record {
                offset: *timestamp,
                timestamp: *timestamp,
                key: b"",
                value: None,
            });
        }
        batch
    }

    #[test]
    fn a_claim_waits_for_clicks_as_old_but_not_for_ever() {
        let queue = Queue::new(2, 1_000_000);
        let push = |batch: Batch| queue.push(batch.topic, batch, 1, Duration::ZERO).unwrap();
        let mut turns = Turns::new(Duration::from_secs(2));
        let start = Instant::now();
        let mut next = |after_ms: u64, behind: bool| {
            let now = start + Duration::from_millis(after_ms);
            match queue.pop_by(Duration::ZERO, |heads| turns.choose(heads, now, || behind)) {
                Popped::Item(batch) => batch.span(),
                _ => None,
            }
        };
        push(batch(CLAIMS, &[10, 20]));
        push(batch(CLICKS, &[1, 5]));
        push(batch(CLICKS, &[20, 30]));
        push(batch(CLICKS, &[31, 32]));
        assert_eq!(next(0, true), Some((1, 5)));
        assert_eq!(next(1, true), Some((20, 30)));
        assert_eq!(next(2, true), Some((10, 20)));
        assert_eq!(next(3, true), Some((31, 32)));
        push(batch(CLAIMS, &[40]));
        assert_eq!(next(4, false), None);
        assert_eq!(next(24, true), None, "a click is on its way");
        assert_eq!(next(24, false), Some((40, 40)), "no click comes");
        push(batch(CLAIMS, &[99]));
        push(batch(CLICKS, &[50]));
        push(batch(CLICKS, &[60]));
        assert_eq!(next(25, false), Some((50, 50)));
        assert_eq!(next(2_025, true), Some((99, 99)), "it has waited long enough");
        assert_eq!(next(2_026, true), Some((60, 60)));
    }
}
