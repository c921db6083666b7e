//! `POST /track/lead` and `POST /track/sale`, in Dub's shape: from servers with a secret key, and with `/client` after it
//! from browsers with a publishable one (rule C9).
//!
//! A click ID that is none by form is refused, an unknown one accepted: the click may come later.

use serde_json::{Value, json};
use tributary_avro::Track;

use super::directory::Key;
use super::fields::{Fields, TEXT_LIMIT, URL_LIMIT};
use super::{Accepted, ApiError, Call, Code, Directory, Record, Request, Response, access, page};
use crate::click_id;
use crate::rules::is_currency;

const QUANTITY_LIMIT: i64 = 1_000_000;

/// Who tells.
struct Teller<'d> {
    key: &'d Key,
    is_server: bool,
}

impl<'d> Teller<'d> {
    fn server(request: &Request<'_>, directory: &'d Directory, call: &Call<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            key: access::secret(request, directory, call)?,
            is_server: true,
        })
    }

    fn browser(request: &Request<'_>, directory: &'d Directory, call: &Call<'_>) -> Result<Self, ApiError> {
        let key = access::publishable(request, directory, call)?;
        if let Some(settings) = directory.settings(&key.workspace) {
            page::check(request, &settings.allowed_hostnames, true)?;
        }
        Ok(Self {
            key,
            is_server: false,
        })
    }
}

pub(super) fn lead(
    request: &Request<'_>,
    directory: &Directory,
    call: &Call<'_>,
) -> Result<Accepted<'static>, ApiError> {
    let teller = Teller::server(request, directory, call)?;
    let fields = Fields::parse(request.body)?;
    if fields.get("clickId").is_none() {
        return Err(ApiError::field(
            "clickId",
            "is required; an empty text takes the click of the known customer",
        ));
    }
    tell_lead(&fields, &teller, call)
}

pub(super) fn lead_of_browser(
    request: &Request<'_>,
    directory: &Directory,
    call: &Call<'_>,
) -> Result<Accepted<'static>, ApiError> {
    let teller = Teller::browser(request, directory, call)?;
    tell_lead(&told_by_page(request)?, &teller, call)
}

/// What a page tells. Its click may also be in the cookie that scripts cannot read; a sale needs it, too, because what
/// browsers tell of a customer at one time is not believed at another.
fn told_by_page(request: &Request<'_>) -> Result<Fields, ApiError> {
    let mut fields = Fields::parse(request.body)?;
    if fields.text("clickId", TEXT_LIMIT)?.is_none_or(str::is_empty) {
        fields.set("clickId", page::known_click(request).unwrap_or_default());
    }
    Ok(fields)
}

fn tell_lead(fields: &Fields, teller: &Teller<'_>, call: &Call<'_>) -> Result<Accepted<'static>, ApiError> {
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
        ..common(fields, teller, call)?
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
    let teller = Teller::server(request, directory, call)?;
    tell_sale(&Fields::parse(request.body)?, &teller, call)
}

pub(super) fn sale_of_browser(
    request: &Request<'_>,
    directory: &Directory,
    call: &Call<'_>,
) -> Result<Accepted<'static>, ApiError> {
    let teller = Teller::browser(request, directory, call)?;
    tell_sale(&told_by_page(request)?, &teller, call)
}

fn tell_sale(fields: &Fields, teller: &Teller<'_>, call: &Call<'_>) -> Result<Accepted<'static>, ApiError> {
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
        ..common(fields, teller, call)?
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

fn common(fields: &Fields, teller: &Teller<'_>, call: &Call<'_>) -> Result<Track, ApiError> {
    let at = fields.timestamp(call.at)?;
    if at.is_some() && !teller.is_server {
        return Err(ApiError::new(Code::Forbidden, "timestamp: needs a secret key"));
    }
    let click_id = fields.text_or_empty("clickId", TEXT_LIMIT)?;
    if !click_id.is_empty() && !click_id::is_valid(&click_id) {
        return Err(ApiError::new(Code::NotFound, "clickId: there is no such click"));
    }
    Ok(Track {
        id: click_id::new(call.at, call.random),
        workspace: teller.key.workspace.clone(),
        mode: teller.key.mode.clone(),
        at: at.unwrap_or(call.at),
        received: call.at,
        trust: if teller.is_server { "server" } else { "browser" }.to_owned(),
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
