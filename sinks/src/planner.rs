//! Which offsets belong to which insert: pure, no clock, no Kafka, no ClickHouse.
//!
//! ```text
//!   offer(offset)… ──► seal ──► Plan ──► commit it ──► insert with its tokens ──► landed ──► next
//!                                 ▲
//!   position(offset, metadata) ───┘  after a crash: the same range again
//! ```
//! A plan is a range of offsets, made durable as metadata of the commit of its first offset before anything of it is
//! inserted. Whoever finds it there reads the same range and sends the same tokens.
//!
//! Invariant: plans of a partition are disjoint, in order and leave out no offset; a range that may have been sent in
//! part is never cut differently.

use std::fmt::Write as _;

/// Offsets from `first` to `last`, both included. Not every offset in it need have a record: transaction markers and
/// aborted records have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetRange {
    /// First offset, also if it has no record.
    pub first: i64,
    /// Offset of the last record.
    pub last: i64,
}

/// A range and what is needed to send it again in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Offsets.
    pub range: OffsetRange,
    /// Rows that the range gave.
    pub rows: u64,
    /// Layout of the table that the rows were made for.
    pub layout: u32,
    /// Generation of the table.
    pub generation: u32,
    /// When it was planned, milliseconds since 1970.
    pub planned_at: i64,
}

/// A partition's position cannot be understood or followed: a person must look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The metadata of the committed offset is none of ours.
    #[error("the metadata {0:?} of the committed offset is not a plan of this version")]
    Metadata(String),
    /// The last record of a plan is not in the log any more.
    #[error("the planned range {range:?} ended without its last record; the next one is {found}")]
    Cut {
        /// The plan's range.
        range: OffsetRange,
        /// Offset of the record that came instead.
        found: i64,
    },
}

impl Plan {
    /// The metadata that keeps the plan beside the committed offset, which is its first.
    pub fn metadata(&self) -> String {
        format!(
            "1 {} {} {:x} {} {}",
            self.range.last, self.rows, self.layout, self.generation, self.planned_at
        )
    }

    /// The plan beside a committed offset; none if the metadata is empty.
    ///
    /// # Errors
    /// If the metadata is something else.
    pub fn parse(first: i64, metadata: &str) -> Result<Option<Self>, PlanError> {
        if metadata.is_empty() {
            return Ok(None);
        }
        let bad = || PlanError::Metadata(metadata.to_owned());
        let [version, last, rows, layout, generation, planned_at] = metadata
            .split(' ')
            .collect::<Vec<_>>()
            .try_into()
            .map_err(|_| bad())?;
        let plan = Self {
            range: OffsetRange {
                first,
                last: last.parse().map_err(|_| bad())?,
            },
            rows: rows.parse().map_err(|_| bad())?,
            layout: u32::from_str_radix(layout, 16).map_err(|_| bad())?,
            generation: generation.parse().map_err(|_| bad())?,
            planned_at: planned_at.parse().map_err(|_| bad())?,
        };
        if version != "1" || plan.range.last < first {
            return Err(bad());
        }
        Ok(Some(plan))
    }

    /// The token of the plan's rows in one ClickHouse partition. It names exact content: a token that is known makes
    /// ClickHouse drop whatever comes with it.
    pub fn token(&self, topic: &str, partition: i32, month: u32) -> String {
        let mut token = format!("{topic}/{partition}/{}-{}", self.range.first, self.range.last);
        // Writing to a String cannot fail.
        write!(token, "/{month}/{:x}/{}", self.layout, self.generation).ok();
        token
    }
}

/// What to do with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It belongs to the open range.
    Take,
    /// It belongs to the open range and ends it: a plan made before ended here.
    TakeLast,
    /// It was read before.
    Skip,
}

/// The ranges of one Kafka partition, as one owner sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges {
    // First offset of the open range.
    first: i64,
    // Last record taken into the open range.
    last: Option<i64>,
    // Found beside the committed offset: to be sent again as it was.
    replay: Option<Plan>,
    // Sealed and not yet landed.
    flight: Option<OffsetRange>,
}

