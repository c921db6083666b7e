//! The scenarios of the rules a third time: all of them at once through the real pipeline, each in a workspace of its own,
//! with a crash of every role in the middle. `domain/tests/scenarios.rs` tells them in order, doubled and shuffled.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "../../domain/tests/world/story.rs"]
mod story;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest, Sha256};
use tributary_domain::simulate::Line;
use tributary_tests::pipeline::Pipeline;
use tributary_tests::pipeline::proof::exactly_once;
use tributary_tests::pipeline::role::Role;
use tributary_tests::pipeline::send::send;
use tributary_tests::traffic::{Sent, Traffic};

/// The key whose hash stands in each scenario's program file.
const KEY: &str = "dub_acme_demo_key";
/// The key of its site's pages.
const PUBLIC_KEY: &str = "dub_acme_public_key";
const PATIENCE: Duration = Duration::from_secs(120);

/// Keys, short domains and click IDs belong to one workspace each, so that every scenario gets its own.
fn traffic() -> Result<Traffic> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../domain/tests/scenarios");
    let files = story::files(&folder);
    let (mut workspaces, mut lines): (Vec<(String, String)>, Vec<Sent>) = (Vec::new(), Vec::new());
    let mut stories = Vec::new();
    for file in &files {
        stories.push((file, std::fs::read_to_string(file)?));
    }
    // A browser may not tell a time: what it tells here is of today, and of the story's day in the simulation.
    stories.retain(|(_, text)| !text.contains(PUBLIC_KEY));
    for (index, (file, text)) in stories.iter().enumerate() {
        let name = format!("story_{index}");
        let (key, domain) = (format!("dub_{name}"), format!("{index}.acme.test"));
        let hash = |key: &str| hex::encode(Sha256::digest(key));
        let yaml = story::block(text, "yaml").with_context(|| format!("{}: no program", file.display()))?;
        let yaml = yaml
            .replace("id: acme\n", &format!("id: {name}\n"))
            .replace("go.acme.test", &domain)
            .replace(&hash(KEY), &hash(&key));
        for line in story::block(text, "jsonl").unwrap_or_default().lines() {
            let line = line
                .replace("/webhooks/stripe/acme", &format!("/webhooks/stripe/{name}"))
                .replace("go.acme.test", &domain)
                .replace("Click000000", &format!("Click{index:06}"));
            let mut line: Line = serde_json::from_str(&line)?;
            line.headers
                .insert("authorization".to_owned(), format!("Bearer {key}"));
            lines.push((index, line));
        }
        workspaces.push((name, yaml));
    }
    Traffic::told(workspaces, lines)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_the_real_pipeline_with_a_crash_in_the_middle() -> Result<()> {
    let traffic = traffic()?;
    ensure!(
        traffic.programs.len() > 40,
        "{} scenarios",
        traffic.programs.len()
    );
    let expected = traffic.expected()?;
    let pipeline = Pipeline::start("scenarios", &traffic).await?;
    let ingest = pipeline.ingest().await?;
    let start = |name: &str, arguments: &[&str]| -> Result<Role> { pipeline.role(name, arguments, &[]) };
    let mut roles = vec![start("process", &["process"])?, start("sink", &["sink"])?];
    // Every other request first, so that each story is cut in pieces.
    let (first, second): (Vec<_>, Vec<_>) = traffic
        .lines
        .iter()
        .cloned()
        .enumerate()
        .partition(|(i, _)| i % 2 == 0);
    let lines = |half: Vec<(usize, Sent)>| half.into_iter().map(|(_, sent)| sent).collect::<Vec<_>>();
    send(&pipeline.edge, &lines(first)).await?;
    // So that the crash finds facts and rows of the first half, and others still on their way.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for role in &roles {
        role.kill9()?;
    }
    send(&pipeline.edge, &lines(second)).await?;
    // The days of the stories that ask what a day held: each is closed after what the one before changed.
    pipeline.run(&["close-days", "--from", "2026-09-01", "--until", "2026-09-04"])?;
    exactly_once(&pipeline, &expected, PATIENCE).await?;
    roles.push(ingest);
    pipeline.finish(roles).await
}
