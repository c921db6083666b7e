//! What a lead or sale earns (rules F1 to F5, F7): the reward of each line, its limits, rounding, and the sum.
//!
//! ```text
//! line ─► reward (F1, F2) ─► modifier (F1a) ─► duration, charges (F4) ─► rounding (F5) ─► share (C3) ─► cap (F4)
//! ```

use serde::Serialize;
use tributary_avro::{CountryClicks, Line, Metadata};

use super::books::{Books, Use};
use super::money;
use crate::rules::{
    Attribute, Cap, Matching, Modifier, Partner, PartnerStatus, Percent, Program, Reward, RewardEvent, Rules,
    Total, Value,
};
use crate::store::StoreError;

/// More units than this are a mistake or an attack.
pub(super) const MOST_UNITS: i64 = 1_000_000;

/// What one line earns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EarnedLine {
    /// Net amount of the line, minor units.
    pub amount: i64,
    /// Commission of the line, minor units.
    pub commission: i64,
    /// Reward that fitted; empty if none.
    pub reward: String,
    /// The arithmetic, for people.
    pub how: String,
}

/// What a whole lead or sale earns.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Earned {
    /// Minor units of the workspace's currency.
    pub total: i64,
    /// One for each line of the sale.
    pub lines: Vec<EarnedLine>,
    /// Why nothing is earned; empty otherwise.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: &'static str,
}

impl Earned {
    fn nothing(reason: &'static str) -> Self {
        Self {
            reason,
            ..Self::default()
        }
    }

    /// Sets the total, and divides it over the lines in proportion to what they earned.
    fn become_total(&mut self, total: i64) {
        if total == self.total {
            return;
        }
        let exact: Vec<i64> = self.lines.iter().map(|l| l.commission).collect();
        let parts = money::allocate(total, &exact).unwrap_or_else(|| vec![0; exact.len()]);
        for (line, part) in self.lines.iter_mut().zip(parts) {
            line.commission = part;
        }
        self.total = total;
    }
}

/// What is known of a lead or sale when its reward is asked for.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    /// Event time, UTC milliseconds.
    pub at: i64,
    /// Key of the object that the entry is about: orders uses of one limit at one time.
    pub anchor: &'a str,
    /// Country of the click; empty if unknown.
    pub country: &'a str,
    /// tracked or trial; empty if there is no lead.
    pub source: &'static str,
    /// First lead, else first sale, UTC milliseconds.
    pub signup: Option<i64>,
    /// The customer's first sale, UTC milliseconds.
    pub first_sale: Option<i64>,
    /// It is the customer's first sale.
    pub is_first: bool,
    /// Start of the sale's subscription, UTC milliseconds.
    pub subscription_start: Option<i64>,
    /// Amount of the whole sale, minor units; None for a lead.
    pub amount: Option<i64>,
    /// Metadata of the sale.
    pub sale_metadata: &'a Metadata,
    /// Metadata of the lead.
    pub lead_metadata: &'a Metadata,
}

/// Who would earn.
#[derive(Clone, Copy)]
pub struct Earner<'a> {
    /// Partner; not empty.
    pub partner: &'a str,
    /// Program.
    pub program: &'a str,
    /// Link whose click brought it; empty if none did.
    pub link: &'a str,
    /// Rules of the workspace.
    pub rules: &'a Rules,
}

impl Earner<'_> {
    /// The largest value of a reward's limit under any version of the rules.
    fn largest(&self, reward: &str, limit: impl Fn(&Reward) -> Option<i64>) -> i64 {
        let versions = self.rules.rewards_ever(self.program, self.partner, self.link);
        let own = versions.filter(|r| r.id == reward);
        own.filter_map(limit).max().unwrap_or_default()
    }
}

/// Rewards in force for a partner (rule F1): its link's, its own, its group's, the program's.
struct Rewards<'a> {
    levels: [&'a [Reward]; 4],
    event: RewardEvent,
    partner: &'a Partner,
    rules: &'a Rules,
}

/// What a line earns by: a reward, as a modifier may change it.
#[derive(Clone, Copy)]
struct Terms<'a> {
    reward: &'a Reward,
    /// The link's, partner's own, its group's or the program's: their IDs are of their own.
    level: usize,
    /// Index of the modifier that won.
    modifier: Option<usize>,
    percent: Option<Percent>,
    amount: Option<i64>,
    max_months: Option<u32>,
}

