//! The population: clicks, claims that name them, payments of the claiming customers. The same for the same seed.
//!
//! A tenth of the clicks is claimed; there is one payment for twenty clicks. A tenth of the claims lies before its
//! click, a tenth of the payments before its lead, and 2 % of both are sent twice. Workspaces are skewed: the first
//! have most. A click is a millisecond of event time; every topic is written in the order of event time.

use anyhow::Result;
use tributary_avro::{Body, Click, CustomerRef, Fact, LeadFact, SaleFact};
use tributary_domain::click_id;
use tributary_domain::fact::Origin;
use tributary_domain::mail::MailKey;
use tributary_domain::normalize::{self, Outcome};
use tributary_domain::rules;
use tributary_domain::tenant::Tenant;

use crate::random::{below, mix, pick, text, unit};

const WORKSPACES: u64 = 200;
const PARTNERS: u64 = 10;
const MODE: &str = "live";
const COUNTRIES: [&str; 8] = ["US", "DE", "GB", "FR", "IN", "BR", "JP", "CA"];
const DEVICES: [&str; 3] = ["desktop", "mobile", "tablet"];

/// What decides everything.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Number of clicks.
    pub clicks: u64,
    /// Another seed, other clicks.
    pub seed: u64,
    /// Event time of the first click, UTC milliseconds.
    pub base: i64,
    /// Everything in one workspace.
    pub one_workspace: bool,
}

impl Shape {
    /// The workspace of the `i`th click.
    pub fn workspace(&self, i: u64) -> u64 {
        if self.one_workspace {
            return 0;
        }
        let share = unit(mix(mix(self.seed) ^ i.wrapping_mul(0x5851_F42D_4C95_7F2D)));
        (WORKSPACES as f64 * share * share) as u64
    }

    /// The `i`th click, made at `at`.
    pub fn click(&self, i: u64, at: i64) -> Click {
        let h = mix(mix(self.seed) ^ i.wrapping_mul(7919));
        let link = below(h, 20_000);
        Click {
            id: click_id::new(at, mix(mix(self.seed).wrapping_add(i))),
            workspace: workspace_id(self.workspace(i)),
            mode: MODE.to_owned(),
            at,
            link_id: format!("lnk_{link}"),
            domain: "go.bench.test".to_owned(),
            key: format!("{link}"),
            url: format!("https://example.com/p/{}", below(h >> 7, 100_000)),
            partner_id: format!("p{}", link % PARTNERS),
            program_id: "main".to_owned(),
            trigger: "link".to_owned(),
            country: pick(h >> 3, &COUNTRIES).to_owned(),
            device: pick(h >> 5, &DEVICES).to_owned(),
            referer: format!("ref{}.example", below(h >> 9, 50)),
            referer_url: format!("https://ref{}.example/", below(h >> 9, 50)),
            tracked: true,
            visitor: format!("{h:016x}"),
            received: at,
            ..Click::default()
        }
    }

    /// Whether the `i`th click is claimed, and the hash that decides how.
    pub fn claimed(&self, i: u64) -> Option<u64> {
        let h = mix(mix(self.seed.wrapping_add(31)).wrapping_add(i));
        (below(h, 10) == 0).then_some(h)
    }

    /// The time of the `i`th click.
    pub fn time(&self, i: u64) -> i64 {
        self.base + i.cast_signed()
    }

    /// Every workspace with a program, a percentage reward and its partners.
    pub fn rules(&self) -> Result<Vec<Fact>> {
        let mut facts = Vec::new();
        for workspace in 0..if self.one_workspace { 1 } else { WORKSPACES } {
            let mut yaml = format!(
                "workspace: {{id: {}, domains: [go.bench.test]}}\nprograms:\n  - id: main\n    rewards:\n      \
                 - {{id: base, event: sale, percent: 20}}\npartners:\n",
                workspace_id(workspace)
            );
            (0..PARTNERS).for_each(|partner| yaml.push_str(&format!("  - {{id: p{partner}}}\n")));
            let file = rules::parse(&yaml).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
            for config in file.configs(self.base) {
                if let Outcome::Facts(found) = normalize::config(&config, &MailKey::new("bench"))? {
                    facts.extend(found.into_iter().filter(|fact| fact.mode == MODE));
                }
            }
        }
        Ok(facts)
    }
}

fn workspace_id(number: u64) -> String {
    format!("ws_{number:05}")
}

/// The lead of a customer who came by a click. Its event name is its own, so that it stays a conversion of its own
/// where a customer has several.
pub fn claim(click: &Click, customer: &str, event: &str, at: i64) -> Fact {
    let body = LeadFact {
        event_name: event.to_owned(),
        quantity: 1,
        click_id: click.id.clone(),
        customer: named(customer),
        ..LeadFact::default()
    };
    origin(&click.workspace, at, event).fact(Body::Lead(Box::new(body)))
}

fn payment(workspace: &str, customer: &str, event: &str, amount: i64, at: i64) -> Fact {
    let body = SaleFact {
        external_id: event.to_owned(),
        amount,
        currency: "usd".to_owned(),
        event_name: "Purchase".to_owned(),
        processor: "custom".to_owned(),
        customer: named(customer),
        ..SaleFact::default()
    };
    origin(workspace, at, event).fact(Body::Sale(Box::new(body)))
}

fn named(customer: &str) -> CustomerRef {
    CustomerRef {
        external_id: customer.to_owned(),
        ..CustomerRef::default()
    }
}

fn origin(workspace: &str, at: i64, source: &str) -> Origin {
    Origin {
        tenant: Tenant::new(workspace, MODE),
        at,
        source: source.to_owned(),
        trust: "server",
    }
}

