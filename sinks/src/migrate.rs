//! Forward-only migrations of the ClickHouse schema.
//!
//! Files of `migrations/`, in order of their names, each applied once and remembered with the checksum of its text.
//! Engine, cluster, database and deduplication window are filled in from the configuration. Nothing is undone: a
//! file that was applied and changed afterwards is an error.

use sha2::{Digest, Sha256};

use crate::client::{Client, ClientError};
use crate::config::ClickHouseConfig;

/// Name and text of each migration.
pub const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_clicks", include_str!("../migrations/0001_clicks.sql")),
    (
        "0002_conversions",
        include_str!("../migrations/0002_conversions.sql"),
    ),
    ("0003_refunds", include_str!("../migrations/0003_refunds.sql")),
    (
        "0004_commissions",
        include_str!("../migrations/0004_commissions.sql"),
    ),
    ("0005_roll_ups", include_str!("../migrations/0005_roll_ups.sql")),
    ("0006_current", include_str!("../migrations/0006_current.sql")),
    ("0007_views", include_str!("../migrations/0007_views.sql")),
    (
        "0008_roll_ups_as_projections",
        include_str!("../migrations/0008_roll_ups_as_projections.sql"),
    ),
    ("0009_people", include_str!("../migrations/0009_people.sql")),
    (
        "0010_small_roll_ups",
        include_str!("../migrations/0010_small_roll_ups.sql"),
    ),
    (
        "0011_views_of_projections",
        include_str!("../migrations/0011_views_of_projections.sql"),
    ),
    (
        "0012_few_parts_and_times",
        include_str!("../migrations/0012_few_parts_and_times.sql"),
    ),
];

/// A migration that was applied by this call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its name.
    pub name: String,
}

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A statement failed.
    #[error("migration {name}: {source}\n{statement}")]
    Statement {
        /// Migration.
        name: String,
        /// Its first words.
        statement: String,
        /// What ClickHouse said.
        #[source]
        source: ClientError,
    },
    /// A migration that was applied has another text by now.
    #[error(
        "migration {name} was applied with checksum {applied}, but this version of it has {own}: a migration is never edited, add a further one"
    )]
    Checksum {
        /// Migration.
        name: String,
        /// Checksum in the database.
        applied: String,
        /// Checksum of this program's text.
        own: String,
    },
    /// The database was migrated by a later version.
    #[error("the database has migration {0}, which this version does not know: it belongs to a later one")]
    Later(String),
    /// The table of migrations cannot be read or made.
    #[error("schema_migrations: {0}")]
    Client(#[from] ClientError),
    /// The database name would not survive being written into SQL.
    #[error("{0:?} is no name for a database or cluster: letters, digits, _ and - only")]
    Name(String),
}

#[derive(Debug, clickhouse::Row, serde::Deserialize)]
struct Known {
    name: String,
    checksum: String,
}

