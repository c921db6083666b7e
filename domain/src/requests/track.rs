//! `POST /track/lead` and `POST /track/sale`, in Dub's shape, for secret keys.
//!
//! A click ID that is none by form is refused, an unknown one accepted: the click may come later.

use serde_json::{Value, json};
use tributary_avro::Track;

use super::directory::Key;
use super::fields::{Fields, TEXT_LIMIT, URL_LIMIT};
use super::{Accepted, ApiError, Call, Code, Directory, Record, Request, Response, access};
use crate::click_id;
use crate::rules::is_currency;

const QUANTITY_LIMIT: i64 = 1_000_000;

pub(super) fn lead(
    request: &Request<'_>,
    directory: &Directory,
    call: &Call<'_>,
) -> Result<Accepted<'static>, ApiError> {
    let key = access::secret(request, directory, call)?;
    let fields = Fields::parse(request.body)?;
    if fields.get("clickId").is_none() {
        return Err(ApiError::field(
            "clickId",
            "is required; an empty text takes the click of the known customer",
        ));
    }
    let lead_mode = match fields.text("mode", TEXT_LIMIT)?.unwrap_or("async") {
        mode @ ("async" | "wait" | "deferred") => mode.to_owned(),
        _ => return Err(ApiError::field("mode", "must be async, wait or deferred")),
    };
    let event_quantity = fields.integer("eventQuantity", 1)?.unwrap_or(1);
    if event_quantity > QUANTITY_LIMIT {
        return Err(ApiError::field(
            "eventQuantity",
            format_args!("must be at most {QUANTITY_LIMIT}"),
        ));
    }
    let track = Track {
        kind: "lead".to_owned(),
        event_name: fields.required("eventName")?.to_owned(),
        event_quantity,
        lead_mode,
        metadata: fields.metadata()?,
        ..common(&fields, key, call)?
    };
    let answer = json!({
        "click": {"id": track.click_id},
        "link": null,
        "customer": customer(&track),
    });
    Ok(accepted(track, &answer))
}

pub(super) fn sale(
    request: &Request<'_>,
    directory: &Directory,
    call: &Call<'_>,
) -> Result<Accepted<'static>, ApiError> {
    let key = access::secret(request, directory, call)?;
    let fields = Fields::parse(request.body)?;
    let amount = fields
        .integer("amount", 0)?
        .ok_or_else(|| ApiError::field("amount", "is required"))?;
    let or = |name, default: &str| -> Result<String, ApiError> {
        Ok(fields.text(name, TEXT_LIMIT)?.unwrap_or(default).to_owned())
    };
    let currency = or("currency", "usd")?.to_ascii_lowercase();
    if !is_currency(&currency) {
        return Err(ApiError::field("currency", "must be an ISO 4217 code, e.g. usd"));
    }
    let track = Track {
        kind: "sale".to_owned(),
        event_name: match fields.text("eventName", TEXT_LIMIT)? {
            Some(_) => fields.required("eventName")?.to_owned(),
            None => "Purchase".to_owned(),
        },
        amount,
        currency,
        event_quantity: 1,
        payment_processor: or("paymentProcessor", "custom")?,
        invoice_id: or("invoiceId", "")?,
        lead_event_name: or("leadEventName", "")?,
        lines: fields.lines(Fields::minor_units)?,
        metadata: fields.metadata()?,
        ..common(&fields, key, call)?
    };
    let mut customer = customer(&track);
    if let Value::Object(customer) = &mut customer {
        // The customer's row has no ID of its own here: the external ID is the ID.
        customer.insert("id".to_owned(), track.customer_external_id.clone().into());
    }
    let answer = json!({
        "eventName": track.event_name,
        "customer": customer,
        "sale": {
            "amount": track.amount,
            "currency": track.currency,
            "paymentProcessor": track.payment_processor,
            "invoiceId": or_null(&track.invoice_id),
            "metadata": fields.get("metadata"),
        },
    });
    Ok(accepted(track, &answer))
}

/// The answer to a call, once its record is durable.
pub(super) fn accepted(track: Track, answer: &Value) -> Accepted<'static> {
    Accepted {
        record: Some(Record::Track(track)),
        visit: None,
        response: Response::json(200, answer.to_string()),
    }
}

fn common(fields: &Fields, key: &Key, call: &Call<'_>) -> Result<Track, ApiError> {
    let click_id = fields.text_or_empty("clickId", TEXT_LIMIT)?;
    if !click_id.is_empty() && !click_id::is_valid(&click_id) {
        return Err(ApiError::new(Code::NotFound, "clickId: there is no such click"));
    }
    Ok(Track {
        id: click_id::new(call.at, call.random),
        workspace: key.workspace.clone(),
        mode: key.mode.clone(),
        at: fields.timestamp(call.at)?.unwrap_or(call.at),
        received: call.at,
        trust: "server".to_owned(),
        click_id,
        customer_external_id: fields.customer()?,
        customer_email: fields.text_or_empty("customerEmail", TEXT_LIMIT)?,
        customer_name: fields.text_or_empty("customerName", TEXT_LIMIT)?,
        customer_avatar: fields.text_or_empty("customerAvatar", URL_LIMIT)?,
        ..Track::default()
    })
}

fn customer(track: &Track) -> Value {
    json!({
        "name": or_null(&track.customer_name),
        "email": or_null(&track.customer_email),
        "avatar": or_null(&track.customer_avatar),
        "externalId": track.customer_external_id,
    })
}

pub(super) fn or_null(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
