//! Who gets the credit for a lead or sale (rules C1 to C8).
//!
//! Clicks are judged against the customer's anchor (the first lead, else the first sale), coupons against
//! the sale itself. The decision tells every touch considered and why it lost.

use serde::Serialize;
use tributary_avro::{ClickFact, DiscountRef};

use super::shares;
use super::view::{Birth, CouponUse, View};
use crate::rules::{Coupon, CouponPrecedence, Model, Program, Rules};

const AFTER_THE_LEAD: &str = "after_the_lead";
const AFTER_THE_SALE: &str = "after_the_sale";
const OTHER_PROGRAM: &str = "other_program";
/// Verdict of the touches that decided.
pub const CHOSEN: &str = "chosen";
const DAY: i64 = 86_400_000;
/// Rule C2: clocks differ.
const NAMED_TOLERANCE: i64 = 300_000;

/// What earned the credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A click.
    Click,
    /// A coupon.
    Coupon,
    /// Somebody, by hand.
    Assignment,
    /// Nothing: the entry is unattributed.
    Nothing,
}

impl By {
    /// The `attributed_by` of the ledger row.
    pub fn text(self) -> &'static str {
        match self {
            By::Click => "click",
            By::Coupon => "coupon",
            By::Assignment => "assignment",
            By::Nothing => "none",
        }
    }
}

/// The outcome for one lead or sale.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<'v> {
    /// What earned the credit.
    pub by: By,
    /// The code that decided.
    pub coupon: String,
    /// Why nothing was found (rule C8).
    pub reason: &'static str,
    /// The rule that decided.
    pub rule: &'static str,
    /// Who shares in it, the largest share first: one, unless the model shares between several clicks; none if nothing
    /// was found.
    pub credits: Vec<Credit<'v>>,
    /// Every touch considered.
    pub touches: Vec<Considered>,
}

impl<'v> Decision<'v> {
    /// The click in the dimensions of its row, if there is one.
    pub fn click(&self) -> Option<&'v ClickFact> {
        self.credits.first()?.click
    }
}

/// A partner's share of one lead or sale (rule C3).
#[derive(Debug, Clone, PartialEq)]
pub struct Credit<'v> {
    /// Partner that earns; empty if a link without partner brought its part.
    pub partner: String,
    /// Program by which it earns.
    pub program: String,
    /// Its latest click, if clicks decided.
    pub click: Option<&'v ClickFact>,
    /// Part of the sum of all weights.
    pub weight: u64,
}

/// A touch and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Considered {
    /// click or coupon.
    pub kind: &'static str,
    /// Click ID or code.
    pub id: String,
    /// Event time, UTC milliseconds; 0 if unknown.
    pub at: i64,
    /// Partner that would earn; empty if none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub partner: String,
    /// chosen, or why not.
    pub verdict: &'static str,
}

impl Considered {
    /// Whether it is a click that came too late to earn anything here.
    pub fn came_later(&self) -> bool {
        matches!(self.verdict, AFTER_THE_LEAD | AFTER_THE_SALE)
    }
}

/// A lead or sale that asks who earned it.
#[derive(Debug, Clone, Copy)]
pub struct Claimant<'a> {
    /// Event time, UTC milliseconds.
    pub at: i64,
    /// Click IDs that it names.
    pub clicks: &'a [String],
    /// Coupons used on it.
    pub discounts: &'a [DiscountRef],
    /// Connected Stripe account that it is of; empty if none.
    pub account: &'a str,
    /// Program whose touches alone count, as its revenue origin says; empty: any (rule D4).
    pub program: &'a str,
    /// It names an external ID, Stripe customer or e-mail address.
    pub has_identity: bool,
}

struct CouponTouch {
    code: String,
    partner: String,
    at: i64,
}

