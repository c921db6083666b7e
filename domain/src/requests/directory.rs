//! The declared objects as the edge needs them: links by domain and key, API keys by hash, workspaces.
//!
//! Built from records of topic `config` or from a program file. Cheap to clone (the maps lie in shared
//! buckets, of which a change copies one), so that a writer can publish a new one beside busy readers.
//! Invariant: an object belongs to the workspace that declared it. A domain that workspaces list serves
//! their links only, and a domain with key that one workspace holds is not taken over by another.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::Arc;

use rustc_hash::{FxBuildHasher, FxHashMap};
use serde::de::DeserializeOwned;
use tributary_avro::Config;

use super::destination::without_port;
use super::index::Index;
use super::target::Target;
use crate::rules::{ConversionType, KeyKind, Link, Partner, Permission, Program, ProgramFile, Workspace};

const BUCKETS: usize = 256;

/// Why a config record was not applied.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The document does not have the shape of its kind.
    #[error("{workspace}/{kind}/{id}: {source}")]
    Document {
        /// Workspace of the record.
        workspace: String,
        /// Kind of the record.
        kind: String,
        /// ID of the record.
        id: String,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// The link's texts together are longer than 64 KiB.
    #[error("{workspace}/link/{id}: longer than 64 KiB")]
    TooLong {
        /// Workspace of the record.
        workspace: String,
        /// ID of the link.
        id: String,
    },
}

/// A map that is cheap to clone.
#[derive(Clone)]
struct Shared<V>(Vec<Arc<FxHashMap<Box<str>, V>>>);

impl<V: Clone> Default for Shared<V> {
    fn default() -> Self {
        Self(vec![Arc::default(); BUCKETS])
    }
}

impl<V: Clone> Shared<V> {
    fn place(key: &str) -> usize {
        // The maps inside use the low bits of the same hash.
        (FxBuildHasher.hash_one(key) >> 40) as usize % BUCKETS
    }

    fn get(&self, key: &str) -> Option<&V> {
        self.0.get(Self::place(key))?.get(key)
    }

    fn put(&mut self, key: String, value: V) {
        if let Some(bucket) = self.0.get_mut(Self::place(&key)) {
            Arc::make_mut(bucket).insert(key.into(), value);
        }
    }

    fn remove(&mut self, key: &str) -> Option<V> {
        let bucket = self.0.get_mut(Self::place(key))?;
        if bucket.contains_key(key) {
            Arc::make_mut(bucket).remove(key)
        } else {
            None
        }
    }
}

/// An API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub workspace: String,
    pub mode: String,
    pub kind: KeyKind,
    pub scopes: Vec<Permission>,
    /// Whose rows alone it reads; empty: all.
    pub partner: String,
}

struct Home {
    settings: Workspace,
    first_domain: String,
    keys: Vec<[u8; 32]>,
}

/// A program as calls may name it (rule D4).
#[derive(Clone)]
struct Offer {
    id: String,
    types: Vec<ConversionType>,
    origins: Vec<String>,
}

/// A link with what is in force for it.
pub(super) struct Resolved<'d> {
    pub target: &'d Target,
    pub domain: &'d str,
    pub mode: &'d str,
    pub program: &'d str,
    pub partner: Option<&'d Partner>,
    pub settings: &'d Workspace,
}

/// Where a link lies: on a host, or, if it names none, on the first of its workspace.
#[derive(PartialEq, Eq, Hash)]
struct Place<'a> {
    host: Cow<'a, str>,
    workspace: &'a str,
    key: &'a str,
}

impl<'a> Place<'a> {
    fn of(target: &'a Target) -> Self {
        match target.domain() {
            "" => Self::without_host(target.workspace(), target.key()),
            domain => Self::on(host_key(domain), target.key()),
        }
    }

    fn on(host: Cow<'a, str>, key: &'a str) -> Self {
        Self {
            host,
            workspace: "",
            key,
        }
    }

