//! What the proxy does to which request, and what it has seen: pure, no sockets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::frames::{self, Body, Producer, Request};

/// When the broker gets the commit of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// At once: the transaction is committed.
    AtOnce,
    /// When the next producer of the same transactional ID has a transaction with rows open and is about to commit it.
    Late,
}

/// What the client learns of its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// What the broker said.
    Truth,
    /// Nothing: its connection is cut, and so it is each time that it asks again.
    Nothing,
    /// This error code.
    Error(i16),
}

/// What happens to one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// To the broker.
    pub delivered: Delivered,
    /// To the client.
    pub told: Told,
}

/// What the proxy saw and did, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A producer took the transactional ID over: the broker fenced all earlier ones off.
    NewProducer {
        /// Transactional ID.
        id: String,
        /// The new producer.
        producer: Producer,
    },
    /// The broker answered the end of a transaction.
    Ended {
        /// Transactional ID.
        id: String,
        /// Its producer.
        producer: Producer,
        /// Commit, or abort.
        commit: bool,
        /// Whether the transaction had rows of the watched topic.
        rows: bool,
        /// The broker's answer.
        error: i16,
        /// What the client learned of it.
        told: Told,
    },
    /// The commit of a transaction with rows was kept back.
    Held {
        /// Transactional ID.
        id: String,
        /// Its producer.
        producer: Producer,
        /// What the client learned.
        told: Told,
    },
    /// The client asked again for the outcome of its commit and was cut off again.
    Repeated {
        /// Transactional ID.
        id: String,
        /// Its producer.
        producer: Producer,
    },
    /// A commit that was kept back reached the broker while a later transaction with rows was open.
    Late {
        /// Transactional ID.
        id: String,
        /// The producer that had sent it.
        producer: Producer,
        /// The producer whose transaction was open.
        during: Producer,
        /// The broker's answer.
        error: i16,
    },
    /// An answer to a request of this kind was lost once, with its connection.
    Lost {
        /// Kafka's number of the kind.
        api: i16,
    },
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Forward(Expect),
    Cut,
    /// Not forwarded; the client gets this error.
    Tell(i16),
    /// First deliver what was kept back, then forward.
    DeliverFirst(Kept, Expect),
}

