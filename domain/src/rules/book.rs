//! The rules of one tenant: every declared object with its versions, and the look-ups that the ledger needs.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::de::DeserializeOwned;
use tributary_avro::{AccountFact, PartnerTotalsFact, PriceFact, PromotionCodeFact, RuleFact};

use super::rates::{Converted, DayRates, Rates};
use super::{
    Attribute, Coupon, Link, Partner, Program, Reward, RewardEvent, Version, Versions, Workspace, day_of,
};

/// What is declared, by kind and ID.
#[derive(Debug, Default)]
pub struct Rules {
    workspace: Versions<Workspace>,
    programs: FxHashMap<String, Versions<Program>>,
    program_order: Vec<String>,
    partners: FxHashMap<String, Versions<Partner>>,
    coupons: FxHashMap<String, Versions<Coupon>>,
    promotion_codes: FxHashMap<String, (i64, String, PromotionCodeFact)>,
    rates: Rates,
    partner_mails: FxHashSet<String>,
    /// Of the links that ever had rewards: all their versions.
    links: FxHashMap<String, Versions<Link>>,
    totals: FxHashMap<String, BTreeMap<i64, Latest<PartnerTotalsFact>>>,
    accounts: FxHashMap<String, Latest<bool>>,
    products: FxHashMap<String, Latest<String>>,
    asks: Asks,
}

/// What rewards ask of the days that closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asks {
    /// A reward pays for clicks.
    pub clicks: bool,
    /// A condition asks for partners' totals.
    pub totals: bool,
}

impl Asks {
    /// What these rewards ask.
    pub fn of<'a>(rewards: impl Iterator<Item = &'a Reward>) -> Self {
        let mut asks = Self::default();
        for reward in rewards {
            let mut conditions = reward.modifiers.iter().flat_map(|modifier| &modifier.conditions);
            asks.totals |= conditions.any(|c| matches!(c.attribute, Attribute::PartnerTotal(_)));
            asks.clicks |= reward.event == RewardEvent::Click;
        }
        asks
    }

    /// This and what another asks.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            clicks: self.clicks || other.clicks,
            totals: self.totals || other.totals,
        }
    }
}

/// What the statement says that counts: as-of, fact ID, content.
type Latest<T> = (i64, String, T);

/// Takes a statement if it is later than the known one; of the same time the larger fact ID counts (rule A5).
/// Says whether it changes anything.
fn take<T: PartialEq>(known: &mut FxHashMap<String, Latest<T>>, name: &str, told: Latest<T>) -> bool {
    let is_later = |(at, fact, _): &Latest<T>| (*at, fact.as_str()) < (told.0, told.1.as_str());
    let before = known.get(name);
    if !before.is_none_or(is_later) {
        return false;
    }
    let changes = before.is_none_or(|(_, _, content)| *content != told.2);
    known.insert(name.to_owned(), told);
    changes
}

/// Why a rule fact is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {id}: {detail}")]
pub struct InvalidRule {
    kind: String,
    id: String,
    detail: String,
}

impl Rules {
    /// Adds a rule fact; false if it was there. Of links only those are given here that ever had rewards, with all
    /// their versions: clicks carry what else is asked of a link.
    pub fn add(&mut self, fact: &str, at: i64, rule: &RuleFact) -> Result<bool, InvalidRule> {
        // The version first: a rule that is refused must leave nothing behind.
        Ok(match rule.kind.as_str() {
            "workspace" => self.workspace.add(version(fact, at, rule)?),
            "program" => {
                let version: Version<Program> = version(fact, at, rule)?;
                let rewards = version.value.iter().flat_map(Program::all_rewards);
                self.asks = self.asks.and(Asks::of(rewards));
                if let Err(index) = self.program_order.binary_search(&rule.id) {
                    self.program_order.insert(index, rule.id.clone());
                }
                self.programs.entry(rule.id.clone()).or_default().add(version)
            }
            "partner" => {
                let version: Version<Partner> = version(fact, at, rule)?;
                let rewards = version.value.iter().flat_map(|partner| &partner.rewards);
                self.asks = self.asks.and(Asks::of(rewards));
                let mail = version.value.as_ref().map(|partner| &partner.mail);
                self.partner_mails
                    .extend(mail.filter(|mail| !mail.is_empty()).cloned());
                self.partners.entry(rule.id.clone()).or_default().add(version)
            }
            "coupon" => {
                let version = version(fact, at, rule)?;
                self.coupons
                    .entry(rule.id.to_lowercase())
                    .or_default()
                    .add(version)
            }
            "link" => {
                let version: Version<Link> = version(fact, at, rule)?;
                let rewards = version.value.iter().flat_map(|link| &link.rewards);
                self.asks = self.asks.and(Asks::of(rewards));
                self.links.entry(rule.id.clone()).or_default().add(version)
            }
            "fx" => {
                let day: DayRates =
                    serde_json::from_str(&rule.document).map_err(|e| invalid(rule, &e.to_string()))?;
                let numbers = day.numbers().map_err(|e| invalid(rule, &e))?;
                if !self.rates.add(fact, at, &day, &numbers) {
                    return Err(invalid(rule, "other rates of that day are stated already (E6)"));
                }
                true
            }
            _ => return Err(invalid(rule, "unknown kind of rule")),
        })
    }

