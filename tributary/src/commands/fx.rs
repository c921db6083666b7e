//! `fx load`: exchange rates from a table into the workspace's rules (rule E6).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use tributary_domain::rules::{DayRates, Workspace};

use super::apply::{declared, publish};
use crate::output;
use crate::settings::Settings;

/// Publishes the rates of a file, but for days that are stated already.
pub async fn load(
    settings: &Settings,
    workspace: &str,
    base: &str,
    file: &Path,
    dry_run: bool,
) -> Result<()> {
    let text = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let days = days(&text, base).with_context(|| format!("{}", file.display()))?;
    let declared = declared(settings).await?;
    let key = |kind: &str, id: &str| (workspace.to_owned(), kind.to_owned(), id.to_owned());
    let Some(known) = declared.get(&key("workspace", workspace)).filter(|c| !c.deleted) else {
        bail!("there is no workspace {workspace:?}; `tributary get` lists what there is");
    };
    let known: Workspace = serde_json::from_str(&known.document)?;
    let at = jiff::Timestamp::now().as_millisecond();
    let mut news = Vec::new();
    for day in &days {
        let config = day.config(&known, at);
        match declared.get(&key("fx", &config.id)) {
            Some(stated) if stated.document == config.document => {}
            Some(_) => bail!(
                "rates of {} are stated already and differ: a rate is stated once (E6)",
                config.id
            ),
            None => news.push(config),
        }
    }
    if !dry_run {
        publish(settings, &news).await?;
    }
    output::note(&format!(
        "{} days published, {} stated already",
        if dry_run { 0 } else { news.len() },
        days.len() - news.len()
    ));
    Ok(())
}

/// The days of a table. Wide, as the European Central Bank publishes its history: `Date,USD,JPY,...`, a line for each
/// day, worth of one unit of `base`, `N/A` where there is none. Or long: `date,base,currency,rate`.
fn days(text: &[u8], base: &str) -> Result<Vec<DayRates>> {
    let mut table = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(text);
    let head: Vec<String> = table.headers()?.iter().map(str::to_lowercase).collect();
    let is_long = head == ["date", "base", "currency", "rate"];
    if head.first().is_none_or(|first| first != "date") {
        bail!("line 1: the first column must be `date`");
    }
    let mut days: BTreeMap<(String, jiff::civil::Date), BTreeMap<String, String>> = BTreeMap::new();
    for record in table.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |i: usize| record.get(i).unwrap_or_default().to_owned();
        let date = cell(0)
            .parse()
            .with_context(|| format!("line {line}: {:?} is no date", cell(0)))?;
        let cells: Vec<(String, String, String)> = if is_long {
            vec![(cell(1).to_lowercase(), cell(2).to_lowercase(), cell(3))]
        } else {
            let columns = head
                .iter()
                .enumerate()
                .skip(1)
                .filter(|(_, name)| !name.is_empty());
            columns
                .map(|(i, name)| (base.to_owned(), name.clone(), cell(i)))
                .filter(|(_, _, rate)| !rate.is_empty() && rate != "N/A")
                .collect()
        };
        for (base, currency, rate) in cells {
            let stated = days
                .entry((base, date))
                .or_default()
                .insert(currency.clone(), rate.clone());
            if stated.is_some_and(|stated| stated != rate) {
                bail!("line {line}: {currency} of {date} is stated twice (E6)");
            }
        }
    }
    let days: Vec<DayRates> = days
        .into_iter()
        .map(|((base, date), rates)| DayRates { date, base, rates })
        .collect();
    for day in &days {
        day.numbers().map_err(|e| anyhow::anyhow!("{}: {e}", day.date))?;
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_of_a_table_are_read() {
        let wide = days(
            b"Date,USD,JPY,CYP,\n2026-01-05,1.0843,169.2,N/A,\n2026-01-02,1.0812,168.9,N/A,\n",
            "eur",
        )
        .unwrap();
        let long = days(
            b"date,base,currency,rate\n2026-01-02,EUR,USD,1.0812\n2026-01-02,eur,jpy,168.9\n2026-01-05,eur,usd,1.0843\n2026-01-05,eur,jpy,169.2\n",
            "usd",
        )
        .unwrap();
        assert_eq!(wide, long);
        assert_eq!(wide.len(), 2);
        assert_eq!(wide[0].rates["usd"], "1.0812");
    }

    #[test]
    fn problems_name_the_line() {
        for (text, expected) in [
            ("day,USD\n2026-01-05,1\n", "line 1"),
            ("Date,USD\nyesterday,1\n", "line 2"),
            (
                "date,base,currency,rate\n2026-01-05,eur,usd,1\n2026-01-05,eur,usd,2\n",
                "line 3",
            ),
            ("Date,USD\n2026-01-05,much\n", "2026-01-05"),
        ] {
            let error = days(text.as_bytes(), "eur").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
