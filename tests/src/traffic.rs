//! Random requests of a few workspaces, the same for the same seed: clicks, tracking calls and Stripe events of
//! customers who buy in every way that is read, in disorder and with repeats.
//!
//! It holds no expectation of its own: what the requests lead to is what `Simulation` says (see [`Traffic::expected`]).
//!
//! Invariant: no request's meaning depends on its place or on when it is sent, so that the net ledger is a function
//! of the set of requests. Hence click IDs, times and invoice IDs are always given.

#![allow(
    clippy::indexing_slicing,
    reason = "the indexes are of fixed lists in this module"
)]

mod customer;
mod programs;
mod random;
pub mod stripe;

use anyhow::{Context as _, Result, ensure};
use tributary_domain::engine::Row;
use tributary_domain::mail::MailKey;
use tributary_domain::rules::ProgramFile;
use tributary_domain::simulate::{Line, Simulation};

use customer::{Shop, customer};
pub use random::Random;

/// The key under which `simulate` hashes addresses; the pipeline under test is given the same.
pub const MAIL_KEY: &str = "simulate";
/// Repeats in a thousand.
const REPEATED: u64 = 30;
/// Requests in a thousand that come far too early or too late.
const DISPLACED: u64 = 100;
/// Customers in a thousand whose requests come in reverse.
const REVERSED: u64 = 50;
const DAY_MS: i64 = 86_400_000;

/// A workspace and its rules.
pub struct Program {
    /// Workspace ID.
    pub workspace: String,
    /// The file as `apply` takes it.
    pub yaml: String,
    file: ProgramFile,
}

/// A request and the workspace that it is for, as an index into `programs`.
pub type Sent = (usize, Line);

/// See the module.
pub struct Traffic {
    /// Workspaces.
    pub programs: Vec<Program>,
    /// Requests in the order of sending.
    pub lines: Vec<Sent>,
}

/// What `Simulation` says of the same requests.
pub struct Expected {
    /// The net ledger.
    pub rows: Vec<Row>,
    /// Distinct facts.
    pub facts: u64,
    /// Distinct clicks.
    pub clicks: u64,
}

impl Traffic {
    /// `count` requests.
    ///
    /// # Errors
    /// If a program file is not right.
    pub fn new(seed: u64, count: usize) -> Result<Self> {
        let programs = programs::all()?;
        let shops = programs::shops(&programs);
        let mut random = Random(seed);
        let mut placed: Vec<(i64, Sent)> = Vec::new();
        let mut number = 0;
        while placed.len() < count {
            let shop: &Shop = &shops[random.below(shops.len() as u64) as usize];
            let lines = customer(&mut random, shop, number);
            number += 1;
            let reversed = random.below(1000) < REVERSED;
            let end = lines
                .iter()
                .map(|line| line.at.as_millisecond())
                .max()
                .unwrap_or_default();
            for line in lines {
                let at = line.at.as_millisecond();
                let mut place = if reversed { 2 * end - at } else { at };
                if random.below(1000) < DISPLACED {
                    place += (random.below(80) as i64 - 40) * DAY_MS;
                }
                if random.below(1000) < REPEATED {
                    let later = place + random.below(20) as i64 * DAY_MS;
                    placed.push((later, (shop.program, line.clone())));
                }
                placed.push((place, (shop.program, line)));
            }
        }
        placed.truncate(count);
        placed.sort_by_key(|(place, _)| *place);
        Ok(Self {
            programs,
            lines: placed.into_iter().map(|(_, sent)| sent).collect(),
        })
    }

    /// A single workspace with live and test mode, and these requests.
    ///
    /// # Errors
    /// If the program file is not right.
    pub fn of(workspace: &str, lines: Vec<Line>) -> Result<Self> {
        Ok(Self {
            programs: vec![programs::one(workspace, 0)?],
            lines: lines.into_iter().map(|line| (0, line)).collect(),
        })
    }

    /// Workspaces by ID with their program files, and these requests for them.
    ///
    /// # Errors
    /// If a program file is not right.
    pub fn told(workspaces: Vec<(String, String)>, lines: Vec<Sent>) -> Result<Self> {
        let program = |(workspace, yaml): (String, String)| {
            let file = tributary_domain::rules::parse(&yaml)
                .map_err(|problems| anyhow::anyhow!("{workspace}: {problems:?}"))?;
            Ok(Program {
                workspace,
                yaml,
                file,
            })
        };
        let programs = workspaces.into_iter().map(program).collect::<Result<_>>()?;
        Ok(Self { programs, lines })
    }

