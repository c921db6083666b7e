//! program.yaml: read, checked, and taken apart into declared objects.
//!
//! Every problem names the line and the rule. Invariant: what passes here is accepted by the stages behind.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_saphyr::Spanned;
use tributary_avro::Config;

use super::rates::is_currency;
use super::{Condition, DayRates, KeyKind, ProgramFile, Reward, RewardEvent};
use super::{conversions, links, webhooks};

/// A longer one is no limit: leave it out.
const MOST_MONTHS: u32 = 1200;
/// Each sale is counted: a limit must be a limit.
const MOST_CHARGES: u32 = 10_000;

/// A problem of a program file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: u64,
    /// What is wrong, naming the field and the rule.
    pub message: String,
}

/// Where the items of a file start.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Outline {
    workspace: Option<Spanned<serde_json::Value>>,
    programs: Vec<Spanned<serde_json::Value>>,
    partners: Vec<Spanned<serde_json::Value>>,
    links: Vec<Spanned<serde_json::Value>>,
    coupons: Vec<Spanned<serde_json::Value>>,
    webhooks: Vec<Spanned<serde_json::Value>>,
    rates: Vec<Spanned<serde_json::Value>>,
}

struct Checker {
    outline: Outline,
    problems: Vec<Problem>,
}

/// Reads a program file; every problem at once.
pub fn parse(yaml: &str) -> Result<ProgramFile, Vec<Problem>> {
    let mut file: ProgramFile = serde_saphyr::from_str(yaml).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        // The library's text goes on with a drawing of the place.
        let text = error.to_string();
        let message = without_place(text.lines().next().unwrap_or_default()).to_owned();
        vec![Problem { line, message }]
    })?;
    let outline = serde_saphyr::from_str(yaml).unwrap_or_default();
    let mut checker = Checker {
        outline,
        problems: Vec::new(),
    };
    checker.fill_defaults(&mut file);
    checker.check(&file);
    checker.problems.sort_by_key(|p| p.line);
    if checker.problems.is_empty() {
        Ok(file)
    } else {
        Err(checker.problems)
    }
}

impl Checker {
    /// What "the first" means is said once, here, so that a later file cannot change it for older objects.
    fn fill_defaults(&self, file: &mut ProgramFile) {
        let first = file.programs.first().map(|p| p.id.clone()).unwrap_or_default();
        for partner in &mut file.partners {
            if partner.program.is_empty() {
                partner.program.clone_from(&first);
            }
        }
        for link in &mut file.links {
            if link.domain.is_empty() {
                link.domain = file.workspace.domains.first().cloned().unwrap_or_default();
            }
            if link.id.is_empty() {
                link.id = format!("{}/{}", link.domain, link.key);
            }
            if link.program.is_empty() {
                let partner = file.partners.iter().find(|p| p.id == link.partner);
                link.program = partner.map_or_else(|| first.clone(), |p| p.program.clone());
            }
        }
    }

    fn line(&self, section: &str, index: usize) -> u64 {
        let items = match section {
            "programs" => &self.outline.programs,
            "partners" => &self.outline.partners,
            "links" => &self.outline.links,
            "coupons" => &self.outline.coupons,
            "webhooks" => &self.outline.webhooks,
            "rates" => &self.outline.rates,
            _ => return self.outline.workspace.as_ref().map_or(1, |w| w.referenced.line()),
        };
        items.get(index).map_or(1, |item| item.referenced.line())
    }

    fn expect(&mut self, ok: bool, section: &str, index: usize, message: impl FnOnce() -> String) {
        if !ok {
            let line = self.line(section, index);
            let place = if section == "workspace" {
                section.to_owned()
            } else {
                format!("{section}[{index}]")
            };
            self.problems.push(Problem {
                line,
                message: format!("{place}.{}", message()),
            });
        }
    }

