//! What a lead or sale earns (rules F1 to F5, F7): the reward of each line, rounding, and the sum.

use serde::Serialize;
use tributary_avro::Line;

use super::money;
use crate::rules::{Partner, PartnerStatus, Program, Reward, RewardEvent, Rules};

/// More units than this are a mistake or an attack.
const MOST_UNITS: i64 = 1_000_000;

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

/// Rewards in force for a partner (rule F1): its own, then its group's, then the program's.
struct Rewards<'a> {
    levels: [&'a [Reward]; 3],
    event: RewardEvent,
}

impl<'a> Rewards<'a> {
    fn all(&self) -> impl Iterator<Item = &'a Reward> {
        self.levels
            .into_iter()
            .flatten()
            .filter(|r| r.event == self.event)
    }

    /// Rule F2: at each level first a reward that names the product, then one for every product.
    fn fitting(&self, product: &str) -> Option<&'a Reward> {
        self.levels.iter().find_map(|level| {
            let of_event = || level.iter().filter(|r| r.event == self.event);
            let named = of_event().find(|r| r.products.iter().any(|p| p == product));
            named.or_else(|| of_event().find(|r| r.products.is_empty()))
        })
    }
}

/// The rewards of a partner, or why it earns nothing.
fn rewards<'a>(
    partner: &str,
    program: &str,
    event: RewardEvent,
    at: i64,
    rules: &'a Rules,
) -> Result<Rewards<'a>, &'static str> {
    let partner: &Partner = rules.partner(partner, at).ok_or("unknown_partner")?;
    match partner.status {
        PartnerStatus::Approved | PartnerStatus::Archived | PartnerStatus::Invited => {}
        PartnerStatus::Banned => return Err("partner_banned"),
        PartnerStatus::Pending | PartnerStatus::Rejected => return Err("partner_not_approved"),
    }
    let program: Option<&Program> = rules.program(program, at);
    let of_program: &[Reward] = program.map_or(&[], |p| &p.rewards);
    let group = program.and_then(|p| p.groups.iter().find(|g| g.id == partner.group));
    let of_group: &[Reward] = group.map_or(&[], |g| &g.rewards);
    Ok(Rewards {
        levels: [&partner.rewards, of_group, of_program],
        event,
    })
}

/// What a sale of these lines earns.
pub fn of_sale(partner: &str, program: &str, at: i64, lines: &[Line], rules: &Rules) -> Earned {
    let rewards = match rewards(partner, program, RewardEvent::Sale, at, rules) {
        Ok(rewards) => rewards,
        Err(reason) => {
            return Earned {
                reason,
                ..Earned::default()
            };
        }
    };
    // Rule F5: line by line if a reward in force names products, otherwise once on the total.
    let by_line = rewards.all().any(|r| !r.products.is_empty());
    let mut paid_once: Vec<&str> = Vec::new();
    let mut earned = Earned::default();
    for line in lines {
        let reward = rewards.fitting(&line.product);
        let (commission, how) = match reward {
            None => (0, "no reward fits".to_owned()),
            Some(Reward {
                percent: Some(percent),
                ..
            }) => (
                money::scale(line.amount, percent.0, 10_000),
                format!("{} × {percent} %", line.amount),
            ),
            Some(Reward {
                amount: Some(amount),
                per_unit: true,
                ..
            }) => {
                // Negative lines earn negatively (rule F5), also by the unit.
                let units = if line.amount < 0 {
                    -units(line.quantity)
                } else {
                    units(line.quantity)
                };
                (amount.saturating_mul(units), format!("{amount} × {units} units"))
            }
            Some(Reward {
                id,
                amount: Some(amount),
                ..
            }) if !paid_once.contains(&id.as_str()) => {
                paid_once.push(id);
                (*amount, format!("{amount} flat, once per sale"))
            }
            Some(Reward { .. }) => (0, "flat amount is paid once per sale".to_owned()),
        };
        let reward = reward.map(|r| r.id.clone()).unwrap_or_default();
        earned.lines.push(EarnedLine {
            amount: line.amount,
            commission,
            reward,
            how,
        });
    }
    earned.total = earned
        .lines
        .iter()
        .fold(0, |sum: i64, l| sum.saturating_add(l.commission));
    if let (false, Some(percent)) = (by_line, rewards.fitting("").and_then(|r| r.percent)) {
        let whole = lines.iter().fold(0, |sum: i64, l| sum.saturating_add(l.amount));
        earned.total = money::scale(whole, percent.0, 10_000);
        let exact: Vec<i64> = earned.lines.iter().map(|l| l.amount).collect();
        if let Some(parts) = money::allocate(earned.total, &exact) {
            for (line, part) in earned.lines.iter_mut().zip(parts) {
                line.commission = part;
            }
        }
    }
    if earned.lines.iter().all(|l| l.reward.is_empty()) {
        earned.reason = "no_reward";
    }
    earned
}

/// Units that a reward is paid for: a number from outside, bounded.
fn units(quantity: i64) -> i64 {
    quantity.saturating_abs().min(MOST_UNITS)
}

/// Rule D5: what a lead earns.
pub fn of_lead(partner: &str, program: &str, at: i64, quantity: i64, rules: &Rules) -> Earned {
    let rewards = match rewards(partner, program, RewardEvent::Lead, at, rules) {
        Ok(rewards) => rewards,
        Err(reason) => {
            return Earned {
                reason,
                ..Earned::default()
            };
        }
    };
    let Some((reward, amount)) = rewards.fitting("").and_then(|r| Some((r, r.amount?))) else {
        return Earned {
            reason: "no_reward",
            ..Earned::default()
        };
    };
    let commission = amount.saturating_mul(units(quantity));
    let how = format!("{amount} × {quantity} leads");
    Earned {
        total: commission,
        lines: vec![EarnedLine {
            amount: 0,
            commission,
            reward: reward.id.clone(),
            how,
        }],
        reason: "",
    }
}
