//! `POST /webhooks/stripe/{workspace}`: the event goes on byte for byte.
//!
//! Only the envelope is read. What the object says is for normalize, so an event type that nobody knows
//! is accepted like any other.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tributary_avro::StripeEvent;

use super::{
    Accepted, ApiError, Call, Code, Directory, Record, Request, Response, Signature, SignatureError,
    verify_signature,
};

/// What a thin event calls itself.
const THIN: &str = "v2.core.event";

#[derive(Deserialize)]
struct Envelope {
    id: Option<String>,
    object: Option<Value>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    created: Option<Value>,
    account: Option<String>,
    context: Option<Value>,
    api_version: Option<String>,
    livemode: Option<bool>,
}

pub(super) fn relay(
    workspace: &str,
    request: &Request<'_>,
    directory: &Directory,
    call: &Call<'_>,
) -> Result<Accepted<'static>, ApiError> {
    if !directory.has_workspace(workspace) {
        return Err(ApiError::new(
            Code::NotFound,
            "workspace: there is no such workspace",
        ));
    }
    check(workspace, request, call).map_err(|e| ApiError::new(Code::BadRequest, e.to_string()))?;
    let mut record = event(workspace, request.body, call.at)?;
    // A platform has one endpoint for all accounts that are connected to it.
    if let Some(other) = directory.workspace_of_account(workspace, &record.account) {
        other.clone_into(&mut record.workspace);
    }
    Ok(Accepted {
        record: Some(Record::StripeEvent(record)),
        visit: None,
        response: Response::json(200, r#"{"received":true}"#.to_owned()),
    })
}

fn check(workspace: &str, request: &Request<'_>, call: &Call<'_>) -> Result<(), SignatureError> {
    let Signature::Secrets(secrets) = call.signature else {
        return Ok(());
    };
    let header = (request.header)("stripe-signature").ok_or(SignatureError::Missing)?;
    verify_signature(header, request.body, &secrets(workspace), call.at)
}

fn event(workspace: &str, body: &[u8], at: i64) -> Result<StripeEvent, ApiError> {
    let refused = |reason: String| ApiError::new(Code::BadRequest, reason);
    let text = std::str::from_utf8(body)
        .map_err(|e| refused(format!("the body is not UTF-8 from byte {}", e.valid_up_to())))?;
    // serde would also read a list of the fields in order.
    if !text.trim_start().starts_with('{') {
        return Err(refused(
            "the body is no Stripe event: it must be a JSON object".to_owned(),
        ));
    }
    let envelope: Envelope =
        serde_json::from_str(text).map_err(|e| refused(format!("the body is no Stripe event: {e}")))?;
    let required = |name: &str, field: Option<String>| {
        field
            .filter(|text| !text.is_empty())
            .ok_or_else(|| refused(format!("{name}: a Stripe event has one")))
    };
    let is_thin = envelope.object.is_some_and(|object| object == THIN);
    let thin = envelope.context.filter(|_| is_thin).as_ref().and_then(account);
    Ok(StripeEvent {
        id: required("id", envelope.id)?,
        event_type: required("type", envelope.event_type)?,
        workspace: workspace.to_owned(),
        mode: match envelope.livemode {
            Some(false) => "test",
            Some(true) | None => "live",
        }
        .to_owned(),
        account: envelope.account.or(thin).unwrap_or_default(),
        api_version: envelope.api_version.unwrap_or_default(),
        created: created(envelope.created.as_ref())
            .ok_or_else(|| refused("created: must be seconds since 1970 or RFC 3339".to_owned()))?,
        received: at,
        body: body.to_vec(),
    })
}

// Thin events name the connected account as the last part of their context, below an organization if there is one.
// Snapshot events have a context, too, which names the endpoint's own account where an organization listens.
fn account(context: &Value) -> Option<String> {
    let last = context.as_str()?.rsplit('/').next()?;
    last.starts_with("acct_").then(|| last.to_owned())
}

// Snapshot events have seconds, thin ones RFC 3339.
fn created(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Number(seconds) => seconds.as_i64()?.checked_mul(1000),
        Value::String(text) => Some(text.parse::<Timestamp>().ok()?.as_millisecond()),
        _ => None,
    }
}