    /// The ledger that these requests lead to.
    ///
    /// # Errors
    /// If a request is refused or becomes a dead letter: then the generator is wrong.
    pub fn expected(&self) -> Result<Expected> {
        let mut expected = Expected {
            rows: Vec::new(),
            facts: 0,
            clicks: 0,
        };
        for (index, program) in self.programs.iter().enumerate() {
            let own: Vec<&Line> = self
                .lines
                .iter()
                .filter(|(of, _)| *of == index)
                .map(|(_, line)| line)
                .collect();
            let mut simulation = Simulation::new(&program.file, MailKey::new(MAIL_KEY), 0)?;
            let mut clicks = std::collections::BTreeSet::new();
            for line in own {
                let (status, body) = simulation.request(line)?;
                ensure!(
                    status == 200,
                    "{status} {body} for {}",
                    String::from_utf8_lossy(&line.bytes())
                );
                clicks.extend(
                    line.body
                        .get("clickId")
                        .filter(|_| line.path == "/track/click")
                        .map(ToString::to_string),
                );
            }
            // First, as it closes the days: what is stated about them are facts, too.
            expected.rows.extend(simulation.ledger()?.into_iter().cloned());
            let report = simulation.report();
            ensure!(report.dead.is_empty(), "dead letters: {:?}", report.dead);
            let count = |verdict: &str| report.verdicts.get(verdict).copied().unwrap_or_default();
            expected.facts += count("applied") + count("held");
            expected.clicks += clicks.len() as u64;
        }
        Ok(expected)
    }

    /// Writes the program files into a directory.
    ///
    /// # Errors
    /// If that fails.
    pub fn write_programs(&self, dir: &std::path::Path) -> Result<Vec<std::path::PathBuf>> {
        let write = |program: &Program| {
            let file = dir.join(format!("{}.yaml", program.workspace));
            std::fs::write(&file, &program.yaml).with_context(|| format!("write {}", file.display()))?;
            Ok(file)
        };
        self.programs.iter().map(write).collect()
    }
}

/// A Stripe event as a request, `at` in seconds.
#[must_use]
pub fn webhook(workspace: &str, id: &str, kind: &str, at: i64, object: serde_json::Value) -> Line {
    Line {
        at: jiff::Timestamp::from_second(at).unwrap_or_default(),
        method: "POST".to_owned(),
        path: format!("/webhooks/stripe/{workspace}"),
        headers: std::collections::BTreeMap::new(),
        body: stripe::event(id, kind, at, true, object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_traffic_and_its_order_does_not_matter() {
        let mut traffic = Traffic::new(7, 3_000).unwrap();
        let again = Traffic::new(7, 3_000).unwrap();
        let texts = |t: &Traffic| t.lines.iter().map(|(_, line)| line.bytes()).collect::<Vec<_>>();
        assert_eq!(texts(&traffic), texts(&again));
        let before = traffic.expected().unwrap();
        let mut random = Random(1);
        random.shuffle(&mut traffic.lines);
        let after = traffic.expected().unwrap();
        assert_eq!((before.facts, before.clicks), (after.facts, after.clicks));
        let entries = |expected: &Expected| crate::ledger::entries(&expected.rows).unwrap();
        let differences = crate::ledger::differences(&entries(&before), &entries(&after));
        assert_eq!(differences, Vec::<String>::new());
        // All kinds of rows are there, or little is proved.
        let kinds: std::collections::BTreeSet<String> = before
            .rows
            .iter()
            .map(|row| match row {
                Row::Conversion(r) => format!("{} {}", r.kind, r.attributed_by),
                Row::Refund(r) => format!("{} {}", r.kind, r.status),
                Row::Commission(r) => format!("{} {}", r.kind, r.state),
            })
            .collect();
        for kind in [
            "sale click",
            "sale coupon",
            "sale none",
            "lead click",
            "refund succeeded",
        ] {
            assert!(kinds.contains(kind), "{kind} is not in {kinds:?}");
        }
    }
}
