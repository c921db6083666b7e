//! normalize and join: every claim reaches `facts`, meets its click in either order, and only its own
//! workspace's; bad records become dead letters; kills lose nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use tributary_avro::{Body, Click, Config, Fact, Topic, Track};
use tributary_domain::click_id;
use tributary_testkit::{eventually, shared};
use tributary_tests::stages::{Instance, Stages};

const LONG: Duration = Duration::from_secs(120);
const WORKSPACE: &str = r#"{"id": "acme", "modes": ["live"]}"#;

fn click(number: u64, workspace: &str) -> Click {
    let at = 1_750_000_000_000 + number.cast_signed();
    Click {
        id: click_id::new(at, number),
        workspace: workspace.to_owned(),
        mode: "live".to_owned(),
        at,
        link_id: format!("l_{}", number % 7),
        country: "DE".to_owned(),
        ..Click::default()
    }
}

fn track(number: u64, click: &Click) -> Track {
    Track {
        id: format!("call_{number}"),
        workspace: "acme".to_owned(),
        mode: "live".to_owned(),
        kind: "lead".to_owned(),
        at: click.at + 1_000,
        trust: "server".to_owned(),
        click_id: click.id.clone(),
        customer_external_id: format!("user_{number}"),
        event_name: "Sign up".to_owned(),
        event_quantity: 1,
        ..Track::default()
    }
}

async fn send_clicks(stages: &Stages, clicks: &[Click]) -> Result<()> {
    let encoder = stages.encoder::<Click>(Topic::Clicks).await?;
    let records = clicks
        .iter()
        .map(|click| Ok((click.id.clone().into_bytes(), encoder.encode(click)?)));
    stages.send(Topic::Clicks, records.collect::<Result<_>>()?).await
}

async fn send_tracks(stages: &Stages, tracks: &[Track]) -> Result<()> {
    let encoder = stages.encoder::<Track>(Topic::Tracks).await?;
    let records = tracks.iter().map(|track| {
        let key = format!("{}/{}", track.workspace, track.mode);
        Ok((key.into_bytes(), encoder.encode(track)?))
    });
    stages.send(Topic::Tracks, records.collect::<Result<_>>()?).await
}

async fn declare(stages: &Stages) -> Result<()> {
    let encoder = stages.encoder::<Config>(Topic::Config).await?;
    let config = Config {
        workspace: "acme".to_owned(),
        kind: "workspace".to_owned(),
        id: "acme".to_owned(),
        at: 1_700_000_000_000,
        modes: vec!["live".to_owned()],
        document: WORKSPACE.to_owned(),
        ..Config::default()
    };
    let key = b"acme/workspace/acme".to_vec();
    stages
        .send(Topic::Config, vec![(key, encoder.encode(&config)?)])
        .await
}

/// The IDs of the click facts and the customers of the leads in `facts`.
async fn facts(stages: &Stages) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let (mut clicks, mut leads) = (BTreeSet::new(), BTreeSet::new());
    for fact in stages.read_readable::<Fact>(Topic::Facts).await? {
        match fact.body {
            Body::Click(click) => {
                clicks.insert(click.click_id);
            }
            Body::Lead(lead) => {
                leads.insert(lead.customer.external_id);
            }
            _ => {}
        }
    }
    Ok((clicks, leads))
}