    fn check(&mut self, file: &ProgramFile) {
        let workspace = &file.workspace;
        let w = "workspace";
        self.expect(is_id(&workspace.id), w, 0, || {
            format!("id: {:?} is not 1 to 64 characters a-z 0-9 _ -", workspace.id)
        });
        self.expect(is_currency(&workspace.currency), w, 0, || {
            "currency: three lower-case letters of ISO 4217 (E6)".into()
        });
        self.expect(!workspace.modes.is_empty(), w, 0, || "modes: at least one".into());
        self.expect(time(workspace.from.as_ref()).is_ok(), w, 0, || {
            "from: not RFC 3339".into()
        });
        for (account, other) in &workspace.connected_workspaces {
            self.expect(is_id(other), w, 0, || {
                format!("connected_workspaces: {account}: {other:?} is not 1 to 64 characters a-z 0-9 _ -")
            });
        }
        for host in &workspace.allowed_hostnames {
            self.expect(is_host(host.strip_prefix("*.").unwrap_or(host)), w, 0, || {
                format!("allowed_hostnames: {host:?} is no host name: no scheme, port or path, `*.` before it at most (C9)")
            });
        }
        let site = &workspace.cookie_domain;
        let of_links = |domain: &String| {
            let lower = domain.to_ascii_lowercase();
            lower == *site || lower.ends_with(&format!(".{site}"))
        };
        let ok =
            site.is_empty() || is_host(site) && site.contains('.') && workspace.domains.iter().any(of_links);
        self.expect(ok, w, 0, || {
            format!(
                "cookie_domain: {site:?} must be a domain within which one of `domains` lies, in lower case"
            )
        });
        for key in &workspace.api_keys {
            let ok = key.sha256.len() == 64 && key.sha256.bytes().all(|b| b.is_ascii_hexdigit());
            self.expect(ok, w, 0, || {
                format!("api_keys: {:?}: sha256 is not 64 hex characters", key.name)
            });
            let known = workspace.modes.contains(&key.mode);
            self.expect(known, w, 0, || {
                format!("api_keys: {:?}: mode {:?} is not among modes", key.name, key.mode)
            });
            let is_token = key.kind == KeyKind::Token;
            self.expect(is_token != key.scopes.is_empty(), w, 0, || {
                format!(
                    "api_keys: {:?}: a token has scopes, and no other key has",
                    key.name
                )
            });
            let reads = !key.scopes.iter().any(|scope| scope.writes());
            self.expect(key.partner.is_empty() || is_token && reads, w, 0, || {
                format!(
                    "api_keys: {:?}: partner: for tokens whose scopes only read",
                    key.name
                )
            });
        }
        let ids: BTreeSet<&str> = file.programs.iter().map(|p| p.id.as_str()).collect();
        let partners: BTreeSet<&str> = file.partners.iter().map(|p| p.id.as_str()).collect();
        self.unique("programs", file.programs.iter().map(|p| p.id.as_str()));
        for (i, program) in file.programs.iter().enumerate() {
            let days = (1..=3650).contains(&program.window_days);
            self.expect(days, "programs", i, || "window_days: 1 to 3650 (C2)".into());
            let holding = (0..=3650).contains(&program.holding_days);
            self.expect(holding, "programs", i, || "holding_days: 0 to 3650 (F6)".into());
            self.expect(time(program.from.as_ref()).is_ok(), "programs", i, || {
                "from: not RFC 3339".into()
            });
            self.rewards("programs", i, &program.rewards);
            let mut groups = BTreeSet::new();
            for group in &program.groups {
                self.expect(!group.id.is_empty(), "programs", i, || {
                    "groups: id: required".into()
                });
                self.expect(groups.insert(&group.id), "programs", i, || {
                    format!("groups: {:?} is declared twice (F1)", group.id)
                });
                self.rewards("programs", i, &group.rewards);
            }
        }
        for (i, problem) in conversions::problems(&file.programs) {
            self.expect(false, "programs", i, || problem);
        }
        self.unique("partners", file.partners.iter().map(|p| p.id.as_str()));
        for (i, partner) in file.partners.iter().enumerate() {
            let known = ids.contains(partner.program.as_str());
            self.expect(known, "partners", i, || {
                format!("program: there is no program {:?} (F1)", partner.program)
            });
            self.expect(partner.created.is_none(), "partners", i, || {
                "created: is set by Tributary".into()
            });
            let address = partner.email.is_empty() || crate::mail::normalize(&partner.email).is_some();
            self.expect(address, "partners", i, || {
                "email: is no e-mail address (C10)".into()
            });
            self.expect(partner.mail.is_empty(), "partners", i, || {
                "mail: is set by Tributary; give email (C10)".into()
            });
            let country = partner.country.is_empty() || links::is_country(&partner.country);
            self.expect(country, "partners", i, || {
                "country: two upper-case letters of ISO 3166-1 (F1)".into()
            });
            self.expect(time(partner.from.as_ref()).is_ok(), "partners", i, || {
                "from: not RFC 3339".into()
            });
            self.rewards("partners", i, &partner.rewards);
        }
        self.rates(&file.rates);
        self.unique("webhooks", file.webhooks.iter().map(|w| w.id.as_str()));
        for (i, webhook) in file.webhooks.iter().enumerate() {
            for problem in webhooks::problems(webhook, &workspace.modes) {
                self.expect(false, "webhooks", i, || problem);
            }
        }
        self.unique("links", file.links.iter().map(|l| l.id.as_str()));
        let mut externals = BTreeSet::new();
        let mut places = BTreeSet::new();
        for (i, link) in file.links.iter().enumerate() {
            for problem in links::problems(link) {
                self.expect(false, "links", i, || problem);
            }
            let place = (link.domain.to_lowercase(), link.key.as_str());
            self.expect(places.insert(place), "links", i, || {
                format!("key: {}/{} is declared twice", link.domain, link.key)
            });
            let free = link.external_id.is_empty() || externals.insert(link.external_id.as_str());
            self.expect(free, "links", i, || {
                format!("external_id: {:?} is declared twice", link.external_id)
            });
            let partner = link.partner.is_empty() || partners.contains(link.partner.as_str());
            self.expect(partner, "links", i, || {
                format!("partner: there is no partner {:?}", link.partner)
            });
            let program = link.program.is_empty() || ids.contains(link.program.as_str());
            self.expect(link.created.is_none(), "links", i, || {
                "created: is set by Tributary".into()
            });
            self.expect(program, "links", i, || {
                format!("program: there is no program {:?}", link.program)
            });
            self.expect(time(link.from.as_ref()).is_ok(), "links", i, || {
                "from: not RFC 3339".into()
            });
            self.rewards("links", i, &link.rewards);
        }
        self.unique("coupons", file.coupons.iter().map(|c| c.code.as_str()));
        let mut mapped = BTreeSet::new();
        for (i, coupon) in file.coupons.iter().enumerate() {
            let known = partners.contains(coupon.partner.as_str());
            self.expect(known, "coupons", i, || {
                format!("partner: there is no partner {:?} (C6)", coupon.partner)
            });
            for id in &coupon.promotion_codes {
                self.expect(mapped.insert(id), "coupons", i, || {
                    format!("promotion_codes: {id:?} is mapped by two coupons (C6)")
                });
            }
            self.expect(time(coupon.from.as_ref()).is_ok(), "coupons", i, || {
                "from: not RFC 3339".into()
            });
        }
    }

