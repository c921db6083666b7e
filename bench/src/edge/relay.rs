//! `POST /webhooks/stripe/{workspace}`: events of 3 kB with Stripe's signature.
//!
//! They are signed before each round: a signature is good for five minutes, and signing would take more of wrk's time
//! than sending.

use std::path::Path;

use anyhow::Result;
use tributary_domain::requests::sign;

use super::load::write_requests;
use crate::ground::Ground;
use crate::random::{mix, text};
use crate::streams::now;

const WORKSPACE: &str = "bench";
const SECRET: &str = "whsec_bench";
const INVOICE_PAID: &str = include_str!("invoice_paid.json");
const EVENTS: u64 = 20_000;
/// Path of the webhook.
pub const PATH: &str = "/webhooks/stripe/bench";

/// Gives the workspace its secret.
pub fn write_secret(ground: &Ground) -> Result<()> {
    let dir = ground.path("secrets").join(WORKSPACE);
    std::fs::create_dir_all(&dir)?;
    Ok(std::fs::write(dir.join("stripe"), SECRET)?)
}

/// Writes events for wrk, signed now.
pub fn write_events(file: &Path) -> Result<()> {
    let seconds = now() / 1_000;
    let request = |number| {
        let body = event(number, seconds);
        let signature = sign(body.as_bytes(), SECRET.as_bytes(), seconds);
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: edge.bench.test\r\nUser-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\n\
             Accept: */*; q=0.5, application/xml\r\nCache-Control: no-cache\r\nContent-Type: application/json; charset=utf-8\r\n\
             Stripe-Signature: {signature}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    write_requests(file, (0..EVENTS).map(request))
}

/// A paid invoice of one line.
fn event(number: u64, seconds: i64) -> String {
    INVOICE_PAID
        .replace("$ID", &format!("1{}", text(mix(number), 23)))
        .replace("$NUMBER", &format!("{number:06}"))
        .replace("$TOTAL", &(1_900 + number % 50 * 100).to_string())
        .replace("$SECONDS", &seconds.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    #[test]
    fn an_event_is_json_of_three_kilobytes() {
        let text = super::event(7, 1_790_000_000);
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["data"]["object"]["total"], 2_600);
        assert!((2_900..3_300).contains(&text.len()), "{}", text.len());
    }
}
