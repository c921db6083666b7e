//! Waiting by polling with a deadline: the only way tests synchronise.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Calls `check` until it succeeds, and returns what it returned; after `deadline` fails with its last error.
pub async fn eventually<T, F, Fut>(what: &str, deadline: Duration, mut check: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let end = Instant::now() + deadline;
    let mut pause = FIRST_PAUSE;
    loop {
        let remaining = end.saturating_duration_since(Instant::now());
        let error = match tokio::time::timeout(remaining.max(FIRST_PAUSE), check()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => anyhow!("the check itself did not answer in time"),
        };
        if Instant::now() >= end {
            return Err(error.context(format!("{what}: not within {deadline:?}")));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::eventually;
    use std::cell::Cell;
    use std::time::Duration;

    #[tokio::test]
    async fn returns_the_first_success() {
        let calls = Cell::new(0);
        let value = eventually("three", Duration::from_secs(5), || {
            calls.set(calls.get() + 1);
            let call = calls.get();
            async move {
                anyhow::ensure!(call >= 3, "only {call}");
                Ok(call)
            }
        });
        assert_eq!(value.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn fails_with_the_last_error_and_the_name() {
        let never = eventually("the moon", Duration::from_millis(30), || async {
            anyhow::bail!("still dark");
            #[allow(unreachable_code)]
            Ok(())
        });
        let message = format!("{:#}", never.await.unwrap_err());
        assert!(
            message.contains("the moon") && message.contains("still dark"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn a_check_that_hangs_does_not_hang_the_test() {
        let hung = eventually(
            "an answer",
            Duration::from_millis(30),
            std::future::pending::<anyhow::Result<()>>,
        );
        assert!(hung.await.is_err());
    }
}
