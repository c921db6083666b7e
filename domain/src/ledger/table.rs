//! The net ledger as lines that a person can check by hand: one shape for `simulate`, ClickHouse and files.

use super::Row;
use super::row::each;

/// Head of the table.
pub const HEAD: &str = "entry,kind,mode,at,object,customer,partner,coupon,attributed_by,reason,status,sale_type,amount,commission,currency";

const CUSTOMER: usize = 5;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// What the lines are sorted by.
    order: [String; 6],
    text: String,
}

impl Line {
    /// The line of a row.
    pub fn of(row: &Row) -> Self {
        let none = String::new();
        let (entry, attributed_by, status, sale_type, commission) = match row {
            Row::Conversion(r) => (
                "conversion",
                &r.attributed_by,
                &r.status,
                &r.sale_type,
                r.commission.to_string(),
            ),
            Row::Refund(r) => ("refund", &none, &r.status, &r.sale_type, r.commission.to_string()),
            Row::Commission(r) => ("commission", &none, &r.state, &none, String::new()),
        };
        // In the order of the head.
        let fields: [String; 15] = each!(row, r => [
            entry.to_owned(),
            r.kind.clone(),
            r.mode.clone(),
            time(r.at),
            r.object.clone(),
            r.customer.clone(),
            r.dims.partner_id.clone(),
            r.dims.coupon.clone(),
            attributed_by.clone(),
            r.reason.clone(),
            status.clone(),
            sale_type.clone(),
            r.amount.to_string(),
            commission,
            r.currency.clone(),
        ]);
        Self::from_fields(&fields)
    }

    /// A line from its fields, in the order of the head.
    pub fn from_fields(fields: &[String]) -> Self {
        let mut fields = fields.to_vec();
        // A guest's name is a hash under the installation's own key: it says nothing across installations.
        if let Some(customer) = fields.get_mut(CUSTOMER)
            && customer.starts_with("guest_")
        {
            customer.truncate("guest".len());
        }
        let pick = |i: usize| fields.get(i).cloned().unwrap_or_default();
        // entry, mode, at, object, kind, partner
        Self {
            order: [pick(0), pick(2), pick(3), pick(4), pick(1), pick(6)],
            text: fields.join(","),
        }
    }

    /// A line of a file.
    pub fn parse(text: &str) -> Self {
        Self::from_fields(&text.trim_end().split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    /// The text of the line.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// RFC 3339, UTC, whole seconds.
pub fn time(milliseconds: i64) -> String {
    let second = jiff::Timestamp::from_second(milliseconds.div_euclid(1000)).unwrap_or_default();
    second.to_string()
}

/// The table with its head, sorted.
pub fn text(mut lines: Vec<Line>) -> String {
    lines.sort();
    let mut out = HEAD.to_owned();
    for line in lines {
        out.push('\n');
        out.push_str(&line.text);
    }
    out
}
