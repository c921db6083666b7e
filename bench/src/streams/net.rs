//! The net of the conversions read so far: what was asserted and not retracted, as counts, sums and a digest.
//!
//! Invariant: the digest does not depend on order, and a retraction takes back exactly what its assertion added; so
//! two ledgers with one digest hold the same entries.

use std::hash::{Hash as _, Hasher as _};

use rustc_hash::{FxHashMap, FxHasher};
use tributary_avro::{Conversion, Op};

use crate::random::mix;

/// Hash of everything that tells a right conversion from a wrong one, but revision and operation.
fn digest(row: &Conversion) -> u64 {
    let mut hasher = FxHasher::default();
    (&row.id, &row.kind, row.at, row.amount).hash(&mut hasher);
    (&row.attributed_by, row.commission).hash(&mut hasher);
    (&row.dims.click_id, &row.dims.partner_id).hash(&mut hasher);
    for line in &row.lines {
        (line.amount, line.commission).hash(&mut hasher);
    }
    mix(hasher.finish())
}

/// See the module.
#[derive(Debug, Default)]
pub struct Net {
    /// Rows read.
    pub rows: u64,
    /// Net leads.
    pub leads: i64,
    /// Net sales.
    pub sales: i64,
    /// Net sum of the sales.
    pub amount: i64,
    /// Assertions of what stood already, and retractions of what did not stand.
    pub broken: u64,
    digest: u64,
    standing: FxHashMap<String, i64>,
}

impl Net {
    /// Takes one row, in the order of its partition.
    pub fn take(&mut self, entry: &Conversion) {
        self.rows += 1;
        let sign = if entry.op == Op::Assert { 1 } else { -1 };
        let whole = match entry.op {
            Op::Assert => self.standing.insert(entry.id.clone(), entry.revision).is_none(),
            Op::Retract => self.standing.remove(&entry.id) == Some(entry.revision),
        };
        self.broken += u64::from(!whole);
        let digest = digest(entry);
        self.digest = if sign > 0 {
            self.digest.wrapping_add(digest)
        } else {
            self.digest.wrapping_sub(digest)
        };
        match entry.kind.as_str() {
            "lead" => self.leads += sign,
            "sale" => {
                self.sales += sign;
                self.amount += sign * entry.amount;
            }
            _ => {}
        }
    }

    /// Net entries.
    pub fn entries(&self) -> usize {
        self.standing.len()
    }

    /// Whether both hold the same entries.
    pub fn equals(&self, other: &Self) -> bool {
        (self.digest, self.leads, self.sales, self.amount)
            == (other.digest, other.leads, other.sales, other.amount)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn row(id: &str, revision: i64, op: Op, amount: i64) -> Conversion {
        Conversion {
            id: id.into(),
            revision,
            op,
            kind: "sale".into(),
            amount,
            ..Conversion::default()
        }
    }

    fn net(rows: &[Conversion]) -> Net {
        let mut net = Net::default();
        rows.iter().for_each(|row| net.take(row));
        net
    }

    #[test]
    fn corrections_leave_the_net_and_losses_do_not() {
        let corrected = net(&[
            row("b", 1, Op::Assert, 9),
            row("a", 1, Op::Assert, 5),
            row("a", 1, Op::Retract, 5),
            row("a", 2, Op::Assert, 7),
        ]);
        let plain = net(&[row("a", 1, Op::Assert, 7), row("b", 1, Op::Assert, 9)]);
        assert!(corrected.equals(&plain));
        assert_eq!(
            (corrected.broken, corrected.entries(), corrected.amount),
            (0, 2, 16)
        );
        assert!(!plain.equals(&net(&[row("a", 1, Op::Assert, 9), row("b", 1, Op::Assert, 7)])));
        let doubled = net(&[row("a", 1, Op::Assert, 7), row("a", 1, Op::Assert, 7)]);
        assert_eq!(doubled.broken, 1);
    }
}