impl<'a> Rewards<'a> {
    /// The rewards of a partner, or why it earns nothing.
    fn of(earner: Earner<'a>, event: RewardEvent, at: i64) -> Result<Self, &'static str> {
        let partner: &Partner = earner
            .rules
            .partner(earner.partner, at)
            .ok_or("unknown_partner")?;
        match partner.status {
            PartnerStatus::Approved | PartnerStatus::Archived | PartnerStatus::Invited => {}
            PartnerStatus::Banned => return Err("partner_banned"),
            PartnerStatus::Pending | PartnerStatus::Rejected => return Err("partner_not_approved"),
        }
        let program: Option<&Program> = earner.rules.program(earner.program, at);
        let of_program: &[Reward] = program.map_or(&[], |p| &p.rewards);
        let group = program.and_then(|p| p.groups.iter().find(|g| g.id == partner.group));
        let of_group: &[Reward] = group.map_or(&[], |g| &g.rewards);
        let of_link = earner.rules.link_rewards(earner.link, at);
        Ok(Rewards {
            levels: [of_link, &partner.rewards, of_group, of_program],
            event,
            partner,
            rules: earner.rules,
        })
    }

    fn all(&self) -> impl Iterator<Item = &'a Reward> {
        let event = self.event;
        self.levels
            .into_iter()
            .flatten()
            .filter(move |r| r.event == event)
    }

    /// Rule F2: at each level first a reward that names the product, then one for every product.
    fn fitting(&self, product: &str) -> Option<(usize, &'a Reward)> {
        self.levels.into_iter().enumerate().find_map(|(number, level)| {
            let of_event = || level.iter().filter(|r| r.event == self.event);
            let named = of_event().find(|r| r.products.iter().any(|p| p == product));
            let found = named.or_else(|| of_event().find(|r| r.products.is_empty()))?;
            Some((number, found))
        })
    }

    /// Rule F1a: of the modifiers that match, the one that earns most for this line; of equal ones the first. If none
    /// matches, the reward as it stands.
    fn terms(&self, line: &Line, of: &Circumstances<'_>) -> Option<Terms<'a>> {
        let (level, reward) = self.fitting(&line.product)?;
        let base = Terms {
            reward,
            level,
            modifier: None,
            percent: reward.percent,
            amount: reward.amount,
            max_months: reward.max_months,
        };
        let mut best: Option<Terms<'a>> = None;
        let positive = Line {
            amount: line.amount.saturating_abs(),
            quantity: line.quantity,
            ..Line::default()
        };
        for (index, modifier) in reward.modifiers.iter().enumerate() {
            if !self.matches(modifier, line, of) {
                continue;
            }
            let is_base = modifier.percent.is_none() && modifier.amount.is_none();
            let (percent, amount) = if is_base {
                (base.percent, base.amount)
            } else {
                (modifier.percent, modifier.amount)
            };
            let terms = Terms {
                reward,
                level,
                modifier: Some(index),
                percent,
                amount,
                max_months: modifier.max_months.or(base.max_months),
            };
            // One whose time is over wins only where all that match are over. A negative line goes by the terms by which
            // a positive one of its amount would earn.
            let rank = |terms: &Terms<'_>| (in_duration(terms.max_months, of), terms.alone(&positive));
            if best.is_none_or(|best| rank(&terms) > rank(&best)) {
                best = Some(terms);
            }
        }
        best.or(Some(base))
    }

    fn matches(&self, modifier: &Modifier, line: &Line, of: &Circumstances<'_>) -> bool {
        let mut answers = modifier
            .conditions
            .iter()
            .map(|condition| condition.holds(self.value(&condition.attribute, line, of)));
        match modifier.matching {
            Matching::And => answers.all(|holds| holds),
            Matching::Or => answers.any(|holds| holds),
        }
    }

    fn value<'v>(&'v self, attribute: &Attribute, line: &'v Line, of: &'v Circumstances<'_>) -> Value<'v> {
        let text = |text: &'v str| {
            if text.is_empty() {
                Value::Unknown
            } else {
                Value::Text(text)
            }
        };
        let time = |time: Option<i64>| time.map_or(Value::Unknown, Value::Time);
        let number = |number: Option<i64>| number.map_or(Value::Unknown, Value::Number);
        let metadata = |value: Option<&'v String>| value.map_or(Value::Unknown, |v| Value::Metadata(v));
        match attribute {
            Attribute::CustomerCountry => text(of.country),
            Attribute::CustomerSource => text(of.source),
            Attribute::SubscriptionDurationMonths => {
                number(of.subscription_start.map(|start| full_months(start, of.at)))
            }
            Attribute::SubscriptionStartDate => time(of.subscription_start),
            Attribute::SignupDate => time(of.signup),
            Attribute::PartnerCountry => text(&self.partner.country),
            Attribute::PartnerTotal(total) => {
                let totals = self.rules.totals(&self.partner.id, of.at);
                number(totals.map(|totals| match total {
                    Total::Clicks => totals.clicks,
                    Total::Leads => totals.leads,
                    Total::Conversions => totals.conversions,
                    Total::SaleAmount => totals.sale_amount,
                    Total::Commissions => totals.commissions,
                }))
            }
            Attribute::SaleProductId => text(&line.product),
            Attribute::SaleAmount => number(of.amount),
            Attribute::SaleType if of.amount.is_none() => Value::Unknown,
            Attribute::SaleType => Value::Text(if of.is_first { "new" } else { "recurring" }),
            Attribute::SaleMetadata(name) => metadata(of.sale_metadata.get(name)),
            Attribute::LeadMetadata(name) => metadata(of.lead_metadata.get(name)),
        }
    }
}

