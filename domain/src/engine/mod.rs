//! The engine of one facts partition: takes facts, keeps cases, emits the difference to the ledger.
//!
//! ```text
//! fact ─► apply ─► object, case ─► dirty ─► settle ─► rows of the ledger
//! ```
//!
//! All state is in the store; what the engine keeps besides (decoded rules, dirty marks) it can read again.
//! Invariant: once nothing is dirty, the net ledger is a function of the set of facts applied.

mod book;
mod cases;
mod cells;
mod dirty;
mod inline;
mod keys;
mod settle;
mod state;

use rustc_hash::FxHashMap;
use tributary_avro::{Body, Fact};

use crate::fact::BROWSER;
pub use crate::ledger::Row;
use crate::rules::{Asks, DayRates, GOOD_FOR, Rules};
use crate::store::{Store, StoreError};
use crate::tenant::Tenant;
use cases::{Added, Told};
use cells::Cells;
use dirty::{Dirty, Marks};
use settle::Emits;
use state::{CASE, OBJECT, Table, Tables, decode, encoded, key, last_number};
pub use state::{SCANNED, STATE_VERSION};

/// What became of one fact. Every fact gets exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is part of the state and what it touches will be settled.
    Applied,
    /// It is kept, and waits for another fact (a sale, a click, an invoice).
    Held,
    /// The same fact was there.
    Duplicate,
    /// It contradicts what it may not contradict; goes to dead letters with this reason.
    Rejected(&'static str),
}

/// What one call of [`Engine::settle`] did.
#[derive(Debug, Default)]
pub struct Settled {
    /// Rows to append to the ledger, in this order.
    pub rows: Vec<Row>,
    /// Cases recomputed.
    pub cases: usize,
    /// Whether dirty cases are left for the next call.
    pub more: bool,
}

struct Known {
    tenant: Tenant,
    rules: Rules,
}

/// The engine over a store. After writes to the store were discarded it must be opened again.
#[derive(Default)]
pub struct Engine {
    /// Workspace, mode, number.
    numbers: FxHashMap<String, FxHashMap<String, u32>>,
    tenants: Vec<Known>,
    dirty: Dirty,
    cells: Cells,
    checkpointed: bool,
}

/// A settlement gives about so many rows at most: they must fit into a transaction.
const MOST_ROWS: usize = 5_000;
/// More dirty cases than this are written down as a sweep.
const MOST_MARKS: usize = 10_000;

const DIRTY: &[u8] = &[Table::Dirty as u8];

impl Engine {
    /// An engine over a store that may hold state.
    pub fn open(store: &dyn Store) -> Result<Self, StoreError> {
        let mut engine = Self {
            checkpointed: true,
            ..Self::default()
        };
        let mut tenants: Vec<(u32, String)> = Vec::new();
        for (name, number) in store.scan(&[Table::Tenants as u8], &[], usize::MAX)? {
            let name = String::from_utf8_lossy(name.get(1..).unwrap_or_default()).into_owned();
            tenants.push((decode(&number)?, name));
        }
        tenants.sort();
        for (number, name) in tenants {
            let (workspace, mode) = name.split_once('/').unwrap_or((&name, ""));
            let mut rules = Rules::default();
            for (_, value) in store.scan(&key(Table::Rules, number, &[]), &[], usize::MAX)? {
                let fact: Fact = decode(&value)?;
                // It was valid when it was stored.
                let _known = add_rule(&mut rules, &fact);
            }
            for (rewarded, _) in store.scan(&key(Table::Rewarded, number, &[]), &[], usize::MAX)? {
                let prefix = [rewarded.get(5..).unwrap_or_default(), &[0]].concat();
                add_link(&mut rules, store, &key(Table::Links, number, &prefix))?;
            }
            engine.tenants.push(Known {
                tenant: Tenant::new(workspace, mode),
                rules,
            });
            let modes = engine.numbers.entry(workspace.to_owned()).or_default();
            modes.insert(mode.to_owned(), number);
            let told_by_browser = key(Table::Keys, number, BROWSER.as_bytes());
            if !store.scan(&told_by_browser, &[], 1)?.is_empty() {
                engine.cells.browsers.insert(number);
            }
        }
        if let Some(dirty) = store.get(DIRTY)? {
            engine.dirty = decode(&dirty)?;
            engine.checkpointed = engine.dirty.is_empty();
        }
        Ok(engine)
    }

