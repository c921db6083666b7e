//! `reattribute`: what other rules would have made of history, in money for each partner, and then do.
//!
//! Rules are facts with a time from which they hold. This states the file's rules once more, from that time on; the owner
//! of each partition computes again and writes the differences. What was paid stays: the difference is a row of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use tributary_avro::Config;
use tributary_domain::engine::{Engine, Row};
use tributary_domain::mail::MailKey;
use tributary_domain::normalize::{self, Outcome};
use tributary_domain::store::MemoryStore;

use super::apply::publish;
use super::journal;
use super::simulate::program;
use crate::output;
use crate::settings::Settings;

/// Mode, partner and currency.
type Account = (String, String, String);

/// What would change.
#[derive(Default)]
struct Change {
    /// Commissions of each account, before and after, minor units.
    accounts: BTreeMap<Account, (i64, i64)>,
    /// Entries that are revised, that go, and that come.
    revised: usize,
    gone: usize,
    new: usize,
}

/// Shows the difference, and publishes the rules unless only asked.
pub async fn run(settings: &Settings, file: &Path, since: i64, dry_run: bool) -> Result<ExitCode> {
    let file = program(file)?;
    let at = jiff::Timestamp::now().as_millisecond();
    // Clicks carry their link; rates are stated once.
    let configs = file
        .configs(at)
        .into_iter()
        .filter(|c| !matches!(c.kind.as_str(), "link" | "fx"));
    // What the file itself gives a later start keeps it.
    let configs: Vec<Config> = configs
        .map(|c| Config {
            from: Some(c.from.map_or(since, |from| from.max(since))),
            ..c
        })
        .collect();
    let mail = MailKey::new(settings.mail_key()?.expose());
    let mut facts = Vec::new();
    for config in &configs {
        if let Outcome::Facts(of_config) = normalize::config(config, &mail)? {
            facts.extend(of_config);
        }
    }
    let workspace = file.workspace.id.clone();
    let (change, counts) = journal::replay(settings, move |engine, store, change: &mut Change| {
        let before = standing(engine, store, &workspace)?;
        // A partition that never heard of the workspace is not told of it now.
        for fact in facts
            .iter()
            .filter(|fact| before.values().any(|row| row.tenant().mode == fact.mode))
        {
            engine.apply(store, fact.clone())?;
        }
        change.add(&before, &standing(engine, store, &workspace)?);
        Ok(())
    })
    .await?;
    ensure!(counts.facts > 0, "there are no facts yet");
    change.print();
    if !dry_run {
        publish(settings, &configs).await?;
    }
    output::note(&format!(
        "{} rules published",
        if dry_run { 0 } else { configs.len() }
    ));
    Ok(ExitCode::SUCCESS)
}

/// What stands of a workspace, by entry ID.
fn standing(engine: &mut Engine, store: &mut MemoryStore, workspace: &str) -> Result<BTreeMap<String, Row>> {
    while engine.settle(store, 10_000)?.more {}
    let rows = engine.standing(store)?.into_iter();
    let own = rows.filter(|row| row.tenant().workspace == workspace);
    Ok(own
        .map(|mut row| {
            row.number(0);
            (row.id().to_owned(), row)
        })
        .collect())
}

impl Change {
    fn add(&mut self, before: &BTreeMap<String, Row>, after: &BTreeMap<String, Row>) {
        for (id, row) in before {
            match after.get(id) {
                None => self.gone += 1,
                Some(new) if new != row => self.revised += 1,
                Some(_) => {}
            }
        }
        self.new += after.keys().filter(|id| !before.contains_key(*id)).count();
        let commissions = |rows: &BTreeMap<String, Row>| -> Vec<(Account, i64)> {
            let commission = |row: &Row| match row {
                Row::Commission(c) => {
                    let account = (c.mode.clone(), c.dims.partner_id.clone(), c.currency.clone());
                    Some((account, c.amount))
                }
                _ => None,
            };
            rows.values().filter_map(commission).collect()
        };
        for (account, amount) in commissions(before) {
            self.accounts.entry(account).or_default().0 += amount;
        }
        for (account, amount) in commissions(after) {
            self.accounts.entry(account).or_default().1 += amount;
        }
    }

    fn print(&self) {
        output::line("mode,partner,currency,before,after,difference");
        for ((mode, partner, currency), (before, after)) in &self.accounts {
            output::line(&format!(
                "{mode},{partner},{currency},{before},{after},{}",
                after - before
            ));
        }
        output::note(&format!(
            "minor units; {} entries revised, {} gone, {} new",
            self.revised, self.gone, self.new
        ));
    }
}