async fn joined(stages: &Stages, clicks: &[Click], leads: usize) -> Result<()> {
    let expected: BTreeSet<String> = clicks.iter().map(|click| click.id.clone()).collect();
    eventually("the facts", LONG, || async {
        let (found, told) = facts(stages).await?;
        ensure!(
            found == expected,
            "{} of {} click facts",
            found.len(),
            expected.len()
        );
        ensure!(told.len() == leads, "{} of {leads} leads", told.len());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_meet_their_clicks_in_any_order_and_over_restarts() -> Result<()> {
    let stages = Stages::create(shared().await?, "join", 3).await?;
    declare(&stages).await?;
    let own: Vec<Click> = (0..300).map(|n| click(n, "acme")).collect();
    let foreign = click(1_000, "other");
    let tracks: Vec<Track> = own
        .iter()
        .chain([&foreign])
        .zip(0..)
        .map(|(click, number)| track(number, click))
        .collect();
    let (early, late) = own.split_at(150);
    send_clicks(&stages, early).await?;
    send_clicks(&stages, std::slice::from_ref(&foreign)).await?;
    let first = stages.spawn(1, "normalize,join", &[])?;
    send_tracks(&stages, &tracks).await?;
    joined(&stages, early, tracks.len()).await?;
    // The rest waits on disk, over a clean stop and a kill.
    first.stop()?;
    let second = stages.spawn(1, "normalize,join", &[])?;
    let (late_a, late_b) = late.split_at(75);
    send_clicks(&stages, late_a).await?;
    joined(&stages, &[early, late_a].concat(), tracks.len()).await?;
    second.signal("KILL")?;
    drop(second);
    let third = stages.spawn(1, "normalize,join", &[])?;
    send_clicks(&stages, late_b).await?;
    joined(&stages, &own, tracks.len()).await?;
    third.stop()?;
    // An empty disk is rebuilt from the log.
    let more: Vec<Track> = own
        .iter()
        .zip(5_000..)
        .map(|(click, n)| track(n, click))
        .collect();
    send_tracks(&stages, &more).await?;
    let fourth = stages.spawn(2, "normalize,join", &[])?;
    joined(&stages, &own, tracks.len() + more.len()).await?;
    fourth.stop()
}

/// What the position files of an instance say of clicks and claims, by partition.
fn positions(stages: &Stages, number: usize) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for partition in std::fs::read_dir(stages.instance(number).state_dir.join("join"))? {
        for version in std::fs::read_dir(partition?.path())? {
            found.extend(std::fs::read_to_string(version?.path().join("position")));
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_in_memory_behind_clicks_on_disk_survive_a_kill() -> Result<()> {
    let mut stages = Stages::create(shared().await?, "behind", 2).await?;
    // Every batch of clicks is written, and no claim ever.
    stages.config.join.write_bytes = 1;
    stages.config.join.write_claims = 1_000_000;
    stages.config.join.write_ms = 600_000;
    declare(&stages).await?;
    let clicks: Vec<Click> = (0..100).map(|n| click(n, "acme")).collect();
    let tracks: Vec<Track> = clicks.iter().zip(0..).map(|(c, n)| track(n, c)).collect();
    let (early, late) = clicks.split_at(50);
    let first = stages.spawn(1, "normalize,join", &[])?;
    send_tracks(&stages, &tracks).await?;
    joined(&stages, &[], tracks.len()).await?;
    send_clicks(&stages, early).await?;
    joined(&stages, early, tracks.len()).await?;
    eventually("clicks without their claims on disk", LONG, || async {
        let found = positions(&stages, 1)?;
        let clicks = |text: &String| text.split_once(" -1 ")?.0.parse::<usize>().ok();
        let written: usize = found.iter().filter_map(clicks).sum();
        ensure!(written == early.len(), "{found:?}");
        Ok(())
    })
    .await?;
    first.signal("KILL")?;
    drop(first);
    let second = stages.spawn(1, "normalize,join", &[])?;
    send_clicks(&stages, late).await?;
    joined(&stages, &clicks, tracks.len()).await?;
    second.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_told_again_by_another_workspace_stays_what_it_is() -> Result<()> {
    // On disk, and in memory.
    for write_ms in [1, 600_000] {
        let mut stages = Stages::create(shared().await?, "again", 2).await?;
        stages.config.join.write_ms = write_ms;
        declare(&stages).await?;
        let own: Vec<Click> = (0..20).map(|n| click(n, "acme")).collect();
        let foreign: Vec<Click> = (0..20).map(|n| click(n, "other")).collect();
        send_clicks(&stages, &own).await?;
        let instance = stages.spawn(1, "normalize,join", &[])?;
        // Time for the first to be read, and written where they are, before the others come.
        tokio::time::sleep(Duration::from_millis(500)).await;
        send_clicks(&stages, &foreign).await?;
        let tracks: Vec<Track> = own.iter().zip(0..).map(|(c, n)| track(n, c)).collect();
        send_tracks(&stages, &tracks).await?;
        joined(&stages, &own, tracks.len()).await?;
        instance.stop()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_away_for_longer_than_claims_are_kept_is_read_again() -> Result<()> {
    let stages = Stages::create(shared().await?, "away", 2).await?;
    declare(&stages).await?;
    let clicks: Vec<Click> = (0..80).map(|n| click(n, "acme")).collect();
    let tracks: Vec<Track> = clicks.iter().zip(0..).map(|(c, n)| track(n, c)).collect();
    let tell = async |range: std::ops::Range<usize>| -> Result<()> {
        send_clicks(&stages, &clicks[range.clone()]).await?;
        send_tracks(&stages, &tracks[range.clone()]).await?;
        joined(&stages, &clicks[..range.end], range.end).await
    };
    let first = stages.spawn(1, "normalize,join", &[])?;
    tell(0..20).await?;
    first.stop()?;
    let other = stages.spawn(2, "normalize,join", &[])?;
    tell(20..40).await?;
    other.stop()?;
    let ends = |stages: &Stages| -> Result<Vec<i64>> {
        let mut ends = vec![0; 2];
        for (partition, offset, _) in stages.read_raw(Topic::Claims)? {
            ends[usize::try_from(partition)?] = offset + 1;
        }
        Ok(ends)
    };
    stages.delete_before(Topic::Claims, &ends(&stages)?).await?;
    // All that is gone was read by the other.
    let back = stages.spawn(1, "normalize,join", &[])?;
    tell(40..60).await?;
    ensure!(back.log().contains("the logs start later"), "{}", back.log());
    back.stop()?;
    // Nobody has read these.
    let normalize = stages.spawn(3, "normalize", &[])?;
    let before = ends(&stages)?;
    send_tracks(&stages, &tracks[60..]).await?;
    eventually("the claims", LONG, || async {
        let ends = ends(&stages)?;
        let came: i64 = ends.iter().zip(&before).map(|(end, before)| end - before).sum();
        ensure!(came == 20, "{ends:?}");
        Ok(())
    })
    .await?;
    normalize.stop()?;
    stages.delete_before(Topic::Claims, &ends(&stages)?).await?;
    // With and without a disk; and when the broker does not know the group any more.
    for is_forgotten in [false, true] {
        if is_forgotten {
            stages.forget_group("join").await?;
        }
        for number in [1, 4] {
            let mut lost = stages.spawn(number, "join", &[])?;
            ended(&mut lost).await?;
            let told = if is_forgotten {
                "nobody knows where"
            } else {
                "data loss: "
            };
            ensure!(lost.log().contains(told), "{}", lost.log());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_with_flipped_bits_are_read_again() -> Result<()> {
    let stages = Stages::create(shared().await?, "flipped", 1).await?;
    declare(&stages).await?;
    let clicks: Vec<Click> = (0..100).map(|n| click(n, "acme")).collect();
    let tracks: Vec<Track> = clicks.iter().zip(0..).map(|(c, n)| track(n, c)).collect();
    send_clicks(&stages, &clicks).await?;
    let first = stages.spawn(1, "normalize,join", &[])?;
    send_tracks(&stages, &tracks[..10]).await?;
    joined(&stages, &clicks[..10], 10).await?;
    first.stop()?;
    ensure!(
        Stages::damage_tables(&stages.instance(1).state_dir)? > 0,
        "no tables"
    );
    send_tracks(&stages, &tracks[10..]).await?;
    // It ends with an error, and heals when its supervisor starts it again.
    let mut second = stages.spawn(1, "normalize,join", &[])?;
    ended(&mut second).await?;
    ensure!(second.log().contains("clicks are damaged"), "{}", second.log());
    let third = stages.spawn(1, "normalize,join", &[])?;
    joined(&stages, &clicks, tracks.len()).await?;
    third.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_records_become_dead_letters_and_the_stages_go_on() -> Result<()> {
    let stages = Stages::create(shared().await?, "dead", 2).await?;
    declare(&stages).await?;
    let instance = stages.spawn(1, "normalize,join,attribute", &[])?;
    let good = click(1, "acme");
    let mut unknown = track(2, &good);
    unknown.workspace = "nobody".to_owned();
    let bad = |bytes: &[u8]| vec![(b"k".to_vec(), bytes.to_vec())];
    stages.send(Topic::Tracks, bad(b"{\"json\": 1}")).await?;
    stages
        .send(Topic::Tracks, bad(&[0, 0, 0xff, 0xff, 0xff, 1]))
        .await?;
    stages.send(Topic::Claims, bad(&[0xc3, 0x28])).await?;
    stages.send(Topic::Clicks, bad(b"whatever")).await?;
    stages.send(Topic::Facts, bad(b"whatever")).await?;
    send_tracks(&stages, &[unknown]).await?;
    send_clicks(&stages, std::slice::from_ref(&good)).await?;
    send_tracks(&stages, &[track(1, &good)]).await?;
    joined(&stages, &[good], 1).await?;
    eventually("the dead letters", LONG, || async {
        let letters = stages.dead_letters().await?;
        let mut found: Vec<_> = letters
            .iter()
            .map(|letter| (letter.stage.as_str(), letter.reason.as_str()))
            .collect();
        found.sort_unstable();
        ensure!(
            found
                == [
                    ("attribute", "undecodable"),
                    ("join", "invalid_click_id"),
                    ("join", "undecodable"),
                    ("normalize", "undecodable"),
                    ("normalize", "unknown_schema_id"),
                    ("normalize", "unknown_workspace"),
                ],
            "{found:?}"
        );
        ensure!(
            letters.iter().any(|letter| letter.value == b"{\"json\": 1}"),
            "the original bytes"
        );
        Ok(())
    })
    .await?;
    instance.stop()
}

async fn ended(instance: &mut Instance) -> Result<()> {
    let deadline = std::time::Instant::now() + LONG;
    while !instance.has_ended()? {
        ensure!(std::time::Instant::now() < deadline, "still running");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_every_point_of_normalize_and_join_lose_nothing() -> Result<()> {
    for point in [
        "normalize.before_send",
        "normalize.after_send",
        "normalize.before_commit",
        "join.before_send",
        "join.after_send",
        "join.before_store",
        "join.after_store",
    ] {
        let stages = Stages::create(shared().await?, "joinkill", 2).await?;
        declare(&stages).await?;
        let clicks: Vec<Click> = (0..200).map(|n| click(n, "acme")).collect();
        let tracks: Vec<Track> = clicks.iter().zip(0..).map(|(c, n)| track(n, c)).collect();
        send_clicks(&stages, &clicks).await?;
        send_tracks(&stages, &tracks).await?;
        let mut first = stages.spawn(1, "normalize,join", &[("TRIBUTARY_CRASH_POINT", point)])?;
        ended(&mut first).await?;
        ensure!(
            first.log().contains("crash point reached"),
            "{point}: {}",
            first.log()
        );
        let second = stages.spawn(1, "normalize,join", &[])?;
        joined(&stages, &clicks, tracks.len()).await?;
        second.stop()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_the_wrong_partition_count_stops_the_process_with_a_clear_error() -> Result<()> {
    let mut stages = Stages::create(shared().await?, "counts", 2).await?;
    stages.config.topics.facts_partitions = 3;
    let mut instance = stages.spawn(1, "attribute", &[])?;
    ended(&mut instance).await?;
    let log = instance.log();
    let facts = stages.topic(Topic::Facts);
    ensure!(
        log.contains(&format!("topic {facts} has 2 partitions, expected 3")),
        "{log}"
    );
    Ok(())
}
