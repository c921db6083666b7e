//! Consecutive records of one partition, copied into one buffer: one allocation for many records, and
//! librdkafka's fetch buffers are free again at once.

use rdkafka::Message;

/// Records of one partition, in log order.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    /// Index of the topic in the stage's list.
    pub topic: usize,
    /// Partition.
    pub partition: i32,
    buffer: Vec<u8>,
    records: Vec<Extent>,
}

#[derive(Debug, Clone, Copy)]
struct Extent {
    offset: i64,
    timestamp: i64,
    key_end: usize,
    end: usize,
    tombstone: bool,
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Offset in its partition.
    pub offset: i64,
    /// Kafka's timestamp, UTC milliseconds; 0 if it has none.
    pub timestamp: i64,
    /// Key; empty if it has none.
    pub key: &'a [u8],
    /// Value; None for a tombstone.
    pub value: Option<&'a [u8]>,
}

impl Batch {
    /// An empty batch.
    pub fn new(topic: usize, partition: i32) -> Self {
        Self {
            topic,
            partition,
            ..Self::default()
        }
    }

    /// Appends a record of Kafka's.
    pub fn push_message(&mut self, message: &impl Message) {
        self.push(Record {
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().unwrap_or_default(),
            key: message.key().unwrap_or_default(),
            value: message.payload(),
        });
    }

    /// Appends a record.
    pub fn push(&mut self, record: Record<'_>) {
        self.buffer.extend_from_slice(record.key);
        let key_end = self.buffer.len();
        self.buffer.extend_from_slice(record.value.unwrap_or_default());
        self.records.push(Extent {
            offset: record.offset,
            timestamp: record.timestamp,
            key_end,
            end: self.buffer.len(),
            tombstone: record.value.is_none(),
        });
    }

    /// The records in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        let mut start = 0;
        self.records.iter().map(move |extent| {
            let key = self.buffer.get(start..extent.key_end).unwrap_or_default();
            let value = self.buffer.get(extent.key_end..extent.end);
            start = extent.end;
            Record {
                offset: extent.offset,
                timestamp: extent.timestamp,
                key,
                value: value.filter(|_| !extent.tombstone),
            }
        })
    }

    /// The value of the record at an index.
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        let extent = self.records.get(index).filter(|extent| !extent.tombstone)?;
        self.buffer.get(extent.key_end..extent.end)
    }

    /// The timestamps of the first and last record, UTC milliseconds; None if it is empty.
    pub fn span(&self) -> Option<(i64, i64)> {
        Some((self.records.first()?.timestamp, self.records.last()?.timestamp))
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.buffer.len() + self.records.len() * std::mem::size_of::<Extent>()
    }

    /// The position after the last record.
    pub fn next(&self) -> Option<i64> {
        self.records.last().map(|extent| extent.offset + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_were_pushed() {
        let records = [
            Record {
                offset: 4,
                timestamp: 1,
                key: b"a",
                value: Some(b"xyz"),
            },
            Record {
                offset: 6,
                timestamp: 2,
                key: b"",
                value: Some(b""),
            },
            Record {
                offset: 9,
                timestamp: 3,
                key: b"b",
                value: None,
            },
        ];
        let mut batch = Batch::new(1, 2);
        assert_eq!((batch.next(), batch.span()), (None, None));
        for record in records {
            batch.push(record);
        }
        assert_eq!(batch.records().collect::<Vec<_>>(), records);
        assert_eq!((batch.len(), batch.next()), (3, Some(10)));
        assert_eq!(batch.span(), Some((1, 3)));
        assert_eq!(batch.value(0), Some(&b"xyz"[..]));
        assert_eq!(
            (batch.value(1), batch.value(2), batch.value(3)),
            (Some(&b""[..]), None, None)
        );
    }
}
