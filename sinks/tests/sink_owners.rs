//! Several sinks, sleeping sinks, and servers that go away: still every click is one row.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod sink_support;

use std::time::Duration;

use anyhow::{Result, ensure};
use sink_support::{Process, World, sink_process as run_sink};
use tributary_avro::{Click, Topic};
use tributary_sinks::planner::Plan;
use tributary_testkit::{Endpoints, Options, Servers, eventually, is_stopped};

fn click(n: usize) -> (Vec<u8>, Click) {
    let id = format!("click{n:011}");
    let click = Click {
        id: id.clone(),
        workspace: "acme".to_owned(),
        mode: "live".to_owned(),
        at: 1_790_000_000_000 + (n as i64 % 2) * 31 * 86_400_000,
        tracked: true,
        ..Default::default()
    };
    (id.into_bytes(), click)
}

async fn exactly(world: &World, clicks: u64) -> Result<()> {
    world.until("SELECT count() FROM {db}.clicks", clicks).await?;
    let ids: u64 = world.one("SELECT uniqExact(id) FROM {db}.clicks").await?;
    assert_eq!(ids, clicks, "no click twice");
    world
        .until("SELECT toUInt64(sum(clicks)) FROM {db}.clicks_hourly", clicks)
        .await
}

#[test]
#[ignore = "not a test: the process that other tests kill"]
fn sink_process() -> Result<()> {
    run_sink()
}

/// Plans beside the group's positions whose rows are not all in the table: partition and range.
async fn planned_and_not_inserted(world: &World, partitions: i32) -> Result<Vec<(i32, Plan)>> {
    let mut found = Vec::new();
    for (partition, (first, metadata)) in world.positions(partitions)? {
        let Some(plan) = Plan::parse(first, &metadata)? else {
            continue;
        };
        let sql = format!(
            "SELECT count() FROM {{db}}.clicks WHERE kafka_partition = {partition} \
             AND kafka_offset BETWEEN {first} AND {}",
            plan.range.last
        );
        if world.one::<u64>(&sql).await? < plan.rows {
            found.push((partition, plan));
        }
    }
    Ok(found)
}

