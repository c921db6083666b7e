//! ClickHouse over HTTP: inserts of blocks with a token, and what an error means.
//!
//! Invariant: one insert is one block in one body, so ClickHouse has all of it or nothing.

use std::time::Duration;

use clickhouse::Compression;
use clickhouse::query::Query;

use crate::config::ClickHouseConfig;
use crate::native::Block;

/// An insert that takes longer has an unknown outcome and is sent again.
const INSERT_TIMEOUT: Duration = Duration::from_secs(120);

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server, or the way to it.
    #[error("clickhouse: {0}")]
    Server(#[from] clickhouse::error::Error),
    /// A table that the sink cannot fill.
    #[error("table {0}")]
    Table(String),
}

/// What to do about an error of an insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Nothing was written, or perhaps all of it: send the same again.
    Again,
    /// The same again would fail again: a person must look.
    Never,
}

/// Codes after which the same insert may succeed: memory, load, time, network, parts, replicas, keeper, disk.
const AGAIN: &[u32] = &[
    3, 74, 75, 76, 95, 96, 159, 160, 164, 198, 201, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 265,
    279, 285, 286, 287, 289, 290, 298, 305, 306, 308, 319, 335, 341, 364, 373, 394, 415, 416, 425, 439, 473,
    487, 499, 518, 519, 574, 600, 667, 700, 733, 999, 1000, 1001, 1002,
];

impl ClientError {
    /// What to do about it.
    pub fn retry(&self) -> Retry {
        use clickhouse::error::Error;
        match self {
            ClientError::Table(_) => Retry::Never,
            ClientError::Server(Error::BadResponse(_)) => match self.code() {
                Some(code) if !AGAIN.contains(&code) => Retry::Never,
                _ => Retry::Again,
            },
            ClientError::Server(
                Error::InvalidParams(_)
                | Error::SchemaMismatch(_)
                | Error::Unsupported(_)
                | Error::InvalidColumnsHeader(_),
            ) => Retry::Never,
            ClientError::Server(_) => Retry::Again,
        }
    }

    /// ClickHouse's number of the error, if the server answered with one.
    pub fn code(&self) -> Option<u32> {
        let ClientError::Server(clickhouse::error::Error::BadResponse(text)) = self else {
            return None;
        };
        // "Code: 60. DB::Exception: …", also behind other words.
        let (_, rest) = text.split_once("Code: ")?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    }
}

/// A connection pool. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: clickhouse::Client,
}

impl Client {
    /// A client; does not connect yet. The database is named in every statement, since it may have to be made first.
    pub fn new(config: &ClickHouseConfig, compress: bool) -> Self {
        let mut inner = clickhouse::Client::default()
            .with_url(&config.url)
            .with_compression(if compress {
                Compression::Lz4
            } else {
                Compression::None
            });
        if !config.user.is_empty() {
            inner = inner
                .with_user(&config.user)
                .with_password(config.password.reveal());
        }
        Self { inner }
    }

    /// A query. `?` in it is bound.
    pub fn query(&self, sql: &str) -> Query {
        self.inner.query(sql)
    }

    /// Inserts a block. The token names exactly this content: sent again, it counts once.
    ///
    /// # Errors
    /// Those of the server; [`ClientError::retry`] says whether to send it again.
    pub async fn insert(&self, statement: &str, token: &str, block: &Block) -> Result<(), ClientError> {
        let once = [
            ("insert_deduplication_token", token),
            ("insert_deduplicate", "1"),
            ("deduplicate_blocks_in_dependent_materialized_views", "1"),
        ];
        self.send(statement, &once, block).await
    }

    /// Inserts a block whose rows may be there already, into a table where a row counts once however often it came.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub async fn insert_repeatable(&self, statement: &str, block: &Block) -> Result<(), ClientError> {
        // After a table was emptied, a server must not take the same rows for known.
        self.send(statement, &[("insert_deduplicate", "0")], block).await
    }

    async fn send(
        &self,
        statement: &str,
        settings: &[(&str, &str)],
        block: &Block,
    ) -> Result<(), ClientError> {
        let mut insert = self
            .inner
            .insert_formatted_with(statement.to_owned())
            .with_timeouts(Some(INSERT_TIMEOUT), Some(INSERT_TIMEOUT))
            .with_setting("async_insert", "0")
            .with_setting("max_insert_block_size", "10000000")
            .with_setting("min_insert_block_size_rows", "0")
            .with_setting("min_insert_block_size_bytes", "0");
        for (name, value) in settings {
            insert = insert.with_setting(*name, *value);
        }
        for piece in &block.pieces {
            insert.send(piece.clone()).await?;
        }
        Ok(insert.end().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clickhouse::error::Error;

    #[test]
    fn errors_are_told_apart() {
        let cases = [
            (
                "Code: 241. DB::Exception: Memory limit (total) exceeded",
                Retry::Again,
            ),
            ("Code: 252. DB::Exception: Too many parts", Retry::Again),
            ("Code: 60. DB::Exception: Table t.x does not exist", Retry::Never),
            ("Code: 16. DB::Exception: No such column y in table", Retry::Never),
            (
                "Code: 516. DB::Exception: default: Authentication failed",
                Retry::Never,
            ),
            ("502 Bad Gateway", Retry::Again),
        ];
        for (text, expected) in cases {
            let error = ClientError::Server(Error::BadResponse(text.to_owned()));
            assert_eq!(error.retry(), expected, "{text}");
        }
        assert_eq!(ClientError::Server(Error::TimedOut).retry(), Retry::Again);
        assert_eq!(ClientError::Table("x".into()).retry(), Retry::Never);
    }
}
