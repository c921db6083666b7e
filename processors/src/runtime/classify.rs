//! What to do after an error of a transaction. One table, so that no call site invents its own answer.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What is left to do after a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The same call may be tried again; nothing is decided.
    Retry,
    /// The transaction cannot be committed; aborting it is safe.
    Abort,
    /// The producer is of no use any more, and what it did last may or may not have happened.
    Fatal,
    /// Somebody else has taken over this transactional ID: emit nothing.
    Fenced,
}

/// The class of an error.
pub fn classify(error: &KafkaError) -> Class {
    match error {
        KafkaError::Transaction(error) => class_of(
            error.code(),
            Flags {
                fatal: error.is_fatal(),
                abort: error.txn_requires_abort(),
                retriable: error.is_retriable(),
            },
        ),
        KafkaError::MessageProduction(code)
        | KafkaError::Global(code)
        | KafkaError::Flush(code)
        | KafkaError::MessageConsumption(code) => class_of(*code, Flags::default()),
        KafkaError::MessageConsumptionFatal(code) => class_of(
            *code,
            Flags {
                fatal: true,
                ..Flags::default()
            },
        ),
        _ => Class::Fatal,
    }
}

/// What librdkafka says of a transactional error beside its code.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags {
    /// The client instance is unusable.
    pub fatal: bool,
    /// The transaction must be aborted.
    pub abort: bool,
    /// The call may be repeated.
    pub retriable: bool,
}

/// The table.
pub fn class_of(code: Code, flags: Flags) -> Class {
    match code {
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::FencedInstanceId => {
            Class::Fenced
        }
        Code::QueueFull => Class::Retry,
        _ if flags.fatal => Class::Fatal,
        _ if flags.abort => Class::Abort,
        _ if flags.retriable => Class::Retry,
        Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::RebalanceInProgress
        | Code::StaleMemberEpoch
        | Code::FencedMemberEpoch
        | Code::MessageTimedOut
        | Code::PurgeQueue
        | Code::PurgeInflight => Class::Abort,
        _ => Class::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let none = Flags::default();
        let fatal = Flags { fatal: true, ..none };
        let abort = Flags { abort: true, ..none };
        let retriable = Flags {
            retriable: true,
            ..none
        };
        for (code, flags, class) in [
            (Code::OperationTimedOut, retriable, Class::Retry),
            (Code::OperationTimedOut, none, Class::Fatal),
            (Code::QueueFull, none, Class::Retry),
            (Code::IllegalGeneration, abort, Class::Abort),
            (Code::IllegalGeneration, none, Class::Abort),
            (Code::MessageTimedOut, none, Class::Abort),
            (Code::OutOfOrderSequenceNumber, fatal, Class::Fatal),
            (Code::InvalidTransactionalState, fatal, Class::Fatal),
            // A fence is a fence, however librdkafka flags it.
            (Code::Fenced, fatal, Class::Fenced),
            (Code::ProducerFenced, abort, Class::Fenced),
            (Code::InvalidProducerEpoch, abort, Class::Fenced),
            (Code::Unknown, none, Class::Fatal),
        ] {
            assert_eq!(class_of(code, flags), class, "{code:?} {flags:?}");
        }
    }

    #[test]
    fn an_error_outside_of_transactions_is_classified_too() {
        assert_eq!(
            classify(&KafkaError::MessageProduction(Code::QueueFull)),
            Class::Retry
        );
        assert_eq!(
            classify(&KafkaError::MessageConsumptionFatal(Code::InvalidRequest)),
            Class::Fatal
        );
        assert_eq!(classify(&KafkaError::Canceled), Class::Fatal);
    }
}
