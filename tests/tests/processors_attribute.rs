//! Attribute is exactly once: straight, with every crash point, with zombies, rebalances and brokers lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tributary_avro::{Fact, Topic};
use tributary_processors::kafka::log::{LogError, LogReader, Range};
use tributary_processors::runtime::health::Health;
use tributary_processors::{StageName, run_with};
use tributary_testkit::kafka_proxy::{Event, KafkaProxy};
use tributary_testkit::{eventually, is_stopped, shared};
use tributary_tests::counting::{CountingCore, expected, facts, settled};
use tributary_tests::stages::{Instance, Stages, lead};

const LONG: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn facts_become_rows_once_and_every_fact_has_a_verdict() -> Result<()> {
    let stages = Stages::create(shared().await?, "attribute", 4).await?;
    let mut all = facts(0, 3_000);
    all.extend(facts(2_500, 1_000));
    all.push(lead("w0", "poison", 1));
    stages.send_facts(&all).await?;
    stages
        .send(Topic::Facts, vec![(b"w0/live".to_vec(), b"not avro".to_vec())])
        .await?;
    let health = Health::default();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = tokio::spawn(run_with::<CountingCore>(
        stages.config.clone(),
        [StageName::Attribute].into(),
        async {
            stopped.await.ok();
        },
        health.clone(),
    ));
    all.pop();
    settled(&stages, &expected(&all)).await?;
    let counts = eventually("the counts", LONG, || async {
        let counts = health
            .snapshot()
            .get("attribute")
            .map(|stage| stage.counts.clone())
            .unwrap_or_default();
        ensure!(counts.values().sum::<i64>() == 4_002, "{counts:?}");
        Ok(counts)
    })
    .await?;
    assert_eq!(counts.get("facts.applied"), Some(&3_500));
    assert_eq!(counts.get("facts.duplicate"), Some(&500));
    assert_eq!(counts.get("facts.rejected"), Some(&2));
    let mut reasons: Vec<_> = stages
        .dead_letters()
        .await?
        .into_iter()
        .map(|letter| letter.reason)
        .collect();
    reasons.sort();
    assert_eq!(reasons, ["contradiction", "undecodable"]);
    stop.send(()).ok();
    run.await??;
    Ok(())
}

/// Starts an instance that dies at `point`, waits for that, then lets a second one (on the state directory
/// that the first left behind, or on an empty one) finish.
async fn crash_at(point: &str, keep_state: bool) -> Result<()> {
    let stages = Stages::create(shared().await?, "crash", 2).await?;
    let all = facts(0, 4_000);
    stages.send_facts(&all).await?;
    let mut first = stages.spawn(1, "attribute", &[("TRIBUTARY_CRASH_POINT", point)])?;
    has_ended(&mut first).await?;
    ensure!(first.log().contains("crash point reached"), "{}", first.log());
    let second = stages.spawn(if keep_state { 1 } else { 2 }, "attribute", &[])?;
    settled(&stages, &expected(&all)).await?;
    // A sentinel behind everything: had the second instance more to say, it would stand before it.
    let sentinel: Vec<Fact> = (0..6).map(|w| lead(&format!("w{w}"), "sentinel", -1)).collect();
    stages.send_facts(&sentinel).await?;
    let with_sentinel: Vec<Fact> = all.into_iter().chain(sentinel).collect();
    settled(&stages, &expected(&with_sentinel)).await?;
    second.stop()
}

macro_rules! crashes {
    ($($name:ident: $point:literal, $keep:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() -> Result<()> {
            crash_at($point, $keep).await
        }
    )*};
}