/// A fact, when it is told, and the key under which it stands in Kafka.
pub struct Told {
    /// When it is told, UTC milliseconds.
    pub at: i64,
    /// Kafka key.
    pub key: Vec<u8>,
    /// The fact.
    pub fact: Fact,
    /// The same fact was told before.
    pub again: bool,
}

/// All of it but the clicks, which are made while they are sent.
pub struct Population {
    /// What it was made from.
    pub shape: Shape,
    /// In the order of the topic.
    pub claims: Vec<Told>,
    /// In the order of the topic.
    pub payments: Vec<Told>,
    /// Claims without those told again.
    pub leads: u64,
    /// Payments without those told again.
    pub sales: u64,
    /// Sum of the payments without those told again.
    pub amount: i64,
}

struct Lead {
    customer: String,
    workspace: String,
    at: i64,
}

impl Population {
    /// Makes it.
    pub fn new(shape: Shape) -> Self {
        let mut made = Self {
            shape,
            claims: Vec::new(),
            payments: Vec::new(),
            leads: 0,
            sales: 0,
            amount: 0,
        };
        let leads = made.make_claims();
        made.make_payments(&leads);
        for told in [&mut made.claims, &mut made.payments] {
            told.sort_by_key(|told| told.at);
        }
        made
    }

    fn make_claims(&mut self) -> Vec<Lead> {
        let shape = self.shape;
        let mut leads: Vec<Lead> = Vec::new();
        let mut known: Vec<Vec<String>> = vec![Vec::new(); WORKSPACES as usize];
        for i in 0..shape.clicks {
            let Some(h) = shape.claimed(i) else { continue };
            let clicked = shape.time(i);
            let at = match below(h >> 13, 10) {
                0 => clicked - 1_000 - below(h >> 17, 4_000).cast_signed(),
                _ => clicked + 200 + below(h >> 17, 60_000).cast_signed(),
            };
            let workspace = shape.workspace(i);
            let Some(known) = known.get_mut(workspace as usize) else {
                continue;
            };
            let returning = known
                .get(below(h >> 25, known.len() as u64) as usize)
                .filter(|_| below(h >> 21, 5) == 0);
            let customer = returning.cloned().unwrap_or_else(|| {
                let customer = format!("usr_{}", text(mix(h), 12));
                known.push(customer.clone());
                customer
            });
            let click = shape.click(i, clicked);
            let event = text(mix(mix(shape.seed.wrapping_add(1)).wrapping_add(i)), 22);
            let fact = claim(&click, &customer, &event, at);
            tell(&mut self.claims, h, at, click.id.into_bytes(), fact);
            self.leads += 1;
            leads.push(Lead {
                customer,
                workspace: workspace_id(workspace),
                at,
            });
        }
        leads
    }

    fn make_payments(&mut self, leads: &[Lead]) {
        let seed = self.shape.seed;
        for j in 0..self.shape.clicks / 20 {
            let h = mix(mix(seed.wrapping_add(77)).wrapping_add(j));
            let Some(lead) = leads.get(below(h, leads.len() as u64) as usize) else {
                continue;
            };
            let at = match below(h >> 13, 10) {
                0 => lead.at - 1_000 - below(h >> 17, 9_000).cast_signed(),
                _ => lead.at + 1_000 + below(h >> 17, 120_000).cast_signed(),
            };
            let amount = 500 + below(h >> 23, 20_000).cast_signed();
            let event = text(mix(mix(seed.wrapping_add(2)).wrapping_add(j)), 22);
            let fact = payment(&lead.workspace, &lead.customer, &event, amount, at);
            tell(&mut self.payments, h, at, key(&fact), fact);
            self.sales += 1;
            self.amount += amount;
        }
    }

    /// Records of the three kinds.
    pub fn inputs(&self) -> u64 {
        self.shape.clicks + self.claims.len() as u64 + self.payments.len() as u64
    }
}

/// The Kafka key of a fact in the journal.
pub fn key(fact: &Fact) -> Vec<u8> {
    Tenant::new(fact.workspace.as_str(), fact.mode.as_str())
        .key()
        .into_bytes()
}

fn tell(to: &mut Vec<Told>, h: u64, at: i64, key: Vec<u8>, fact: Fact) {
    if below(h >> 29, 50) == 0 {
        let later = at + 1 + below(h >> 31, 20_000).cast_signed();
        to.push(Told {
            at: later,
            key: key.clone(),
            fact: fact.clone(),
            again: true,
        });
    }
    to.push(Told {
        at,
        key,
        fact,
        again: false,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        clicks: 20_000,
        seed: 7,
        base: 1_760_000_000_000,
        one_workspace: false,
    };

    #[test]
    fn it_has_the_shares_that_it_promises() {
        let made = Population::new(SHAPE);
        assert!((1_900..2_100).contains(&made.leads), "{}", made.leads);
        assert_eq!(made.sales, 1_000);
        let again = made
            .claims
            .iter()
            .chain(&made.payments)
            .filter(|told| told.again)
            .count();
        assert!((30..90).contains(&again), "{again}");
        assert!(made.claims.is_sorted_by_key(|told| told.at));
        assert_eq!(made.inputs() - 20_000, made.leads + made.sales + again as u64);
    }

    #[test]
    fn it_is_the_same_each_time_and_one_workspace_is_one() {
        let (one, two) = (Population::new(SHAPE), Population::new(SHAPE));
        assert!(one.claims.iter().zip(&two.claims).all(|(a, b)| a.fact == b.fact));
        let single = Population::new(Shape {
            one_workspace: true,
            ..SHAPE
        });
        assert!(
            single
                .claims
                .iter()
                .chain(&single.payments)
                .all(|told| told.fact.workspace == "ws_00000")
        );
    }
}
