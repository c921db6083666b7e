//! The whole pipeline without a server: requests in, ledger out.
//!
//! The same functions as in the stages, called one after the other. It holds what the ledger of the real
//! pipeline must equal on the same input.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tributary_avro::{Click, Fact};

use crate::engine::{Engine, Row, Verdict};
use crate::fact::of_click;
use crate::mail::MailKey;
use crate::normalize::{self, Context, Outcome};
use crate::requests::{self, Call, Directory, Firsts, Place, Record, Request, Signature};
use crate::rules::{ProgramFile, Workspace, day_of};
use crate::store::{MemoryStore, StoreError};
use crate::tenant::Tenant;
use crate::totals;

/// One line of a request file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// When the request arrives, RFC 3339.
    pub at: jiff::Timestamp,
    /// Upper case.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Header names in any case.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// JSON, or a text that is sent as it stands.
    #[serde(default)]
    pub body: serde_json::Value,
}

impl Line {
    /// The body as it is sent.
    pub fn bytes(&self) -> Vec<u8> {
        match &self.body {
            serde_json::Value::Null => Vec::new(),
            serde_json::Value::String(text) => text.clone().into_bytes(),
            json => json.to_string().into_bytes(),
        }
    }
}

/// What became of the requests.
#[derive(Debug, Default)]
pub struct Report {
    /// Answers by status.
    pub answers: BTreeMap<u16, u64>,
    /// Refused requests: line number from 1, and why.
    pub refused: Vec<(usize, String)>,
    /// Dead letters: line number from 1, and why.
    pub dead: Vec<(usize, String)>,
    /// Events that state nothing that is read, by reason.
    pub ignored: BTreeMap<&'static str, u64>,
    /// Facts by verdict.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// Clicks accepted.
    pub clicks: u64,
}

// What a record of a request comes to.
enum Taken {
    Click(Box<Click>),
    Facts(Result<Outcome, normalize::Rejection>),
}

/// A pipeline in memory.
pub struct Simulation {
    directory: Directory,
    settings: Workspace,
    mail: MailKey,
    engine: Engine,
    store: MemoryStore,
    clicks: BTreeMap<String, Click>,
    waiting: BTreeMap<String, BTreeSet<Tenant>>,
    firsts: Firsts,
    net: BTreeMap<String, Row>,
    report: Report,
    lines: usize,
    unsettled: usize,
    closed: Option<Vec<Fact>>,
}

/// Requests that are taken before what they changed is computed: the ledger is a function of all facts, however many
/// come at once.
const SETTLED_AT: usize = 256;

impl Simulation {
    /// A pipeline to which the file was applied at `at`, UTC milliseconds.
    pub fn new(file: &ProgramFile, mail: MailKey, at: i64) -> Result<Self, StoreError> {
        let store = MemoryStore::default();
        let mut simulation = Self {
            directory: Directory::from_program(file),
            settings: file.workspace.clone(),
            mail,
            engine: Engine::open(&store)?,
            store,
            clicks: BTreeMap::new(),
            waiting: BTreeMap::new(),
            firsts: Firsts::new(usize::MAX),
            net: BTreeMap::new(),
            report: Report::default(),
            lines: 0,
            unsettled: 0,
            closed: None,
        };
        for config in file.configs(at) {
            let outcome = normalize::config(&config, &simulation.mail);
            simulation.take(outcome)?;
        }
        simulation.settle()?;
        Ok(simulation)
    }

    /// Takes one request, and gives the answer's status and body.
    pub fn request(&mut self, line: &Line) -> Result<(u16, String), StoreError> {
        self.lines += 1;
        let (path, query) = line
            .path
            .split_once('?')
            .map_or((line.path.as_str(), None), |(p, q)| (p, Some(q)));
        let header = |name: &str| {
            line.headers
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
        };
        let body = line.bytes();
        // The same line in the same place gets the same IDs.
        let digest = Sha256::new()
            .chain_update(self.lines.to_be_bytes())
            .chain_update(&body)
            .finalize();
        let random = digest
            .first_chunk::<8>()
            .map(|b| u64::from_be_bytes(*b))
            .unwrap_or_default();
        let request = Request {
            method: &line.method,
            path,
            query,
            host: header("host")
                .unwrap_or_else(|| self.settings.domains.first().map_or("localhost", String::as_str)),
            header: &header,
            body: &body,
            remote_ip: header("x-forwarded-for")
                .and_then(|list| list.rsplit(',').next()?.trim().parse().ok()),
            place: &|_| Place::default(),
        };
        let firsts = &self.firsts;
        let call = Call {
            at: line.at.as_millisecond(),
            random,
            signature: Signature::NotNeeded,
            visitor_secret: b"simulate",
            admit: &|_| Ok(()),
            first: &|key, hour| firsts.first(key, hour),
        };
        let (status, body, taken, visit) = match requests::handle(&request, &self.directory, &call) {
            Ok(accepted) => {
                let taken = accepted.record.map(|record| self.read(record));
                (
                    accepted.response.status,
                    accepted.response.body,
                    taken,
                    accepted.visit,
                )
            }
            Err(error) => {
                self.report.refused.push((self.lines, error.to_string()));
                (error.status, error.to_string(), None, None)
            }
        };
        if let Some(visit) = visit {
            self.firsts.keep(visit);
        }
        *self.report.answers.entry(status).or_default() += 1;
        match taken {
            Some(Taken::Click(click)) => self.click(*click)?,
            Some(Taken::Facts(outcome)) => self.take(outcome)?,
            None => {}
        }
        self.unsettled += 1;
        if self.unsettled >= SETTLED_AT {
            self.settle()?;
        }
        Ok((status, body))
    }

