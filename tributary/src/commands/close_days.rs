//! `close-days`: states what a day held once it is over, for rewards of clicks and conditions on partners' totals
//! (rule F1). ClickHouse counts; what it counted becomes facts, so that the ledger stays a function of the facts.
//!
//! Safe to repeat: of a day's clicks the statement that knows of most counts, of a partner's totals one of those that differ.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clickhouse::Row;
use jiff::civil::Date;
use serde::Deserialize;
use tributary_avro::{ClickTotalsFact, CountryClicks, Fact, PartnerTotalsFact, Topic};
use tributary_domain::rules::{Asks, Link, Partner, Program, day_of};
use tributary_domain::tenant::Tenant;
use tributary_domain::totals::{end_of, of_link, of_partner};

use super::apply::{Declared, declared};
use super::ledger::client;
use super::publish;
use crate::roles::Shutdown;
use crate::settings::Settings;
use crate::{caught_up, output};

/// After midnight, for what is on its way or was told by clocks that are late.
const GRACE: i64 = 3_600_000;
/// How often a role looks whether a day is over.
const EVERY: Duration = Duration::from_secs(300);
/// For how long the pipeline may lag behind.
const PATIENCE: Duration = Duration::from_secs(600);
/// Clicks that came late to so many days before are stated, too.
const LATE_DAYS: i64 = 6;

const CLICKS: &str = "
SELECT workspace, mode, link_id, partner_id, argMin(program_id, (at, id)) AS program_id,
    argMin(group_id, (at, id)) AS group_id, toInt64(toUnixTimestamp64Milli(min(at))) AS first_at,
    argMin(id, (at, id)) AS first_id, country,
    toInt64(uniqExact(if(visitor = '', id, visitor), toStartOfHour(at))) AS clicks
FROM clicks
WHERE at >= fromUnixTimestamp64Milli(?) AND at <= fromUnixTimestamp64Milli(?) AND has(?, workspace)
    AND tracked AND bot = '' AND duplicate_of = '' AND partner_id != '' AND link_id != ''
GROUP BY workspace, mode, link_id, partner_id, country
ORDER BY workspace, mode, link_id, partner_id, country";

const TOTALS: &str = "
SELECT workspace, mode, partner_id, toInt64(sum(click)) AS clicks, toInt64(sum(lead)) AS leads, toInt64(sum(sale)) AS conversions,
    toInt64(sum(amount)) AS sale_amount, toInt64(sum(commission)) AS commissions
FROM (
    SELECT workspace, mode, partner_id, min(clicks.at) AS at, 1 AS click, 0 AS lead, 0 AS sale, 0 AS amount,
        0 AS commission
    FROM clicks
    WHERE tracked AND bot = '' AND duplicate_of = '' AND link_id != ''
    GROUP BY workspace, mode, partner_id, link_id, if(visitor = '', id, visitor), toStartOfHour(clicks.at)
    UNION ALL
    SELECT workspace, mode, partner_id, at, 0, if(kind = 'lead', sign * quantity, 0), if(kind = 'sale', sign, 0),
        if(kind = 'sale', sign * amount, 0), 0
    FROM conversions WHERE kind IN ('lead', 'sale')
    UNION ALL
    SELECT workspace, mode, partner_id, at, 0, 0, 0, 0, sign * amount FROM commissions
) AS told
WHERE partner_id != '' AND at <= fromUnixTimestamp64Milli(?) AND has(?, workspace)
GROUP BY workspace, mode, partner_id
ORDER BY workspace, mode, partner_id";

/// Who paid for clicks of late still states a day that began before the reward was taken away.
const PAID_CLICKS: &str = "
SELECT DISTINCT workspace FROM commissions WHERE kind = 'click' AND at > fromUnixTimestamp64Milli(?)";

/// What this process last stated of each partner, without the day.
type Known = BTreeMap<(Tenant, String), PartnerTotalsFact>;

#[derive(Debug, Row, Deserialize)]
struct Clicks {
    workspace: String,
    mode: String,
    link_id: String,
    partner_id: String,
    program_id: String,
    group_id: String,
    first_at: i64,
    first_id: String,
    country: String,
    clicks: i64,
}

#[derive(Debug, Row, Deserialize)]
struct Totals {
    workspace: String,
    mode: String,
    partner_id: String,
    clicks: i64,
    leads: i64,
    conversions: i64,
    sale_amount: i64,
    commissions: i64,
}

/// Closes days in their order; the last one that is over if none is told.
pub async fn run(settings: &Settings, from: Option<Date>, until: Option<Date>) -> Result<()> {
    let last = last_closed();
    let day = |date: Option<Date>| date.map_or(Ok(last), day_number);
    let (from, until) = (day(from.or(until))?, day(until)?);
    anyhow::ensure!(until <= last, "a day is closed an hour after its end, UTC");
    anyhow::ensure!(from <= until, "--from must not lie after --until");
    let mut known = Known::new();
    for day in from..=until {
        let stated = close(settings, (day, day), &mut known, || false).await?;
        output::line(&format!("{}: {stated} statements", date_of(day)?));
    }
    Ok(())
}

