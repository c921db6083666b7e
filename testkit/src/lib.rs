//! Local servers: a real Kafka, schema registry and ClickHouse on this machine, without Docker.
//!
//! Used by `tributary dev`, `scripts/demo` and every integration test. Each server is fetched once per user at a
//! pinned, checksummed version, started on loopback, and keeps its data under the given directory:
//!
//! ```text
//!   Options ──► fetch (cache) ──► configuration, ports ──► child processes ──► ready: Servers
//!                                      data/ports.json         data/logs/
//! ```
//!
//! A program of its own (`tributary dev`, a crash test):
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use tributary_testkit::{Options, Servers};
//! let servers = Servers::start(Options::new("/tmp/data")).await?;
//! println!("{} {} {}", servers.kafka_bootstrap()?, servers.registry_url()?, servers.clickhouse_url()?);
//! servers.kafka()?.kill9().await?; // crash the broker …
//! servers.kafka()?.restart().await?; // … and bring it back: same port, same data
//! servers.stop().await; // also done on drop
//! # Ok(()) }
//! ```
//!
//! A test that needs servers but crashes none of them takes the shared ones and a namespace of its own:
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! let servers = tributary_testkit::shared().await?;
//! let database = tributary_testkit::unique("sink"); // [a-z0-9_]: a database, a topic prefix, a group
//! tributary_testkit::eventually("the row", std::time::Duration::from_secs(10), || async {
//!     anyhow::ensure!(!servers.clickhouse_url.is_empty(), "not yet");
//!     Ok(())
//! }).await?;
//! # Ok(()) }
//! ```
//!
//! [`kafka_proxy`] stands between a process and the broker and makes the outcomes of its transactions unknown to it.
//!
//! It knows nothing of Tributary's topics, schemas or tables: `tributary init` makes those.
//!
//! Invariant: no server outlives the process that started it, however that process ends, and a data directory has
//! one live owner.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod clickhouse;
mod data_dir;
mod fetch;
mod kafka;
pub mod kafka_proxy;
mod names;
mod ports;
mod process;
mod registry;
mod servers;
mod shared;
mod tools;
mod wait;

pub use clickhouse::default_clickhouse_runner;
pub use names::unique;
pub use ports::free_port;
pub use process::{Server, is_stopped};
pub use servers::{Kind, Options, Servers};
pub use shared::{Endpoints, TEST_SERVERS_ENV, shared};
pub use tributary_clickhouse_loader::clickhouse_server_main;
pub use wait::eventually;