    /// Adds a fact and marks what it touches as dirty. Emits nothing.
    pub fn apply(&mut self, store: &mut dyn Store, fact: Fact) -> Result<Verdict, StoreError> {
        let number = self.tenant(store, &fact.workspace, &fact.mode)?;
        if cases::is_reference(&fact.body) {
            return self.reference(store, number, fact);
        }
        let mut tables = Tables {
            store,
            cells: &mut self.cells,
            tenant: number,
        };
        let (_, rules) = known(&self.tenants, number);
        let needs = settle::Needs::of(&fact.body);
        let redeemed = cases::redeemed(&fact);
        let added = cases::add(&mut tables, &mut self.dirty, fact)?;
        if let Some(redeemed) = redeemed.filter(|_| !matches!(added, Added::Duplicate)) {
            cases::tell(&mut tables, &mut self.dirty, Told::Redemption(redeemed))?;
        }
        Ok(match added {
            Added::Duplicate => Verdict::Duplicate,
            Added::Object(object) if settle::waits(&mut tables, rules, object, &needs)? => Verdict::Held,
            Added::Object(_) | Added::Case => Verdict::Applied,
        })
    }

    /// Recomputes up to `limit` dirty cases and returns the difference to what was emitted.
    pub fn settle(&mut self, store: &mut dyn Store, limit: usize) -> Result<Settled, StoreError> {
        let mut settled = Settled::default();
        loop {
            while settled.cases < limit
                && settled.rows.len() < MOST_ROWS
                && let Some(((number, case), marks)) = self.dirty.cases.pop_first()
            {
                self.settle_case(store, (number, case), marks, (Emits::Rows, &mut settled.rows))?;
                settled.cases += 1;
            }
            if settled.cases >= limit
                || settled.rows.len() >= MOST_ROWS
                || !self.advance_sweeps(store, limit - settled.cases)?
            {
                break;
            }
        }
        settled.more = !self.dirty.is_empty();
        self.checkpoint(store)?;
        Ok(settled)
    }

    /// Settles one case; what is left of it stays dirty.
    fn settle_case(
        &mut self,
        store: &mut dyn Store,
        (number, case): (u32, u64),
        marks: Marks,
        into: (Emits, &mut Vec<Row>),
    ) -> Result<(), StoreError> {
        let (tenant, rules) = known(&self.tenants, number);
        let mut tables = Tables {
            store,
            cells: &mut self.cells,
            tenant: number,
        };
        let left = settle::settle_case(&mut tables, &mut self.dirty, (tenant, rules), case, marks, into)?;
        if !left.is_empty() {
            self.dirty.case(number, case).objects.extend(left);
        }
        Ok(())
    }

    /// Restore: lets everything that is dirty take its part of limits that customers share, before the first of them is
    /// compared with what stands: otherwise it would be given what others had taken before it.
    pub fn open_books(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        if !self.tenants.iter().any(|known| known.rules.has_shared_limits()) {
            return Ok(());
        }
        while self.advance_sweeps(store, usize::MAX)? {}
        let dirty: Vec<((u32, u64), Marks)> = self.dirty.cases.iter().map(|(k, v)| (*k, v.clone())).collect();
        for ((number, case), marks) in dirty {
            self.settle_case(store, (number, case), marks, (Emits::Nothing, &mut Vec::new()))?;
        }
        self.checkpoint(store)
    }

    /// Writes down the records in hand and what is dirty. `settle` does so itself; whoever commits a store after
    /// `apply` alone must.
    pub fn checkpoint(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        self.cells.flush(store)?;
        self.dirty.compact(MOST_MARKS);
        if self.dirty.is_empty() {
            if !self.checkpointed {
                store.delete(DIRTY);
            }
        } else {
            encoded(&self.dirty, |bytes| store.put(DIRTY, bytes))?;
        }
        self.checkpointed = self.dirty.is_empty();
        Ok(())
    }

    /// Restore: says that the ledger holds this row, and marks what it belongs to as dirty.
    /// Called for rows in log order after the facts they came from were applied.
    pub fn emitted(&mut self, store: &mut dyn Store, row: &Row) -> Result<(), StoreError> {
        let Tenant { workspace, mode } = row.tenant();
        let number = self.tenant(store, &workspace, &mode)?;
        let mut tables = Tables {
            store,
            cells: &mut self.cells,
            tenant: number,
        };
        let anchor = keys::key_of_anchor(row.object());
        let found = tables.node(&anchor)?.map(|node| node.to);
        let Some((found, mut object)) = found
            .map(|found| Ok(tables.take_object(found)?.map(|object| (found, object))))
            .transpose()?
            .flatten()
        else {
            let text = format!(
                "ledger row {} is about {anchor}, of which no fact tells",
                row.id()
            );
            return Err(StoreError(text.into()));
        };
        settle::take(&mut object, row)?;
        self.dirty.object(number, object.case, found);
        tables.put_object(found, object);
        Ok(())
    }

