//! As much of Kafka's protocol as the proxy needs. A frame is what follows its length.
//!
//! Versions are those that librdkafka speaks; anything else is passed on unread, so a fault that needs it never
//! happens, and the test that asked for it fails.

pub(super) const INIT_PRODUCER_ID: i16 = 22;
pub(super) const ADD_PARTITIONS_TO_TXN: i16 = 24;
pub(super) const END_TXN: i16 = 26;
const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;

/// One life of a transactional ID: each producer that takes it over has a higher epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Producer {
    /// Producer ID.
    pub number: i64,
    /// Epoch.
    pub epoch: i16,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// A producer takes a transactional ID over.
    Init {
        id: String,
        flexible: bool,
    },
    /// A transaction writes to topics.
    Partitions {
        id: String,
        producer: Producer,
        topics: Vec<String>,
    },
    /// The end of a transaction.
    End {
        id: String,
        producer: Producer,
        commit: bool,
    },
    /// The answer names the broker's address.
    Addresses,
    Other,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub api: i16,
    pub correlation: i32,
    pub body: Body,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn i8(&mut self) -> Option<i8> {
        Some(i8::from_be_bytes(self.take(1)?.try_into().ok()?))
    }

    fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn i64(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    /// None also for null.
    fn string(&mut self) -> Option<String> {
        let length = usize::try_from(self.i16()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    /// None also for null, and for more than 126 bytes.
    fn compact_string(&mut self) -> Option<String> {
        let length = usize::try_from(self.i8()?).ok()?.checked_sub(1)?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    fn producer(&mut self) -> Option<Producer> {
        Some(Producer {
            number: self.i64()?,
            epoch: self.i16()?,
        })
    }
}

pub(super) fn request(frame: &[u8]) -> Option<Request> {
    let mut reader = Reader(frame);
    let (api, version, correlation) = (reader.i16()?, reader.i16()?, reader.i32()?);
    let client = reader.i16()?;
    reader.take(usize::try_from(client).unwrap_or(0))?;
    let body = match api {
        METADATA | FIND_COORDINATOR => Some(Body::Addresses),
        INIT_PRODUCER_ID => init(&mut reader, version),
        ADD_PARTITIONS_TO_TXN if version < 3 => partitions(&mut reader),
        END_TXN if version < 3 => end(&mut reader),
        _ => None,
    };
    Some(Request {
        api,
        correlation,
        body: body.unwrap_or(Body::Other),
    })
}

fn init(reader: &mut Reader<'_>, version: i16) -> Option<Body> {
    let flexible = version >= 2;
    let id = match flexible {
        true => {
            reader.i8()?; // no tagged fields in the header
            reader.compact_string()?
        }
        false => reader.string()?,
    };
    Some(Body::Init { id, flexible })
}

fn partitions(reader: &mut Reader<'_>) -> Option<Body> {
    let (id, producer) = (reader.string()?, reader.producer()?);
    let topics = (0..reader.i32()?).map(|_| {
        let name = reader.string()?;
        let partitions = usize::try_from(reader.i32()?).ok()?;
        reader.take(partitions.checked_mul(4)?)?;
        Some(name)
    });
    let topics = topics.collect::<Option<_>>()?;
    Some(Body::Partitions { id, producer, topics })
}

fn end(reader: &mut Reader<'_>) -> Option<Body> {
    Some(Body::End {
        id: reader.string()?,
        producer: reader.producer()?,
        commit: reader.i8()? != 0,
    })
}

pub(super) fn correlation(answer: &[u8]) -> Option<i32> {
    Reader(answer).i32()
}

/// The producer that an answer to `InitProducerId` made; none if it was refused.
pub(super) fn new_producer(answer: &[u8], flexible: bool) -> Option<Producer> {
    let mut reader = Reader(answer);
    reader.i32()?;
    if flexible {
        reader.i8()?;
    }
    reader.i32()?;
    (reader.i16()? == 0).then(|| reader.producer()).flatten()
}

/// The error in an answer to `EndTxn`.
pub(super) fn end_error(answer: &[u8]) -> Option<i16> {
    let mut reader = Reader(answer);
    reader.take(8)?;
    reader.i16()
}

/// An answer to `EndTxn`.
pub(super) fn end_answer(correlation: i32, error: i16) -> Vec<u8> {
    [
        &correlation.to_be_bytes()[..],
        &0_i32.to_be_bytes(),
        &error.to_be_bytes(),
    ]
    .concat()
}

/// Has an answer name another port of 127.0.0.1. Its length stays the same.
pub(super) fn move_address(answer: &[u8], from: u16, to: u16) -> Vec<u8> {
    let address = |port: u16| [b"127.0.0.1", &i32::from(port).to_be_bytes()[..]].concat();
    let (old, new) = (address(from), address(to));
    let mut moved = Vec::with_capacity(answer.len());
    let mut rest = answer;
    while let Some(at) = rest.windows(old.len()).position(|window| window == old) {
        let (before, after) = rest.split_at(at);
        moved.extend_from_slice(before);
        moved.extend_from_slice(&new);
        rest = after.split_at(old.len()).1;
    }
    moved.extend_from_slice(rest);
    moved
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const OLD: Producer = Producer { number: 7, epoch: 3 };
    pub(crate) const NEW: Producer = Producer { number: 7, epoch: 4 };

    fn string(text: &str) -> Vec<u8> {
        [&(text.len() as i16).to_be_bytes()[..], text.as_bytes()].concat()
    }

    fn head(api: i16, version: i16, correlation: i32) -> Vec<u8> {
        [
            &api.to_be_bytes()[..],
            &version.to_be_bytes(),
            &correlation.to_be_bytes(),
            &string("rdkafka"),
        ]
        .concat()
    }

    fn producer(producer: Producer) -> Vec<u8> {
        [&producer.number.to_be_bytes()[..], &producer.epoch.to_be_bytes()].concat()
    }

    pub(crate) fn end(id: &str, by: Producer) -> Vec<u8> {
        [head(END_TXN, 1, 5), string(id), producer(by), vec![1]].concat()
    }

    pub(crate) fn partitions(id: &str, by: Producer, topics: &[&str]) -> Vec<u8> {
        let two = |name: &&str| [string(name), vec![0, 0, 0, 2], vec![0; 8]].concat();
        let count = (topics.len() as i32).to_be_bytes().to_vec();
        let topics: Vec<u8> = topics.iter().flat_map(two).collect();
        [head(24, 0, 5), string(id), producer(by), count, topics].concat()
    }

    pub(crate) fn init(id: &str) -> Vec<u8> {
        let length = vec![0, id.len() as u8 + 1];
        [head(22, 4, 5), length, id.as_bytes().to_vec(), vec![0; 9]].concat()
    }

    pub(crate) fn made(by: Producer) -> Vec<u8> {
        [vec![0; 11], producer(by), vec![0]].concat()
    }

    #[test]
    fn requests_of_transactions_are_read() {
        let id = "id".to_owned();
        let body = Body::End {
            id: id.clone(),
            producer: OLD,
            commit: true,
        };
        let expected = Request {
            api: END_TXN,
            correlation: 5,
            body,
        };
        assert_eq!(request(&end("id", OLD)), Some(expected));
        let body = Body::Partitions {
            id: id.clone(),
            producer: OLD,
            topics: vec!["topic_a".to_owned(), "topic_b".to_owned()],
        };
        let frame = partitions("id", OLD, &["topic_a", "topic_b"]);
        assert_eq!(request(&frame).unwrap().body, body);
        let body = Body::Init { id, flexible: true };
        assert_eq!(request(&init("id")).unwrap().body, body);
        assert_eq!(request(&head(22, 4, 5)).unwrap().body, Body::Other);
        assert_eq!(request(&[0; 5]), None);
    }

    #[test]
    fn answers_are_read_and_made() {
        assert_eq!(new_producer(&made(NEW), true), Some(NEW));
        assert_eq!(new_producer(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 9], false), None);
        assert_eq!(correlation(&end_answer(9, -1)), Some(9));
        assert_eq!(end_error(&end_answer(9, -1)), Some(-1));
    }

    #[test]
    fn addresses_are_moved_wherever_they_stand() {
        let address = |port: u16| [b"127.0.0.1", &i32::from(port).to_be_bytes()[..]].concat();
        let answer = [b"x".to_vec(), address(5), b"y".to_vec(), address(6), address(5)].concat();
        let moved = [b"x".to_vec(), address(7), b"y".to_vec(), address(6), address(7)].concat();
        assert_eq!(move_address(&answer, 5, 7), moved);
    }
}
