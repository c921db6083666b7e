//! Days that closed, as facts: the clicks on each link, and what each partner had brought (rule F1).
//!
//! Nothing in the ledger changes because time passed: whoever knows that a day is over states what it held, and the
//! statement is a fact like any other. `tributary close-days` counts in ClickHouse, `simulate` in memory.

use std::collections::{BTreeMap, BTreeSet};

use tributary_avro::{Body, Click, ClickTotalsFact, CountryClicks, Fact, PartnerTotalsFact};

use crate::engine::Row;
use crate::fact::Origin;
use crate::rules::day_of;
use crate::tenant::Tenant;

const DAY: i64 = 86_400_000;

/// The last moment of a day (days since 1970, UTC), UTC milliseconds.
pub fn end_of(day: i64) -> i64 {
    day.saturating_add(1).saturating_mul(DAY) - 1
}

/// Whether a click is paid for where a reward pays for clicks: of a person, no repeat within the hour, on a partner's
/// link with conversion tracking.
pub fn is_paid_for(click: &Click) -> bool {
    click.tracked
        && click.bot.is_empty()
        && click.duplicate_of.is_empty()
        && !click.partner_id.is_empty()
        && !click.link_id.is_empty()
}

/// What counts once: a visitor on a link within an hour; without visitor the click.
fn once(click: &Click) -> (&str, &str, &str, i64) {
    let who = if click.visitor.is_empty() {
        &click.id
    } else {
        &click.visitor
    };
    (
        &click.workspace,
        &click.link_id,
        who,
        click.at.div_euclid(3_600_000),
    )
}

/// Where a statement about a day comes from.
fn closed(tenant: &Tenant, day: i64) -> Origin {
    Origin {
        tenant: tenant.clone(),
        at: end_of(day),
        source: format!("closed/{day}"),
        trust: "operator",
    }
}

/// The fact that the clicks on a link in a day are.
pub fn of_link(tenant: &Tenant, clicks: ClickTotalsFact) -> Fact {
    closed(tenant, clicks.day).fact(Body::ClickTotals(Box::new(clicks)))
}

/// The fact that a partner's totals are.
pub fn of_partner(tenant: &Tenant, totals: PartnerTotalsFact) -> Fact {
    closed(tenant, totals.day).fact(Body::PartnerTotals(Box::new(totals)))
}

/// What a link has in a day: the first click, and the clicks of each country.
type Counted<'a> = (&'a Click, BTreeMap<&'a str, i64>);

/// The facts of all days and links that these clicks are of.
pub fn clicks<'a>(clicks: impl Iterator<Item = &'a Click>) -> Vec<Fact> {
    let mut days: BTreeMap<(Tenant, i64, &str, &str), Counted<'_>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for click in clicks.filter(|click| is_paid_for(click)) {
        let tenant = Tenant::new(click.workspace.as_str(), click.mode.as_str());
        let day = day_of(click.at);
        let (first, countries) = days
            .entry((tenant, day, &click.link_id, &click.partner_id))
            .or_insert_with(|| (click, BTreeMap::new()));
        if (click.at, &click.id) < (first.at, &first.id) {
            *first = click;
        }
        *countries.entry(&click.country).or_default() += i64::from(seen.insert(once(click)));
    }
    let fact = |((tenant, day, ..), (first, countries)): ((Tenant, i64, _, _), Counted<'_>)| {
        let countries = countries.into_iter().map(|(country, clicks)| CountryClicks {
            country: country.to_owned(),
            clicks,
        });
        let totals = ClickTotalsFact {
            link_id: first.link_id.clone(),
            partner_id: first.partner_id.clone(),
            // A link may change its program within a day.
            program_id: first.program_id.clone(),
            group_id: first.group_id.clone(),
            day,
            countries: countries.collect(),
        };
        of_link(&tenant, totals)
    };
    days.into_iter().map(fact).collect()
}

/// What each partner had brought by the end of a day, where the day changed it, from the net ledger and all clicks.
pub fn partners<'a>(
    day: i64,
    rows: impl Iterator<Item = &'a Row>,
    clicks: impl Iterator<Item = &'a Click>,
) -> Vec<Fact> {
    let mut partners: BTreeMap<(Tenant, String), (bool, PartnerTotalsFact)> = BTreeMap::new();
    let mut count = |tenant: Tenant, partner: &str, at: i64, add: &dyn Fn(&mut PartnerTotalsFact)| {
        if partner.is_empty() || day_of(at) > day {
            return;
        }
        let (changed, totals) = partners.entry((tenant, partner.to_owned())).or_default();
        *changed |= day_of(at) == day;
        add(totals);
    };
    let mut seen = BTreeSet::new();
    for click in clicks.filter(|click| is_paid_for(click) && seen.insert(once(click))) {
        let tenant = Tenant::new(click.workspace.as_str(), click.mode.as_str());
        count(tenant, &click.partner_id, click.at, &|totals| totals.clicks += 1);
    }
    for row in rows {
        match row {
            Row::Conversion(r) if r.kind == "lead" => {
                count(row.tenant(), &r.dims.partner_id, r.at, &|t| t.leads += r.quantity);
            }
            Row::Conversion(r) if r.kind == "sale" => {
                count(row.tenant(), &r.dims.partner_id, r.at, &|t| {
                    t.conversions += 1;
                    t.sale_amount = t.sale_amount.saturating_add(r.amount);
                });
            }
            Row::Commission(r) => {
                count(row.tenant(), &r.dims.partner_id, r.at, &|t| {
                    t.commissions = t.commissions.saturating_add(r.amount);
                });
            }
            Row::Conversion(_) | Row::Refund(_) => {}
        }
    }
    let fact = |((tenant, partner_id), (changed, totals)): ((Tenant, String), (bool, PartnerTotalsFact))| {
        let totals = PartnerTotalsFact {
            partner_id,
            day,
            ..totals
        };
        changed.then(|| of_partner(&tenant, totals))
    };
    partners.into_iter().filter_map(fact).collect()
}
