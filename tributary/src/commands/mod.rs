//! What each command does.

mod apply;
pub mod close_days;
mod commission;
mod erase;
mod explain;
mod fx;
mod init;
mod journal;
mod ledger;
mod links;
mod publish;
mod reattribute;
pub mod replay;
mod send;
mod simulate;
mod verify;

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{Cli, Command, Fx};
use crate::roles::{self, Shutdown};
use crate::settings::Settings;
use crate::{dev, output, telemetry};

/// Runs the command; Ok carries the exit code.
pub async fn run(cli: Cli) -> Result<ExitCode> {
    let quiet = matches!(
        cli.command,
        Command::Ingest | Command::Process { .. } | Command::Sink | Command::Dashboard | Command::Webhooks
    );
    telemetry::logs(
        cli.log.as_deref(),
        if quiet { "info,lsm_tree=warn" } else { "warn" },
    )?;
    let load = || Settings::load(cli.config.as_deref());
    match cli.command {
        Command::Simulate {
            file,
            requests,
            table,
        } => return simulate::run(&file, &requests, table),
        Command::Dev(flags) => dev::run(load()?, flags).await?,
        Command::Ingest => {
            let (_stop, shutdown) = Shutdown::on_signals()?;
            roles::ingest(load()?, telemetry::metrics()?, shutdown).await?;
        }
        Command::Process { stage } => {
            let (settings, (_stop, shutdown)) = (load()?, Shutdown::on_signals()?);
            roles::observe(&settings, telemetry::metrics()?).await?;
            roles::process(settings, stage.into_iter().collect(), shutdown).await?;
        }
        Command::Sink => {
            let (settings, (_stop, shutdown)) = (load()?, Shutdown::on_signals()?);
            roles::observe(&settings, telemetry::metrics()?).await?;
            roles::sink(settings, shutdown).await?;
        }
        Command::Webhooks => {
            let (settings, (_stop, shutdown)) = (load()?, Shutdown::on_signals()?);
            roles::observe(&settings, telemetry::metrics()?).await?;
            roles::webhooks(settings, shutdown).await?;
        }
        Command::Dashboard => {
            let (_stop, shutdown) = Shutdown::on_signals()?;
            roles::dashboard(load()?, telemetry::metrics()?, shutdown).await?;
        }
        Command::Init => init::run(&load()?).await?,
        Command::Apply { file, dry_run, prune } => apply::apply(&load()?, &file, dry_run, prune).await?,
        Command::Get { workspace, kind, id } => {
            apply::get(&load()?, workspace.as_deref(), kind.as_deref(), id.as_deref()).await?;
        }
        Command::Delete { workspace, kind, id } => apply::delete(&load()?, &workspace, &kind, &id).await?,
        Command::Links { command } => links::run(command, load).await?,
        Command::Verify => return verify::run(&load()?).await,
        Command::Reattribute { file, since, dry_run } => {
            let since = since.map_or(0, jiff::Timestamp::as_millisecond);
            return reattribute::run(&load()?, &file, since, dry_run).await;
        }
        Command::Explain { id, json } => return explain::run(&load()?, &id, json).await,
        Command::Replay { reason, dry_run } => replay::run(&load()?, reason.as_deref(), dry_run).await?,
        Command::Send {
            requests,
            edge,
            stripe_secret,
            concurrency,
        } => {
            return send::run(&requests, &edge, stripe_secret.as_deref(), concurrency).await;
        }
        Command::Commission {
            decision,
            ids,
            file,
            partner,
            amount,
            currency,
            payout,
            reason,
            tell,
        } => {
            let told = match file {
                Some(file) => commission::read(&file)?,
                None => ids
                    .into_iter()
                    .map(|id| commission::Told {
                        id,
                        partner: partner.clone(),
                        amount,
                        currency: currency.clone(),
                        payout: payout.clone(),
                        reason: reason.clone(),
                    })
                    .collect(),
            };
            commission::decide(&load()?, decision, tell, told).await?;
        }
        Command::Assign {
            customer,
            partner,
            from,
            reason,
            tell,
        } => commission::assign(&load()?, &tell, &customer, &partner, from, &reason).await?,
        Command::Erase(ask) => return erase::run(&load()?, &ask).await,
        Command::Fx {
            command:
                Fx::Load {
                    file,
                    workspace,
                    base,
                    dry_run,
                },
        } => fx::load(&load()?, &workspace, &base, &file, dry_run).await?,
        Command::CloseDays { from, until } => close_days::run(&load()?, from, until).await?,
        Command::Ledger { expect, wait } => return ledger::run(&load()?, expect.as_deref(), wait).await,
        Command::Config => {
            let settings = load()?;
            output::line(toml::to_string_pretty(&settings)?.trim_end());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What `dev` does before its roles start: topics, schemas, migrations, and a program file if one is given.
pub async fn prepare(settings: &Settings, file: Option<&std::path::Path>) -> Result<()> {
    init::run(settings).await?;
    match file {
        Some(file) => apply::apply(settings, file, false, false).await,
        None => Ok(()),
    }
}
