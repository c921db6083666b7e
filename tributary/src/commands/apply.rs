//! `apply`, `get`, `delete`: declared objects in the config topic.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rdkafka::message::Message as _;
use tributary_avro::{Config, Topic};
use tributary_domain::normalize::ERASED;
use tributary_domain::rules::{Link, withdrawn};
use tributary_processors::kafka::log::{LogReader, Range};

use super::publish;
use super::simulate::program;
use crate::settings::Settings;
use crate::{output, roles};

pub(super) type Declared = BTreeMap<(String, String, String), Config>;

/// Publishes what the file declares and the topic does not say already.
pub async fn apply(settings: &Settings, file: &Path, dry_run: bool, prune: bool) -> Result<()> {
    let file = program(file)?;
    let declared = declared(settings).await?;
    let at = jiff::Timestamp::now().as_millisecond();
    let wanted = file.configs(at);
    let name = |c: &Config| (c.workspace.clone(), c.kind.clone(), c.id.clone());
    let same = |c: &Config| {
        declared.get(&name(c)).is_some_and(|known| {
            (&known.document, known.from, &known.modes, known.deleted)
                == (&c.document, c.from, &c.modes, c.deleted)
        })
    };
    let mut changes: Vec<Config> = wanted.iter().filter(|c| !same(c)).cloned().collect();
    for (key, known) in &declared {
        // Rates come by `fx load`, erasures by `erase`, and neither is ever taken back.
        let gone = key.0 == file.workspace.id
            && key.1 != "fx"
            && key.1 != ERASED
            && !known.deleted
            && !wanted.iter().any(|c| name(c) == *key);
        if gone && prune {
            changes.push(withdrawn(known, at));
        } else if gone {
            output::note(&format!(
                "{}/{} is declared but not in the file (kept; --prune deletes it)",
                key.1, key.2
            ));
        }
    }
    held_by_others(&changes, &declared)?;
    for change in &changes {
        let verb = match (change.deleted, declared.contains_key(&name(change))) {
            (true, _) => "delete",
            (_, true) => "change",
            _ => "create",
        };
        output::line(&format!("{verb} {}/{}", change.kind, change.id));
    }
    if !dry_run {
        publish(settings, &changes).await?;
    }
    let unchanged = wanted.len() - changes.iter().filter(|c| !c.deleted).count();
    output::note(&format!(
        "{} published, {unchanged} unchanged",
        if dry_run { 0 } else { changes.len() }
    ));
    Ok(())
}

/// Refuses a link whose address another link holds, say one that the API made, and that stays.
fn held_by_others(changes: &[Config], declared: &Declared) -> Result<()> {
    let place = |config: &Config| {
        let link: Link = serde_json::from_str(&config.document).ok()?;
        let named = config.kind == "link" && !config.deleted && !link.domain.is_empty();
        named.then(|| (link.domain.to_lowercase(), link.key))
    };
    let name = |c: &Config| (c.workspace.clone(), c.kind.clone(), c.id.clone());
    let changed: BTreeSet<_> = changes.iter().map(name).collect();
    let staying = declared.iter().filter(|(key, _)| !changed.contains(*key));
    let held: BTreeMap<_, _> = staying
        .filter_map(|(key, known)| Some((place(known)?, key)))
        .collect();
    for change in changes {
        if let Some((domain, key)) = place(change)
            && let Some((workspace, _, id)) = held.get(&(domain.clone(), key.clone()))
        {
            bail!(
                "link {}: {domain}/{key} is held by link {id} of workspace {workspace}: delete that one, or name its id",
                change.id
            );
        }
    }
    Ok(())
}

/// Prints declared objects as JSON lines.
pub async fn get(
    settings: &Settings,
    workspace: Option<&str>,
    kind: Option<&str>,
    id: Option<&str>,
) -> Result<()> {
    for ((w, k, i), config) in declared(settings).await? {
        let asked = |filter: Option<&str>, value: &str| filter.is_none_or(|f| f == value);
        if !config.deleted && asked(workspace, &w) && asked(kind, &k) && asked(id, &i) {
            let document: serde_json::Value = serde_json::from_str(&config.document)?;
            let at = jiff::Timestamp::from_millisecond(config.at)?.to_string();
            let shown =
                serde_json::json!({"workspace": w, "kind": k, "id": i, "at": at, "document": document});
            output::line(&shown.to_string());
        }
    }
    Ok(())
}

/// Takes one object back.
pub async fn delete(settings: &Settings, workspace: &str, kind: &str, id: &str) -> Result<()> {
    if kind == ERASED {
        bail!("an erasure is never taken back: what the person does from now on is shown again by itself");
    }
    let declared = declared(settings).await?;
    let key = (workspace.to_owned(), kind.to_owned(), id.to_owned());
    let Some(known) = declared.get(&key).filter(|c| !c.deleted) else {
        bail!("there is no {kind} {id:?} in workspace {workspace:?}; `tributary get` lists what there is");
    };
    let at = jiff::Timestamp::now().as_millisecond();
    publish(settings, &[withdrawn(known, at)]).await?;
    output::line(&format!("deleted {kind}/{id}"));
    Ok(())
}

/// The latest record of each object.
pub(super) async fn declared(settings: &Settings) -> Result<Declared> {
    let decoder = roles::registry(settings)
        .await?
        .decoder::<Config>(Topic::Config)
        .await?;
    let (kafka, partitions) = (settings.kafka.clone(), settings.topics.partitions(Topic::Config));
    let runtime = tokio::runtime::Handle::current();
    let read = move || -> Result<Declared> {
        let reader = LogReader::new(&kafka)?;
        let topic = kafka.topic(Topic::Config);
        let mut found = Declared::new();
        for partition in 0..partitions {
            let bounds = reader
                .stable(&topic, partition)
                .with_context(|| format!("read topic {topic}"))?;
            let range = Range {
                topic: &topic,
                partition,
                from: bounds.start,
                to: bounds.end,
            };
            reader.read(
                range,
                || false,
                |message| -> Result<(), anyhow::Error> {
                    let Some(value) = message.payload() else {
                        return Ok(());
                    };
                    let config = runtime
                        .block_on(decoder.decode(value))
                        .map_err(|e| anyhow::anyhow!(e.to_string()))?;
                    found.insert(
                        (config.workspace.clone(), config.kind.clone(), config.id.clone()),
                        config,
                    );
                    Ok(())
                },
            )?;
        }
        Ok(found)
    };
    tokio::task::spawn_blocking(read).await?
}

/// In the order of the file: a partner before its coupon is easier to read in the topic.
pub(super) async fn publish(settings: &Settings, configs: &[Config]) -> Result<()> {
    let key = |c: &Config| format!("{}/{}/{}", c.workspace, c.kind, c.id);
    publish::all(settings, Topic::Config, configs, key).await
}
