//! Stripe events with the fields that are read, in both generations of the API.

use serde_json::{Value, json};

/// An event around an object. `at` in seconds.
pub fn event(id: &str, kind: &str, at: i64, live: bool, object: Value) -> Value {
    json!({"id": id, "object": "event", "api_version": "2025-08-27.basil", "created": at, "livemode": live,
        "type": kind, "data": {"object": object}})
}

/// A payment of a customer, as its objects name it.
pub struct Payment<'a> {
    /// Suffix of all its IDs.
    pub id: &'a str,
    /// `cus_…`; empty for guests.
    pub customer: &'a str,
    /// Address.
    pub email: &'a str,
    /// Seconds.
    pub at: i64,
    /// With tax.
    pub total: i64,
    /// Tax in it.
    pub tax: i64,
    /// ISO code.
    pub currency: &'a str,
    /// Promotion code; empty if none.
    pub promotion: &'a str,
    /// `sub_…`; empty if none.
    pub subscription: &'a str,
}

fn or_null(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

impl Payment<'_> {
    fn discounts(&self) -> Value {
        match self.promotion {
            "" => json!([]),
            code => json!([{"promotion_code": code, "coupon": "co_1"}]),
        }
    }

    /// `customer`.
    pub fn customer_object(&self, metadata: Value) -> Value {
        json!({"id": self.customer, "object": "customer", "email": self.email, "metadata": metadata})
    }

    /// `checkout.session`, whose invoice or payment intent is named.
    pub fn session(&self, reference: &str, invoice: bool) -> Value {
        let mode = if invoice { "subscription" } else { "payment" };
        json!({"id": format!("cs_{}", self.id), "object": "checkout.session", "mode": mode, "status": "complete",
            "payment_status": "paid", "customer": or_null(self.customer), "customer_details": {"email": self.email},
            "client_reference_id": or_null(reference), "amount_total": self.total, "currency": self.currency,
            "payment_intent": if invoice { Value::Null } else { format!("pi_{}", self.id).into() },
            "invoice": if invoice { format!("in_{}", self.id).into() } else { Value::Null },
            "subscription": or_null(self.subscription),
            "total_details": {"amount_tax": self.tax}, "discounts": self.discounts(), "metadata": {}})
    }

    /// `invoice`; in the old shape it names its payment, in basil's it does not.
    pub fn invoice(&self, old: bool, reason: &str) -> Value {
        let net = self.total - self.tax;
        let gold = net / 3;
        let line = |id: &str, product: &str, amount: i64| match old {
            true => json!({"id": id, "object": "line_item", "amount": amount, "quantity": 1,
                "price": {"id": "price_1", "product": product}}),
            false => json!({"id": id, "object": "line_item", "amount": amount, "quantity": 1,
                "pricing": {"type": "price_details", "price_details": {"price": "price_1", "product": product}}}),
        };
        let lines = vec![
            line("il_1", "prod_gold", gold),
            line("il_2", "prod_addon", net - gold + 5),
            line("il_3", "prod_addon", -5),
        ];
        let mut invoice = json!({"id": format!("in_{}", self.id), "object": "invoice", "customer": self.customer,
            "customer_email": self.email, "currency": self.currency, "status": "paid", "billing_reason": reason,
            "amount_paid": self.total, "total": self.total, "total_excluding_tax": net,
            "status_transitions": {"paid_at": self.at}, "discounts": self.discounts(),
            "lines": {"object": "list", "has_more": false, "data": lines}});
        let more = match old {
            true => json!({"payment_intent": format!("pi_{}", self.id), "charge": format!("ch_{}", self.id),
                "subscription": or_null(self.subscription)}),
            false => json!({"parent": {"type": "subscription_details",
                "subscription_details": {"subscription": or_null(self.subscription), "metadata": {}}}}),
        };
        if let (Some(to), Value::Object(from)) = (invoice.as_object_mut(), more) {
            to.extend(from);
        }
        invoice
    }

    /// `invoice_payment`, basil's link between invoice and payment.
    pub fn invoice_payment(&self) -> Value {
        json!({"id": format!("inpay_{}", self.id), "object": "invoice_payment", "invoice": format!("in_{}", self.id),
            "amount_paid": self.total, "status": "paid",
            "payment": {"type": "payment_intent", "payment_intent": format!("pi_{}", self.id)}})
    }

    /// `charge`; with refunds for the old `charge.refunded`.
    pub fn charge(&self, invoice: bool, refunds: Vec<Value>) -> Value {
        let back: i64 = refunds.iter().filter_map(|r| r.get("amount")?.as_i64()).sum();
        json!({"id": format!("ch_{}", self.id), "object": "charge", "amount": self.total, "amount_captured": self.total,
            "amount_refunded": back, "captured": true, "status": "succeeded", "currency": self.currency,
            "created": self.at, "customer": or_null(self.customer), "billing_details": {"email": self.email},
            "payment_intent": format!("pi_{}", self.id),
            "invoice": if invoice { format!("in_{}", self.id).into() } else { Value::Null },
            "metadata": {}, "refunds": {"object": "list", "data": refunds}})
    }

    /// `payment_intent`.
    pub fn intent(&self) -> Value {
        json!({"id": format!("pi_{}", self.id), "object": "payment_intent", "amount": self.total,
            "amount_received": self.total, "currency": self.currency, "status": "succeeded", "created": self.at,
            "customer": or_null(self.customer), "receipt_email": self.email,
            "latest_charge": format!("ch_{}", self.id), "metadata": {}})
    }

    /// `refund`.
    pub fn refund(&self, number: u64, amount: i64, status: &str) -> Value {
        json!({"id": format!("re_{}_{number}", self.id), "object": "refund", "amount": amount, "status": status,
            "charge": format!("ch_{}", self.id), "payment_intent": format!("pi_{}", self.id),
            "currency": self.currency, "reason": "requested_by_customer", "created": self.at + 86_400})
    }
}
