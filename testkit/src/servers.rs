//! All servers of one data directory, started together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::task::spawn_blocking;

use crate::data_dir::DataDir;
use crate::kafka::Node;
use crate::process::Server;
use crate::{clickhouse, fetch, kafka, ports, registry, tools};

const REGISTRY: &str = "registry";
const CLICKHOUSE: &str = "clickhouse";
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// What can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Apache Kafka.
    Kafka,
    /// The schema registry.
    Registry,
    /// ClickHouse.
    ClickHouse,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Kafka, Self::Registry, Self::ClickHouse];

    /// Parses a list as given to `--only`: `kafka,registry,clickhouse`.
    ///
    /// # Errors
    /// On a name that is none of them.
    pub fn parse_list(text: &str) -> Result<BTreeSet<Self>> {
        text.split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(|name| match name {
                "kafka" => Ok(Self::Kafka),
                "registry" => Ok(Self::Registry),
                "clickhouse" => Ok(Self::ClickHouse),
                other => bail!("unknown server {other:?}: use kafka, registry, clickhouse"),
            })
            .collect()
    }
}

/// What to start, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// Data, ports and logs; created where missing, reused where not.
    pub data: PathBuf,
    /// Which servers.
    pub only: BTreeSet<Kind>,
    /// Brokers of the Kafka cluster; each takes up to 512 MiB of heap.
    pub kafka_brokers: usize,
    /// Fixed ports: Kafka, its controller, registry, ClickHouse from this one upwards, then two per further broker.
    /// Without it: the ports last used with this directory, free ones the first time.
    pub port_base: Option<u16>,
    /// The program, with leading arguments, that loads ClickHouse's library (it gets `LIBRARY ARG...` appended);
    /// empty: [`crate::default_clickhouse_runner`].
    pub clickhouse_runner: Vec<String>,
}

impl Options {
    /// All three servers, one broker, free ports.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            only: Kind::ALL.into(),
            kafka_brokers: 1,
            port_base: None,
            clickhouse_runner: Vec::new(),
        }
    }
}

/// The running servers. Dropping it stops them.
pub struct Servers {
    kafka: Vec<Server>,
    registry: Option<Server>,
    clickhouse: Option<Server>,
    ports: BTreeMap<String, u16>,
}

impl Servers {
    /// Fetches what is missing, starts what is asked for, and returns when all of it answers.
    ///
    /// # Errors
    /// When a tool is missing, a download fails or does not match its checksum, another process uses the
    /// directory, a fixed port is taken, or a server does not come up (with the end of its log).
    pub async fn start(options: Options) -> Result<Self> {
        // A blocking thread: downloads take minutes, and the runtime may have one thread only.
        let servers = spawn_blocking(move || Self::spawn(&options)).await??;
        for server in servers.all() {
            server.wait_ready().await?;
        }
        Ok(servers)
    }

    fn spawn(options: &Options) -> Result<Self> {
        ensure!(options.kafka_brokers >= 1, "at least one broker is needed");
        tools::present("setpriv", "util-linux", "tie the servers' lives to this process")?;
        let data = Arc::new(DataDir::open(&options.data)?);
        let programs = Programs::fetch(options)?;
        let ports = choose_ports(options, &data)?;
        let mut servers = Self {
            kafka: Vec::new(),
            registry: None,
            clickhouse: None,
            ports,
        };
        if let Some(jar) = &programs.registry {
            let plan = registry::plan(jar, &data, servers.port(REGISTRY)?)?;
            servers.registry = Some(Server::spawn(plan, Arc::clone(&data))?);
        }
        if let Some((library, runner)) = &programs.clickhouse {
            let plan = clickhouse::plan(library, runner, &data, servers.port(CLICKHOUSE)?)?;
            servers.clickhouse = Some(Server::spawn(plan, Arc::clone(&data))?);
        }
        if let Some(jars) = &programs.kafka {
            let nodes = (1..=options.kafka_brokers)
                .map(|id| servers.node(id))
                .collect::<Result<Vec<_>>>()?;
            for &node in &nodes {
                let plan = kafka::plan(jars, &data, node, &nodes)?;
                servers.kafka.push(Server::spawn(plan, Arc::clone(&data))?);
            }
        }
        Ok(servers)
    }

    /// `127.0.0.1:PORT`, comma separated where there are several brokers.
    ///
    /// # Errors
    /// When Kafka was not asked for.
    pub fn kafka_bootstrap(&self) -> Result<String> {
        self.kafka()?;
        let addresses = (1..=self.kafka.len()).map(|id| Ok(format!("127.0.0.1:{}", self.node(id)?.port)));
        Ok(addresses.collect::<Result<Vec<_>>>()?.join(","))
    }

    /// The base address of the Confluent API: `http://127.0.0.1:PORT/apis/ccompat/v7`.
    ///
    /// # Errors
    /// When the registry was not asked for.
    pub fn registry_url(&self) -> Result<String> {
        self.registry()?;
        Ok(registry::url(self.port(REGISTRY)?))
    }

    /// `http://127.0.0.1:PORT`; the user is `default`, without a password.
    ///
    /// # Errors
    /// When ClickHouse was not asked for.
    pub fn clickhouse_url(&self) -> Result<String> {
        self.clickhouse()?;
        Ok(clickhouse::url(self.port(CLICKHOUSE)?))
    }