/// Closes each day once it is over, until the shutdown.
pub async fn keep(settings: Settings, shutdown: Shutdown) {
    let (mut closed, mut known) = (None, Known::new());
    loop {
        let last = last_closed();
        if closed != Some(last) {
            let asked = shutdown.clone();
            let stopped = move || asked.is_asked();
            match close(&settings, (last - LATE_DAYS, last), &mut known, stopped).await {
                Ok(stated) => {
                    closed = Some(last);
                    tracing::info!(day = last, stated, "day closed");
                }
                Err(error) => tracing::warn!(%error, day = last, "the day could not be closed; asked again"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = shutdown.wait() => return,
        }
    }
}

/// The last day that is over, days since 1970, UTC.
fn last_closed() -> i64 {
    day_of(jiff::Timestamp::now().as_millisecond() - GRACE) - 1
}

fn day_number(date: Date) -> Result<i64> {
    let midnight = date.to_zoned(jiff::tz::TimeZone::UTC)?;
    Ok(day_of(midnight.timestamp().as_millisecond()))
}

fn date_of(day: i64) -> Result<Date> {
    let time = jiff::Timestamp::from_millisecond(end_of(day))?;
    Ok(time.to_zoned(jiff::tz::TimeZone::UTC).date())
}

/// States the clicks of days up to one, and what partners had brought by its end. Gives the number of statements.
async fn close(
    settings: &Settings,
    (from, day): (i64, i64),
    known: &mut Known,
    stopped: impl Fn() -> bool + Send + 'static,
) -> Result<usize> {
    let asking = asking(&declared(settings).await?)?;
    let ask = |asks: fn(&Asks) -> bool| -> Vec<String> {
        let asking = asking.iter().filter(|(_, a)| asks(a));
        asking.map(|(workspace, _)| workspace.clone()).collect()
    };
    let (mut clicks, totals) = (ask(|asks| asks.clicks), ask(|asks| asks.totals));
    let lately = client(settings)
        .query(PAID_CLICKS)
        .bind(end_of(from - 1 - LATE_DAYS));
    clicks.extend(
        lately
            .fetch_all::<String>()
            .await
            .context("who paid for clicks")?,
    );
    if clicks.is_empty() && totals.is_empty() {
        return Ok(0);
    }
    caught_up::wait(settings, PATIENCE, stopped).await?;
    let mut facts = Vec::new();
    if !clicks.is_empty() {
        for day in from..=day {
            facts.extend(of_links(settings, day, &clicks).await?);
        }
    }
    if !totals.is_empty() {
        facts.extend(of_partners(settings, day, &totals, known).await?);
    }
    let key = |fact: &Fact| format!("{}/{}", fact.workspace, fact.mode);
    publish::all(settings, Topic::Facts, &facts, key).await?;
    Ok(facts.len())
}

/// What the rewards of each workspace ask of closed days.
fn asking(declared: &Declared) -> Result<BTreeMap<String, Asks>> {
    let mut asking: BTreeMap<String, Asks> = BTreeMap::new();
    for config in declared.values().filter(|config| !config.deleted) {
        let asks = match config.kind.as_str() {
            "program" => Asks::of(serde_json::from_str::<Program>(&config.document)?.all_rewards()),
            "partner" => Asks::of(serde_json::from_str::<Partner>(&config.document)?.rewards.iter()),
            "link" => Asks::of(serde_json::from_str::<Link>(&config.document)?.rewards.iter()),
            _ => continue,
        };
        let known = asking.entry(config.workspace.clone()).or_default();
        *known = known.and(asks);
    }
    Ok(asking)
}

async fn of_links(settings: &Settings, day: i64, workspaces: &[String]) -> Result<Vec<Fact>> {
    let rows = client(settings)
        .query(CLICKS)
        .bind(end_of(day - 1) + 1)
        .bind(end_of(day))
        .bind(workspaces)
        .fetch_all::<Clicks>()
        .await
        .context("count clicks in ClickHouse")?;
    let mut links: Vec<(Tenant, (i64, String), ClickTotalsFact)> = Vec::new();
    for row in rows {
        let tenant = Tenant::new(row.workspace, row.mode);
        let first = (row.first_at, row.first_id);
        let country = CountryClicks {
            country: row.country,
            clicks: row.clicks,
        };
        match links.last_mut() {
            Some((of, known, link))
                if *of == tenant && link.link_id == row.link_id && link.partner_id == row.partner_id =>
            {
                // A link may change its program within a day: the first click's counts, as in simulate.
                if first < *known {
                    *known = first;
                    link.program_id = row.program_id;
                    link.group_id = row.group_id;
                }
                link.countries.push(country);
            }
            _ => links.push((
                tenant,
                first,
                ClickTotalsFact {
                    link_id: row.link_id,
                    partner_id: row.partner_id,
                    program_id: row.program_id,
                    group_id: row.group_id,
                    day,
                    countries: vec![country],
                },
            )),
        }
    }
    Ok(links
        .into_iter()
        .map(|(tenant, _, link)| of_link(&tenant, link))
        .collect())
}

async fn of_partners(
    settings: &Settings,
    day: i64,
    workspaces: &[String],
    known: &mut Known,
) -> Result<Vec<Fact>> {
    let rows = client(settings)
        .query(TOTALS)
        .bind(end_of(day))
        .bind(workspaces)
        .fetch_all::<Totals>()
        .await
        .context("count what partners brought in ClickHouse")?;
    let mut facts = Vec::new();
    for row in rows {
        let tenant = Tenant::new(row.workspace, row.mode);
        let totals = PartnerTotalsFact {
            partner_id: row.partner_id,
            day: 0,
            clicks: row.clicks,
            leads: row.leads,
            conversions: row.conversions,
            sale_amount: row.sale_amount,
            commissions: row.commissions,
        };
        // What did not change since the last statement needs none.
        let partner = (tenant.clone(), totals.partner_id.clone());
        if known.get(&partner) != Some(&totals) {
            known.insert(partner, totals.clone());
            facts.push(of_partner(&tenant, PartnerTotalsFact { day, ..totals }));
        }
    }
    Ok(facts)
}
