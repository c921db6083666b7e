//! Migrations, block encoding and roll-ups against a real ClickHouse.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod sink_support;

use anyhow::Result;
use sink_support::World;
use tributary_sinks::native::{Block, Column, Kind};
use tributary_sinks::tables::{Foreign, Source, Table, describe};
use tributary_sinks::{MIGRATIONS, MigrateError, migrate};

const DUMP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.sql");

#[tokio::test]
async fn migrations_are_applied_once_and_never_edited() -> Result<()> {
    let world = World::new("sink_migrate").await?;
    assert_eq!(migrate(&world.clickhouse).await?, vec![]);
    let applied: u64 = world.one("SELECT count() FROM {db}.schema_migrations").await?;
    assert_eq!(applied, MIGRATIONS.len() as u64);

    let database = &world.clickhouse.database;
    let edit = format!(
        "ALTER TABLE {database}.schema_migrations UPDATE checksum = 'x' WHERE name = '0003_refunds' SETTINGS mutations_sync = 1"
    );
    world.client.query(&edit).execute().await?;
    let error = migrate(&world.clickhouse).await.unwrap_err();
    assert!(
        matches!(&error, MigrateError::Checksum { name, .. } if name == "0003_refunds"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn the_schema_is_the_one_of_the_dump() -> Result<()> {
    let world = World::new("sink_schema").await?;
    let database = &world.clickhouse.database;
    let statements: Vec<String> = world
        .client
        .query(&format!(
            "SELECT create_table_query FROM system.tables WHERE database = '{database}' AND name NOT LIKE '.inner%' ORDER BY name"
        ))
        .fetch_all()
        .await?;
    let dump: String = statements
        .iter()
        .map(|statement| statement.replace(database.as_str(), "tributary") + ";\n")
        .collect();
    if std::env::var("TRIBUTARY_BLESS").is_ok() {
        std::fs::write(DUMP, &dump)?;
    }
    let expected = std::fs::read_to_string(DUMP)?;
    assert_eq!(
        dump, expected,
        "after a new migration: TRIBUTARY_BLESS=1 writes sinks/schema.sql anew"
    );
    Ok(())
}

#[tokio::test]
async fn every_table_has_the_columns_that_the_sink_sends() -> Result<()> {
    let world = World::new("sink_columns").await?;
    for table in Table::pipeline(&world.clickhouse.database, "") {
        let foreign = Foreign {
            topic: table.topic.clone(),
            table: table.name.clone(),
            schema: String::new(),
        };
        let found = describe(&world.client, &foreign).await?;
        let columns = |table: &Table| {
            table
                .columns
                .iter()
                .map(|c| (c.name.clone(), c.kind))
                .collect::<Vec<_>>()
        };
        assert_eq!(columns(&found), columns(&table), "{}", table.name);
        assert_eq!(found.month_of, table.month_of);
        assert!(found.position_of(&Source::Partition).is_some());
    }
    Ok(())
}

#[tokio::test]
async fn sums_are_read_from_the_projections() -> Result<()> {
    let world = World::new("sink_projections").await?;
    let clicks = "sum(raw.clicks), sum(raw.duplicates), sum(raw.bots)";
    for (view, time, projection, measures) in [
        ("clicks_hourly", "hour", "by_hour", clicks),
        ("clicks_daily", "day", "by_link_and_day", clicks),
        (
            "conversions_hourly",
            "hour",
            "by_hour",
            "sum(raw.leads), sum(raw.sales), sum(raw.amount), sum(raw.commission)",
        ),
        (
            "refunds_hourly",
            "hour",
            "by_hour",
            "sum(raw.refunds), sum(raw.amount), sum(raw.commission)",
        ),
        (
            "commissions_hourly",
            "hour",
            "by_hour",
            "sum(raw.commissions), sum(raw.amount)",
        ),
    ] {
        let (table, _) = view.split_once('_').unwrap();
        let database = &world.clickhouse.database;
        // Clicks come here twice.
        for _ in 0..2 {
            let row = format!(
                "INSERT INTO {database}.{table} (workspace, mode, at) SELECT 'acme', 'live', '2026-05-04 10:00:00' FROM numbers(3)"
            );
            world.client.query(&row).execute().await?;
        }
        // Of one part, whatever it holds, one row is read: its projection's.
        let merge = format!("OPTIMIZE TABLE {database}.{table} FINAL");
        world.client.query(&merge).execute().await?;
        let read = format!(
            "SELECT toUInt64(count()) FROM {{db}}.{view} AS raw WHERE workspace = 'acme' AND mode = 'live'"
        );
        let rows: u64 = world.one(&read).await?;
        assert_eq!(rows, 1, "{view}");
        let reads: String = world
            .one(&format!(
                "SELECT as_select FROM system.tables WHERE database = '{{db}}' AND name = '{view}'"
            ))
            .await?;
        assert!(
            reads.contains(&format!("'{table}', '{projection}'")),
            "{view}: {reads}"
        );
        let plan: String = world
            .one(&format!(
                "SELECT arrayStringConcat(groupArray(explain)) FROM (EXPLAIN indexes = 1 SELECT toStartOfMonth(raw.{time}) AS month, \
                 {measures} FROM {{db}}.{view} AS raw WHERE workspace = 'acme' AND mode = 'live' \
                 AND {time} < toDateTime('2030-01-01 00:00:00', 'UTC') GROUP BY month)"
            ))
            .await?;
        assert!(
            plan.contains("Condition: and((toStartOf"),
            "{view} does not use its index: {plan}"
        );
    }
    let clicks: u64 = world
        .one("SELECT toUInt64(sum(clicks)) FROM {db}.clicks_hourly")
        .await?;
    assert_eq!(clicks, 12);
    Ok(())
}

#[tokio::test]
async fn every_type_comes_back_as_it_was_sent() -> Result<()> {
    let world = World::new("sink_native").await?;
    let database = &world.clickhouse.database;
    let create = format!(
        "CREATE TABLE {database}.types (n UInt32, text String, word LowCardinality(String), at DateTime64(3, 'UTC'), yes Bool, \
         i8 Int8, i16 Int16, i32 Int32, i64 Int64, u8 UInt8, u16 UInt16, u32 UInt32, u64 UInt64, \
         texts Array(String), ints Array(Int64)) ENGINE = MergeTree ORDER BY n"
    );
    world.client.query(&create).execute().await?;
    let long = "long ".repeat(100_000);
    let nasty = [
        "",
        "'",
        "\\",
        "a\tb\nc\0d",
        "日本語 🦀",
        "\u{202e}rtl",
        "NULL",
        "{x:String}",
        "?",
        &long,
    ];
    let ints = [0, 1, -1, i64::MAX, i64::MIN];
    let kinds = [
        ("n", Kind::UInt32),
        ("text", Kind::Text),
        ("word", Kind::Dictionary),
        ("at", Kind::Millis),
        ("yes", Kind::Bool),
        ("i8", Kind::Int8),
        ("i16", Kind::Int16),
        ("i32", Kind::Int32),
        ("i64", Kind::Int64),
        ("u8", Kind::UInt8),
        ("u16", Kind::UInt16),
        ("u32", Kind::UInt32),
        ("u64", Kind::UInt64),
        ("texts", Kind::Texts),
        ("ints", Kind::Ints),
    ];
    let mut columns: Vec<Column> = kinds
        .iter()
        .map(|(name, kind)| Column::new(name, *kind))
        .collect();
    for (n, text) in nasty.iter().enumerate() {
        for (column, (_, kind)) in columns.iter_mut().zip(kinds) {
            match kind {
                Kind::Text | Kind::Dictionary => column.push_text(text.as_bytes()),
                Kind::Texts => {
                    nasty
                        .iter()
                        .take(n)
                        .for_each(|text| column.push_text(text.as_bytes()));
                    column.end_list();
                }
                Kind::Ints => {
                    ints.iter().take(n).for_each(|int| column.push_int(*int));
                    column.end_list();
                }
                Kind::UInt32 => column.push_int(n as i64),
                Kind::Bool => column.push_int(n as i64 % 2),
                Kind::Millis => column.push_int(1_767_225_600_000 + n as i64),
                Kind::Int8 => column.push_int([-128, 127][n % 2]),
                Kind::Int16 => column.push_int([-32_768, 32_767][n % 2]),
                Kind::Int32 => column.push_int(i64::from([i32::MIN, i32::MAX][n % 2])),
                Kind::Int64 => column.push_int(ints[n % 5]),
                Kind::UInt8 => column.push_int(255),
                Kind::UInt16 => column.push_int(65_535),
                Kind::UInt64 => column.push_int(i64::MAX),
            }
        }
    }
    let names: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
    let statement = format!(
        "INSERT INTO {database}.types ({}) FORMAT Native",
        names.join(", ")
    );
    world
        .client
        .insert(&statement, "t1", &Block::seal(columns)?)
        .await?;

    #[derive(clickhouse::Row, serde::Deserialize)]
    struct Typed {
        text: String,
        word: String,
        at: i64,
        yes: bool,
        i8: i8,
        i16: i16,
        i32: i32,
        i64: i64,
        u8: u8,
        u16: u16,
        u64: u64,
        texts: Vec<String>,
        ints: Vec<i64>,
    }
    let sql = format!(
        "SELECT text, word, toUnixTimestamp64Milli(at) AS at, yes, i8, i16, i32, i64, u8, u16, u64, texts, ints FROM {database}.types ORDER BY n"
    );
    let rows: Vec<Typed> = world.client.query(&sql).fetch_all().await?;
    assert_eq!(rows.len(), nasty.len());
    for (n, row) in rows.iter().enumerate() {
        assert_eq!((row.text.as_str(), row.word.as_str()), (nasty[n], nasty[n]));
        assert_eq!((row.at, row.yes), (1_767_225_600_000 + n as i64, n % 2 == 1));
        assert_eq!(
            (row.i8, row.i16, row.i32),
            (
                [-128, 127][n % 2],
                [-32_768, 32_767][n % 2],
                [i32::MIN, i32::MAX][n % 2]
            )
        );
        assert_eq!(
            (row.i64, row.u8, row.u16, row.u64),
            (ints[n % 5], 255, 65_535, i64::MAX as u64)
        );
        assert_eq!(row.texts, nasty[..n]);
        assert_eq!(row.ints, ints[..n.min(5)]);
    }
    Ok(())
}

#[tokio::test]
async fn dictionaries_of_any_size_arrive() -> Result<()> {
    let world = World::new("sink_dictionary").await?;
    let database = &world.clickhouse.database;
    let create = format!(
        "CREATE TABLE {database}.words (n UInt32, word LowCardinality(String)) ENGINE = MergeTree ORDER BY n"
    );
    world.client.query(&create).execute().await?;
    for distinct in [1, 255, 256, 257, 300, 65_535, 65_536, 65_537, 70_000] {
        world
            .client
            .query(&format!("TRUNCATE TABLE {database}.words"))
            .execute()
            .await?;
        let mut n = Column::new("n", Kind::UInt32);
        let mut word = Column::new("word", Kind::Dictionary);
        for row in 0..140_000i64 {
            n.push_int(row);
            word.push_text(format!("word {}", row * 7 % distinct).as_bytes());
        }
        let statement = format!("INSERT INTO {database}.words (n, word) FORMAT Native");
        world
            .client
            .insert(&statement, &distinct.to_string(), &Block::seal(vec![n, word])?)
            .await?;
        let right: u64 = world
            .one(&format!(
                "SELECT countIf(word = concat('word ', toString(n * 7 % {distinct}))) FROM {{db}}.words"
            ))
            .await?;
        assert_eq!(right, 140_000, "{distinct} distinct texts");
    }
    Ok(())
}