    /// What the rewards of any tenant ever asked of the days that closed.
    pub fn asks(&self) -> Asks {
        let asked = self.tenants.iter().map(|known| known.rules.asks());
        asked.fold(Asks::default(), Asks::and)
    }

    /// Every row that stands in the ledger, for audits. To be asked after a settlement.
    pub fn standing(&self, store: &dyn Store) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        for (key, value) in store.scan(&[Table::Records as u8], &[], usize::MAX)? {
            if key.last() != Some(&OBJECT) {
                continue;
            }
            let object: state::Object = decode(&value)?;
            for emitted in &object.emitted {
                rows.push(emitted.row()?);
            }
        }
        Ok(rows)
    }

    /// The number of a tenant, given at its first fact.
    fn tenant(&mut self, store: &mut dyn Store, workspace: &str, mode: &str) -> Result<u32, StoreError> {
        if let Some(number) = self.numbers.get(workspace).and_then(|modes| modes.get(mode)) {
            return Ok(*number);
        }
        let tenant = Tenant::new(workspace, mode);
        let number = u32::try_from(self.tenants.len()).map_err(|e| StoreError(Box::new(e)))?;
        let mut row = vec![Table::Tenants as u8];
        row.extend_from_slice(tenant.key().as_bytes());
        encoded(&number, |bytes| store.put(&row, bytes))?;
        self.tenants.push(Known {
            tenant,
            rules: Rules::default(),
        });
        let modes = self.numbers.entry(workspace.to_owned()).or_default();
        modes.insert(mode.to_owned(), number);
        Ok(number)
    }

    /// A rule, click or promotion code: kept, and the cases that read it swept.
    fn reference(&mut self, store: &mut dyn Store, number: u32, fact: Fact) -> Result<Verdict, StoreError> {
        let mut tables = Tables {
            store,
            cells: &mut self.cells,
            tenant: number,
        };
        if let Body::Click(click) = fact.body {
            let told = Told::Click(Box::new((fact.id, *click)));
            return Ok(if cases::tell(&mut tables, &mut self.dirty, told)? {
                Verdict::Applied
            } else {
                Verdict::Duplicate
            });
        }
        let link = match &fact.body {
            Body::Rule(rule) if rule.kind == "link" => Some(rule.id.clone()),
            _ => None,
        };
        if let Some(link) = link {
            return self.link(store, number, &link, &fact);
        }
        let own = key(Table::Rules, number, fact.id.as_bytes());
        if tables.store.get(&own)?.is_some() {
            return Ok(Verdict::Duplicate);
        }
        let Some(known) = self.tenants.get_mut(number as usize) else {
            return Ok(Verdict::Rejected("unknown_tenant"));
        };
        let Some(changes) = add_rule(&mut known.rules, &fact) else {
            return Ok(Verdict::Rejected("invalid_rule"));
        };
        encoded(&fact, |bytes| tables.store.put(&own, bytes))?;
        if !changes {
            return Ok(Verdict::Applied);
        }
        match &fact.body {
            Body::PromotionCode(code) => self
                .dirty
                .sweep(number, &format!("promo:{}", code.promotion_code)),
            Body::Price(price) => self.dirty.sweep(number, &format!("price:{}", price.price)),
            Body::PartnerTotals(totals) => {
                let partner = &totals.partner_id;
                let from = settle::totals_reference(partner, totals.day.saturating_add(1));
                self.dirty
                    .sweep_from(number, &format!("totals:{partner}/"), &from);
            }
            Body::Account(_) => self.dirty.sweep(number, ""),
            Body::Rule(rule) => match rule.kind.as_str() {
                "fx" => {
                    let day = serde_json::from_str(&rule.document).map_or(0, |d: DayRates| d.day());
                    for day in day..=day + GOOD_FOR {
                        self.dirty.sweep(number, &format!("fx:{day}"));
                    }
                }
                "partner" => self.dirty.sweep(number, &format!("partner:{}", rule.id)),
                "coupon" => {
                    self.dirty
                        .sweep(number, &format!("code:{}", rule.id.to_lowercase()));
                    let promotion_codes = known.rules.promotion_codes_of(&rule.id);
                    for id in promotion_codes {
                        self.dirty.sweep(number, &format!("promo:{id}"));
                    }
                }
                _ => self.dirty.sweep(number, ""),
            },
            _ => {}
        }
        Ok(Verdict::Applied)
    }

    /// A link: its versions are looked at only if any of them has rewards, of which there may be few among millions.
    fn link(
        &mut self,
        store: &mut dyn Store,
        number: u32,
        link: &str,
        fact: &Fact,
    ) -> Result<Verdict, StoreError> {
        let prefix = [link.as_bytes(), &[0]].concat();
        let own = key(Table::Links, number, &[&prefix, fact.id.as_bytes()].concat());
        if store.get(&own)?.is_some() {
            return Ok(Verdict::Duplicate);
        }
        let mut version = Rules::default();
        if add_rule(&mut version, fact).is_none() {
            return Ok(Verdict::Rejected("invalid_rule"));
        }
        encoded(fact, |bytes| store.put(&own, bytes))?;
        let rewarded = key(Table::Rewarded, number, link.as_bytes());
        if !version.link_has_rewards(link) && store.get(&rewarded)?.is_none() {
            return Ok(Verdict::Applied);
        }
        store.put(&rewarded, &[]);
        if let Some(known) = self.tenants.get_mut(number as usize) {
            add_link(&mut known.rules, store, &key(Table::Links, number, &prefix))?;
            // A click's partner is that of a version of its link.
            for partner in known.rules.partners_of_link(link) {
                self.dirty.sweep(number, &format!("partner:{partner}"));
            }
        }
        Ok(Verdict::Applied)
    }

    /// Marks up to `limit` cases of the first sweep. False if there is no sweep.
    fn advance_sweeps(&mut self, store: &mut dyn Store, limit: usize) -> Result<bool, StoreError> {
        let Some(((number, reference), from)) = self.dirty.sweeps.pop_first() else {
            return Ok(false);
        };
        // A sweep over cases must find those that were never written.
        self.cells.flush(store)?;
        let tables = Tables {
            store,
            cells: &mut self.cells,
            tenant: number,
        };
        let (table, prefix) = match reference.as_str() {
            "" => (Table::Records, Vec::new()),
            prefix if prefix.ends_with('/') => (Table::Refs, prefix.as_bytes().to_vec()),
            reference => (Table::Refs, [reference.as_bytes(), &[0]].concat()),
        };
        let start = if from.is_empty() { prefix.clone() } else { from };
        let found = tables.scan_from(table, &prefix, &start, limit)?;
        // A click changes the view by itself; a rule does not, so that every object must be looked at.
        let all = !reference.starts_with("click:");
        for (key, _) in &found {
            let case = match (table, key.split_last()) {
                (Table::Records, Some((&CASE, case))) => last_number(case),
                (Table::Records, _) => continue,
                _ => last_number(key),
            };
            self.dirty.case(number, case).all |= all;
        }
        if found.len() == limit
            && let Some((last, _)) = found.last()
        {
            let after = [last.as_slice(), &[0]].concat();
            self.dirty.sweeps.insert((number, reference), after);
        }
        Ok(true)
    }
}