impl Terms<'_> {
    /// What the line would earn alone, minor units.
    fn alone(&self, line: &Line) -> i64 {
        match (self.percent, self.amount) {
            (Some(percent), _) => money::scale(line.amount, percent.0, 10_000),
            (None, Some(amount)) if self.reward.per_unit => amount.saturating_mul(signed_units(line)),
            (None, amount) => amount.unwrap_or_default(),
        }
    }

    /// The arithmetic, and the modifier that it goes by.
    fn said(&self, how: String) -> String {
        match self.modifier {
            Some(index) => format!("{how}, by modifier {}", index + 1),
            None => how,
        }
    }

    fn names_products(&self) -> bool {
        let asks = |modifier: &Modifier| {
            let mut attributes = modifier.conditions.iter().map(|c| &c.attribute);
            attributes.any(|attribute| *attribute == Attribute::SaleProductId)
        };
        !self.reward.products.is_empty() || self.reward.modifiers.iter().any(asks)
    }

    /// Flat amounts are paid once per sale by these.
    fn key(&self) -> (usize, &str, Option<usize>) {
        (self.level, &self.reward.id, self.modifier)
    }

    /// The reward, whichever modifier holds.
    fn limited(&self) -> (usize, &str) {
        (self.level, &self.reward.id)
    }

    /// Whose limit it is: IDs are of one level of one program.
    fn scope(&self, kind: &str, earner: Earner<'_>) -> String {
        let Earner {
            program,
            partner,
            link,
            ..
        } = earner;
        let link = if self.level == 0 { link } else { "" };
        format!(
            "{kind}/{program}/{}/{}/{partner}/{link}",
            self.level, self.reward.id
        )
    }
}