    fn read(&self, record: Record<'_>) -> Taken {
        let context = Context {
            settings: Some(&self.settings),
            mail: &self.mail,
        };
        match record {
            Record::Click(click) => Taken::Click(Box::new(Click::from(&click))),
            Record::Track(track) => Taken::Facts(normalize::track(&track, &context)),
            Record::StripeEvent(event) => Taken::Facts(normalize::stripe(&event, &context)),
        }
    }

    fn take(&mut self, outcome: Result<Outcome, normalize::Rejection>) -> Result<(), StoreError> {
        match outcome {
            Ok(Outcome::Facts(facts)) => facts.into_iter().try_for_each(|fact| self.fact(fact)),
            Ok(Outcome::Ignored(why)) => {
                *self.report.ignored.entry(why).or_default() += 1;
                Ok(())
            }
            Err(rejection) => {
                self.report.dead.push((self.lines, rejection.to_string()));
                Ok(())
            }
        }
    }

    /// The join: a fact that names a click brings the click's fact, now or when the click comes.
    fn fact(&mut self, fact: Fact) -> Result<(), StoreError> {
        if let Some(id) = normalize::claimed_click(&fact) {
            let tenant = Tenant::new(fact.workspace.as_str(), fact.mode.as_str());
            match self
                .clicks
                .get(id)
                .filter(|click| click.workspace == tenant.workspace)
            {
                Some(click) => {
                    let click = of_click(click, &tenant);
                    self.apply(click)?;
                }
                None => drop(self.waiting.entry(id.to_owned()).or_default().insert(tenant)),
            }
        }
        self.apply(fact)
    }

    fn click(&mut self, click: Click) -> Result<(), StoreError> {
        self.report.clicks += 1;
        let waiting = self.waiting.remove(&click.id).unwrap_or_default();
        for tenant in waiting
            .into_iter()
            .filter(|tenant| tenant.workspace == click.workspace)
        {
            self.apply(of_click(&click, &tenant))?;
        }
        self.clicks.entry(click.id.clone()).or_insert(click);
        Ok(())
    }

    fn apply(&mut self, fact: Fact) -> Result<(), StoreError> {
        let verdict = match self.engine.apply(&mut self.store, fact)? {
            Verdict::Applied => "applied",
            Verdict::Held => "held",
            Verdict::Duplicate => "duplicate",
            Verdict::Rejected(reason) => {
                self.report.dead.push((self.lines, reason.to_owned()));
                "rejected"
            }
        };
        *self.report.verdicts.entry(verdict).or_default() += 1;
        Ok(())
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        self.unsettled = 0;
        loop {
            let settled = self.engine.settle(&mut self.store, 1000)?;
            for row in settled.rows {
                match row.op() {
                    tributary_avro::Op::Assert => drop(self.net.insert(row.id().to_owned(), row)),
                    tributary_avro::Op::Retract => drop(self.net.remove(row.id())),
                }
            }
            if !settled.more {
                return Ok(());
            }
        }
    }

    /// Closes the days of all that was told, each after the one before it, and gives what it stated about them: once,
    /// after the last request.
    pub fn close_days(&mut self) -> Result<&[Fact], StoreError> {
        if self.closed.is_none() {
            self.closed = Some(self.state_days()?);
        }
        Ok(self.closed.as_deref().unwrap_or_default())
    }

    fn state_days(&mut self) -> Result<Vec<Fact>, StoreError> {
        self.settle()?;
        let asks = self.engine.asks();
        let mut stated = Vec::new();
        if asks.clicks {
            stated = totals::clicks(self.clicks.values());
            for fact in stated.clone() {
                self.apply(fact)?;
            }
            self.settle()?;
        }
        if !asks.totals {
            return Ok(stated);
        }
        let clicked = self.clicks.values().map(|click| click.at);
        let days: BTreeSet<i64> = self
            .net
            .values()
            .map(Row::at)
            .chain(clicked)
            .map(day_of)
            .collect();
        // What a day closes with changes later days only.
        for day in days {
            let facts = totals::partners(day, self.net.values(), self.clicks.values());
            for fact in &facts {
                self.apply(fact.clone())?;
            }
            self.settle()?;
            stated.extend(facts);
        }
        Ok(stated)
    }

    /// The net ledger, by time and entry ID, all days closed.
    pub fn ledger(&mut self) -> Result<Vec<&Row>, StoreError> {
        self.close_days()?;
        self.settle()?;
        let mut rows: Vec<&Row> = self.net.values().collect();
        rows.sort_by_key(|row| (row.at(), row.id()));
        Ok(rows)
    }

    /// What became of the requests so far.
    pub fn report(&self) -> &Report {
        &self.report
    }
}