    /// Takes a Stripe promotion code; the latest as-of wins.
    pub fn add_promotion_code(&mut self, fact: &str, at: i64, code: &PromotionCodeFact) {
        let told = (at, fact.to_owned(), code.clone());
        let _changes = take(&mut self.promotion_codes, &code.promotion_code, told);
    }

    /// Takes what a Stripe price is sold as; the latest as-of wins.
    /// Says whether that changes anything.
    pub fn add_price(&mut self, fact: &str, at: i64, price: &PriceFact) -> bool {
        let told = (at, fact.to_owned(), price.product.clone());
        !price.price.is_empty() && take(&mut self.products, &price.price, told)
    }

    /// Takes whether a Stripe account is connected; the latest as-of wins.
    /// Says whether that may change anything.
    pub fn add_account(&mut self, fact: &str, at: i64, account: &AccountFact) -> bool {
        let told = (at, fact.to_owned(), account.connected);
        let before = self.accounts.get(&account.account).cloned();
        let _changes = take(&mut self.accounts, &account.account, told);
        self.accounts.get(&account.account).cloned() != before
    }

    /// Takes the totals of a partner. A day is stated once: should it be stated again, the earlier statement counts.
    /// Says whether that changes anything.
    pub fn add_totals(&mut self, fact: &str, at: i64, totals: &PartnerTotalsFact) -> bool {
        let days = self.totals.entry(totals.partner_id.clone()).or_default();
        let is_earlier = |known: &Latest<_>| (at, fact) < (known.0, known.1.as_str());
        let counts = days.get(&totals.day).is_none_or(is_earlier);
        if counts {
            days.insert(totals.day, (at, fact.to_owned(), totals.clone()));
        }
        counts
    }

    /// What its rewards ever asked of the days that closed.
    pub fn asks(&self) -> Asks {
        self.asks
    }

    /// The totals of a partner that conditions read at `at`: those of the last day that was stated before it (rule F1).
    pub fn totals(&self, partner: &str, at: i64) -> Option<&PartnerTotalsFact> {
        let mut before = self.totals.get(partner)?.range(..day_of(at));
        before.next_back().map(|(_, (_, _, totals))| totals)
    }

    /// The product of a Stripe price; empty if unknown.
    pub fn product_of(&self, price: &str) -> &str {
        self.products.get(price).map_or("", |(_, _, product)| product)
    }

    /// Whether an account had taken its permission back at `at`, and has not given it again since: once it has, what
    /// happened between counts, too.
    pub fn is_disconnected(&self, account: &str, at: i64) -> bool {
        let latest = self.accounts.get(account);
        latest.is_some_and(|(since, _, connected)| !connected && *since <= at)
    }

    /// Every reward under any version of the rules.
    fn all_rewards(&self) -> impl Iterator<Item = &Reward> {
        let programs = self.programs.values().flat_map(Versions::all);
        let partners = self.partners.values().flat_map(Versions::all);
        let links = self.links.values().flat_map(Versions::all);
        programs
            .flat_map(Program::all_rewards)
            .chain(partners.flat_map(|partner| &partner.rewards))
            .chain(links.flat_map(|link| &link.rewards))
    }

    /// Whether any reward has a limit that customers share: a cap on leads or clicks (rule F4).
    pub fn has_shared_limits(&self) -> bool {
        self.all_rewards()
            .any(|r| r.event != RewardEvent::Sale && r.cap.is_some())
    }