    /// The first broker.
    ///
    /// # Errors
    /// When Kafka was not asked for.
    pub fn kafka(&self) -> Result<&Server> {
        self.kafka
            .first()
            .context("Kafka is not among the servers that were started")
    }

    /// Every broker.
    #[must_use]
    pub fn brokers(&self) -> &[Server] {
        &self.kafka
    }

    /// The schema registry.
    ///
    /// # Errors
    /// When it was not asked for.
    pub fn registry(&self) -> Result<&Server> {
        self.registry
            .as_ref()
            .context("the registry is not among the servers that were started")
    }

    /// ClickHouse.
    ///
    /// # Errors
    /// When it was not asked for.
    pub fn clickhouse(&self) -> Result<&Server> {
        self.clickhouse
            .as_ref()
            .context("ClickHouse is not among the servers that were started")
    }

    /// Every server that was started.
    pub fn all(&self) -> impl Iterator<Item = &Server> {
        self.kafka.iter().chain(&self.registry).chain(&self.clickhouse)
    }

    /// Stops all of them cleanly.
    ///
    /// # Errors
    /// When a process cannot be waited for.
    pub async fn stop(self) -> Result<()> {
        spawn_blocking(move || drop(self)).await?;
        Ok(())
    }

    fn port(&self, name: &str) -> Result<u16> {
        self.ports
            .get(name)
            .copied()
            .with_context(|| format!("no port was chosen for {name}"))
    }

    fn node(&self, id: usize) -> Result<Node> {
        let (port, controller_port) = (self.port(&broker_port(id))?, self.port(&controller_port(id))?);
        Ok(Node {
            id,
            port,
            controller_port,
        })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // All are asked before any is waited for.
        self.all().for_each(Server::request_stop);
        let deadline = Instant::now() + STOP_PATIENCE;
        self.all().for_each(|server| server.finish_stop(deadline));
    }
}

/// Where the programs lie; `None` for what is not asked for.
struct Programs {
    kafka: Option<PathBuf>,
    registry: Option<PathBuf>,
    clickhouse: Option<(PathBuf, Vec<String>)>,
}

impl Programs {
    fn fetch(options: &Options) -> Result<Self> {
        let wants = |kind| options.only.contains(&kind);
        let runner = || match options.clickhouse_runner.is_empty() {
            true => clickhouse::default_clickhouse_runner(),
            false => Ok(options.clickhouse_runner.clone()),
        };
        Ok(Self {
            kafka: wants(Kind::Kafka).then(fetch::kafka_jars).transpose()?,
            registry: wants(Kind::Registry).then(fetch::registry_jar).transpose()?,
            clickhouse: wants(Kind::ClickHouse)
                .then(|| Ok::<_, anyhow::Error>((fetch::clickhouse_library()?, runner()?)))
                .transpose()?,
        })
    }
}

fn broker_port(id: usize) -> String {
    format!("kafka-{id}")
}

fn controller_port(id: usize) -> String {
    format!("kafka-{id}-controller")
}

fn choose_ports(options: &Options, data: &DataDir) -> Result<BTreeMap<String, u16>> {
    let mut names = vec![
        broker_port(1),
        controller_port(1),
        REGISTRY.to_owned(),
        CLICKHOUSE.to_owned(),
    ];
    names.extend((2..=options.kafka_brokers).flat_map(|id| [broker_port(id), controller_port(id)]));
    let last_used = data.ports()?;
    let mut ports = last_used.clone();
    for (offset, name) in (0_u16..).zip(names) {
        let port = match (options.port_base, last_used.get(&name)) {
            (Some(base), _) => {
                let port = base.checked_add(offset).context("the port base is too high")?;
                ensure!(
                    ports::is_free(port),
                    "port {port}, wanted for {name}, is taken by another program"
                );
                port
            }
            (None, Some(&port)) if ports::is_free(port) => port,
            (None, _) => loop {
                let port = ports::free_port()?;
                if ports.values().all(|&other| other != port) {
                    break port;
                }
            },
        };
        ports.insert(name, port);
    }
    data.save_ports(&ports)?;
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_kept_with_the_data_and_fixed_on_request() {
        let root = tempfile::tempdir().unwrap();
        let data = DataDir::open(root.path()).unwrap();
        let mut options = Options::new(root.path());
        let first = choose_ports(&options, &data).unwrap();
        assert_eq!(choose_ports(&options, &data).unwrap(), first);
        options.port_base = Some(first["kafka-1"]);
        assert_eq!(
            choose_ports(&options, &data).unwrap()["kafka-1-controller"],
            first["kafka-1"] + 1
        );
    }

    #[test]
    fn a_taken_fixed_port_is_an_error_that_names_it() {
        let root = tempfile::tempdir().unwrap();
        let taken = std::net::TcpListener::bind(("127.0.0.1", ports::free_port().unwrap())).unwrap();
        let port = taken.local_addr().unwrap().port();
        let options = Options {
            port_base: Some(port),
            ..Options::new(root.path())
        };
        let error = choose_ports(&options, &DataDir::open(root.path()).unwrap()).unwrap_err();
        assert!(error.to_string().contains(&format!("port {port}")), "{error}");
    }

    #[test]
    fn only_takes_names_and_refuses_others() {
        assert_eq!(
            Kind::parse_list("kafka, clickhouse").unwrap(),
            [Kind::Kafka, Kind::ClickHouse].into()
        );
        assert!(Kind::parse_list("kafka,mysql").is_err());
    }
}