/// Brings the database up to date. Safe to repeat; not meant to run twice at the same time.
///
/// # Errors
/// If ClickHouse refuses a statement, or what was applied differs from this version's files.
pub async fn migrate(config: &ClickHouseConfig) -> Result<Vec<Applied>, MigrateError> {
    for name in [&config.database, &config.cluster] {
        if !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        {
            return Err(MigrateError::Name(name.clone()));
        }
    }
    let client = Client::new(config, false);
    let database = &config.database;
    run(
        &client,
        &fill("CREATE DATABASE IF NOT EXISTS {database}{on_cluster}", config),
    )
    .await?;
    run(&client, &fill(TABLE, config)).await?;
    let known: Vec<Known> = client
        .query(&format!(
            "SELECT name, checksum FROM {database}.schema_migrations ORDER BY name"
        ))
        .fetch_all()
        .await
        .map_err(ClientError::from)?;
    check(&known, MIGRATIONS)?;
    let mut applied = Vec::new();
    for (name, text) in MIGRATIONS {
        if known.iter().any(|migration| migration.name == *name) {
            continue;
        }
        for statement in statements(text) {
            run(&client, &fill(&statement, config))
                .await
                .map_err(|source| MigrateError::Statement {
                    name: (*name).to_owned(),
                    statement: statement
                        .lines()
                        .find(|line| !line.starts_with("--"))
                        .unwrap_or_default()
                        .to_owned(),
                    source,
                })?;
        }
        client
            .query(&format!(
                "INSERT INTO {database}.schema_migrations (name, checksum) VALUES (?, ?)"
            ))
            .bind(name)
            .bind(checksum(text))
            .execute()
            .await
            .map_err(ClientError::from)?;
        tracing::info!(migration = name, "applied");
        applied.push(Applied {
            name: (*name).to_owned(),
        });
    }
    Ok(applied)
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS {database}.schema_migrations{on_cluster} (
    `name` String COMMENT 'migration',
    `checksum` String COMMENT 'SHA-256 of its text, hex'
) ENGINE = {engine:MergeTree} ORDER BY name COMMENT 'Migrations that were applied.'";

async fn run(client: &Client, sql: &str) -> Result<(), ClientError> {
    // Doubled: a single question mark would be a parameter.
    Ok(client.query(&sql.replace('?', "??")).execute().await?)
}

fn check(known: &[Known], own: &[(&str, &str)]) -> Result<(), MigrateError> {
    for migration in known {
        let Some((_, text)) = own.iter().find(|(name, _)| *name == migration.name) else {
            return Err(MigrateError::Later(migration.name.clone()));
        };
        let own = checksum(text);
        if own != migration.checksum {
            return Err(MigrateError::Checksum {
                name: migration.name.clone(),
                applied: migration.checksum.clone(),
                own,
            });
        }
    }
    Ok(())
}

// A statement ends with a semicolon at the end of a line.
fn statements(text: &str) -> Vec<String> {
    let statements = text.split(";\n").map(str::trim);
    statements
        .filter(|statement| {
            statement
                .lines()
                .any(|line| !line.is_empty() && !line.starts_with("--"))
        })
        .map(str::to_owned)
        .collect()
}

fn fill(sql: &str, config: &ClickHouseConfig) -> String {
    let on_cluster = match config.cluster.as_str() {
        "" => String::new(),
        cluster => format!(" ON CLUSTER `{cluster}`"),
    };
    let prefix = if config.replicated { "Replicated" } else { "" };
    sql.replace("{database}", &format!("`{}`", config.database))
        .replace("{on_cluster}", &on_cluster)
        .replace("{deduplication_window}", &config.deduplication_window.to_string())
        .replace("{engine:MergeTree}", &format!("{prefix}MergeTree"))
        .replace("{engine:SummingMergeTree}", &format!("{prefix}SummingMergeTree"))
        .replace(
            "{engine:ReplacingMergeTree}",
            &format!("{prefix}ReplacingMergeTree"),
        )
}

fn checksum(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_placeholder_is_left() {
        let config = ClickHouseConfig {
            cluster: "c1".into(),
            replicated: true,
            ..Default::default()
        };
        for (name, text) in MIGRATIONS {
            let statements = statements(text);
            assert!(!statements.is_empty(), "{name}");
            for statement in statements {
                let sql = fill(&statement, &config);
                assert!(
                    !sql.contains('{') && sql.contains(" ON CLUSTER `c1`"),
                    "{name}: {sql}"
                );
                assert_eq!(
                    sql.matches("ENGINE =").count(),
                    sql.matches("ENGINE = Replicated").count()
                );
            }
        }
    }

    #[test]
    fn names_are_in_order_and_checked() {
        assert!(MIGRATIONS.is_sorted_by_key(|(name, _)| *name));
        let known = |name: &str, checksum: String| Known {
            name: name.into(),
            checksum,
        };
        let own = [("0001_a", "x;\n")];
        assert!(check(&[known("0001_a", checksum("x;\n"))], &own).is_ok());
        assert!(matches!(
            check(&[known("0001_a", checksum("y"))], &own),
            Err(MigrateError::Checksum { .. })
        ));
        assert!(matches!(
            check(&[known("0002_b", String::new())], &own),
            Err(MigrateError::Later(_))
        ));
    }
}
