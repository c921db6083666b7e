//! `commission` and `assign`: what people decide, as facts. The owner of the partition writes the ledger (rule F6).

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use tributary_avro::{AssignmentFact, Body, CommandFact, CustomerRef, Fact, Topic, TrackCommand};
use tributary_domain::fact::Origin;
use tributary_domain::mail::MailKey;
use tributary_domain::normalize;
use tributary_domain::tenant::Tenant;

use super::ledger::client;
use super::publish;
use crate::cli::{Decision, Tell};
use crate::output;
use crate::settings::Settings;

/// One decision: a line of the file, or what the flags say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// Any ID of the payment, lead or commission.
    pub id: String,
    /// Whose commission; empty: the only one there is.
    #[serde(default)]
    pub partner: String,
    /// Minor units; none: what is owed.
    #[serde(default)]
    pub amount: Option<i64>,
    /// Currency of the amount.
    #[serde(default)]
    pub currency: String,
    /// Payout that paid it.
    #[serde(default)]
    pub payout: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// A commission that stands: what is owed to one partner for one lead or sale.
#[derive(Debug, clickhouse::Row, Serialize, Deserialize)]
struct Owed {
    about: String,
    partner_id: String,
    currency: String,
    owed: i64,
}

// What was paid stands in rows of its own; take-backs and corrections count for what they correct.
const SQL: &str = "
WITH asked AS (
    SELECT DISTINCT if(conversion_id = '', object, conversion_id) AS about FROM commissions_current
    WHERE workspace = {workspace:String} AND mode = {mode:String}
        AND (id = {id:String} OR conversion_id = {id:String} OR object = {id:String} OR has(keys, {id:String}))
)
SELECT if(money.conversion_id = '', money.object, sold.object) AS about, money.partner_id AS partner_id,
    money.currency AS currency, sumIf(money.amount, money.state NOT IN ('paid', 'withheld')) AS owed
FROM commissions_current AS money
LEFT ANY JOIN conversions_current AS sold ON sold.id = money.conversion_id
WHERE money.workspace = {workspace:String} AND money.mode = {mode:String} AND money.state != 'paid'
    AND money.partner_id != '' AND if(money.conversion_id = '', money.object, money.conversion_id) IN asked
GROUP BY about, partner_id, currency
ORDER BY about, partner_id, currency";

/// Publishes decisions about commissions.
pub async fn decide(settings: &Settings, decision: Decision, tell: Tell, told: Vec<Told>) -> Result<()> {
    let mut commands = Vec::new();
    for told in &told {
        match decision {
            Decision::Custom => commands.push(custom(told)?),
            _ => commands.extend(about(settings, decision, &tell, told).await?),
        }
    }
    for command in &commands {
        let CommandFact {
            command,
            names,
            partner_id,
            amount,
            currency,
            ..
        } = command;
        let money = if *amount == 0 {
            String::new()
        } else {
            format!(" {amount} {currency} (minor units)")
        };
        output::line(&format!("{command} {names} of {partner_id}{money}"));
    }
    let bodies = commands
        .into_iter()
        .map(|command| Body::Command(Box::new(command)));
    tell_all(settings, &tell, bodies.collect()).await
}

/// The commands about everything that an ID finds.
async fn about(
    settings: &Settings,
    decision: Decision,
    tell: &Tell,
    told: &Told,
) -> Result<Vec<CommandFact>> {
    let found: Vec<Owed> = client(settings)
        .query(SQL)
        .param("workspace", &tell.workspace)
        .param("mode", &tell.mode)
        .param("id", &told.id)
        .fetch_all()
        .await
        .context("read ClickHouse")?;
    let found: Vec<Owed> = found
        .into_iter()
        .filter(|owed| told.partner.is_empty() || owed.partner_id == told.partner)
        .filter(|owed| told.currency.is_empty() || owed.currency == told.currency)
        .collect();
    if found.is_empty() {
        bail!(
            "no unpaid commission answers to {:?} in {}/{}; `tributary explain {}` says what is known of it",
            told.id,
            tell.workspace,
            tell.mode,
            told.id
        );
    }
    ensure!(
        found.iter().all(|owed| !owed.about.is_empty()),
        "{:?} is on its way into ClickHouse: try again",
        told.id
    );
    // A payout that is told twice is one; two without a name could not be told apart.
    ensure!(
        decision != Decision::Pay || !told.payout.is_empty(),
        "{:?}: pay needs the --payout that paid it",
        told.id
    );
    if decision == Decision::Pay && found.len() > 1 && told.amount.is_some() {
        bail!(
            "{:?} finds {} commissions: an amount is for one, name its --partner",
            told.id,
            found.len()
        );
    }
    let command = |owed: Owed| {
        let (names, object) = normalize::named_by_key(&owed.about);
        fact(&TrackCommand {
            command: decision.word().to_owned(),
            names,
            object,
            partner_id: owed.partner_id,
            amount: told.amount.unwrap_or(owed.owed),
            currency: owed.currency,
            payout_id: told.payout.clone(),
            reason: told.reason.clone(),
        })
    };
    let commands: Vec<CommandFact> = found
        .into_iter()
        .filter(|owed| decision != Decision::Pay || owed.owed > 0 || told.amount.is_some())
        .map(command)
        .collect::<Result<_>>()?;
    if commands.is_empty() {
        output::note(&format!(
            "nothing is owed for {:?}: it was paid, taken back, or is withheld (`release` it first)",
            told.id
        ));
    }
    Ok(commands)
}