    fn without_host(workspace: &'a str, key: &'a str) -> Self {
        Self {
            host: "".into(),
            workspace,
            key,
        }
    }

    fn hash(&self) -> u64 {
        FxBuildHasher.hash_one(self)
    }

    fn find<'i>(&self, links: &'i Index) -> Option<&'i Target> {
        links.get(self.hash(), |target| Place::of(target) == *self)
    }
}

fn id_hash(workspace: &str, id: &str) -> u64 {
    FxBuildHasher.hash_one((workspace, id))
}

/// What the edge knows.
#[derive(Clone)]
pub struct Directory {
    workspaces: Arc<FxHashMap<String, Arc<Home>>>,
    owners: Arc<FxHashMap<String, Vec<String>>>,
    keys: Arc<FxHashMap<[u8; 32], Key>>,
    programs: Arc<FxHashMap<String, Vec<Offer>>>,
    partners: Shared<Arc<Partner>>,
    links: Index,
    links_by_id: Index,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            workspaces: Arc::default(),
            owners: Arc::default(),
            keys: Arc::default(),
            programs: Arc::default(),
            partners: Shared::default(),
            links: Index::new(|target| Place::of(target).hash()),
            links_by_id: Index::new(|target| id_hash(target.workspace(), target.id())),
        }
    }
}

impl Directory {
    /// The directory of one program file.
    pub fn from_program(file: &ProgramFile) -> Self {
        let mut directory = Self::default();
        let workspace = &file.workspace;
        directory.put_workspace(&workspace.id, workspace.clone());
        for program in &file.programs {
            directory.put_program(&workspace.id, &program.id, program.clone());
        }
        for partner in &file.partners {
            directory.put_partner(&workspace.id, &partner.id, partner.clone());
        }
        for link in &file.links {
            let id = match (link.id.is_empty(), link.domain.is_empty()) {
                (false, _) => link.id.clone(),
                (true, false) => format!("{}/{}", link.domain, link.key),
                (true, true) => {
                    format!(
                        "{}/{}",
                        workspace.domains.first().map_or("", String::as_str),
                        link.key
                    )
                }
            };
            // One that is too long is not served, as on the edge.
            directory.put_link(&workspace.id, &id, link, 0).ok();
        }
        directory
    }

    /// Takes in a config record. Kinds that the edge does not need change nothing.
    pub fn apply(&mut self, config: &Config) -> Result<(), DirectoryError> {
        if config.deleted {
            self.remove(&config.workspace, &config.kind, &config.id);
            return Ok(());
        }
        match config.kind.as_str() {
            "workspace" => self.put_workspace(&config.workspace, document(config)?),
            "program" => self.put_program(&config.workspace, &config.id, document(config)?),
            "partner" => self.put_partner(&config.workspace, &config.id, document(config)?),
            "link" => self.put_link(&config.workspace, &config.id, &document(config)?, config.at)?,
            _ => {}
        }
        Ok(())
    }

    /// Forgets an object: a deletion, or a tombstone of the topic.
    pub fn remove(&mut self, workspace: &str, kind: &str, id: &str) {
        match kind {
            "workspace" => self.remove_workspace(workspace),
            "program" => {
                if let Some(offers) = Arc::make_mut(&mut self.programs).get_mut(workspace) {
                    offers.retain(|offer| offer.id != id);
                }
            }
            "partner" => drop(self.partners.remove(&pair(workspace, id))),
            "link" => self.remove_link(workspace, id),
            _ => {}
        }
    }

    /// How many links it holds.
    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// Whether the workspace is declared.
    pub fn has_workspace(&self, id: &str) -> bool {
        self.workspaces.contains_key(id)
    }

    /// The settings of a workspace.
    pub(crate) fn settings(&self, workspace: &str) -> Option<&Workspace> {
        self.workspaces.get(workspace).map(|place| &place.settings)
    }

