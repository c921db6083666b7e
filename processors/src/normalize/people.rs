//! Names and addresses into topic people, beside the facts.
//!
//! Invariant: what a statement of before a customer's erasure shows is never written again.

use std::sync::Arc;

use anyhow::Result;
use tributary_avro::{Encoder, Person, Topic};
use tributary_domain::normalize::{Shown, person_key};
use xxhash_rust::xxh3::xxh3_64;

use crate::kafka::Settings;
use crate::registry::Registry;
use crate::runtime::outbox::Outbox;

/// Customers whose latest statement a worker remembers.
const REMEMBERED: usize = 4_096;

/// Writes to topic people.
pub(super) struct People {
    topic: String,
    encoder: Arc<Encoder<Person>>,
}

impl People {
    pub(super) async fn new(settings: &Settings, registry: &Registry) -> Result<Self> {
        Ok(Self {
            topic: settings.topic(Topic::People),
            encoder: registry.encoder(Topic::People).await?,
        })
    }

    /// Writes a statement that is news; `erased` is when the customer was, if ever.
    pub(super) fn tell(
        &self,
        shown: &Shown,
        erased: Option<i64>,
        latest: &mut Latest,
        outbox: &Outbox,
    ) -> Result<()> {
        let person = &shown.person;
        let key = person_key(&person.workspace, &person.mode, &person.customer);
        let what = if shown.deleted {
            // A repeat costs little here, and what was deleted may be shown again by the same words.
            latest.forget(&key);
            outbox.tombstone(&self.topic, key.as_bytes())?;
            "deleted"
        } else if erased.is_some_and(|until| person.at <= until) {
            "erased"
        } else if !latest.is_news(&key, person, erased) {
            "repeated"
        } else {
            outbox.send(&self.topic, key.as_bytes(), &self.encoder.encode(person)?, None)?;
            "shown"
        };
        metrics::counter!("tributary_normalize_people_total", "what" => what).increment(1);
        Ok(())
    }
}

/// The latest statement about each of the customers that came last, as hashes: a repeat is not worth a record.
///
/// A customer has one place, which the next one with the same place takes over.
pub(super) struct Latest(Vec<(u64, u64)>);

impl Default for Latest {
    fn default() -> Self {
        Self(vec![(0, 0); REMEMBERED])
    }
}

impl Latest {
    fn place(&mut self, key: &str) -> (u64, Option<&mut (u64, u64)>) {
        let hash = xxh3_64(key.as_bytes());
        (hash, self.0.get_mut(hash as usize % REMEMBERED))
    }

    /// Whether this differs from the latest statement about the customer. Since an erasure everything is news.
    fn is_news(&mut self, key: &str, person: &Person, erased: Option<i64>) -> bool {
        let texts = [&person.name, &person.email, &person.avatar];
        // Lengths, so that text cannot wander from one field into the next.
        let mut told: Vec<u8> = erased.unwrap_or_default().to_be_bytes().to_vec();
        for text in texts {
            told.extend_from_slice(&(text.len() as u64).to_be_bytes());
            told.extend_from_slice(text.as_bytes());
        }
        let (key, place) = self.place(key);
        let latest = (key, xxh3_64(&told));
        place.is_none_or(|place| std::mem::replace(place, latest) != latest)
    }

    fn forget(&mut self, key: &str) {
        if let (_, Some(place)) = self.place(key) {
            *place = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_no_news_until_something_came_between() {
        let person = |name: &str, email: &str| Person {
            name: name.to_owned(),
            email: email.to_owned(),
            ..Person::default()
        };
        let mut latest = Latest::default();
        let mut news = |key: &str, name: &str, email: &str, erased: Option<i64>| {
            latest.is_news(key, &person(name, email), erased)
        };
        assert!(news("a", "Ada", "", None));
        assert!(!news("a", "Ada", "", None));
        assert!(news("b", "Ada", "", None));
        assert!(news("a", "", "Ada", None));
        assert!(news("a", "Ada", "", None), "it is the latest again");
        assert!(news("a", "Ada", "", Some(7)), "what was written is gone");
        assert!(!news("a", "Ada", "", Some(7)));
        latest.forget("a");
        assert!(latest.is_news("a", &person("Ada", ""), Some(7)));
    }

    #[test]
    fn memory_is_bounded_and_doubt_is_news() {
        let mut latest = Latest::default();
        for round in 0..2 {
            let told = (0..3 * REMEMBERED)
                .filter(|i| latest.is_news(&format!("c{i}"), &Person::default(), None))
                .count();
            assert!(told > 2 * REMEMBERED, "round {round}: {told}");
        }
        assert_eq!(latest.0.len(), REMEMBERED);
    }
}
