//! Sends requests to the edge as careful callers do: what was not answered, or answered 503, is sent again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use tributary_domain::requests::sign;
use tributary_domain::simulate::Line;

use super::STRIPE_SECRET;
use crate::traffic::Sent;

const CONNECTIONS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(120);

/// Sends all, in about this order, and wants 200 for each. Gives the number of attempts beyond the first.
///
/// # Errors
/// If a request gets another answer, or none for minutes.
pub async fn send(edge: &str, lines: &[Sent]) -> Result<usize> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .build()?;
    let lines: Arc<Vec<Line>> = Arc::new(lines.iter().map(|(_, line)| line.clone()).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (client, edge, lines, next) = (
            client.clone(),
            edge.to_owned(),
            Arc::clone(&lines),
            Arc::clone(&next),
        );
        tasks.spawn(async move {
            let mut again = 0;
            while let Some(line) = lines.get(next.fetch_add(1, Ordering::Relaxed)) {
                again += one(&client, &edge, line).await?;
            }
            anyhow::Ok(again)
        });
    }
    let mut again = 0;
    while let Some(task) = tasks.join_next().await {
        again += task??;
    }
    Ok(again)
}

async fn one(client: &reqwest::Client, edge: &str, line: &Line) -> Result<usize> {
    let deadline = Instant::now() + PATIENCE;
    let mut again = 0;
    loop {
        match answer(client, edge, line).await {
            Ok((200, _)) => return Ok(again),
            Ok((status, text)) => ensure!(status == 503, "{status} {text} for {} {}", line.path, line.body),
            Err(error) => ensure!(Instant::now() < deadline, "no answer: {error:#}"),
        }
        ensure!(Instant::now() < deadline, "503 for {PATIENCE:?}");
        again += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One attempt: status and body of the answer.
///
/// # Errors
/// If there is no answer.
pub async fn answer(client: &reqwest::Client, edge: &str, line: &Line) -> Result<(u16, String)> {
    let method = reqwest::Method::from_bytes(line.method.as_bytes())?;
    let body = line.bytes();
    let headers: BTreeMap<&str, &str> = line
        .headers
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    let mut request = client.request(method, format!("{edge}{}", line.path));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if line.path.starts_with("/webhooks/stripe/") {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .context("clock")?
            .as_secs();
        request = request.header(
            "stripe-signature",
            sign(&body, STRIPE_SECRET.as_bytes(), i64::try_from(now)?),
        );
    }
    let answer = request
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await?;
    let status = answer.status().as_u16();
    Ok((status, answer.text().await?))
}
