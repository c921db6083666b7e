//! Looks for rows in ClickHouse with small queries, and notes when each is there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use std::sync::Arc;

/// The largest error that looking adds.
const LOOK: Duration = Duration::from_millis(20);
/// IDs in one query.
const AT_ONCE: usize = 500;

#[derive(Default)]
struct Inner {
    waiting: HashMap<String, Instant>,
    millis: Vec<f64>,
}

/// What was accepted and not seen yet, and how long what was seen took.
#[derive(Default)]
pub struct Pending(Mutex<Inner>);

impl Pending {
    /// An ID was accepted just now.
    pub fn add(&self, id: String) {
        self.lock().waiting.insert(id, Instant::now());
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// The latencies so far, in milliseconds; forgets them, and whoever still waits.
    pub fn take(&self) -> Vec<f64> {
        std::mem::take(&mut *self.lock()).millis
    }

    fn some(&self) -> Vec<String> {
        self.lock().waiting.keys().take(AT_ONCE).cloned().collect()
    }

    fn seen(&self, ids: &str) {
        let now = Instant::now();
        let mut inner = self.lock();
        for id in ids.lines() {
            if let Some(since) = inner.waiting.remove(id) {
                inner.millis.push(now.duration_since(since).as_secs_f64() * 1e3);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for clicks by their ID.
pub async fn clicks(url: String, pending: Arc<Pending>) {
    look(url, pending, |ids| {
        format!("SELECT id FROM tributary.clicks WHERE at > now() - INTERVAL 2 MINUTE AND id IN ({ids})")
    })
    .await;
}

/// Looks for attributed sales by their object.
pub async fn sales(url: String, pending: Arc<Pending>) {
    look(url, pending, |ids| {
        format!(
            "SELECT DISTINCT object FROM tributary.conversions WHERE at > now() - INTERVAL 2 MINUTE AND kind = 'sale' \
             AND attributed_by = 'click' AND object IN ({ids})"
        )
    })
    .await;
}

async fn look(url: String, pending: Arc<Pending>, query: impl Fn(&str) -> String) {
    let client = reqwest::Client::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let ids = pending.some();
        if ids.is_empty() {
            continue;
        }
        let list: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
        let Ok(answer) = client.post(&url).body(query(&list.join(","))).send().await else {
            continue;
        };
        if answer.status().is_success()
            && let Ok(found) = answer.text().await
        {
            pending.seen(&found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_is_timed_once() {
        let pending = Pending::default();
        pending.add("a".into());
        pending.add("b".into());
        pending.seen("b\nc\nb\n");
        assert_eq!(pending.waiting(), 1);
        assert_eq!(pending.take().len(), 1);
        assert_eq!((pending.waiting(), pending.take().len()), (0, 0));
    }
}
