//! Commits whose outcome the process cannot know: done and reported as failed, or not done and arriving late. The proxy
//! makes them so, in transactions with rows, and its log proves it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tributary_avro::Topic;
use tributary_processors::kafka::log::LogReader;
use tributary_processors::runtime::health::Health;
use tributary_processors::{StageName, run_with};
use tributary_testkit::kafka_proxy::{Delivered, Event, Fault, KafkaProxy, Producer, Told};
use tributary_testkit::{eventually, shared};
use tributary_tests::counting::{CountingCore, expected, facts, settled};
use tributary_tests::stages::Stages;

const LONG: Duration = Duration::from_secs(60);
/// Kafka's word for a producer that was fenced off, in the old and the new version of the protocol.
const FENCED: [i16; 2] = [47, 90];
/// Errors that say nothing of the outcome: one after which librdkafka would abort, one that is fatal to it.
const UNKNOWN_SERVER_ERROR: i16 = -1;
const INVALID_TXN_STATE: i16 = 48;
/// `AddPartitionsToTxn`, `AddOffsetsToTxn`, `EndTxn`, `TxnOffsetCommit`.
const OF_TRANSACTIONS: [i16; 4] = [24, 25, 26, 28];

fn fault(delivered: Delivered, told: Told) -> Fault {
    Fault { delivered, told }
}

fn partition(id: &str) -> i32 {
    id.rsplit('-').next().unwrap().parse().unwrap()
}

/// Transactional ID and producer.
type Sender = (String, Producer);

/// The commits that were done although the process was told nothing or an error, and those that were held back.
fn harmed(log: &[Event]) -> (Vec<Sender>, Vec<Sender>) {
    let (mut done, mut held) = (Vec::new(), Vec::new());
    for event in log {
        match event {
            Event::Ended {
                id,
                producer,
                commit: true,
                rows: true,
                error: 0,
                told,
            } if *told != Told::Truth => {
                done.push((id.clone(), *producer));
            }
            Event::Held { id, producer, .. } => held.push((id.clone(), *producer)),
            _ => {}
        }
    }
    (done, held)
}

fn is_harm(event: &Event, id: &str, by: Producer) -> bool {
    let (done, held) = harmed(std::slice::from_ref(event));
    done.iter()
        .chain(&held)
        .any(|(other, producer)| other == id && *producer == by)
}

/// No producer went on after a commit of unknown outcome, and commits that came late were refused.
fn proved(log: &[Event]) -> Result<()> {
    let (done, held) = harmed(log);
    for (id, old) in done.iter().chain(&held) {
        let after = log.iter().skip_while(|event| !is_harm(event, id, *old)).skip(1);
        let new = |event: &Event| matches!(event, Event::NewProducer { id: other, producer } if other == id && producer > old);
        let went_on = |event: &Event| matches!(event, Event::Ended { id: other, producer, .. } if other == id && producer == old);
        let mut taken = false;
        for event in after {
            ensure!(!went_on(event), "{id}: {old:?} went on");
            taken |= new(event);
        }
        ensure!(taken, "{id}: no producer after {old:?}");
    }
    for (id, old) in &held {
        let refused = |event: &Event| {
            matches!(event, Event::Late { id: other, producer, during, error }
                if other == id && producer == old && during > old && FENCED.contains(error))
        };
        ensure!(
            log.iter().any(refused),
            "{id}: the late commit of {old:?} was not refused"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_reported_as_failed_or_arriving_late_change_nothing() -> Result<()> {
    let mut stages = Stages::create(shared().await?, "commits", 3).await?;
    let rows = stages.topic(Topic::Conversions);
    let proxy = KafkaProxy::start(&stages.config.kafka.bootstrap, &rows).await?;
    stages.config.kafka.bootstrap = proxy.bootstrap();
    let reader = LogReader::new(&stages.config.kafka)?;
    let instance = stages.spawn(1, "attribute", &[])?;
    let mut all = Vec::new();
    let mut load = async |from: i64| -> Result<_> {
        // A third is told twice.
        let some = [facts(from, 3_000), facts(from, 1_000)].concat();
        stages.send_facts(&some).await?;
        all.extend(some);
        Ok(expected(&all))
    };

    // Answers lost once: the client asks again by itself, and nobody notices.
    OF_TRANSACTIONS.iter().for_each(|api| proxy.lose_answer(*api));
    settled(&stages, &load(0).await?).await?;
    let lost = |log: &[Event]| {
        log.iter()
            .filter(|event| matches!(event, Event::Lost { .. }))
            .count()
    };
    assert_eq!(lost(&proxy.log()), OF_TRANSACTIONS.len());

    // No answer at all, for as long as the process cares to ask.
    proxy.arm([Delivered::Late, Delivered::AtOnce].map(|delivered| fault(delivered, Told::Nothing)));
    let wanted = load(10_000).await?;
    let held = eventually("a commit to be held back", LONG, || async {
        let (_, held) = harmed(&proxy.log());
        ensure!(!held.is_empty(), "{}", instance.log());
        Ok(held)
    })
    .await?;
    for (id, _) in &held {
        let open = reader.settled(&rows, partition(id))?.is_none();
        assert!(open, "no transaction with rows is open on {id}");
    }
    settled(&stages, &wanted).await?;

    // Errors that say nothing.
    for (round, error) in (2..).zip([UNKNOWN_SERVER_ERROR, INVALID_TXN_STATE]) {
        proxy.arm([Delivered::Late, Delivered::AtOnce].map(|delivered| fault(delivered, Told::Error(error))));
        settled(&stages, &load(round * 10_000).await?).await?;
    }
    // The last restart may still be under way.
    let log = eventually("the proof", LONG, || async {
        let log = proxy.log();
        proved(&log).with_context(|| format!("{log:#?}"))?;
        Ok(log)
    })
    .await?;
    let (done, held) = harmed(&log);
    assert_eq!((done.len(), held.len()), (3, 3), "{log:#?}");
    assert!(log.iter().any(|event| matches!(event, Event::Repeated { .. })));
    let restarts = instance.log().matches("restoring after an error").count();
    assert!(restarts >= done.len() + held.len(), "{}", instance.log());
    instance.stop()?;

    verdicts_add_up(&stages, all.len()).await
}

/// A next life on the same disk tells what was counted, and has nothing to add to the ledger.
async fn verdicts_add_up(stages: &Stages, told: usize) -> Result<()> {
    let before = stages.read_raw(Topic::Conversions)?;
    let health = Health::default();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async {
        stopped.await.ok();
    };
    let stage = [StageName::Attribute].into();
    let run = tokio::spawn(run_with::<CountingCore>(
        stages.instance(1),
        stage,
        stopped,
        health.clone(),
    ));
    let (told, once) = (i64::try_from(told)?, i64::try_from(told)? * 3 / 4);
    eventually("the counts", LONG, || async {
        let snapshot = health.snapshot();
        let counts = snapshot.get("attribute").map(|stage| stage.counts.clone());
        let counts = counts.unwrap_or_default();
        ensure!(counts.values().sum::<i64>() == told, "{counts:?} of {told}");
        ensure!(counts.get("facts.applied") == Some(&once), "{counts:?}");
        Ok(())
    })
    .await?;
    stop.send(()).ok();
    run.await??;
    assert_eq!(before, stages.read_raw(Topic::Conversions)?);
    Ok(())
}