impl Ranges {
    /// From the committed offset and its metadata.
    ///
    /// # Errors
    /// If the metadata is not a plan.
    pub fn resume(committed: i64, metadata: &str) -> Result<Self, PlanError> {
        Ok(Self {
            first: committed,
            last: None,
            replay: Plan::parse(committed, metadata)?,
            flight: None,
        })
    }

    /// A record of the partition, in the order of the log.
    ///
    /// # Errors
    /// If it shows that the end of a replayed plan is gone.
    pub fn offer(&mut self, offset: i64) -> Result<Offer, PlanError> {
        if offset < self.first || self.last.is_some_and(|last| offset <= last) {
            return Ok(Offer::Skip);
        }
        let end = self.replay.as_ref().map(|plan| plan.range);
        match end {
            Some(range) if offset > range.last => Err(PlanError::Cut { range, found: offset }),
            Some(range) => {
                self.last = Some(offset);
                Ok(if offset == range.last {
                    Offer::TakeLast
                } else {
                    Offer::Take
                })
            }
            None => {
                self.last = Some(offset);
                Ok(Offer::Take)
            }
        }
    }

    /// Whether the open range could be sealed: it has a record, none is in flight, and a replayed one is complete.
    pub fn can_seal(&self) -> bool {
        self.flight.is_none()
            && self
                .last
                .is_some_and(|last| self.replay.as_ref().is_none_or(|plan| plan.range.last == last))
    }

    /// Whether the open range is a plan that was made before.
    pub fn is_replay(&self) -> bool {
        self.replay.is_some()
    }

    /// Closes the open range. The plan must be durable before anything of it is sent. A replayed plan comes back as it
    /// was made, whatever `rows`, `layout` and `generation` are by now: its tokens must be the same.
    pub fn seal(&mut self, rows: u64, layout: u32, generation: u32, now: i64) -> Option<Plan> {
        if !self.can_seal() {
            return None;
        }
        let range = OffsetRange {
            first: self.first,
            last: self.last.take()?,
        };
        self.first = range.last + 1;
        self.flight = Some(range);
        Some(self.replay.take().unwrap_or(Plan {
            range,
            rows,
            layout,
            generation,
            planned_at: now,
        }))
    }

    /// The flight is in ClickHouse. The offset to commit, without metadata, unless the next plan is committed at once.
    pub fn landed(&mut self) -> Option<i64> {
        self.flight.take().map(|range| range.last + 1)
    }

    /// The first offset that has not landed, to be committed without a plan. None while a plan stands beside it: without
    /// it, a range that may have been sent in part would be cut differently.
    pub fn landed_up_to(&self) -> Option<i64> {
        (self.flight.is_none() && self.replay.is_none()).then_some(self.first)
    }

    /// Whether a plan is on its way.
    pub fn in_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Where reading goes on.
    pub fn next(&self) -> i64 {
        self.last.map_or(self.first, |last| last + 1)
    }
}

/// What ClickHouse holds of a plan's rows in one of its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Rows.
    pub rows: u64,
    /// Inserts into the table since the oldest of them, at most.
    pub inserts_since: u64,
}

/// What to do after doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send it. If ClickHouse has it, it still knows the token: then only materialized views that lack it take it.
    Send,
    /// All rows are there, and the token may be forgotten.
    Skip,
    /// Some rows are there: neither sending nor skipping is right.
    Stop,
}

/// Judges a plan's rows in one ClickHouse partition that may or may not have been inserted.
pub fn after_doubt(expected: u64, found: Found, window: u64) -> Verdict {
    match found.rows {
        0 => Verdict::Send,
        rows if rows != expected => Verdict::Stop,
        // Half of the window: the count of inserts may lag.
        _ if found.inserts_since < window / 2 => Verdict::Send,
        _ => Verdict::Skip,
    }
}

#[cfg(test)]
mod tests;