    fn rates(&mut self, rates: &[DayRates]) {
        let mut days = BTreeSet::new();
        for (i, day) in rates.iter().enumerate() {
            let problem = day.numbers().err();
            self.expect(problem.is_none(), "rates", i, || problem.unwrap_or_default());
            self.expect(days.insert(day.id()), "rates", i, || {
                format!("date: {} of {} is declared twice (E6)", day.date, day.base)
            });
        }
    }

    fn unique<'a>(&mut self, section: &str, ids: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for (i, id) in ids.enumerate() {
            self.expect(!id.is_empty(), section, i, || "id: required".into());
            self.expect(seen.insert(id.to_lowercase()), section, i, || {
                format!("id: {id:?} is declared twice")
            });
        }
    }

    fn rewards(&mut self, section: &str, index: usize, rewards: &[Reward]) {
        for reward in rewards {
            let Reward {
                id,
                event,
                percent,
                amount,
                ..
            } = reward;
            let one = percent.is_some() != amount.is_some();
            self.expect(one, section, index, || {
                format!("rewards: {id:?} needs either percent or amount (F1)")
            });
            let flat = *event == RewardEvent::Sale || percent.is_none();
            self.expect(flat, section, index, || {
                format!("rewards: {id:?}: a click or lead reward is flat (F1)")
            });
            let is_amount = |a: i64| (0..=crate::normalize::MAX_AMOUNT).contains(&a);
            self.expect(amount.is_none_or(is_amount), section, index, || {
                format!("rewards: {id:?}: amount is minor units, 0 or more (F1)")
            });
            self.expect(
                reward.cap.is_none_or(|cap| is_amount(cap.amount)),
                section,
                index,
                || format!("rewards: {id:?}: cap.amount is minor units, 0 or more (F4)"),
            );
            let months = [reward.max_months]
                .into_iter()
                .chain(reward.modifiers.iter().map(|m| m.max_months))
                .flatten()
                .all(|months| months <= MOST_MONTHS);
            self.expect(months, section, index, || {
                format!("rewards: {id:?}: max_months is at most {MOST_MONTHS} (F4)")
            });
            let counted = reward.max_charges.is_none_or(|n| (1..=MOST_CHARGES).contains(&n));
            self.expect(counted, section, index, || {
                format!("rewards: {id:?}: max_charges is 1 to {MOST_CHARGES} (F4)")
            });
            let of_sales = *event == RewardEvent::Sale
                || (reward.max_charges.is_none()
                    && reward.max_months.is_none()
                    && reward.products.is_empty());
            self.expect(of_sales, section, index, || {
                format!("rewards: {id:?}: max_charges, max_months and products are for sales (F4)")
            });
            for modifier in &reward.modifiers {
                self.expect(!modifier.conditions.is_empty(), section, index, || {
                    format!("rewards: {id:?}: a modifier needs conditions (F1)")
                });
                let one = modifier.percent.is_none() || modifier.amount.is_none();
                self.expect(one, section, index, || {
                    format!("rewards: {id:?}: a modifier has percent or amount, not both (F1)")
                });
                let flat = *event == RewardEvent::Sale || modifier.percent.is_none();
                self.expect(flat, section, index, || {
                    format!("rewards: {id:?}: a click or lead reward is flat, its modifiers too (F1)")
                });
                self.expect(modifier.amount.is_none_or(is_amount), section, index, || {
                    format!("rewards: {id:?}: a modifier's amount is minor units, 0 or more (F1)")
                });
                for problem in modifier.conditions.iter().filter_map(Condition::problem) {
                    self.expect(false, section, index, || {
                        format!("rewards: {id:?}: {problem} (F1)")
                    });
                }
            }
        }
    }
}