fn known(tenants: &[Known], number: u32) -> (&Tenant, &Rules) {
    static NOBODY: std::sync::OnceLock<Known> = std::sync::OnceLock::new();
    let known = tenants.get(number as usize).unwrap_or_else(|| {
        NOBODY.get_or_init(|| Known {
            tenant: Tenant::new("", ""),
            rules: Rules::default(),
        })
    });
    (&known.tenant, &known.rules)
}

/// Adds all versions of a link, which were valid when they were stored.
fn add_link(rules: &mut Rules, store: &dyn Store, prefix: &[u8]) -> Result<(), StoreError> {
    for (_, value) in store.scan(prefix, &[], usize::MAX)? {
        let _known = add_rule(rules, &decode(&value)?);
    }
    Ok(())
}

/// Whether it changes what the rules say; None if it is not valid.
fn add_rule(rules: &mut Rules, fact: &Fact) -> Option<bool> {
    match &fact.body {
        Body::Rule(rule) => rules.add(&fact.id, fact.at, rule).is_ok().then_some(true),
        Body::PromotionCode(code) => {
            rules.add_promotion_code(&fact.id, fact.at, code);
            Some(true)
        }
        Body::PartnerTotals(totals) => Some(rules.add_totals(&fact.id, fact.at, totals)),
        Body::Account(account) => Some(rules.add_account(&fact.id, fact.at, account)),
        Body::Price(price) => Some(rules.add_price(&fact.id, fact.at, price)),
        // Its name is for people.
        Body::Coupon(_) => Some(false),
        _ => None,
    }
}