/// Decides for one lead or sale.
pub fn attribute<'v>(claimant: &Claimant<'_>, view: &'v View, rules: &Rules) -> Decision<'v> {
    let mut touches = Vec::new();
    let clicks = choose_clicks(claimant, view, rules, &mut touches);
    let own_program = claimant.program;
    let (click, program) = clicks
        .first()
        .map_or((None, None), |first| (Some(first.click), first.program));
    let (coupon, unknown) = choose_coupon(claimant, view, rules, &mut touches);
    let coupon_program = coupon
        .as_ref()
        .and_then(|c| program_of_partner(&c.partner, claimant.at, rules));
    let settings = program
        .or(coupon_program)
        .or_else(|| rules.program("", claimant.at));
    let precedence = settings.map_or(CouponPrecedence::ClickFirst, |p| p.coupon_precedence);
    let (click, coupon, rule) = match (click, coupon) {
        (Some(click), Some(coupon)) => {
            let click_wins = match precedence {
                CouponPrecedence::ClickFirst => true,
                CouponPrecedence::CouponFirst => false,
                CouponPrecedence::LatestTouch => click.clicked_at > coupon.at,
            };
            let rule = match precedence {
                CouponPrecedence::ClickFirst => "C5 click_first",
                CouponPrecedence::CouponFirst => "C5 coupon_first",
                CouponPrecedence::LatestTouch => "C5 latest_touch",
            };
            if click_wins {
                (Some(click), None, rule)
            } else {
                (Some(click), Some(coupon), rule)
            }
        }
        (Some(click), None) => (Some(click), None, click_rule(program)),
        (None, Some(coupon)) => (None, Some(coupon), "C6"),
        (None, None) => (None, None, "C8"),
    };
    let mut decision = Decision {
        by: By::Nothing,
        coupon: String::new(),
        reason: "",
        rule,
        credits: Vec::new(),
        touches,
    };
    // The whole for one partner. The dimensions of a click of another partner would credit that partner's link.
    let whole = |partner: &str, click: Option<&'v ClickFact>| Credit {
        partner: partner.to_owned(),
        program: match own_program {
            "" => program_named(partner, claimant.at, rules),
            own => own.to_owned(),
        },
        click: click.filter(|c| c.partner_id == partner),
        weight: 1,
    };
    if let Some(coupon) = coupon {
        decision.by = By::Coupon;
        decision.credits = vec![whole(&coupon.partner, click)];
        decision.coupon = coupon.code;
    } else if click.is_some() {
        decision.by = By::Click;
        decision.credits = credits(&clicks, own_program);
    } else {
        decision.reason = why_nothing(claimant, view, unknown, &decision.touches);
    }
    // Rule C5: what was decided by hand beats both.
    if let Some((from, partner)) = view.assigned(claimant.at) {
        decision.by = By::Assignment;
        decision.rule = "C5 assignment";
        decision.credits = vec![whole(partner, decision.click())];
        decision.coupon.clear();
        decision.reason = "";
        decision.touches.push(Considered {
            kind: By::Assignment.text(),
            id: partner.to_owned(),
            at: from,
            partner: partner.to_owned(),
            verdict: CHOSEN,
        });
    }
    if rules.is_disconnected(claimant.account, claimant.at) {
        decision.by = By::Nothing;
        decision.rule = "C8";
        decision.credits.clear();
        decision.coupon.clear();
        decision.reason = "disconnected";
    }
    let by = decision.by.text();
    for touch in &mut decision.touches {
        if touch.verdict == CHOSEN && touch.kind != by {
            touch.verdict = "lost_by_precedence";
        }
    }
    decision
}

/// The shares of several clicks by partner, the largest first, of equal ones the one with the latest click. A partner
/// earns by the program of its click with the largest share.
fn credits<'v>(clicks: &[Counting<'v, '_>], own_program: &str) -> Vec<Credit<'v>> {
    let mut credits: Vec<Credit<'v>> = Vec::new();
    for counting in clicks {
        let click = counting.click;
        // The program that the click names, even if it is not there any more: another one's rewards are not owed.
        let program = counting.program.map_or(&click.program_id, |program| &program.id);
        let program = if own_program.is_empty() {
            program
        } else {
            own_program
        };
        let same = |credit: &&mut Credit<'v>| credit.partner == click.partner_id;
        match credits.iter_mut().find(same) {
            Some(credit) => credit.weight = credit.weight.saturating_add(counting.weight),
            None => credits.push(Credit {
                partner: click.partner_id.clone(),
                program: program.to_owned(),
                click: Some(click),
                weight: counting.weight,
            }),
        }
    }
    credits.sort_by_key(|credit| std::cmp::Reverse(credit.weight));
    credits
}

fn click_rule(program: Option<&Program>) -> &'static str {
    match program.map_or(Model::LastClick, |p| p.model) {
        Model::LastClick => "C3 last_click",
        Model::FirstClick => "C3 first_click",
        Model::Linear => "C3 linear",
        Model::PositionBased => "C3 position_based",
        Model::TimeDecay => "C3 time_decay",
    }
}

/// The program that a partner names, even if it is not in force: another one's rewards are not owed.
fn program_named(partner: &str, at: i64, rules: &Rules) -> String {
    let partner = rules.partner(partner, at);
    let named = partner
        .map(|partner| partner.program.as_str())
        .filter(|program| !program.is_empty());
    let first = || rules.program("", at).map(|program| program.id.clone());
    named.map(str::to_owned).or_else(first).unwrap_or_default()
}

