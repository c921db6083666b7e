//! Lines of invoices and sessions: product, quantity, and the net amount (rule E3).
//!
//! Net is after discounts, granted credits and inclusive tax. The lines need not add up to the sale:
//! whoever computes the sale allocates it over them. Negative lines (proration) are normal.

use tributary_avro::Line;

use super::json::Json;
use super::object::Object;
use crate::normalize::Rejection;

pub(super) fn of_invoice(invoice: &Object) -> Result<Vec<Line>, Rejection> {
    invoice.list("lines").iter().map(invoice_line).collect()
}

fn invoice_line(value: &Json) -> Result<Line, Rejection> {
    let line = Object::inner("invoice.lines", value);
    let (product, price) = sold(&line);
    Ok(Line {
        product,
        quantity: line.quantity(),
        amount: net(&line)?,
        id: line.word("id").to_owned(),
        price,
    })
}

/// The product of a line, or its price where it tells no product.
fn sold(line: &Object) -> (String, String) {
    let product = line.id(&["pricing.price_details.product", "price.product", "plan.product"]);
    let price = match product {
        "" => line.id(&["pricing.price_details.price", "price", "plan"]),
        _ => "",
    };
    (product.to_owned(), price.to_owned())
}

/// Lines of a credit note; each names the invoice's line that it takes back, if it is about one.
pub(super) fn of_credit_note(note: &Object) -> Result<Vec<Line>, Rejection> {
    let lines = note.list("lines").iter();
    lines
        .map(|value| {
            let line = Object::inner("credit_note.lines", value);
            Ok(Line {
                product: String::new(),
                quantity: line.quantity(),
                amount: net(&line)?,
                id: line.id(&["invoice_line_item"]).to_owned(),
                price: String::new(),
            })
        })
        .collect()
}

/// What one period of a subscription costs, before discounts and tax. Metered and tiered prices tell no amount.
pub(super) fn of_subscription(subscription: &Object) -> Result<Vec<Line>, Rejection> {
    let items = subscription.list("items").iter();
    items
        .map(|value| {
            let item = Object::inner("subscription.items", value);
            let unit = match item.amount("price.unit_amount")? {
                Some(unit) => unit,
                None => item.amount("plan.amount")?.unwrap_or(0),
            };
            let quantity = item.quantity();
            let (product, price) = sold(&item);
            Ok(Line {
                product,
                quantity,
                amount: item.bounded("amount", i128::from(unit) * i128::from(quantity))?,
                id: String::new(),
                price,
            })
        })
        .collect()
}

/// The amount of a line after discounts, granted credits and inclusive tax.
fn net(line: &Object) -> Result<i64, Rejection> {
    let mut amount = i128::from(line.needed_amount("amount")?);
    for discount in line.list("discount_amounts") {
        amount -= part(discount)?;
    }
    // Discounts stand in here a second time; credits only here.
    for credit in line.list("pretax_credit_amounts") {
        if credit.get("type").and_then(Json::as_str) == Some("credit_balance_transaction") {
            amount -= part(credit)?;
        }
    }
    // Accounts in between two versions tell both lists: one is enough.
    let taxes = match line.get("taxes") {
        Some(_) => line.list("taxes"),
        None => line.list("tax_amounts"),
    };
    for tax in taxes.iter().filter(|tax| inclusive(tax)) {
        amount -= part(tax)?;
    }
    line.bounded("amount", amount)
}

/// Line items where the session came expanded; their total is after discounts and with all tax.
pub(super) fn of_session(session: &Object) -> Result<Vec<Line>, Rejection> {
    let items = session.list("line_items").iter();
    items
        .map(|value| {
            let item = Object::inner("session.line_items", value);
            let tax = i128::from(item.amount("amount_tax")?.unwrap_or(0));
            let (product, price) = sold(&item);
            Ok(Line {
                product,
                quantity: item.quantity(),
                amount: item.bounded(
                    "amount_total",
                    i128::from(item.needed_amount("amount_total")?) - tax,
                )?,
                id: item.word("id").to_owned(),
                price,
            })
        })
        .collect()
}

/// All tax of an invoice, exclusive and inclusive.
pub(super) fn tax_of_invoice(invoice: &Object) -> Result<i64, Rejection> {
    for path in ["total_taxes", "total_tax_amounts"] {
        if invoice.get(path).is_some() {
            let sum: i128 = invoice.list(path).iter().map(part).sum::<Result<_, _>>()?;
            return invoice.bounded(path, sum);
        }
    }
    Ok(invoice.amount("tax")?.unwrap_or(0))
}

fn inclusive(tax: &Json) -> bool {
    tax.get("tax_behavior").and_then(Json::as_str) == Some("inclusive")
        || tax.get("inclusive").and_then(Json::as_bool) == Some(true)
}

fn part(value: &Json) -> Result<i128, Rejection> {
    Ok(i128::from(
        Object::inner("invoice.lines", value)
            .amount("amount")?
            .unwrap_or(0),
    ))
}
