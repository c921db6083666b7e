//! What is sent: an entry of the ledger as JSON, in the shape of the events that the API lists.

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tributary_avro::{Commission, Conversion, Dimensions, Op, Refund};
use tributary_domain::ledger::{Row, invoice};

/// One event, ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    /// The same whenever the same change is sent: receivers tell repeats apart by it.
    pub id: String,
    /// As subscriptions name it.
    pub event: String,
    /// JSON.
    pub body: String,
}

/// The event's name: what it is about, and what became of it.
pub fn event(row: &Row) -> String {
    let what = match row {
        Row::Conversion(conversion) => conversion.kind.as_str(),
        Row::Commission(_) => "commission",
        Row::Refund(_) => "refund",
    };
    let change = match (row.op(), row.revision()) {
        (Op::Retract, _) => "retracted",
        (Op::Assert, ..=1) => "created",
        (Op::Assert, _) => "corrected",
    };
    format!("{what}.{change}")
}

/// The event of a row.
pub fn payload(row: &Row) -> Payload {
    let event = event(row);
    let tenant = row.tenant();
    let name = format!("{event}\n{}\n{}\n{}", tenant.key(), row.id(), row.revision());
    let mut id = hex::encode(Sha256::digest(name));
    id.truncate(32);
    id.insert_str(0, "evt_");
    let body = json!({
        "id": id,
        "event": event,
        "createdAt": time(row.at()),
        "workspace": tenant.workspace,
        "mode": tenant.mode,
        "entry": row.id(),
        "revision": row.revision(),
        "data": data(row),
    });
    Payload {
        id,
        event,
        body: body.to_string(),
    }
}

/// What the row says, and whose credit it is.
fn data(row: &Row) -> Value {
    let (mut data, customer_id, dims, keys) = match row {
        Row::Conversion(c) => (conversion(c), &c.customer, &c.dims, &c.keys),
        Row::Commission(c) => (commission(c), &c.customer, &c.dims, &c.keys),
        Row::Refund(r) => (refund(r), &r.customer, &r.dims, &r.keys),
    };
    let credit = [
        ("customer", customer(customer_id)),
        ("partner", partner(dims)),
        ("link", link(dims)),
        ("coupon", text(&dims.coupon)),
        ("keys", json!(keys)),
    ];
    if let Some(fields) = data.as_object_mut() {
        fields.extend(credit.map(|(name, value)| (name.to_owned(), value)));
    }
    data
}

fn conversion(conversion: &Conversion) -> Value {
    let lines = conversion.lines.iter().map(|line| {
        json!({"product": line.product, "quantity": line.quantity, "amount": line.amount,
               "commission": line.commission, "rewardId": text(&line.reward_id)})
    });
    let sale = (conversion.kind != "lead").then(|| {
        json!({
            "amount": conversion.amount,
            "currency": conversion.currency,
            "originalAmount": conversion.original_amount,
            "originalCurrency": conversion.original_currency,
            "paymentProcessor": conversion.source,
            "invoiceId": invoice(&conversion.keys, &conversion.object),
            "type": conversion.sale_type,
            "billing": conversion.billing,
            "commission": conversion.commission,
            "lines": lines.collect::<Vec<_>>(),
        })
    });
    json!({
        "eventName": conversion.event_name,
        "click": click(&conversion.dims),
        "sale": sale,
        "quantity": conversion.quantity,
        "status": conversion.status,
        "attributedBy": conversion.attributed_by,
        "reason": text(&conversion.reason),
        "rule": text(&conversion.rule),
        "flags": conversion.flags,
    })
}

fn commission(commission: &Commission) -> Value {
    json!({
        "type": commission.kind,
        "amount": commission.amount,
        "currency": commission.currency,
        "status": commission.state,
        "dueAt": time(commission.due_at),
        "reason": text(&commission.reason),
        "rewardId": text(&commission.reward_id),
        "payoutId": text(&commission.payout_id),
        "conversionId": text(&commission.conversion_id),
        "refundId": text(&commission.refund_id),
    })
}

fn refund(refund: &Refund) -> Value {
    json!({
        "type": refund.kind,
        "amount": refund.amount,
        "currency": refund.currency,
        "originalAmount": refund.original_amount,
        "originalCurrency": refund.original_currency,
        "commission": refund.commission,
        "status": refund.status,
        "reason": text(&refund.reason),
        "conversionId": text(&refund.conversion_id),
    })
}

fn customer(id: &str) -> Value {
    if id.is_empty() {
        Value::Null
    } else {
        json!({"externalId": id})
    }
}

fn click(dims: &Dimensions) -> Value {
    if dims.click_id.is_empty() {
        return Value::Null;
    }
    json!({
        "id": dims.click_id,
        "timestamp": time(dims.clicked_at),
        "url": dims.url,
        "country": dims.country,
        "region": dims.region,
        "city": dims.city,
        "continent": dims.continent,
        "device": dims.device,
        "browser": dims.browser,
        "os": dims.os,
        "trigger": dims.trigger,
        "referer": dims.referer,
        "refererUrl": dims.referer_url,
    })
}

fn link(dims: &Dimensions) -> Value {
    if dims.link_id.is_empty() {
        return Value::Null;
    }
    json!({
        "id": dims.link_id,
        "domain": dims.domain,
        "key": dims.key,
        "shortLink": format!("https://{}/{}", dims.domain, dims.key),
        "url": dims.url,
        "partnerId": text(&dims.partner_id),
        "programId": text(&dims.program_id),
    })
}

fn partner(dims: &Dimensions) -> Value {
    if dims.partner_id.is_empty() {
        return Value::Null;
    }
    json!({"id": dims.partner_id, "programId": text(&dims.program_id), "groupId": text(&dims.group_id)})
}

fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

/// RFC 3339; null for none.
fn time(at: i64) -> Value {
    match Timestamp::from_millisecond(at) {
        Ok(time) if at != 0 => json!(time.to_string()),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sale(revision: i64, op: Op) -> Row {
        Row::Conversion(Box::new(Conversion {
            id: "c1".into(),
            revision,
            op,
            workspace: "acme".into(),
            mode: "live".into(),
            kind: "sale".into(),
            at: 1_760_000_000_000,
            object: "in:in_1".into(),
            customer: "u_1".into(),
            amount: 4_900,
            currency: "usd".into(),
            ..Conversion::default()
        }))
    }

    #[test]
    fn an_event_says_what_became_of_an_entry() {
        let events = [(1, Op::Assert), (2, Op::Assert), (2, Op::Retract)]
            .map(|(revision, op)| payload(&sale(revision, op)));
        let names: Vec<_> = events.iter().map(|e| e.event.as_str()).collect();
        assert_eq!(names, ["sale.created", "sale.corrected", "sale.retracted"]);
        assert_eq!(
            events[0],
            payload(&sale(1, Op::Assert)),
            "one ID whenever it is sent"
        );
        assert!(events[0].id != events[1].id && events[1].id != events[2].id);
        let body: Value = serde_json::from_str(&events[0].body).unwrap();
        assert_eq!(body["id"], events[0].id);
        assert_eq!(body["createdAt"], "2025-10-09T08:53:20Z");
        assert_eq!(body["data"]["sale"]["amount"], 4_900);
        assert_eq!(body["data"]["sale"]["invoiceId"], "in_1");
        assert_eq!(body["data"]["customer"]["externalId"], "u_1");
        assert_eq!(body["data"]["partner"], Value::Null);
    }
}