    /// The workspace to which a platform gives the events of a connected account, if both agree: the platform names the
    /// workspace, and the workspace the account.
    pub(super) fn workspace_of_account(&self, platform: &str, account: &str) -> Option<&str> {
        let platform = self.settings(platform)?;
        let other = platform.connected_workspaces.get(account)?;
        let agrees = self
            .settings(other)?
            .stripe_accounts
            .iter()
            .any(|own| own == account);
        agrees.then_some(other.as_str())
    }

    /// Whether short links lie on the host.
    pub(super) fn has_links_on(&self, host: &str) -> bool {
        self.owners.contains_key(&*host_key(host))
    }

    /// A declared conversion type, as a call names it (rule D4).
    pub(super) fn conversion_type(&self, workspace: &str, code: &str) -> Option<&ConversionType> {
        let key = ConversionType::key(code);
        let mut types = self.offers(workspace).flat_map(|offer| &offer.types);
        types.find(|declared| ConversionType::key(&declared.code) == key)
    }

    /// The program that a revenue origin belongs to (rule D4).
    pub(super) fn program_of_origin(&self, workspace: &str, origin: &str) -> Option<&str> {
        let mut offers = self.offers(workspace);
        let found = offers.find(|offer| offer.origins.iter().any(|other| other == origin));
        found.map(|offer| offer.id.as_str())
    }

    fn offers(&self, workspace: &str) -> impl Iterator<Item = &Offer> {
        self.programs.get(workspace).into_iter().flatten()
    }

    pub(super) fn key(&self, hash: &[u8; 32]) -> Option<&Key> {
        self.keys.get(hash)
    }