/// What a sale of these lines earns for one partner, before shares and caps, and the terms of each line.
fn of_lines<'a>(
    rewards: &Rewards<'a>,
    earner: Earner<'_>,
    lines: &[Line],
    of: &Circumstances<'_>,
    books: &mut dyn Books,
) -> Result<(Earned, Vec<Option<Terms<'a>>>), StoreError> {
    let all: Vec<Option<Terms<'a>>> = lines.iter().map(|line| rewards.terms(line, of)).collect();
    let mut over: Vec<(usize, &str)> = Vec::new();
    let mut counted: Vec<(usize, &str)> = Vec::new();
    for terms in all
        .iter()
        .flatten()
        .filter(|terms| in_duration(terms.max_months, of))
    {
        let Reward { id, max_charges, .. } = terms.reward;
        let Some(most) = max_charges else { continue };
        if !counted.contains(&terms.limited()) {
            counted.push(terms.limited());
            let fits = books.allot(Use {
                scope: terms.scope("charges", earner),
                at: of.at,
                anchor: of.anchor,
                wanted: 1,
                limit: i64::from(*most),
                largest: earner.largest(id, |reward| reward.max_charges.map(i64::from)),
                across_customers: false,
            })?;
            if fits == 0 {
                over.push(terms.limited());
            }
        }
    }
    let mut paid_once: Vec<(usize, &str, Option<usize>)> = Vec::new();
    let mut earned = Earned::default();
    for (line, terms) in lines.iter().zip(&all) {
        let (commission, how) = match terms {
            None => (0, "no reward fits".to_owned()),
            Some(terms) if !in_duration(terms.max_months, of) => {
                let months = terms.max_months.unwrap_or_default();
                (0, format!("earned for {months} months after the first sale only"))
            }
            Some(terms) if over.contains(&terms.limited()) => {
                let most = terms.reward.max_charges.unwrap_or_default();
                (0, format!("earned for {most} sales of a customer only"))
            }
            Some(terms) => {
                let how = match (terms.percent, terms.amount) {
                    (Some(percent), _) => format!("{} × {percent} %", line.amount),
                    (None, Some(amount)) if terms.reward.per_unit => {
                        format!("{amount} × {} units", signed_units(line))
                    }
                    (None, amount) => format!("{} flat, once per sale", amount.unwrap_or_default()),
                };
                let how = terms.said(how);
                let is_flat = terms.percent.is_none() && !terms.reward.per_unit;
                if is_flat && paid_once.contains(&terms.key()) {
                    (0, "flat amount is paid once per sale".to_owned())
                } else {
                    if is_flat {
                        paid_once.push(terms.key());
                    }
                    (terms.alone(line), how)
                }
            }
        };
        earned.lines.push(EarnedLine {
            amount: line.amount,
            commission,
            reward: terms.map(|t| t.reward.id.clone()).unwrap_or_default(),
            how,
        });
    }
    earned.total = sum(&earned.lines);
    // Rule F5: line by line if a reward in force names products, otherwise once on the total.
    let by_line =
        rewards.all().any(|r| !r.products.is_empty()) || all.iter().flatten().any(Terms::names_products);
    let one =
        one_terms(&all).filter(|terms| in_duration(terms.max_months, of) && !over.contains(&terms.limited()));
    if let Some(percent) = one.and_then(|terms| terms.percent).filter(|_| !by_line) {
        let amounts: Vec<i64> = lines.iter().map(|l| l.amount).collect();
        let total = money::scale(money::sum(amounts.iter().copied()), percent.0, 10_000);
        if let Some(parts) = money::allocate(total, &amounts) {
            for (line, part) in earned.lines.iter_mut().zip(parts) {
                line.commission = part;
            }
        }
        earned.total = total;
    }
    if earned.lines.iter().all(|l| l.reward.is_empty()) {
        earned.reason = "no_reward";
    }
    Ok((earned, all))
}

/// The terms by which all lines earn, if they are the same.
fn one_terms<'t, 'a>(all: &'t [Option<Terms<'a>>]) -> Option<&'t Terms<'a>> {
    let (first, others) = all.split_first()?;
    let first = first.as_ref()?;
    let same = |other: &Option<Terms<'_>>| other.as_ref().is_some_and(|other| other.key() == first.key());
    others.iter().all(same).then_some(first)
}

fn sum(lines: &[EarnedLine]) -> i64 {
    money::sum(lines.iter().map(|l| l.commission))
}

