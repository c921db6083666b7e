//! `simulate`: requests of the sample story, many customers' worth, through the whole pipeline in memory on one core.
//!
//! The story is told again and again with other customers, payments and clicks; each copy must lead to the same entries.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use tributary_domain::mail::MailKey;
use tributary_domain::rules;
use tributary_domain::simulate::{Line, Simulation};

use crate::figures::{decimal, figure};

/// Options of `simulate`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Folder of the story.
    #[arg(long, default_value = "examples/acme")]
    story: PathBuf,
    /// How often it is told.
    #[arg(long, default_value_t = 1_500)]
    copies: usize,
    /// Webhooks are filled up to so many bytes, with fields that nobody reads: Stripe's have more than the story's.
    #[arg(long, default_value_t = 3_000)]
    webhook_bytes: usize,
}

/// Beginnings of IDs that differ from copy to copy. Products, promotion codes and coupons are the shop's own.
const OWN: [&str; 14] = [
    "in_", "cs_", "pi_", "ch_", "py_", "re_", "sub_", "cus_", "evt_", "inpay_", "du_", "user_", "li_", "BANK",
];

/// Runs the benchmark.
pub fn run(options: &Options) -> Result<bool> {
    let read = |name: &str| {
        let file = options.story.join(name);
        std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))
    };
    let program = rules::parse(&read("program.yaml")?).map_err(|problems| anyhow!("{problems:?}"))?;
    let story = read("requests.jsonl")?;
    let mut lines: Vec<Line> = Vec::new();
    for copy in 0..options.copies {
        for line in story.lines() {
            let mut line: Line = serde_json::from_str(&renamed(line, copy))?;
            fill(&mut line, options.webhook_bytes);
            lines.push(line);
        }
    }
    let bytes: usize = lines.iter().map(|line| line.bytes().len()).sum();
    let webhooks = lines.iter().filter(|line| is_webhook(line)).count();
    let mut simulation = Simulation::new(&program, MailKey::new("bench"), 0)?;
    let begin = Instant::now();
    for line in &lines {
        simulation.request(line)?;
    }
    let entries = simulation.ledger()?.len();
    let seconds = begin.elapsed().as_secs_f64();
    let mut once = Simulation::new(&program, MailKey::new("bench"), 0)?;
    for line in lines.iter().take(story.lines().count()) {
        once.request(line)?;
    }
    let expected = once.ledger()?.len() * options.copies;
    figure("simulate.requests", lines.len(), "requests");
    figure("simulate.mean_body", bytes / lines.len().max(1), "bytes");
    figure("simulate.webhooks", webhooks, "requests");
    decimal("simulate.rate", lines.len() as f64 / seconds, 0, "requests/s");
    decimal(
        "simulate.cpu",
        seconds * 1e6 / lines.len().max(1) as f64,
        1,
        "us/request",
    );
    figure("simulate.entries", entries, "entries");
    ensure!(entries == expected, "{entries} entries, {expected} expected");
    figure("simulate.check", "ok", "-");
    Ok(true)
}

fn is_webhook(line: &Line) -> bool {
    line.path.starts_with("/webhooks/")
}

/// Adds fields as Stripe's objects have them, of every kind of value, until the body is as long as it should be.
fn fill(line: &mut Line, bytes: usize) {
    let mut length = line.bytes().len();
    if !is_webhook(line) {
        return;
    }
    let Some(object) = line
        .body
        .pointer_mut("/data/object")
        .and_then(|o| o.as_object_mut())
    else {
        return;
    };
    for number in 0.. {
        if length >= bytes {
            return;
        }
        let value = serde_json::json!({
            "object": "extra", "livemode": true, "amount": number * 137, "description": null,
            "url": "https://api.stripe.test/v1/extras?limit=10", "data": [1, 2, 3], "type": "some_words_here",
        });
        let name = format!("extra_{number}");
        length += name.len() + value.to_string().len() + 4;
        object.insert(name, value);
    }
}

/// The line with the IDs, addresses and clicks of another customer.
fn renamed(line: &str, copy: usize) -> String {
    let mut out = String::with_capacity(line.len() + 200);
    let mut rest = line;
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    while let Some(start) = rest.find(is_word) {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let end = from.find(|c| !is_word(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        let click = word.trim_start_matches("dub_id_");
        let is_address =
            after.starts_with('@') || (after.starts_with('+') && word.chars().all(char::is_alphabetic));
        if click.len() == 16 && click.contains("Click") {
            let prefix = word.len() - click.len() + 3;
            let (begin, last) = (word.get(..prefix), word.get(word.len() - 2..));
            out.push_str(&format!(
                "{}{copy:011}{}",
                begin.unwrap_or_default(),
                last.unwrap_or_default()
            ));
        } else if OWN.iter().any(|own| word.starts_with(own)) || is_address {
            out.push_str(&format!("{word}x{copy}"));
        } else {
            out.push_str(word);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}