fn program_of_partner<'a>(partner: &str, at: i64, rules: &'a Rules) -> Option<&'a Program> {
    rules.program(&rules.partner(partner, at)?.program, at)
}

/// A click that counts.
struct Counting<'v, 'r> {
    click: &'v ClickFact,
    program: Option<&'r Program>,
    weight: u64,
}

/// Rules C2, C3, C4: the clicks of the case that count, and of these the ones that the model chooses: the one with the
/// largest share first, of equal ones the latest.
fn choose_clicks<'v, 'r>(
    claimant: &Claimant<'_>,
    view: &'v View,
    rules: &'r Rules,
    touches: &mut Vec<Considered>,
) -> Vec<Counting<'v, 'r>> {
    let own = Birth {
        at: claimant.at,
        anchor: String::new(),
        event: String::new(),
        clicks: claimant.clicks.to_vec(),
        is_trial: false,
    };
    let mut counting: Vec<(usize, Counting<'v, 'r>)> = Vec::new();
    for click in &view.touches.clicks {
        let program = rules.program(&click.program_id, claimant.at);
        let sticky = program.is_none_or(|p| p.sticky);
        let anchor = if sticky {
            view.anchor().unwrap_or(&own)
        } else {
            &own
        };
        let window = program.map_or(90, |p| p.window_days).saturating_mul(DAY);
        let verdict = if !click.tracked {
            "link_not_tracked"
        } else if !is_of(claimant.program, &click.program_id) {
            OTHER_PROGRAM
        } else if !precedes(click, anchor) {
            AFTER_THE_LEAD
        } else if !(precedes(click, &own)
            || (precedes_named(click, anchor) && within_tolerance(click, own.at)))
        {
            AFTER_THE_SALE
        } else if anchor.at.saturating_sub(click.clicked_at) > window {
            "outside_window"
        } else {
            let weight = 0;
            counting.push((
                touches.len(),
                Counting {
                    click,
                    program,
                    weight,
                },
            ));
            "lost_by_model"
        };
        touches.push(Considered {
            kind: "click",
            id: click.click_id.clone(),
            at: click.clicked_at,
            partner: click.partner_id.clone(),
            verdict,
        });
    }
    for id in &view.touches.missing {
        touches.push(Considered {
            kind: "click",
            id: id.clone(),
            at: 0,
            partner: String::new(),
            verdict: "click_not_found",
        });
    }
    let model = counting
        .last()
        .and_then(|(_, last)| last.program)
        .map_or(Model::LastClick, |p| p.model);
    let times: Vec<i64> = counting.iter().map(|(_, c)| c.click.clicked_at).collect();
    for ((_, counting), weight) in counting.iter_mut().zip(shares::weights(model, &times)) {
        counting.weight = weight;
    }
    counting.retain(|(_, counting)| counting.weight > 0);
    for (index, _) in &counting {
        if let Some(touch) = touches.get_mut(*index) {
            touch.verdict = CHOSEN;
        }
    }
    let mut chosen: Vec<Counting<'v, 'r>> = counting.into_iter().map(|(_, counting)| counting).collect();
    chosen.reverse();
    chosen.sort_by_key(|counting| std::cmp::Reverse(counting.weight));
    chosen
}

/// Whether a touch of a program counts for a lead or sale of this one (rule D4).
fn is_of(own: &str, program: &str) -> bool {
    own.is_empty() || program.is_empty() || program == own
}

/// Whether a click came before a lead or sale: to the whole second, or up to five minutes later if named.
fn precedes(click: &ClickFact, birth: &Birth) -> bool {
    click.clicked_at.div_euclid(1000) <= birth.at.div_euclid(1000) || precedes_named(click, birth)
}

fn precedes_named(click: &ClickFact, birth: &Birth) -> bool {
    birth.clicks.contains(&click.click_id) && within_tolerance(click, birth.at)
}

fn within_tolerance(click: &ClickFact, at: i64) -> bool {
    click.clicked_at <= at.saturating_add(NAMED_TOLERANCE)
}

