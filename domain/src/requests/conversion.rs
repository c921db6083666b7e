//! `/tracking/conversion/v1` and `/tracking/external-cid/v1`, in Trackdesk's shape: from servers with a secret key,
//! from browsers with a publishable one or none (rules C9, D4).
//!
//! A conversion is a sale, a lead or a redemption, by its type. Amounts are in major units here.

use serde_json::{Value, json};
use tributary_avro::{Metadata, Track, TrackCommand};

use super::fields::{Fields, TEXT_LIMIT};
use super::tenant::{Caller, caller};
use super::track::{accepted, or_null};
use super::{Accepted, ApiError, Call, Code, Directory, Request, money};
use crate::rules::Tells;
use crate::{click_id, mail};

const PARAMETERS: [(&str, &str); 5] = [
    ("advS1", "AdvS1"),
    ("advS2", "AdvS2"),
    ("advS3", "AdvS3"),
    ("advS4", "AdvS4"),
    ("advS5", "AdvS5"),
];

/// What is decided about a conversion as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Pending,
    Approved,
    Rejected,
    Refunded,
}

impl Status {
    fn of(fields: &Fields) -> Result<Self, ApiError> {
        let text = fields.plain("status", TEXT_LIMIT)?.to_ascii_uppercase();
        match text.strip_prefix("CONVERSION_STATUS_").unwrap_or(&text) {
            "" | "PENDING" => Ok(Self::Pending),
            "APPROVED" => Ok(Self::Approved),
            "REJECTED" => Ok(Self::Rejected),
            "REFUNDED" => Ok(Self::Refunded),
            _ => Err(ApiError::field(
                "status",
                "must be pending, approved, rejected or refunded, with or without CONVERSION_STATUS_ before it",
            )),
        }
    }
}

/// A conversion on its way to a record.
struct Conversion<'a> {
    fields: &'a Fields,
    caller: Caller<'a>,
    tells: Tells,
    status: Status,
    external_id: &'a str,
}

pub(super) fn convert(
    request: &Request<'_>,
    directory: &Directory,
    call: &Call<'_>,
) -> Result<Accepted<'static>, ApiError> {
    tell(&Fields::parse(request.body)?, request, directory, call)
}

/// The GET form: all fields in the query.
pub(super) fn postback(
    request: &Request<'_>,
    directory: &Directory,
    call: &Call<'_>,
) -> Result<Accepted<'static>, ApiError> {
    let fields = Fields::of_query(request.query.unwrap_or_default())?;
    let mut accepted = tell(&fields, request, directory, call)?;
    // Every call is a conversion: neither browser nor proxy may answer for us.
    accepted
        .response
        .headers
        .push(("cache-control", "no-store".into()));
    Ok(accepted)
}

/// A click ID is tied to an ID that later calls may name in its place.
pub(super) fn identify(
    request: &Request<'_>,
    directory: &Directory,
    call: &Call<'_>,
) -> Result<Accepted<'static>, ApiError> {
    let fields = Fields::parse(request.body)?;
    let caller = caller(request, directory, call, fields.text("tenantId", TEXT_LIMIT)?)?;
    let external_cid = fields.person("externalCid")?;
    let track = Track {
        kind: "identify".to_owned(),
        customer_external_id: external_cid.to_owned(),
        ..common(&fields, &caller, directory, call)?
    };
    for (name, value) in [("cid", &*track.click_id), ("externalCid", external_cid)] {
        if value.is_empty() {
            return Err(ApiError::field(name, "is required"));
        }
    }
    let answer = json!({"cid": track.click_id, "externalCid": external_cid});
    Ok(accepted(track, &answer))
}

fn tell(
    fields: &Fields,
    request: &Request<'_>,
    directory: &Directory,
    call: &Call<'_>,
) -> Result<Accepted<'static>, ApiError> {
    let caller = caller(request, directory, call, fields.text("tenantId", TEXT_LIMIT)?)?;
    let (tells, event_name) = kind(fields, &caller, directory)?;
    let mut track = common(fields, &caller, directory, call)?;
    event_name.clone_into(&mut track.event_name);
    track.metadata = parameters(fields)?;
    let conversion = Conversion {
        fields,
        caller,
        tells,
        status: Status::of(fields)?,
        external_id: fields.plain("externalId", TEXT_LIMIT)?,
    };
    let track = conversion.record(track)?;
    let answer = match tells {
        Tells::Redemption => json!({"cid": track.click_id}),
        Tells::Sale | Tells::Lead => json!({
            "cid": or_null(&track.click_id),
            "externalId": or_null(conversion.external_id),
        }),
    };
    Ok(accepted(track, &answer))
}