/// The library puts the place before its message too.
fn without_place(text: &str) -> &str {
    let text = text.trim_start_matches("error: ");
    match text.split_once(": ") {
        Some((place, rest)) if place.starts_with("line ") => rest,
        _ => text,
    }
}

pub(super) fn is_id(id: &str) -> bool {
    let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    (1..=64).contains(&id.len()) && id.bytes().all(ok)
}

fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(inner)
    };
    host.len() <= 253 && host.split('.').all(label)
}

/// UTC milliseconds of an RFC 3339 text.
fn time(text: Option<&String>) -> Result<Option<i64>, jiff::Error> {
    text.map(|t| t.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond))
        .transpose()
}

impl ProgramFile {
    /// The declared objects as config records of time `at`, the workspace first.
    pub fn configs(&self, at: i64) -> Vec<Config> {
        let w = &self.workspace;
        let mut configs = vec![links::declared(w, ("workspace", &w.id), w.from.as_ref(), at, w)];
        let programs = self.programs.iter();
        configs.extend(programs.map(|p| links::declared(w, ("program", &p.id), p.from.as_ref(), at, p)));
        configs.extend(self.partners.iter().map(|p| p.config(w, at)));
        configs.extend(self.links.iter().map(|l| l.config(w, at)));
        let coupons = self.coupons.iter();
        configs.extend(coupons.map(|c| links::declared(w, ("coupon", &c.code), c.from.as_ref(), at, c)));
        configs.extend(self.webhooks.iter().map(|webhook| webhook.config(w, at)));
        configs.extend(self.rates.iter().map(|day| day.config(w, at)));
        configs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
workspace:
  id: acme
  domains: [go.acme.test]
programs:
  - id: main
    rewards:
      - {id: gold, event: sale, percent: 40, products: \"prod_gold, prod_b\"}
      - {id: base, event: sale, percent: '12.5'}
partners:
  - id: ada
links:
  - {key: ada, url: 'https://acme.test/', partner: ada}
coupons:
  - {code: SAVE20, partner: ada, from: '2026-01-01T00:00:00Z'}
";

    #[test]
    fn a_file_becomes_declared_objects() {
        let file = parse(FILE).unwrap();
        assert_eq!(file.programs[0].rewards[0].products, ["prod_gold", "prod_b"]);
        assert_eq!(file.programs[0].rewards[1].percent.unwrap().0, 1250);
        assert_eq!(
            (file.links[0].id.as_str(), file.links[0].program.as_str()),
            ("go.acme.test/ada", "main")
        );
        let configs = file.configs(7);
        let kinds: Vec<_> = configs.iter().map(|c| format!("{}/{}", c.kind, c.id)).collect();
        assert_eq!(
            kinds,
            [
                "workspace/acme",
                "program/main",
                "partner/ada",
                "link/go.acme.test/ada",
                "coupon/SAVE20"
            ]
        );
        assert_eq!(configs[4].from, Some(1_767_225_600_000));
        for config in &configs {
            assert!(crate::normalize::config(config, &crate::mail::MailKey::new("k")).is_ok());
        }
    }

    /// The commented example has every field, so that a field which is added must be shown there.
    #[test]
    fn the_example_has_every_field() {
        let text = include_str!("../../../examples/everything.yaml");
        let file = parse(text).unwrap();
        let config = |c: &Config| crate::normalize::config(c, &crate::mail::MailKey::new("k")).is_ok();
        assert!(file.configs(1).iter().all(config));
        let documents = serde_json::to_value(&file).unwrap();
        let mut names = BTreeSet::new();
        fields(&documents, &mut names);
        // These are left out of documents where they are empty.
        for name in [
            "conversion_types",
            "as",
            "revenue_origins",
            "allowed_hostnames",
            "cookie_domain",
        ] {
            assert!(names.contains(name), "{name} is not in the example");
        }
        // Set by Tributary, or by its place in the file.
        for name in names
            .iter()
            .filter(|name| !matches!(name.as_str(), "mail" | "id"))
        {
            assert!(text.contains(&format!("{name}:")), "{name} is not in the example");
        }
    }

    fn fields(value: &serde_json::Value, names: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(map) => {
                names.extend(map.keys().cloned());
                map.values().for_each(|value| fields(value, names));
            }
            serde_json::Value::Array(list) => list.iter().for_each(|value| fields(value, names)),
            _ => {}
        }
    }

    #[test]
    fn problems_name_line_and_rule() {
        for (from, to, line, text) in [
            ("percent: '12.5'", "percent: '12.555'", 8, "two decimals"),
            (
                "percent: '12.5'",
                "percent: '12.5', amount: 3",
                5,
                "either percent or amount (F1)",
            ),
            ("key: ada", "key: ada, colour: red", 12, "colour"),
            (
                "partner: ada, from",
                "partner: eve, from",
                14,
                "no partner \"eve\" (C6)",
            ),
            ("'2026-01-01T00:00:00Z'", "'yesterday'", 14, "from: not RFC 3339"),
            ("id: acme", "id: Acme Inc", 2, "a-z 0-9"),
            ("https://acme", "ftp://acme", 12, "http"),
            (
                "id: acme",
                "id: acme\n  allowed_hostnames: [acme.test, 'https://acme.test']",
                2,
                "allowed_hostnames: \"https://acme.test\" is no host name",
            ),
            (
                "id: acme",
                "id: acme\n  allowed_hostnames: ['*.acme.test', 'www.*.test']",
                2,
                "allowed_hostnames: \"www.*.test\" is no host name",
            ),
            (
                "id: acme",
                "id: acme\n  cookie_domain: other.test",
                2,
                "cookie_domain: \"other.test\" must be a domain within which one of `domains` lies",
            ),
            ("id: acme", "id: acme\n  cookie_domain: test", 2, "cookie_domain"),
        ] {
            let problems = parse(&FILE.replace(from, to)).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].message.contains(text), "{problems:?}");
            assert_eq!(problems[0].line, line, "{problems:?}");
        }
    }
}