    /// The rewards of a program, its groups, a partner and a link under every version of the rules.
    pub fn rewards_ever<'a>(
        &'a self,
        program: &str,
        partner: &str,
        link: &str,
    ) -> impl Iterator<Item = &'a Reward> {
        let programs = self.programs.get(program).into_iter().flat_map(Versions::all);
        let partners = self.partners.get(partner).into_iter().flat_map(Versions::all);
        let links = self.links.get(link).into_iter().flat_map(Versions::all);
        programs
            .flat_map(Program::all_rewards)
            .chain(partners.flat_map(|partner| &partner.rewards))
            .chain(links.flat_map(|link| &link.rewards))
    }

    /// Whether any version of a link that was given here has rewards.
    pub fn link_has_rewards(&self, link: &str) -> bool {
        let versions = self.links.get(link).into_iter().flat_map(Versions::all);
        versions.into_iter().any(|link| !link.rewards.is_empty())
    }

    /// Every partner that any version of a link names.
    pub fn partners_of_link(&self, link: &str) -> impl Iterator<Item = &str> {
        let versions = self.links.get(link).into_iter().flat_map(Versions::all);
        versions.map(|link| link.partner.as_str())
    }

    /// The rewards of a link in force at `at`; empty if it has none.
    pub fn link_rewards(&self, link: &str, at: i64) -> &[Reward] {
        let link = self.links.get(link).and_then(|versions| versions.at(at));
        link.map_or(&[], |link| &link.rewards)
    }

    /// Settings in force at `at`; None before the workspace is declared.
    pub fn workspace(&self, at: i64) -> Option<&Workspace> {
        self.workspace.at(at)
    }

    /// The program in force at `at`; an empty ID is the first one by ID.
    pub fn program(&self, id: &str, at: i64) -> Option<&Program> {
        let id = if id.is_empty() {
            self.program_order.first()?
        } else {
            id
        };
        self.programs.get(id)?.at(at)
    }

    /// An amount of minor units in another currency, by the rates of the day of `at` (rule E6).
    pub fn convert(&self, amount: i64, from: &str, to: &str, at: i64) -> Option<Converted> {
        self.rates.convert(amount, from, to, at)
    }

    /// Whether it is the hash of any partner's address (rule C10).
    pub fn is_partners_mail(&self, hash: &str) -> bool {
        self.partner_mails.contains(hash)
    }

    /// The partner in force at `at`.
    pub fn partner(&self, id: &str, at: i64) -> Option<&Partner> {
        self.partners.get(id)?.at(at)
    }

    /// The text of a Stripe promotion code ID.
    pub fn code_of(&self, promotion_code: &str) -> Option<&str> {
        self.promotion_codes
            .get(promotion_code)
            .map(|(_, _, code)| code.code.as_str())
    }

    /// The partner's coupon with this text, in force and active at `at` (rule C6).
    pub fn coupon(&self, text: &str, at: i64) -> Option<&Coupon> {
        let coupon = self.coupons.get(&text.to_lowercase())?.at(at)?;
        let exact = self
            .partner(&coupon.partner, at)
            .and_then(|partner| self.program(&partner.program, at))
            .is_some_and(|program| program.exact_codes);
        (coupon.active && (!exact || coupon.code == text)).then_some(coupon)
    }

    /// Every promotion code ID that any version of a coupon maps by hand.
    pub fn promotion_codes_of(&self, coupon: &str) -> Vec<String> {
        let versions = self
            .coupons
            .get(&coupon.to_lowercase())
            .into_iter()
            .flat_map(Versions::all);
        versions
            .flat_map(|coupon| coupon.promotion_codes.iter().cloned())
            .collect()
    }

    /// Every partner that any version of a coupon with one of these texts, or mapped to this promotion
    /// code, belongs to: whose changes may alter what the coupon decides.
    pub fn partners_of<'a>(
        &'a self,
        texts: &'a [&str],
        promotion_code: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        let named = move |coupon: &Coupon| {
            texts
                .iter()
                .any(|text| !text.is_empty() && coupon.code.to_lowercase() == text.to_lowercase())
        };
        let mapped = move |coupon: &Coupon| coupon.promotion_codes.iter().any(|id| id == promotion_code);
        let coupons = self.coupons.values().flat_map(Versions::all);
        coupons
            .filter(move |coupon| named(coupon) || mapped(coupon))
            .map(|coupon| coupon.partner.as_str())
    }

    /// The coupon to which a promotion code ID is mapped by hand: beats the text (rule C6).
    pub fn mapped_coupon(&self, promotion_code: &str, at: i64) -> Option<&Coupon> {
        self.coupons
            .values()
            .filter_map(|versions| versions.at(at))
            .filter(|coupon| coupon.active && coupon.promotion_codes.iter().any(|id| id == promotion_code))
            .min_by(|a, b| a.code.cmp(&b.code))
    }
}

fn version<T: DeserializeOwned>(fact: &str, at: i64, rule: &RuleFact) -> Result<Version<T>, InvalidRule> {
    let value = if rule.deleted {
        None
    } else {
        Some(serde_json::from_str(&rule.document).map_err(|e| invalid(rule, &e.to_string()))?)
    };
    Ok(Version {
        fact: fact.to_owned(),
        from: rule.from,
        at,
        value,
    })
}

fn invalid(rule: &RuleFact, detail: &str) -> InvalidRule {
    InvalidRule {
        kind: rule.kind.clone(),
        id: rule.id.clone(),
        detail: detail.to_owned(),
    }
}