    /// The link that a host and key lead to.
    pub(super) fn link(&self, host: &str, key: &str) -> Option<Resolved<'_>> {
        let host = host_key(host);
        let owners = self.owners.get(&*host);
        // Links without domain of the workspaces whose first domain this is.
        for owner in owners.into_iter().flatten() {
            if let Some(place) = self.workspaces.get(owner)
                && place.first_domain == host
                && let Some(target) = Place::without_host(owner, key).find(&self.links)
            {
                return Some(self.resolve(target, place));
            }
        }
        let target = Place::on(host, key).find(&self.links)?;
        if owners.is_some_and(|owners| !owners.iter().any(|owner| owner == target.workspace())) {
            return None;
        }
        Some(self.resolve(target, self.workspaces.get(target.workspace())?))
    }

    /// A link of a workspace by its ID.
    pub(super) fn link_of(&self, workspace: &str, id: &str) -> Option<Resolved<'_>> {
        let is_it = |target: &Target| target.workspace() == workspace && target.id() == id;
        let target = self.links_by_id.get(id_hash(workspace, id), is_it)?;
        // Another may have been declared there since.
        let there = Place::of(target).find(&self.links)?;
        if !target.is(there) {
            return None;
        }
        Some(self.resolve(target, self.workspaces.get(workspace)?))
    }

    fn resolve<'d>(&'d self, target: &'d Target, place: &'d Home) -> Resolved<'d> {
        let settings = &place.settings;
        let partner = match target.partner() {
            "" => None,
            id => self
                .partners
                .get(&pair(target.workspace(), id))
                .map(|partner| &**partner),
        };
        let only_program = || match self.programs.get(target.workspace()).map(Vec::as_slice) {
            Some([only]) => only.id.as_str(),
            _ => "",
        };
        let program = [target.program(), partner.map_or("", |p| p.program.as_str())];
        Resolved {
            target,
            domain: match target.domain() {
                "" => settings.domains.first().map_or("", String::as_str),
                domain => domain,
            },
            mode: settings.modes.first().map_or("live", String::as_str),
            program: program
                .into_iter()
                .find(|id| !id.is_empty())
                .unwrap_or_else(only_program),
            partner,
            settings,
        }
    }

    fn put_workspace(&mut self, id: &str, settings: Workspace) {
        self.remove_workspace(id);
        let owners = Arc::make_mut(&mut self.owners);
        for domain in &settings.domains {
            owners
                .entry(host_key(domain).into_owned())
                .or_default()
                .push(id.to_owned());
        }
        let keys = Arc::make_mut(&mut self.keys);
        let mut hashes = Vec::new();
        for key in &settings.api_keys {
            let mut hash = [0; 32];
            if hex::decode_to_slice(key.sha256.trim(), &mut hash).is_ok() && !keys.contains_key(&hash) {
                keys.insert(
                    hash,
                    Key {
                        workspace: id.to_owned(),
                        mode: key.mode.clone(),
                        kind: key.kind,
                        scopes: key.scopes.clone(),
                        partner: key.partner.clone(),
                    },
                );
                hashes.push(hash);
            }
        }
        let place = Arc::new(Home {
            first_domain: settings
                .domains
                .first()
                .map_or_else(String::new, |domain| host_key(domain).into_owned()),
            settings,
            keys: hashes,
        });
        Arc::make_mut(&mut self.workspaces).insert(id.to_owned(), place);
    }

    fn remove_workspace(&mut self, id: &str) {
        let Some(place) = Arc::make_mut(&mut self.workspaces).remove(id) else {
            return;
        };
        let keys = Arc::make_mut(&mut self.keys);
        for hash in &place.keys {
            keys.remove(hash);
        }
        let owners = Arc::make_mut(&mut self.owners);
        for domain in &place.settings.domains {
            let domain = host_key(domain);
            if let Some(ids) = owners.get_mut(&*domain) {
                ids.retain(|other| other != id);
                if ids.is_empty() {
                    owners.remove(&*domain);
                }
            }
        }
    }

    fn put_program(&mut self, workspace: &str, id: &str, program: Program) {
        let programs = Arc::make_mut(&mut self.programs);
        let offers = programs.entry(workspace.to_owned()).or_default();
        let offer = Offer {
            id: id.to_owned(),
            types: program.conversion_types,
            origins: program.revenue_origins,
        };
        match offers.iter_mut().find(|other| other.id == id) {
            Some(known) => *known = offer,
            None => offers.push(offer),
        }
    }

    fn put_partner(&mut self, workspace: &str, id: &str, partner: Partner) {
        self.partners.put(pair(workspace, id), Arc::new(partner));
    }

    fn put_link(&mut self, workspace: &str, id: &str, link: &Link, at: i64) -> Result<(), DirectoryError> {
        self.remove_link(workspace, id);
        let target = Target::new(workspace, id, link, at).ok_or_else(|| DirectoryError::TooLong {
            workspace: workspace.to_owned(),
            id: id.to_owned(),
        })?;
        let place = Place::of(&target);
        if let Some(held) = place.find(&self.links)
            && held.workspace() != workspace
            && held.at <= at
        {
            return Ok(());
        }
        self.links_by_id.put(target.clone(), |known| {
            known.workspace() == workspace && known.id() == id
        });
        self.links.put(target.clone(), |known| Place::of(known) == place);
        Ok(())
    }

    fn remove_link(&mut self, workspace: &str, id: &str) {
        let is_it = |target: &Target| target.workspace() == workspace && target.id() == id;
        if let Some(target) = self.links_by_id.remove(id_hash(workspace, id), is_it) {
            // Not another that was declared there since.
            self.links
                .remove(Place::of(&target).hash(), |held| held.is(&target));
        }
    }
}

pub(crate) fn document<T: DeserializeOwned>(config: &Config) -> Result<T, DirectoryError> {
    serde_json::from_str(&config.document).map_err(|source| DirectoryError::Document {
        workspace: config.workspace.clone(),
        kind: config.kind.clone(),
        id: config.id.clone(),
        source,
    })
}

fn pair(workspace: &str, id: &str) -> String {
    let mut key = String::with_capacity(workspace.len() + id.len() + 1);
    key.push_str(workspace);
    key.push('\0');
    key.push_str(id);
    key
}

fn host_key(host: &str) -> Cow<'_, str> {
    let host = without_port(host);
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}