/// What the type tells, and the event's name.
fn kind<'d>(
    fields: &Fields,
    caller: &Caller<'_>,
    directory: &'d Directory,
) -> Result<(Tells, &'d str), ApiError> {
    let code = fields.required("conversionTypeCode")?.trim();
    match code.to_lowercase().as_str() {
        "sale" => return Ok((Tells::Sale, "Purchase")),
        "lead" => return Ok((Tells::Lead, "Sign up")),
        _ => {}
    }
    let declared = directory.conversion_type(&caller.settings.id, code).ok_or_else(|| {
        ApiError::field(
            "conversionTypeCode",
            format_args!(
                "{code:?} is neither sale nor lead, nor among the conversion_types of a program of {} (D4)",
                caller.settings.id
            ),
        )
    })?;
    Ok((declared.tells, declared.event_name()))
}

/// What every call of a tenant records.
fn common(
    fields: &Fields,
    caller: &Caller<'_>,
    directory: &Directory,
    call: &Call<'_>,
) -> Result<Track, ApiError> {
    let cid = fields.text("cid", TEXT_LIMIT)?.unwrap_or_default().trim();
    if !cid.is_empty() && !click_id::is_valid(cid) {
        return Err(ApiError::new(Code::NotFound, "cid: there is no such click"));
    }
    let origin = fields.plain("revenueOriginId", TEXT_LIMIT)?;
    let program = match origin {
        "" => "",
        origin => directory
            .program_of_origin(&caller.settings.id, origin)
            .ok_or_else(|| {
                ApiError::field(
                    "revenueOriginId",
                    format_args!(
                        "{origin:?} is not among the revenue_origins of a program of {} (D4)",
                        caller.settings.id
                    ),
                )
            })?,
    };
    let at = fields.timestamp(call.at)?;
    if at.is_some() {
        caller.only_servers("timestamp")?;
    }
    Ok(Track {
        id: click_id::new(call.at, call.random),
        workspace: caller.settings.id.clone(),
        mode: caller.mode.to_owned(),
        at: at.unwrap_or(call.at),
        received: call.at,
        trust: if caller.is_server { "server" } else { "browser" }.to_owned(),
        click_id: cid.to_owned(),
        program_id: program.to_owned(),
        event_quantity: 1,
        ..Track::default()
    })
}

