//! The topics: name, subject, schema, how long they are kept.
//!
//! One table from which `init` creates topics, and which a test compares with the cards in `avro/topics`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Click, Commission, Config, Conversion, DeadLetter, Fact, Person, Refund, StripeEvent, Track};

/// A topic of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Clicks, by click ID.
    Clicks,
    /// Tracking calls, by workspace/mode.
    Tracks,
    /// Stripe events, by workspace/mode.
    StripeEvents,
    /// Declared objects, compacted.
    Config,
    /// Names and addresses of customers, compacted.
    People,
    /// Facts that name a click, by click ID.
    Claims,
    /// The journal, by workspace/mode, for ever.
    Facts,
    /// Ledger: leads, sales, redemptions, subscriptions.
    Conversions,
    /// Ledger: money that went back.
    Refunds,
    /// Ledger: what partners earned.
    Commissions,
    /// What could not be processed.
    DeadLetters,
}

/// How long a topic keeps its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// For ever, never compacted.
    Forever,
    /// The latest record of each key.
    Compacted,
    /// So many days.
    Days(u32),
    /// The largest attribution window plus 30 days.
    WindowAnd30Days,
}

impl Topic {
    /// Every topic, in the order in which `init` creates them.
    pub const ALL: [Topic; 11] = [
        Topic::Clicks,
        Topic::Tracks,
        Topic::StripeEvents,
        Topic::Config,
        Topic::People,
        Topic::Claims,
        Topic::Facts,
        Topic::Conversions,
        Topic::Refunds,
        Topic::Commissions,
        Topic::DeadLetters,
    ];

    /// The three ledger topics, in the order of the positions E.
    pub const LEDGER: [Topic; 3] = [Topic::Conversions, Topic::Refunds, Topic::Commissions];

    /// Topic name without a prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Topic::Clicks => "clicks",
            Topic::Tracks => "tracks",
            Topic::StripeEvents => "stripe.events",
            Topic::Config => "config",
            Topic::People => "people",
            Topic::Claims => "claims",
            Topic::Facts => "facts",
            Topic::Conversions => "conversions",
            Topic::Refunds => "refunds",
            Topic::Commissions => "commissions",
            Topic::DeadLetters => "dead-letters",
        }
    }

    /// The value schema, as JSON.
    pub const fn schema(self) -> &'static str {
        match self {
            Topic::Clicks => include_str!("../schemas/click.avsc"),
            Topic::Tracks => include_str!("../schemas/track.avsc"),
            Topic::StripeEvents => include_str!("../schemas/stripe_event.avsc"),
            Topic::Config => include_str!("../schemas/config.avsc"),
            Topic::People => include_str!("../schemas/person.avsc"),
            Topic::Claims | Topic::Facts => include_str!("../schemas/fact.avsc"),
            Topic::Conversions => include_str!("../schemas/conversion.avsc"),
            Topic::Refunds => include_str!("../schemas/refund.avsc"),
            Topic::Commissions => include_str!("../schemas/commission.avsc"),
            Topic::DeadLetters => include_str!("../schemas/dead_letter.avsc"),
        }
    }

    /// How long records are kept.
    pub const fn retention(self) -> Retention {
        match self {
            Topic::Clicks => Retention::WindowAnd30Days,
            Topic::Tracks | Topic::StripeEvents | Topic::DeadLetters => Retention::Days(30),
            Topic::Claims => Retention::Days(7),
            Topic::Config | Topic::People => Retention::Compacted,
            Topic::Facts | Topic::Conversions | Topic::Refunds | Topic::Commissions => Retention::Forever,
        }
    }
}

/// A type that stands in a topic.
pub trait Record: Serialize + DeserializeOwned {
    /// A topic whose schema describes it.
    const TOPIC: Topic;
}

macro_rules! records {
    ($($type:ty => $topic:ident),* $(,)?) => {
        $(impl Record for $type { const TOPIC: Topic = Topic::$topic; })*
    };
}

records! {
    Click => Clicks,
    Track => Tracks,
    StripeEvent => StripeEvents,
    Config => Config,
    Person => People,
    Fact => Facts,
    Conversion => Conversions,
    Refund => Refunds,
    Commission => Commissions,
    DeadLetter => DeadLetters,
}