/// Rule F7: custom commissions, negative ones too, need a reason.
fn custom(told: &Told) -> Result<CommandFact> {
    let amount = told.amount.filter(|amount| *amount != 0);
    let (Some(amount), false) = (amount, told.partner.is_empty() || told.currency.is_empty()) else {
        bail!(
            "{}: a custom commission needs partner, amount and currency",
            told.id
        );
    };
    if told.reason.trim().is_empty() {
        bail!("{}: a custom commission needs a reason (F7)", told.id);
    }
    fact(&TrackCommand {
        command: Decision::Custom.word().to_owned(),
        names: told.id.clone(),
        object: String::new(),
        partner_id: told.partner.clone(),
        amount,
        currency: told.currency.clone(),
        payout_id: String::new(),
        reason: told.reason.clone(),
    })
}

/// The same fact that the API makes of the same decision.
fn fact(told: &TrackCommand) -> Result<CommandFact> {
    normalize::command(told).with_context(|| told.names.clone())
}

/// The decisions of a file: `id,partner,amount,currency,payout,reason`, any of the last five may be left out.
pub fn read(file: &Path) -> Result<Vec<Told>> {
    let table = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(file)
        .with_context(|| format!("read {}", file.display()))?;
    let told = table.into_deserialize();
    told.enumerate()
        .map(|(i, told)| told.with_context(|| format!("{}: line {}", file.display(), i + 2)))
        .collect()
}

/// Publishes that a customer was given to a partner by hand.
pub async fn assign(
    settings: &Settings,
    tell: &Tell,
    customer: &str,
    partner: &str,
    from: Option<jiff::Timestamp>,
    reason: &str,
) -> Result<()> {
    let mail = MailKey::new(settings.mail_key()?.expose())
        .hash(customer)
        .unwrap_or_default();
    let is_stripe = customer.starts_with("cus_") || customer.contains("/cus_");
    let customer = CustomerRef {
        external_id: if mail.is_empty() && !is_stripe {
            customer.to_owned()
        } else {
            String::new()
        },
        stripe: match (is_stripe, customer.contains('/')) {
            (true, true) => customer.to_owned(),
            (true, false) => format!("/{customer}"),
            (false, _) => String::new(),
        },
        mail,
        disposable: false,
    };
    let body = Body::Assignment(Box::new(AssignmentFact {
        customer,
        partner_id: partner.to_owned(),
        reason: reason.to_owned(),
    }));
    let at = from.map(jiff::Timestamp::as_millisecond);
    publish_facts(settings, tell, vec![body], at).await?;
    let to = if partner.is_empty() { "nobody" } else { partner };
    output::line(&format!("assigned to {to}"));
    Ok(())
}

async fn tell_all(settings: &Settings, tell: &Tell, bodies: Vec<Body>) -> Result<()> {
    let count = bodies.len();
    if !tell.dry_run {
        publish_facts(settings, tell, bodies, None).await?;
    }
    output::note(&format!("{} published", if tell.dry_run { 0 } else { count }));
    Ok(())
}

async fn publish_facts(settings: &Settings, tell: &Tell, bodies: Vec<Body>, at: Option<i64>) -> Result<()> {
    let tenant = Tenant::new(tell.workspace.as_str(), tell.mode.as_str());
    let origin = Origin {
        at: at.unwrap_or_else(|| jiff::Timestamp::now().as_millisecond()),
        // Of two statements from one day on, the one told later counts.
        source: format!("command line {:014}", jiff::Timestamp::now().as_millisecond()),
        trust: "operator",
        tenant: tenant.clone(),
    };
    let facts: Vec<Fact> = bodies.into_iter().map(|body| origin.fact(body)).collect();
    publish::all(settings, Topic::Facts, &facts, |_| tenant.key()).await
}
