//! One owned Kafka partition: its ranges and the batch that is open.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use rdkafka::TopicPartitionList;

use crate::config::SinkConfig;
use crate::planner::Ranges;
use crate::role::assignment::Place;
use crate::role::batch::Batch;
use crate::role::land::Flight;
use crate::tables::Table;

pub(super) struct Partition {
    pub(super) place: Place,
    pub(super) epoch: u64,
    pub(super) table: usize,
    pub(super) ranges: Ranges,
    pub(super) batch: Batch,
    /// Bytes in flight.
    pub(super) flying: usize,
    /// The registry is away: nothing is taken until then.
    pub(super) stalled: Option<Instant>,
}

pub(super) fn is_due(config: &SinkConfig, partition: &Partition, now: Instant) -> bool {
    let batch = &partition.batch;
    partition.ranges.is_replay()
        || batch.rows >= config.batch_rows
        || batch.bytes >= config.batch_bytes
        || batch
            .opened
            .is_some_and(|opened| now.duration_since(opened) >= config.flush(batch.behind))
}

pub(super) fn seal(partition: &mut Partition, table: Arc<Table>, generation: u32) -> Option<Flight> {
    let replay = partition.ranges.is_replay();
    let plan = partition.ranges.seal(
        partition.batch.rows as u64,
        table.layout(),
        generation,
        unix_millis(),
    )?;
    let batch = std::mem::take(&mut partition.batch);
    if plan.rows != batch.rows as u64 {
        tracing::warn!(
            ?plan,
            rows = batch.rows,
            "the planned range reads differently by now"
        );
    }
    partition.flying = batch.bytes;
    Some(Flight {
        table,
        place: partition.place.clone(),
        epoch: partition.epoch,
        plan,
        replay,
        months: batch.months.into_iter().collect(),
        letters: batch.letters,
        suspects: batch.suspects,
    })
}

pub(super) fn unix_millis() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

pub(super) fn only(place: &Place) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(&place.0, place.1);
    list
}