impl Conversion<'_> {
    fn record(&self, mut track: Track) -> Result<Track, ApiError> {
        let customer = self.fields.person("customerId")?;
        let external_cid = self.fields.person("externalCid")?;
        either(customer, external_cid).clone_into(&mut track.customer_external_id);
        if !customer.is_empty() && mail::normalize(external_cid).is_some() {
            // The address ties the customer to whoever was identified by it.
            external_cid.clone_into(&mut track.customer_email);
        }
        self.fields
            .plain("couponCode", TEXT_LIMIT)?
            .clone_into(&mut track.coupon);
        match self.tells {
            Tells::Sale => self.sale(track),
            Tells::Lead => self.lead(track),
            Tells::Redemption => self.redemption(track),
        }
    }

    fn sale(&self, track: Track) -> Result<Track, ApiError> {
        if track.click_id.is_empty() && track.coupon.is_empty() && track.customer_external_id.is_empty() {
            return Err(ApiError::field(
                "cid",
                "a sale needs one of cid, couponCode, externalCid and customerId",
            ));
        }
        let (amount, currency) = self.amount()?;
        Ok(Track {
            kind: "sale".to_owned(),
            lines: self.fields.lines(|line| {
                let text = line
                    .decimal("amount")?
                    .ok_or_else(|| ApiError::field("amount", "is required"))?;
                money::minor_units("amount", &text, &currency)
            })?,
            amount,
            currency,
            payment_processor: "custom".to_owned(),
            invoice_id: self.external_id.to_owned(),
            commands: self.decision()?.into_iter().collect(),
            ..track
        })
    }

    fn amount(&self) -> Result<(i64, String), ApiError> {
        let told = self.fields.object("amount")?;
        let text = match &told {
            Some(amount) => amount
                .decimal("value")
                .map_err(|e| ApiError::new(e.code, format!("amount.{}", e.message)))?,
            None => None,
        };
        let text = text.ok_or_else(|| ApiError::field("amount.value", "is required"))?;
        let inner = match &told {
            Some(amount) => amount.plain("currency", TEXT_LIMIT)?,
            None => "",
        };
        let currency = match either(inner, self.fields.plain("currency", TEXT_LIMIT)?) {
            "" => self.caller.settings.currency.clone(),
            told => money::currency("amount.currency", told)?,
        };
        let amount = money::minor_units("amount.value", &text, &currency)?;
        if amount < 0 {
            return Err(ApiError::field(
                "amount.value",
                "must not be negative: what goes back is a refund (G7)",
            ));
        }
        Ok((amount, currency))
    }

    /// The status of a sale as a decision about it, whoever earns by it.
    fn decision(&self) -> Result<Option<TrackCommand>, ApiError> {
        let command = match self.status {
            Status::Pending => return Ok(None),
            Status::Approved => "approve",
            Status::Rejected => "reject",
            Status::Refunded => "refund",
        };
        self.caller.only_servers("status")?;
        if self.external_id.is_empty() {
            return Err(ApiError::field(
                "externalId",
                "is required with a status: it names the sale that is decided about",
            ));
        }
        Ok(Some(TrackCommand {
            command: command.to_owned(),
            names: self.external_id.to_owned(),
            ..TrackCommand::default()
        }))
    }

    fn lead(&self, mut track: Track) -> Result<Track, ApiError> {
        if !matches!(self.status, Status::Pending | Status::Approved) {
            return Err(ApiError::field(
                "status",
                "a lead is told as pending or approved; it is rejected by PATCH /commissions/{id} with its key (F6)",
            ));
        }
        if track.customer_external_id.is_empty() {
            // Rule D2a: a lead is named by its customer.
            self.external_id.clone_into(&mut track.customer_external_id);
        }
        if track.customer_external_id.is_empty() {
            return Err(ApiError::field(
                "customerId",
                "a lead needs one of customerId, externalCid and externalId (D2a)",
            ));
        }
        Ok(Track {
            kind: "lead".to_owned(),
            lead_mode: "async".to_owned(),
            ..track
        })
    }

    fn redemption(&self, mut track: Track) -> Result<Track, ApiError> {
        if !matches!(self.status, Status::Pending | Status::Approved) {
            return Err(ApiError::field(
                "status",
                "a redemption is told as pending or approved (D4)",
            ));
        }
        if track.coupon.is_empty() {
            return Err(ApiError::field("couponCode", "is required for a redemption (D4)"));
        }
        // The caller's own only where history is imported: a browser's would be that of a click.
        if track.click_id.is_empty() {
            track.click_id.clone_from(&track.id);
        } else {
            self.caller.only_servers("cid")?;
        }
        Ok(Track {
            kind: "redemption".to_owned(),
            ..track
        })
    }
}

/// The caller's own parameters, which become metadata.
fn parameters(fields: &Fields) -> Result<Metadata, ApiError> {
    let mut metadata = Metadata::new();
    let Some(told) = fields.object("customParams")? else {
        return Ok(metadata);
    };
    for (name, capital) in PARAMETERS {
        let value = match told.get(name).or_else(|| told.get(capital)) {
            None => continue,
            Some(Value::String(text)) => text.clone(),
            Some(number @ Value::Number(_)) => number.to_string(),
            Some(_) => return Err(ApiError::field(&format!("customParams.{name}"), "must be a text")),
        };
        super::fields::within(&format!("customParams.{name}"), &value, TEXT_LIMIT)?;
        metadata.insert(name.to_owned(), value);
    }
    Ok(metadata)
}

fn either<'a>(first: &'a str, second: &'a str) -> &'a str {
    if first.is_empty() { second } else { first }
}