/// The tokens of the inserts that a sink logged as done.
fn inserted(log: &str) -> Vec<&str> {
    let done = log.lines().filter(|line| line.contains(": inserted "));
    done.filter_map(|line| line.split("token=").nth(1)?.split(' ').next())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_wakes_after_its_partitions_went_changes_nothing() -> Result<()> {
    let world = World::new("sink_zombie").await?;
    world.create_topics(4).await?;
    world.send(Topic::Clicks, (0..1_000).map(click))?;
    let sleeper = world.spawn(Some("sink.before_insert:3:stop"))?;
    eventually("the sink to freeze", Duration::from_secs(30), || async {
        ensure!(is_stopped(sleeper.0.id()), "{}", sleeper.log());
        Ok(())
    })
    .await?;
    // Its plan is durable, and its insert was not sent.
    let planned = planned_and_not_inserted(&world, 4).await?;
    assert!(!planned.is_empty(), "{}", sleeper.log());
    let heir = world.spawn(None)?;
    world.send(Topic::Clicks, (1_000..2_000).map(click))?;
    exactly(&world, 2_000).await?;
    let landed = eventually("the heir's last commits", Duration::from_secs(30), || async {
        let positions = world.positions(4)?;
        let sum: i64 = positions.values().map(|(position, _)| position).sum();
        ensure!(sum == 2_000, "{positions:?}");
        Ok(positions)
    })
    .await?;
    sleeper.signal("-CONT")?;
    // The heir had found the plans and sent the same rows under the same tokens: ClickHouse drops what comes late.
    eventually("the late inserts", Duration::from_secs(30), || async {
        let (log, heirs) = (sleeper.log(), heir.log());
        ensure!(log.contains("awake again"), "{log}");
        for (partition, plan) in &planned {
            let range = format!("/{partition}/{}-{}/", plan.range.first, plan.range.last);
            let sent = |log| -> Vec<&str> {
                let tokens = inserted(log).into_iter();
                tokens.filter(|token| token.contains(&range)).collect()
            };
            let (first, late) = (sent(&heirs), sent(&log));
            ensure!(!first.is_empty(), "{range}: {heirs}");
            ensure!(first.iter().all(|token| late.contains(token)), "{range}: {log}");
        }
        Ok(())
    })
    .await?;
    exactly(&world, 2_000).await?;
    eventually(
        "the sleeper in the group again",
        Duration::from_secs(30),
        || async {
            let log = sleeper.log();
            let gone = log.split_once(": revoked ").map_or("", |(_, gone)| gone);
            ensure!(gone.contains(": assigned "), "{log}");
            Ok(())
        },
    )
    .await?;
    assert_eq!(world.positions(4)?, landed, "a late commit");
    // Both served: what comes now is read by either.
    world.send(Topic::Clicks, (2_000..3_000).map(click))?;
    exactly(&world, 3_000).await?;
    drop((sleeper, heir));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_one_to_three_and_back_under_load() -> Result<()> {
    let world = World::new("sink_owners").await?;
    world.create_topics(6).await?;
    let mut sent = 0;
    let mut sinks: Vec<Process> = vec![world.spawn(None)?];
    for round in 0..40 {
        world.send(Topic::Clicks, (sent..sent + 500).map(click))?;
        sent += 500;
        match round {
            8 | 16 => sinks.push(world.spawn(None)?),
            // One leaves politely, one does not.
            24 => sinks[0].signal("-TERM")?,
            32 => sinks[1].signal("-KILL")?,
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    exactly(&world, sent as u64).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_begins_after_the_position_stops_the_sink() -> Result<()> {
    use rdkafka::admin::{AdminClient, AdminOptions};
    use rdkafka::client::DefaultClientContext;
    let world = World::new("sink_cut").await?;
    world.create_topics(1).await?;
    world.send(Topic::Clicks, (0..100).map(click))?;
    let sink = world.start();
    exactly(&world, 100).await?;
    sink.stop().await?;
    world.send(Topic::Clicks, (100..200).map(click))?;
    let admin: AdminClient<DefaultClientContext> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &world.servers.kafka_bootstrap)
        .create()?;
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(&world.topic(Topic::Clicks), 0, rdkafka::Offset::Offset(150))?;
    admin.delete_records(&list, &AdminOptions::new()).await?;
    let error = tokio::time::timeout(Duration::from_secs(30), world.start().task)
        .await??
        .unwrap_err();
    assert!(error.to_string().contains("is not in the log"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_without_its_position_does_not_read_everything_again() -> Result<()> {
    let mut world = World::new("sink_forgotten").await?;
    world.create_topics(1).await?;
    world.send(Topic::Clicks, (0..100).map(click))?;
    let sink = world.start();
    exactly(&world, 100).await?;
    sink.stop().await?;
    world.sink.group.push_str("_other");
    let error = tokio::time::timeout(Duration::from_secs(30), world.start().task)
        .await??
        .unwrap_err();
    assert!(error.to_string().contains("no committed position"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clickhouse_and_kafka_are_killed_while_clicks_flow() -> Result<()> {
    let data = tempfile::tempdir()?;
    let servers = Servers::start(Options::new(data.path())).await?;
    let world = World::on(Endpoints::of(&servers)?, "sink_servers").await?;
    world.create_topics(2).await?;
    let sink = world.start();
    let mut sent = 0;
    for round in 0..30 {
        match round {
            8 => servers.clickhouse()?.kill9().await?,
            14 => servers.clickhouse()?.restart().await?,
            20 => {
                servers.kafka()?.kill9().await?;
                servers.kafka()?.restart().await?;
            }
            _ => {}
        }
        world.send(Topic::Clicks, (sent..sent + 1_000).map(click))?;
        sent += 1_000;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    exactly(&world, sent as u64).await?;
    sink.stop().await?;
    servers.stop().await
}

/// ClickHouse writes the token of an insert into its log before the part gets its name. Killed in between, it takes the
/// same insert for known, and has nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_whose_token_outlived_them_come_back() -> Result<()> {
    let data = tempfile::tempdir()?;
    let servers = Servers::start(Options::new(data.path())).await?;
    let world = World::on(Endpoints::of(&servers)?, "sink_lost").await?;
    world.create_topics(1).await?;
    world.send(Topic::Clicks, (0..500).map(click))?;
    world.spawn(Some("sink.after_insert"))?.died().await?;
    assert_ne!(world.one::<u64>("SELECT count() FROM {db}.clicks").await?, 0);
    let path = "SELECT data_paths[1] FROM system.tables WHERE database || '.' || name = '{db}.clicks'";
    let path: String = world.one(path).await?;
    servers.clickhouse()?.kill9().await?;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        // The parts, and not the tokens.
        if entry.file_name().to_string_lossy().starts_with("20") {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    servers.clickhouse()?.restart().await?;
    let sink = world.start();
    exactly(&world, 500).await?;
    world.send(Topic::Clicks, (500..600).map(click))?;
    exactly(&world, 600).await?;
    sink.stop().await?;
    let tables = "SELECT count() FROM system.tables WHERE database = '{db}' AND name LIKE '%lost%'";
    assert_eq!(world.one::<u64>(tables).await?, 0, "{tables}");
    servers.stop().await
}