crashes! {
    killed_before_send: "attribute.before_send:2", true;
    killed_after_send: "attribute.after_send:2", true;
    killed_after_offsets: "attribute.after_offsets:2", true;
    killed_after_commit: "attribute.after_commit:2", true;
    killed_after_commit_and_the_disk_is_lost: "attribute.after_commit:2", false;
    killed_before_store_commit: "attribute.before_store_commit:2", true;
    killed_after_store_commit: "attribute.after_store_commit:2", true;
    killed_after_store_commit_and_the_disk_is_lost: "attribute.after_store_commit:3", false;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_with_flipped_bits_is_rebuilt() -> Result<()> {
    let stages = Stages::create(shared().await?, "damage", 2).await?;
    let mut all = facts(0, 3_000);
    stages.send_facts(&all).await?;
    let first = stages.spawn(1, "attribute", &[])?;
    settled(&stages, &expected(&all)).await?;
    first.stop()?;
    let damaged = Stages::damage_tables(&stages.instance(1).state_dir)?;
    ensure!(damaged > 0, "no tables");
    let more = facts(3_000, 3_000);
    stages.send_facts(&more).await?;
    all.extend(more);
    let second = stages.spawn(1, "attribute", &[])?;
    settled(&stages, &expected(&all)).await?;
    ensure!(second.log().contains("state store failed"), "{}", second.log());
    second.stop()
}

// What a broker that has just become the leader hands out: less than there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_ends_too_early_is_read_to_its_end() -> Result<()> {
    let stages = Stages::create(shared().await?, "short", 1).await?;
    let facts = facts(0, 20);
    let (early, late) = facts.split_at(15);
    stages.send_facts(early).await?;
    let settings = stages.config.kafka.clone();
    let topic = stages.topic(Topic::Facts);
    let (at_end, is_at_end) = tokio::sync::oneshot::channel();
    let reading = tokio::task::spawn_blocking(move || {
        let reader = LogReader::new(&settings)?;
        let (mut read, mut at_end) = (0, Some(at_end));
        let range = Range {
            topic: &topic,
            partition: 0,
            from: 0,
            to: 20,
        };
        reader.read::<LogError>(
            range,
            || false,
            |_| {
                read += 1;
                if read == 15
                    && let Some(at_end) = at_end.take()
                {
                    at_end.send(()).ok();
                }
                Ok(())
            },
        )?;
        anyhow::Ok(read)
    });
    is_at_end.await?;
    // Long enough for the reader to be told of the end, and to ask again.
    tokio::time::sleep(Duration::from_secs(1)).await;
    stages.send_facts(late).await?;
    ensure!(reading.await?? == 20, "not all of it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_shortened_ends_the_process() -> Result<()> {
    let stages = Stages::create(shared().await?, "shortened", 2).await?;
    let all = facts(0, 2_000);
    stages.send_facts(&all).await?;
    let first = stages.spawn(1, "attribute", &[])?;
    settled(&stages, &expected(&all)).await?;
    first.stop()?;
    stages.delete_before(Topic::Facts, &[5, 5]).await?;
    let mut second = stages.spawn(2, "attribute", &[])?;
    has_ended(&mut second).await?;
    ensure!(second.log().contains("data loss: "), "{}", second.log());
    // On the old disk it goes on: that has what is gone.
    let more = facts(2_000, 500);
    stages.send_facts(&more).await?;
    let third = stages.spawn(1, "attribute", &[])?;
    settled(&stages, &expected(&[all, more].concat())).await?;
    third.stop()
}

async fn has_ended(instance: &mut Instance) -> Result<()> {
    eventually("the end", Duration::from_secs(60), || {
        let ended = instance.has_ended();
        async move {
            ensure!(ended?, "still running");
            Ok(())
        }
    })
    .await
}

// A stop that comes while workers find out where to start: what was not taken yet must be given back all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_stopped_while_it_takes_partitions_ends() -> Result<()> {
    for stage in ["attribute", "join", "normalize"] {
        let stages = Stages::create(shared().await?, "taking", 6).await?;
        let mut instance = stages.spawn(1, stage, &[])?;
        let begun = Instant::now();
        while !instance.log().contains("partitions assigned") {
            ensure!(begun.elapsed() < LONG, "no partitions: {}", instance.log());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        instance.ask_to_stop();
        has_ended(&mut instance).await.with_context(|| stage)?;
        instance.stop()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_sweep() -> Result<()> {
    let mut stages = Stages::create(shared().await?, "sweep", 1).await?;
    stages.config.attribute.cases_per_transaction = 7;
    let all = facts(0, 1_000);
    stages.send_facts(&all).await?;
    let mut first = stages.spawn(
        1,
        "attribute",
        &[("TRIBUTARY_CRASH_POINT", "attribute.mid_sweep:5")],
    )?;
    eventually("the crash", LONG, || {
        let ended = first.has_ended();
        async move {
            ensure!(ended?, "still running");
            Ok(())
        }
    })
    .await?;
    let second = stages.spawn(1, "attribute", &[])?;
    settled(&stages, &expected(&all)).await?;
    second.stop()
}

/// Kafka's word for a producer that was fenced off, in the old and the new version of the protocol.
const FENCED: [i16; 2] = [47, 90];

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_that_wakes_after_a_rebalance_changes_nothing() -> Result<()> {
    let mut stages = Stages::create(shared().await?, "zombie", 2).await?;
    let rows = stages.topic(Topic::Conversions);
    let proxy = KafkaProxy::start(&stages.config.kafka.bootstrap, &rows).await?;
    stages.config.kafka.bootstrap = proxy.bootstrap();
    let mut all = facts(0, 4_000);
    stages.send_facts(&all).await?;
    let armed = [("TRIBUTARY_CRASH_POINT", "attribute.after_offsets:3:stop")];
    let zombie = stages.spawn(1, "attribute", &armed)?;
    eventually("the process to freeze", LONG, || async {
        ensure!(is_stopped(zombie.pid()), "{}", zombie.log());
        Ok(())
    })
    .await?;
    // It sleeps within a transaction: rows are in the log, and no reader of committed records may pass them.
    let open = proxy.open();
    assert!(!open.is_empty(), "{:#?}", proxy.log());
    let reader = LogReader::new(&stages.config.kafka)?;
    let mut blocked = 0;
    for (id, _) in &open {
        let partition = id.rsplit('-').next().unwrap().parse()?;
        blocked += usize::from(reader.settled(&rows, partition)?.is_none());
    }
    assert!(blocked > 0, "no rows are in the log: {open:?}");
    let heir = stages.spawn(2, "attribute", &[])?;
    settled(&stages, &expected(&all)).await?;
    let log = proxy.log();
    for (id, old) in &open {
        let taken = |event: &Event| matches!(event, Event::NewProducer { id: other, producer } if other == id && producer > old);
        assert!(log.iter().any(taken), "{id} was not taken over: {log:#?}");
    }
    let before = stages.read_raw(Topic::Conversions)?;
    zombie.signal("CONT")?;
    let refused = || {
        let late = |event: Event| match event {
            Event::Ended {
                id, producer, error, ..
            } if open.contains(&(id.clone(), producer)) => Some(error),
            _ => None,
        };
        let since = proxy.log().into_iter().skip(log.len());
        since.filter_map(late).collect::<Vec<_>>()
    };
    // Where the point was passed, the commit is the next call, and it knows nothing of the time that went by.
    eventually("the late commit to be refused", LONG, || async {
        ensure!(!refused().is_empty(), "{}", zombie.log());
        ensure!(
            zombie.log().contains("fenced off by another instance"),
            "{}",
            zombie.log()
        );
        Ok(())
    })
    .await?;
    assert!(
        refused().iter().all(|error| FENCED.contains(error)),
        "{:?}",
        refused()
    );
    assert_eq!(before, stages.read_raw(Topic::Conversions)?);
    // And it is of use again: both work, then it alone.
    let more = facts(6_000, 4_000);
    stages.send_facts(&more).await?;
    all.extend(more);
    settled(&stages, &expected(&all)).await?;
    heir.stop()?;
    let last = facts(10_000, 500);
    stages.send_facts(&last).await?;
    all.extend(last);
    settled(&stages, &expected(&all)).await?;
    zombie.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_to_three_instances_and_back_under_load() -> Result<()> {
    let stages = Stages::create(shared().await?, "rebalance", 6).await?;
    let mut all = Vec::new();
    let mut load = async |from: i64| -> Result<()> {
        for step in 0..4 {
            let some = facts(from + step * 1_000, 1_000);
            stages.send_facts(&some).await?;
            all.extend(some);
        }
        Ok(())
    };
    let first = stages.spawn(1, "attribute", &[])?;
    load(0).await?;
    let second = stages.spawn(2, "attribute", &[])?;
    let third = stages.spawn(3, "attribute", &[])?;
    load(10_000).await?;
    for instance in [&second, &third] {
        eventually("a share of the partitions", LONG, || async {
            ensure!(instance.log().contains("partitions assigned"), "none yet");
            Ok(())
        })
        .await?;
    }
    load(20_000).await?;
    second.stop()?;
    load(30_000).await?;
    third.signal("KILL")?;
    load(40_000).await?;
    settled(&stages, &expected(&all)).await?;
    first.stop()
}