/// What to do with an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expect {
    /// Cut the connection instead of passing it on.
    pub lose: Option<i16>,
    pub kind: Kind,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Other,
    Addresses,
    Init {
        id: String,
        flexible: bool,
    },
    End {
        id: String,
        producer: Producer,
        commit: bool,
        rows: bool,
        told: Told,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub id: String,
    pub producer: Producer,
    pub during: Producer,
    pub frame: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Faults {
    watched: String,
    pub armed: VecDeque<Fault>,
    pub losses: Vec<i16>,
    pub log: Vec<Event>,
    open: BTreeMap<String, (Producer, BTreeSet<String>)>,
    silenced: BTreeMap<String, Producer>,
    kept: BTreeMap<String, (Producer, Vec<u8>)>,
}

impl Faults {
    pub(super) fn new(watched: &str) -> Self {
        Self {
            watched: watched.to_owned(),
            ..Self::default()
        }
    }

    /// Transactions that have rows of the watched topic and were not asked to end.
    pub(super) fn open(&self) -> Vec<(String, Producer)> {
        let rows = |topics: &BTreeSet<String>| topics.contains(&self.watched);
        let open = self.open.iter().filter(|(_, (_, topics))| rows(topics));
        open.map(|(id, (producer, _))| (id.clone(), *producer)).collect()
    }

    pub(super) fn request(&mut self, frame: &[u8]) -> (i32, Step) {
        let Some(Request {
            api,
            correlation,
            body,
        }) = frames::request(frame)
        else {
            return (0, Step::Forward(Expect::default()));
        };
        let lost = self.losses.iter().position(|lost| *lost == api);
        let lose = lost.map(|index| self.losses.swap_remove(index));
        let kind = match body {
            Body::Addresses => Kind::Addresses,
            Body::Init { id, flexible } => Kind::Init { id, flexible },
            Body::Partitions { id, producer, topics } => {
                let open = self.open.entry(id).or_insert((producer, BTreeSet::new()));
                if open.0 != producer {
                    *open = (producer, BTreeSet::new());
                }
                open.1.extend(topics);
                Kind::Other
            }
            Body::End { id, producer, commit } => {
                let step = self.end(frame, id, (producer, commit), lose);
                return (correlation, step);
            }
            Body::Other => Kind::Other,
        };
        (correlation, Step::Forward(Expect { lose, kind }))
    }

    fn end(
        &mut self,
        frame: &[u8],
        id: String,
        (producer, commit): (Producer, bool),
        lose: Option<i16>,
    ) -> Step {
        if self.silenced.get(&id) == Some(&producer) {
            self.log.push(Event::Repeated { id, producer });
            return Step::Cut;
        }
        let topics = self.open.remove(&id).map(|(_, topics)| topics);
        let rows = topics.is_some_and(|topics| topics.contains(&self.watched));
        let expect = |id, told| Expect {
            lose,
            kind: Kind::End {
                id,
                producer,
                commit,
                rows,
                told,
            },
        };
        if !(rows && commit) {
            return Step::Forward(expect(id, Told::Truth));
        }
        if let Some((sender, frame)) = self.kept.remove(&id) {
            let kept = Kept {
                id: id.clone(),
                producer: sender,
                during: producer,
                frame,
            };
            return Step::DeliverFirst(kept, expect(id, Told::Truth));
        }
        let Some(Fault { delivered, told }) = self.armed.pop_front() else {
            return Step::Forward(expect(id, Told::Truth));
        };
        if told == Told::Nothing {
            self.silenced.insert(id.clone(), producer);
        }
        if delivered == Delivered::AtOnce {
            return Step::Forward(expect(id, told));
        }
        self.kept.insert(id.clone(), (producer, frame.to_vec()));
        self.log.push(Event::Held { id, producer, told });
        match told {
            Told::Error(error) => Step::Tell(error),
            Told::Nothing | Told::Truth => Step::Cut,
        }
    }

    /// What the client gets; nothing: its connection is cut.
    pub(super) fn answer(&mut self, expect: Expect, answer: Vec<u8>) -> Option<Vec<u8>> {
        let mut passed = Some(answer);
        match expect.kind {
            Kind::Other | Kind::Addresses => {}
            Kind::Init { id, flexible } => {
                let made = passed
                    .as_ref()
                    .and_then(|answer| frames::new_producer(answer, flexible));
                if let Some(producer) = made {
                    self.log.push(Event::NewProducer { id, producer });
                }
            }
            Kind::End {
                id,
                producer,
                commit,
                rows,
                told,
            } => {
                let answer = passed.as_deref().unwrap_or_default();
                let error = frames::end_error(answer).unwrap_or(i16::MIN);
                let correlation = frames::correlation(answer).unwrap_or_default();
                self.log.push(Event::Ended {
                    id,
                    producer,
                    commit,
                    rows,
                    error,
                    told,
                });
                match told {
                    Told::Truth => {}
                    Told::Nothing => passed = None,
                    Told::Error(error) => passed = Some(frames::end_answer(correlation, error)),
                }
            }
        }
        if let Some(api) = expect.lose {
            self.log.push(Event::Lost { api });
            return None;
        }
        passed
    }

    pub(super) fn delivered(&mut self, kept: Kept, answer: &[u8]) {
        self.log.push(Event::Late {
            id: kept.id,
            producer: kept.producer,
            during: kept.during,
            error: frames::end_error(answer).unwrap_or(i16::MIN),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::tests::{NEW, OLD, end, init, made, partitions};
    use super::*;

    fn proxy(fault: Fault) -> Faults {
        let mut faults = Faults::new("rows");
        faults.armed.push_back(fault);
        faults.request(&partitions("id", OLD, &["other", "rows"]));
        assert_eq!(faults.open(), [("id".to_owned(), OLD)]);
        faults
    }

    fn forwarded(step: Step) -> Expect {
        match step {
            Step::Forward(expect) | Step::DeliverFirst(_, expect) => expect,
            step => panic!("{step:?}"),
        }
    }

    #[test]
    fn a_commit_is_done_and_nothing_is_told_however_often_it_is_asked_for() {
        let mut faults = proxy(Fault {
            delivered: Delivered::AtOnce,
            told: Told::Nothing,
        });
        let expect = forwarded(faults.request(&end("id", OLD)).1);
        assert_eq!(faults.answer(expect, frames::end_answer(1, 0)), None);
        assert_eq!(faults.request(&end("id", OLD)).1, Step::Cut);
        let (id, producer) = ("id".to_owned(), OLD);
        let ended = Event::Ended {
            id: id.clone(),
            producer,
            commit: true,
            rows: true,
            error: 0,
            told: Told::Nothing,
        };
        assert_eq!(faults.log, [ended, Event::Repeated { id, producer }]);
    }

    #[test]
    fn a_late_commit_waits_for_the_next_producers_transaction_with_rows() {
        let mut faults = proxy(Fault {
            delivered: Delivered::Late,
            told: Told::Error(-1),
        });
        assert_eq!(faults.request(&end("id", OLD)).1, Step::Tell(-1));
        let expect = forwarded(faults.request(&init("id")).1);
        faults.answer(expect, made(NEW)).unwrap();
        let without_rows = faults.request(&end("id", NEW)).1;
        assert!(matches!(without_rows, Step::Forward(_)));
        faults.request(&partitions("id", NEW, &["rows"]));
        let Step::DeliverFirst(kept, _) = faults.request(&end("id", NEW)).1 else {
            panic!("not delivered");
        };
        assert_eq!(kept.frame, end("id", OLD));
        faults.delivered(kept, &frames::end_answer(1, 47));
        let id = "id".to_owned();
        let late = Event::Late {
            id,
            producer: OLD,
            during: NEW,
            error: 47,
        };
        assert_eq!(faults.log.last(), Some(&late));
    }

    #[test]
    fn other_transactions_pass_and_a_lost_answer_is_lost_once() {
        let mut faults = Faults::new("rows");
        faults.armed.push_back(Fault {
            delivered: Delivered::AtOnce,
            told: Told::Nothing,
        });
        faults.losses.push(frames::END_TXN);
        faults.request(&partitions("id", OLD, &["other"]));
        let expect = forwarded(faults.request(&end("id", OLD)).1);
        assert_eq!(faults.answer(expect, frames::end_answer(1, 0)), None);
        let expect = forwarded(faults.request(&end("id", OLD)).1);
        assert!(faults.answer(expect, frames::end_answer(1, 0)).is_some());
        assert_eq!(faults.armed.len(), 1);
    }
}
