//! How far a subscription is in one partition: what is read, and what of it is still open.
//!
//! Kept as the committed offset, the first that is open, and in its metadata from when on the subscription was told to
//! send, how far was read, and what else is open. Invariant: what is neither
//! open nor after `next` was delivered, given up, or is none of the subscription's.

use std::collections::BTreeSet;

/// Kafka takes 4,096 bytes of metadata with an offset.
const METADATA_LIMIT: usize = 3_900;

/// What of a partition is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// One after the last offset that was read.
    next: i64,
    open: BTreeSet<i64>,
}

impl Progress {
    /// From an offset on; nothing before it is open.
    pub fn new(next: i64) -> Self {
        Self {
            next,
            open: BTreeSet::new(),
        }
    }

    /// As committed by a subscription that sends what was written since `from` (UTC milliseconds, None: since it was
    /// declared); None if that was another one, which is a wish to have it sent again. Metadata that cannot be read
    /// count for nothing: then more is sent again.
    pub fn restore(offset: i64, metadata: &str, from: Option<i64>) -> Option<Self> {
        let (before, rest) = metadata.split_once(' ').unwrap_or_default();
        if from.is_some() && before != begun(from) {
            return None;
        }
        Some(Self::parse(offset, rest).unwrap_or_else(|| Self::new(offset)))
    }

    fn parse(offset: i64, numbers: &str) -> Option<Self> {
        let mut numbers = numbers
            .split(' ')
            .map(|text| i64::from_str_radix(text, 16).ok()?.checked_add(offset));
        let next = numbers.next()??;
        let open = numbers.collect::<Option<BTreeSet<_>>>()?;
        let within = open.iter().all(|open| (offset..next).contains(open));
        (within && next >= offset).then_some(Self { next, open })
    }

    /// Whether a record that was read is to be delivered; it is open from here on.
    pub fn wants(&mut self, offset: i64) -> bool {
        if offset < self.next {
            return self.open.contains(&offset);
        }
        self.next = offset + 1;
        self.open.insert(offset)
    }

    /// A record that is nobody's, delivered or given up.
    pub fn done(&mut self, offset: i64) {
        self.open.remove(&offset);
    }

    /// Where reading begins after a restart, and the metadata to it.
    pub fn committed(&self, from: Option<i64>) -> (i64, String) {
        let first = self.open.first().copied().unwrap_or(self.next);
        let mut next = self.next;
        let mut open = String::new();
        for offset in &self.open {
            let number = format!(" {:x}", offset - first);
            // What does not fit is read again, and all after it.
            if open.len() + number.len() > METADATA_LIMIT {
                next = *offset;
                break;
            }
            open.push_str(&number);
        }
        (first, format!("{} {:x}{open}", begun(from), next - first))
    }
}

fn begun(from: Option<i64>) -> String {
    from.map_or_else(|| "-".to_owned(), |from| format!("{from:x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(progress: &Progress) -> Progress {
        let (offset, metadata) = progress.committed(Some(5));
        Progress::restore(offset, &metadata, Some(5)).unwrap()
    }

    #[test]
    fn a_restart_delivers_what_is_open_and_nothing_else() {
        let mut progress = Progress::new(100);
        for offset in 100..110 {
            assert!(progress.wants(offset));
        }
        for done in [100, 101, 103, 105, 106, 107, 109] {
            progress.done(done);
        }
        assert_eq!(progress.committed(None).0, 102);
        let mut after = again(&progress);
        assert_eq!(after, progress);
        let wanted: Vec<_> = (102..112).filter(|offset| after.wants(*offset)).collect();
        assert_eq!(wanted, [102, 104, 108, 110, 111]);
        for offset in wanted {
            after.done(offset);
        }
        assert_eq!(after.committed(None), (112, "- 0".to_owned()));
    }

    #[test]
    fn what_does_not_fit_is_read_again() {
        let mut progress = Progress::new(0);
        for offset in 0..5_000 {
            progress.wants(offset * 1_000);
        }
        let (offset, metadata) = progress.committed(None);
        assert!(metadata.len() < 4_096);
        let mut after = Progress::restore(offset, &metadata, None).unwrap();
        assert!((0..5_000).all(|offset| after.wants(offset * 1_000)));
    }

    #[test]
    fn metadata_of_others_count_for_nothing() {
        for metadata in ["", "x", "- 5 9", "- -1", "- 3 1 z", "- ffffffffffffffff"] {
            assert_eq!(
                Progress::restore(7, metadata, None),
                Some(Progress::new(7)),
                "{metadata}"
            );
        }
    }

    #[test]
    fn another_time_begins_anew_and_none_goes_on() {
        let (offset, metadata) = Progress::new(7).committed(Some(5));
        assert_eq!(
            Progress::restore(offset, &metadata, Some(5)),
            Some(Progress::new(7))
        );
        assert_eq!(Progress::restore(offset, &metadata, Some(4)), None);
        assert_eq!(Progress::restore(offset, &metadata, None), Some(Progress::new(7)));
        assert_eq!(Progress::restore(7, "", Some(5)), None);
    }
}
