//! What is declared, as management needs it: whole documents, found by ID, address, and the customer's own IDs.
//!
//! Built from records of topic `config`, in the order of the log. Invariant: an address leads to at most one link.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tributary_avro::Config;

use super::link;
use crate::requests::{ApiError, Code, Directory, DirectoryError, KeyOwner, caller};
use crate::rules::{Coupon, Link, Partner, Program, Workspace, instant};

/// A declared object.
#[derive(Debug, Clone)]
pub(crate) struct Known<T> {
    /// When it was created, and declared last: UTC milliseconds.
    pub created: i64,
    pub at: i64,
    pub value: T,
}

/// What a workspace declares.
#[derive(Default)]
pub(crate) struct Space {
    links: FxHashMap<String, Known<Link>>,
    /// By creation.
    order: BTreeSet<(i64, String)>,
    external: FxHashMap<String, String>,
    pub partners: BTreeMap<String, Known<Partner>>,
    pub programs: BTreeMap<String, Program>,
    /// By code, as it was declared.
    pub coupons: BTreeMap<String, Coupon>,
}

impl Space {
    pub fn link(&self, id: &str) -> Option<&Known<Link>> {
        self.links.get(id)
    }

    pub fn by_external_id(&self, id: &str) -> Option<&Known<Link>> {
        self.links.get(self.external.get(id)?)
    }

    /// The youngest first.
    pub fn links(&self) -> impl Iterator<Item = &Known<Link>> {
        self.order.iter().rev().filter_map(|(_, id)| self.links.get(id))
    }

    pub fn partner_of_tenant(&self, tenant: &str) -> Option<&Known<Partner>> {
        self.partners
            .values()
            .find(|known| known.value.tenant_id == tenant)
    }
}

/// Everything that is declared.
#[derive(Default)]
pub struct Catalog {
    /// Keys and settings only.
    directory: Directory,
    spaces: FxHashMap<String, Space>,
    addresses: FxHashMap<String, (String, String)>,
}

impl Catalog {
    /// What a partner is called; the ID, if it has no name.
    pub fn partner_name(&self, workspace: &str, id: &str) -> Option<&str> {
        Some(self.spaces.get(workspace)?.partners.get(id)?.value.shown_name())
    }

    /// The partner with an ID of the customer's own.
    pub fn partner_of_tenant(&self, workspace: &str, tenant: &str) -> Option<&str> {
        let found = self.spaces.get(workspace)?.partner_of_tenant(tenant)?;
        Some(&found.value.id)
    }

    /// A declared link in the shape of the API, without figures.
    pub fn shown_link(&self, workspace: &str, id: &str) -> Option<Value> {
        Some(link::shown(&*self.addressed(workspace, id)?, workspace))
    }

    /// What names a declared link among others: a few of the fields of [`Catalog::shown_link`].
    pub fn named_link(&self, workspace: &str, id: &str) -> Option<Map<String, Value>> {
        Some(link::named(&*self.addressed(workspace, id)?))
    }

