//! The rules of one tenant: every declared object with its versions, and the look-ups that the ledger needs.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::de::DeserializeOwned;
use tributary_avro::{PromotionCodeFact, RuleFact};

use super::rates::{Converted, DayRates, Rates};
use super::{Coupon, Partner, Program, Reward, RewardEvent, Version, Versions, Workspace};

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
    /// Adds a rule fact; false if it was there. Links are not kept: clicks carry them.
    pub fn add(&mut self, fact: &str, at: i64, rule: &RuleFact) -> Result<bool, InvalidRule> {
        // The version first: a rule that is refused must leave nothing behind.
        Ok(match rule.kind.as_str() {
            "workspace" => self.workspace.add(version(fact, at, rule)?),
            "program" => {
                let version = version(fact, at, rule)?;
                if let Err(index) = self.program_order.binary_search(&rule.id) {
                    self.program_order.insert(index, rule.id.clone());
                }
                self.programs.entry(rule.id.clone()).or_default().add(version)
            }
            "partner" => {
                let version: Version<Partner> = version(fact, at, rule)?;
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
            "link" => true,
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
        let known = self.promotion_codes.get(&code.promotion_code);
        if known.is_none_or(|(known_at, known_fact, _)| (*known_at, known_fact.as_str()) < (at, fact)) {
            self.promotion_codes
                .insert(code.promotion_code.clone(), (at, fact.to_owned(), code.clone()));
        }
    }

    /// Whether any reward has a limit that customers share: a cap on leads (rule F4).
    pub fn has_shared_limits(&self) -> bool {
        let of_programs = self
            .programs
            .values()
            .flat_map(Versions::all)
            .flat_map(|program| {
                let groups = program.groups.iter().flat_map(|group| &group.rewards);
                program.rewards.iter().chain(groups)
            });
        let of_partners = self
            .partners
            .values()
            .flat_map(Versions::all)
            .flat_map(|p| &p.rewards);
        of_programs
            .chain(of_partners)
            .any(|r| r.event == RewardEvent::Lead && r.cap.is_some())
    }

    /// The rewards of a program, its groups and a partner under every version of the rules.
    pub fn rewards_ever<'a>(&'a self, program: &str, partner: &str) -> impl Iterator<Item = &'a Reward> {
        let programs = self.programs.get(program).into_iter().flat_map(Versions::all);
        let of_program = programs.flat_map(|program| {
            let groups = program.groups.iter().flat_map(|group| &group.rewards);
            program.rewards.iter().chain(groups)
        });
        let partners = self.partners.get(partner).into_iter().flat_map(Versions::all);
        of_program.chain(partners.flat_map(|partner| &partner.rewards))
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
