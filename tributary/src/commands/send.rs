//! `send`: plays a request file to a running edge, webhooks signed as Stripe does.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use tributary_domain::requests::sign;
use tributary_domain::simulate::Line;

use super::simulate::requests;
use crate::output;

const PATIENCE: u32 = 200;

/// Sends every line; 429 and 503 are tried again, as Stripe and every careful caller do.
pub async fn run(file: &Path, edge: &str, secret: Option<&Path>, concurrency: usize) -> Result<ExitCode> {
    let lines = requests(file)?;
    let secret = secret
        .map(std::fs::read_to_string)
        .transpose()
        .context("--stripe-secret")?;
    let secret = secret.as_deref().map(str::trim).unwrap_or_default().to_owned();
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(20))
        .build()?;
    let mut answers: BTreeMap<u16, u64> = BTreeMap::new();
    let mut retries = 0_u64;
    let sent = futures::stream::iter(lines.iter().enumerate()).map(|(i, line)| {
        let (client, secret) = (&client, secret.as_str());
        async move { (i, send(client, edge, secret, line).await) }
    });
    let mut sent = sent.buffered(concurrency.max(1));
    while let Some((i, result)) = sent.next().await {
        let (status, text, tried) = result.with_context(|| format!("request {}", i + 1))?;
        *answers.entry(status).or_default() += 1;
        retries += u64::from(tried);
        if status >= 400 {
            output::note(&format!("request {}: {status} {text}", i + 1));
        }
    }
    output::note(&format!(
        "{} requests: answers {answers:?}, {retries} tried again",
        lines.len()
    ));
    Ok(ExitCode::SUCCESS)
}

async fn send(client: &reqwest::Client, edge: &str, secret: &str, line: &Line) -> Result<(u16, String, u32)> {
    let method = reqwest::Method::from_bytes(line.method.as_bytes())?;
    let body = line.bytes();
    let mut tried = 0;
    loop {
        let mut request = client
            .request(method.clone(), format!("{edge}{}", line.path))
            .body(body.clone());
        for (name, value) in &line.headers {
            request = request.header(name, value);
        }
        if line.path.starts_with("/webhooks/stripe/") && !secret.is_empty() {
            let now = jiff::Timestamp::now().as_second();
            request = request.header("stripe-signature", sign(&body, secret.as_bytes(), now));
        }
        if !line.body.is_string() {
            request = request.header("content-type", "application/json");
        }
        match request.send().await {
            Ok(answer) if !matches!(answer.status().as_u16(), 429 | 503) || tried >= PATIENCE => {
                let status = answer.status().as_u16();
                return Ok((status, answer.text().await.unwrap_or_default(), tried));
            }
            // The edge may be starting again: an acknowledged request is never among these.
            Err(error) if tried >= PATIENCE => return Err(error.into()),
            Ok(_) | Err(_) => {
                tried += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
