//! What happens to partitions: they come, go, wait for a schema, or cannot be read.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Poll;
use super::partition::{Partition, only};
use crate::planner::Ranges;
use crate::role::SinkError;
use crate::role::assignment::{Event, Place};
use crate::role::batch::Batch;
use crate::role::land::refuse_forgotten;

/// The registry is asked again after this.
const STALL: Duration = Duration::from_secs(1);

impl Poll {
    pub(super) fn rebalanced(&mut self) -> Result<(), SinkError> {
        for event in self.wiring.assignments.take_events() {
            match event {
                Event::Failed(error) => return Err(error.into()),
                Event::Revoked(place) => {
                    tracing::info!(topic = place.0, partition = place.1, "revoked");
                    if let Some(index) = self.partitions.iter().position(|p| p.place == place) {
                        let gone = self.partitions.swap_remove(index);
                        self.bytes = self.bytes.saturating_sub(gone.batch.bytes + gone.flying);
                    }
                }
                Event::Assigned {
                    place,
                    epoch,
                    start,
                    metadata,
                    fresh,
                } => {
                    tracing::info!(
                        topic = place.0,
                        partition = place.1,
                        start,
                        plan = metadata,
                        "assigned"
                    );
                    self.assigned(place, epoch, (start, metadata, fresh))?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn assigned(
        &mut self,
        place: Place,
        epoch: u64,
        (start, metadata, fresh): (i64, String, bool),
    ) -> Result<(), SinkError> {
        let Some(table) = self.tables.iter().position(|table| table.topic == place.0) else {
            return Ok(());
        };
        if fresh && let Some(table) = self.tables.get(table) {
            self.wiring.runtime.block_on(refuse_forgotten(
                &self.wiring.shared.client,
                table,
                &place,
                start,
            ))?;
        }
        let ranges = Ranges::resume(start, &metadata).map_err(|source| SinkError::Plan {
            topic: place.0.clone(),
            partition: place.1,
            source,
        })?;
        self.partitions.push(Partition {
            place,
            epoch,
            table,
            ranges,
            batch: Batch::default(),
            flying: 0,
            stalled: None,
        });
        Ok(())
    }

    pub(super) fn stall(&mut self, index: usize) -> Result<(), SinkError> {
        if let Some(partition) = self.partitions.get_mut(index) {
            partition.stalled = Some(Instant::now() + STALL);
            self.wiring.consumer.pause(&only(&partition.place))?;
        }
        Ok(())
    }

    pub(super) fn resume(&mut self, index: usize) -> Result<(), SinkError> {
        if let Some(partition) = self.partitions.get_mut(index) {
            let (topic, number) = (&partition.place.0, partition.place.1);
            let next = Offset::Offset(partition.ranges.next());
            self.wiring
                .consumer
                .seek(topic, number, next, Duration::from_secs(10))?;
            self.wiring.consumer.resume(&only(&partition.place))?;
            partition.stalled = None;
        }
        Ok(())
    }

    pub(super) fn poll_error(&self, error: KafkaError) -> Result<(), SinkError> {
        match error {
            KafkaError::MessageConsumptionFatal(_) => Err(error.into()),
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
            ) => {
                let place = self
                    .partitions
                    .first()
                    .map_or((String::new(), -1), |p| p.place.clone());
                Err(SinkError::Position {
                    topic: place.0,
                    partition: place.1,
                    detail: error.to_string(),
                })
            }
            error => {
                tracing::warn!(%error, "kafka");
                Ok(())
            }
        }
    }
}
