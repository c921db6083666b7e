//! Whose call it is, for the paths that also take calls without a key: the key's workspace, or the one named.
//!
//! Invariant: a key reaches its own workspace only, whatever the call names.

use super::destination::{decode, parameters};
use super::{ApiError, Call, Code, Directory, Request, access, page};
use crate::rules::{KeyKind, Workspace};

/// Who calls.
pub(super) struct Caller<'d> {
    pub settings: &'d Workspace,
    pub mode: &'d str,
    /// It has a secret key.
    pub is_server: bool,
}

impl Caller<'_> {
    /// Refuses a field that browsers may not give.
    pub(super) fn only_servers(&self, name: &str) -> Result<(), ApiError> {
        if self.is_server {
            return Ok(());
        }
        Err(ApiError::new(
            Code::Forbidden,
            format!("{name}: needs a secret key"),
        ))
    }
}

/// The caller of a request whose body names the tenant `told`, if it does; the query may name it, too.
pub(super) fn caller<'d>(
    request: &Request<'_>,
    directory: &'d Directory,
    call: &Call<'_>,
    told: Option<&str>,
) -> Result<Caller<'d>, ApiError> {
    let key = access::key(request, directory, call)?;
    let header = (request.header)("x-tenant-id");
    let query = parameters(request.query.unwrap_or_default())
        .find(|(name, _)| *name == "tenantId")
        .map(|(_, id)| decode(id, true));
    let label = request.host.split(['.', ':']).next().unwrap_or_default();
    // On a host of short links the label is a name of that host: `go` of go.acme.example is nobody's workspace.
    let is_tenant = directory.has_workspace(label) && !directory.has_links_on(request.host);
    let named = [
        ("X-Tenant-Id", header.map(str::trim)),
        ("tenantId", told.map(str::trim)),
        ("tenantId", query.as_deref().map(str::trim)),
        ("Host", is_tenant.then_some(label)),
    ];
    let named = || {
        named
            .iter()
            .filter_map(|(name, id)| id.filter(|id| !id.is_empty()).map(|id| (*name, id)))
    };
    let Some(workspace) = key
        .map(|key| key.workspace.as_str())
        .or_else(|| named().next().map(|(_, id)| id))
    else {
        return Err(ApiError::field(
            "tenantId",
            "is required without an API key; the header X-Tenant-Id or the first label of the host may give it, too",
        ));
    };
    if let Some((name, _)) = named().find(|(_, id)| *id != workspace) {
        return Err(match key {
            Some(_) => ApiError::new(
                Code::Forbidden,
                format!("{name}: the API key belongs to another workspace"),
            ),
            None => ApiError::field(name, "the call names two workspaces"),
        });
    }
    let settings = directory
        .settings(workspace)
        .ok_or_else(|| ApiError::new(Code::NotFound, "tenantId: there is no such workspace"))?;
    let is_server = key.is_some_and(|key| key.kind == KeyKind::Secret);
    if !is_server {
        // Networks post back without a page: those are browsers' words all the same.
        page::check(request, &settings.allowed_hostnames, false)?;
    }
    Ok(Caller {
        settings,
        mode: match key {
            Some(key) => &key.mode,
            None => settings.modes.first().map_or("live", String::as_str),
        },
        is_server,
    })
}