/// Rules C5, C6, C7, D4: the coupon on the sale itself, else that of a redemption that it names, else (sticky) the
/// customer's first coupon until then.
fn choose_coupon(
    claimant: &Claimant<'_>,
    view: &View,
    rules: &Rules,
    touches: &mut Vec<Considered>,
) -> (Option<CouponTouch>, bool) {
    if !claimant.discounts.is_empty() && !coupons_on(rules, claimant.at) {
        touches.extend(
            claimant
                .discounts
                .iter()
                .map(|d| considered(d, claimant.at, "coupons_off")),
        );
        return (None, false);
    }
    let mut unknown = false;
    let mut chosen = None;
    let redeemed = view.touches.redemptions.iter();
    let redeemed = redeemed.filter(|r| claimant.clicks.contains(&r.cid) && coupons_on(rules, r.at));
    let redeemed: Vec<CouponUse> = redeemed.map(CouponUse::of).collect();
    let of_redemptions = redeemed
        .iter()
        .flat_map(|used| used.discounts.iter().map(|discount| (discount, used.at)));
    let own = claimant.discounts.iter().map(|discount| (discount, claimant.at));
    for (discount, at) in own.chain(of_redemptions) {
        match resolve(discount, at, rules) {
            Some(coupon) if !is_of(claimant.program, &program_named(&coupon.partner, at, rules)) => {
                touches.push(considered(discount, at, OTHER_PROGRAM));
            }
            Some(coupon) if chosen.is_none() => chosen = Some(choose(coupon, at, touches)),
            Some(_) => touches.push(considered(discount, at, "lost_by_order")),
            None => {
                unknown = true;
                touches.push(considered(discount, at, "unknown_coupon"));
            }
        }
    }
    if chosen.is_none()
        && let Some(first) = view.first_coupon.as_ref().filter(|first| first.at <= claimant.at)
        && coupons_on(rules, first.at)
        && let Some(coupon) = first.discounts.iter().find_map(|d| resolve(d, first.at, rules))
        && program_of_partner(&coupon.partner, claimant.at, rules).is_none_or(|p| p.sticky)
        && is_of(claimant.program, &program_named(&coupon.partner, first.at, rules))
    {
        chosen = Some(choose(coupon, first.at, touches));
    }
    (chosen, unknown)
}

fn choose(coupon: &Coupon, at: i64, touches: &mut Vec<Considered>) -> CouponTouch {
    touches.push(Considered {
        kind: "coupon",
        id: coupon.code.clone(),
        at,
        partner: coupon.partner.clone(),
        verdict: CHOSEN,
    });
    CouponTouch {
        code: coupon.code.clone(),
        partner: coupon.partner.clone(),
        at,
    }
}

fn coupons_on(rules: &Rules, at: i64) -> bool {
    rules.workspace(at).is_none_or(|w| w.coupons)
}

/// Rule C6: a promotion code ID mapped by hand, else the code's text, else (old shapes) the coupon's ID.
pub(crate) fn resolve<'a>(discount: &DiscountRef, at: i64, rules: &'a Rules) -> Option<&'a Coupon> {
    let mapped = Some(&discount.promotion_code)
        .filter(|id| !id.is_empty())
        .and_then(|id| rules.mapped_coupon(id, at));
    let text = || {
        let known = rules.code_of(&discount.promotion_code);
        let text = if discount.code.is_empty() {
            known
        } else {
            Some(discount.code.as_str())
        };
        text.and_then(|text| rules.coupon(text, at))
    };
    mapped
        .or_else(text)
        .or_else(|| rules.coupon(&discount.coupon, at))
}

fn considered(discount: &DiscountRef, at: i64, verdict: &'static str) -> Considered {
    let DiscountRef {
        promotion_code,
        coupon,
        code,
    } = discount;
    let id = [code, promotion_code, coupon]
        .into_iter()
        .find(|s| !s.is_empty())
        .cloned()
        .unwrap_or_default();
    Considered {
        kind: "coupon",
        id,
        at,
        partner: String::new(),
        verdict,
    }
}

/// Rule C8: the reason nearest to an attribution.
fn why_nothing(claimant: &Claimant<'_>, view: &View, unknown: bool, touches: &[Considered]) -> &'static str {
    let found = |verdict: &str| touches.iter().any(|t| t.verdict == verdict);
    if !view.touches.missing.is_empty() {
        "click_not_found"
    } else if found("outside_window") {
        "outside_window"
    } else if found("link_not_tracked") {
        "link_not_tracked"
    } else if found(OTHER_PROGRAM) {
        OTHER_PROGRAM
    } else if found(AFTER_THE_LEAD) || found(AFTER_THE_SALE) {
        "click_too_late"
    } else if unknown {
        "unknown_coupon"
    } else if found("coupons_off") {
        "coupons_off"
    } else if claimant.has_identity {
        "identity_without_touch"
    } else {
        "no_identity"
    }
}