    /// A link with the domain that it has: its workspace's first, if it is declared without.
    fn addressed(&self, workspace: &str, id: &str) -> Option<Cow<'_, Known<Link>>> {
        let known = self.spaces.get(workspace)?.link(id)?;
        let settings = self.directory.settings(workspace);
        let first = settings.and_then(|settings| settings.domains.first());
        let Some(first) = first.filter(|_| known.value.domain.is_empty()) else {
            return Some(Cow::Borrowed(known));
        };
        let mut known = known.clone();
        known.value.domain.clone_from(first);
        Some(Cow::Owned(known))
    }

    /// Takes in a config record.
    ///
    /// # Errors
    /// If its document has not the shape of its kind; nothing has changed then.
    pub fn apply(&mut self, config: &Config) -> Result<(), DirectoryError> {
        let (workspace, kind, id) = (&config.workspace, config.kind.as_str(), &config.id);
        if config.deleted {
            self.remove(workspace, kind, id);
            return Ok(());
        }
        match kind {
            "workspace" => self.directory.apply(config)?,
            "link" => {
                let link: Link = document(config)?;
                self.remove(workspace, kind, id);
                self.put_link(config, link);
            }
            "partner" => {
                let value: Partner = document(config)?;
                let created = value.created.as_deref().and_then(instant).unwrap_or(config.at);
                let known = Known {
                    created,
                    at: config.at,
                    value,
                };
                self.space_mut(workspace).partners.insert(id.clone(), known);
            }
            "program" => {
                let program = document(config)?;
                self.space_mut(workspace).programs.insert(id.clone(), program);
            }
            "coupon" => {
                let coupon = document(config)?;
                self.space_mut(workspace).coupons.insert(id.clone(), coupon);
            }
            _ => {}
        }
        Ok(())
    }

    /// Forgets an object.
    pub fn remove(&mut self, workspace: &str, kind: &str, id: &str) {
        if kind == "workspace" {
            self.directory.remove(workspace, kind, id);
            return;
        }
        let Some(space) = self.spaces.get_mut(workspace) else {
            return;
        };
        match kind {
            "partner" => drop(space.partners.remove(id)),
            "program" => drop(space.programs.remove(id)),
            "coupon" => drop(space.coupons.remove(id)),
            "link" => {
                let Some(Known { created, value, .. }) = space.links.remove(id) else {
                    return;
                };
                space.order.remove(&(created, id.to_owned()));
                if space
                    .external
                    .get(&value.external_id)
                    .is_some_and(|held| held == id)
                {
                    space.external.remove(&value.external_id);
                }
                let place = self.address_of(workspace, &value);
                if self
                    .addresses
                    .get(&place)
                    .is_some_and(|(w, held)| w == workspace && held == id)
                {
                    self.addresses.remove(&place);
                }
            }
            _ => {}
        }
    }

    fn put_link(&mut self, config: &Config, mut link: Link) {
        let (workspace, id) = (&config.workspace, &config.id);
        link.id.clone_from(id);
        let place = self.address_of(workspace, &link);
        self.addresses.insert(place, (workspace.clone(), id.clone()));
        let created = link.created.as_deref().and_then(instant).unwrap_or(config.at);
        let space = self.space_mut(workspace);
        if !link.external_id.is_empty() {
            space.external.insert(link.external_id.clone(), id.clone());
        }
        space.order.insert((created, id.clone()));
        let known = Known {
            created,
            at: config.at,
            value: link,
        };
        space.links.insert(id.clone(), known);
    }

    fn space_mut(&mut self, workspace: &str) -> &mut Space {
        self.spaces.entry(workspace.to_owned()).or_default()
    }

    fn address_of(&self, workspace: &str, link: &Link) -> String {
        let first = || self.directory.settings(workspace)?.domains.first();
        match link.domain.as_str() {
            "" => address(first().map_or("", String::as_str), &link.key),
            domain => address(domain, &link.key),
        }
    }

    /// Workspaces that declare anything but themselves.
    pub fn workspaces(&self) -> impl Iterator<Item = &str> {
        self.spaces.keys().map(String::as_str)
    }

    pub(crate) fn space(&self, workspace: &str) -> Option<&Space> {
        self.spaces.get(workspace)
    }

    pub(crate) fn settings(&self, workspace: &str) -> Result<&Workspace, ApiError> {
        self.directory
            .settings(workspace)
            .ok_or_else(|| ApiError::new(Code::NotFound, "the workspace is not declared any more"))
    }

    /// Workspace and ID of the link at an address.
    pub(crate) fn holder(&self, address: &str) -> Option<(&str, &str)> {
        self.addresses
            .get(address)
            .map(|(w, id)| (w.as_str(), id.as_str()))
    }

    /// Who calls an operation, by its Authorization header: see [`caller`].
    ///
    /// # Errors
    /// 401 without a key that is known; 403 for one that the operation is not for.
    pub fn caller(
        &self,
        authorization: Option<&str>,
        method: &str,
        path: &str,
    ) -> Result<KeyOwner, ApiError> {
        caller(authorization, &self.directory, method, path)
    }
}

/// Host and key of a link, in one text.
pub(crate) fn address(domain: &str, key: &str) -> String {
    format!("{}/{key}", domain.to_ascii_lowercase())
}

fn document<T: DeserializeOwned>(config: &Config) -> Result<T, DirectoryError> {
    crate::requests::document(config)
}