/// What a sale of these lines earns each of those that share in it, with the weights of their shares (rule C3).
pub fn of_sale(
    earners: &[(Earner<'_>, u64)],
    lines: &[Line],
    of: &Circumstances<'_>,
    books: &mut dyn Books,
) -> Result<Vec<Earned>, StoreError> {
    let mut all = Vec::with_capacity(earners.len());
    for (earner, _) in earners {
        all.push(match Rewards::of(*earner, RewardEvent::Sale, of.at) {
            _ if earner.partner.is_empty() => (Earned::default(), Vec::new()),
            Ok(rewards) => of_lines(&rewards, *earner, lines, of, books)?,
            Err(reason) => (Earned::nothing(reason), Vec::new()),
        });
    }
    if earners.len() > 1 {
        let wholes: Vec<i64> = all.iter().map(|(earned, _)| earned.total).collect();
        let weights: Vec<u64> = earners.iter().map(|(_, weight)| *weight).collect();
        for ((earned, _), part) in all.iter_mut().zip(super::shares::divide(&wholes, &weights)) {
            earned.become_total(part);
        }
    }
    for ((earner, _), (earned, terms)) in earners.iter().zip(&mut all) {
        cap_lines(terms, *earner, earned, (of, false), books)?;
    }
    Ok(all.into_iter().map(|(earned, _)| earned).collect())
}

/// Rule F4: what a reward earns beyond its cap is not paid; the sale that reaches it is paid in part.
fn cap_lines(
    terms: &[Option<Terms<'_>>],
    earner: Earner<'_>,
    earned: &mut Earned,
    (of, across_customers): (&Circumstances<'_>, bool),
    books: &mut dyn Books,
) -> Result<(), StoreError> {
    let mut capped_already: Vec<(usize, &str)> = Vec::new();
    for limited in terms.iter().flatten() {
        let Some(cap) = limited
            .reward
            .cap
            .filter(|_| !capped_already.contains(&limited.limited()))
        else {
            continue;
        };
        capped_already.push(limited.limited());
        let same =
            |terms: &Option<Terms<'_>>| terms.as_ref().is_some_and(|t| t.limited() == limited.limited());
        let of_reward = earned.lines.iter_mut().zip(terms);
        let mut of_reward: Vec<&mut EarnedLine> = of_reward
            .filter(|(_, terms)| same(terms))
            .map(|(line, _)| line)
            .collect();
        let commissions: Vec<i64> = of_reward.iter().map(|line| line.commission).collect();
        let wanted = money::sum(commissions.iter().copied());
        let fits = capped(cap_use(cap, limited, earner, of), wanted, across_customers, books)?;
        if fits == wanted {
            continue;
        }
        let parts = money::allocate(fits, &commissions).unwrap_or_else(|| vec![0; commissions.len()]);
        for (line, part) in of_reward.iter_mut().zip(parts) {
            line.commission = part;
            line.how = format!("{}, of which {part} fit into the cap of {}", line.how, cap.amount);
        }
        earned.total = sum(&earned.lines);
    }
    Ok(())
}

/// What is taken of a reward's cap for one partner in the period of the lead or sale.
fn cap_use<'a>(cap: Cap, terms: &Terms<'_>, earner: Earner<'_>, of: &Circumstances<'a>) -> Use<'a> {
    Use {
        scope: format!("{}/{}", terms.scope("cap", earner), cap.per.start(of.at)),
        at: of.at,
        anchor: of.anchor,
        wanted: 0,
        limit: cap.amount,
        largest: earner.largest(&terms.reward.id, |reward| reward.cap.map(|cap| cap.amount)),
        across_customers: false,
    }
}

fn capped(
    cap: Use<'_>,
    wanted: i64,
    across_customers: bool,
    books: &mut dyn Books,
) -> Result<i64, StoreError> {
    if wanted <= 0 {
        return Ok(wanted);
    }
    books.allot(Use {
        wanted,
        across_customers,
        ..cap
    })
}

/// Rule D5: what a lead earns. One lead of a customer earns a partner something (rule F4): `only` if there is no other.
pub fn of_lead(
    earner: Earner<'_>,
    quantity: i64,
    only: bool,
    of: &Circumstances<'_>,
    books: &mut dyn Books,
) -> Result<Earned, StoreError> {
    let rewards = match Rewards::of(earner, RewardEvent::Lead, of.at) {
        Ok(rewards) => rewards,
        Err(reason) => return Ok(Earned::nothing(reason)),
    };
    let none = Line {
        quantity,
        ..Line::default()
    };
    let Some((terms, amount)) = rewards.terms(&none, of).and_then(|t| Some((t, t.amount?))) else {
        return Ok(Earned::nothing("no_reward"));
    };
    let commission = amount.saturating_mul(units(quantity));
    if commission > 0 && !only {
        let fits = books.allot(Use {
            scope: format!("lead/{}", earner.partner),
            at: of.at,
            anchor: of.anchor,
            wanted: 1,
            limit: 1,
            largest: 1,
            across_customers: false,
        })?;
        if fits == 0 {
            return Ok(Earned::nothing("paid_for_another_lead"));
        }
    }
    let mut earned = Earned {
        total: commission,
        lines: vec![EarnedLine {
            amount: 0,
            commission,
            reward: terms.reward.id.clone(),
            how: terms.said(format!("{amount} × {quantity} leads")),
        }],
        reason: "",
    };
    cap_lines(&[Some(terms)], earner, &mut earned, (of, true), books)?;
    Ok(earned)
}

/// Rule F1: what the clicks of a day earn, country by country.
pub fn of_clicks(
    earner: Earner<'_>,
    countries: &[CountryClicks],
    of: &Circumstances<'_>,
    books: &mut dyn Books,
) -> Result<Earned, StoreError> {
    let rewards = match Rewards::of(earner, RewardEvent::Click, of.at) {
        Ok(rewards) => rewards,
        Err(reason) => return Ok(Earned::nothing(reason)),
    };
    let mut all = Vec::with_capacity(countries.len());
    let mut earned = Earned::default();
    for CountryClicks { country, clicks } in countries {
        let of = Circumstances { country, ..*of };
        let terms = rewards.terms(&Line::default(), &of);
        let Some((terms, amount)) = terms.and_then(|terms| Some((terms, terms.amount?))) else {
            return Ok(Earned::nothing("no_reward"));
        };
        let place = if country.is_empty() {
            "nowhere known"
        } else {
            country
        };
        earned.lines.push(EarnedLine {
            amount: 0,
            commission: amount.saturating_mul(*clicks),
            reward: terms.reward.id.clone(),
            how: terms.said(format!("{amount} × {clicks} clicks from {place}")),
        });
        all.push(Some(terms));
    }
    earned.total = sum(&earned.lines);
    cap_lines(&all, earner, &mut earned, (of, true), books)?;
    Ok(earned)
}

/// Units that a reward is paid for: a number from outside, bounded.
fn units(quantity: i64) -> i64 {
    quantity.saturating_abs().min(MOST_UNITS)
}

/// Negative lines earn negatively (rule F5), also by the unit.
fn signed_units(line: &Line) -> i64 {
    if line.amount < 0 {
        -units(line.quantity)
    } else {
        units(line.quantity)
    }
}

/// Rule F4: months since the first sale; 0 is the first sale only, none is for life.
fn in_duration(max_months: Option<u32>, of: &Circumstances<'_>) -> bool {
    match (max_months, of.first_sale) {
        (None, _) | (_, None) => true,
        (Some(_), _) if of.is_first => true,
        (Some(0), _) => false,
        (Some(months), Some(first)) => full_months(first, of.at) < i64::from(months),
    }
}

/// Full months as a calendar counts them, UTC: from January 31 to February 28 is one.
fn full_months(from: i64, to: i64) -> i64 {
    use jiff::{Timestamp, ToSpan, tz::TimeZone};
    let zoned = |at| {
        let time = Timestamp::from_millisecond(at).unwrap_or_default();
        time.to_zoned(TimeZone::UTC)
    };
    let (from, to) = (zoned(from), zoned(to));
    let years = i64::from(to.year()) - i64::from(from.year());
    let months = years * 12 + i64::from(to.month()) - i64::from(from.month());
    match from.checked_add(months.months()) {
        Ok(day) if day > to => months - 1,
        _ => months,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn months_are_counted_as_a_calendar_does() {
        for (from, to, months) in [
            ("2026-01-31T12:00:00Z", "2026-02-28T11:59:59Z", 0),
            ("2026-01-31T12:00:00Z", "2026-02-28T12:00:00Z", 1),
            ("2026-01-31T12:00:00Z", "2026-03-31T11:00:00Z", 1),
            ("2026-01-31T12:00:00Z", "2027-01-31T12:00:00Z", 12),
            ("2026-03-15T00:00:00Z", "2026-03-14T00:00:00Z", -1),
            ("2026-03-15T00:00:00Z", "2026-03-15T00:00:00Z", 0),
        ] {
            assert_eq!(full_months(at(from), at(to)), months, "{from} to {to}");
        }
    }
}
