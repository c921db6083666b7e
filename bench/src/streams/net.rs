//! The net of the conversions read so far: what was asserted and not retracted, as counts, sums and a digest.
//!
//! Invariant: the digest does not depend on order, and a retraction takes back exactly what its assertion added; so
//! two ledgers with one digest hold the same entries.

use std::hash::{Hash as _, Hasher as _};

use rustc_hash::{FxHashMap, FxHasher};
use serde::Deserialize;
use tributary_avro::{Conversion, Op};

use crate::random::mix;

/// What is read of a conversion: enough to tell a right one from a wrong one, cheap enough not to disturb. The Avro
/// library skips fields that are not named here, but no records: those have to be named.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Conversion")]
pub struct Entry {
    /// Conversion ID.
    pub id: String,
    /// Number of the emission.
    pub revision: i64,
    /// Assert or retract.
    pub op: Op,
    /// lead or sale.
    pub kind: String,
    /// Event time.
    pub at: i64,
    /// Workspace currency, minor units.
    pub amount: i64,
    /// click, coupon or none.
    pub attributed_by: String,
    /// Minor units.
    pub commission: i64,
    /// Who earned it.
    pub dims: Credit,
    /// What it is made of.
    pub lines: Vec<Line>,
}

/// What of it is for one product.
#[derive(Debug, Clone, Hash, Deserialize)]
#[serde(rename = "ConversionLine")]
pub struct Line {
    /// Minor units.
    pub amount: i64,
    /// Minor units.
    pub commission: i64,
}

/// Who earned it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Dimensions")]
pub struct Credit {
    /// Click that earned it.
    pub click_id: String,
    /// Partner who earned it.
    pub partner_id: String,
}

impl From<&Conversion> for Entry {
    fn from(row: &Conversion) -> Self {
        Self {
            id: row.id.clone(),
            revision: row.revision,
            op: row.op,
            kind: row.kind.clone(),
            at: row.at,
            amount: row.amount,
            attributed_by: row.attributed_by.clone(),
            commission: row.commission,
            dims: Credit {
                click_id: row.dims.click_id.clone(),
                partner_id: row.dims.partner_id.clone(),
            },
            lines: row
                .lines
                .iter()
                .map(|line| Line {
                    amount: line.amount,
                    commission: line.commission,
                })
                .collect(),
        }
    }
}

impl Entry {
    /// Hash of everything but revision and operation.
    fn digest(&self) -> u64 {
        let mut hasher = FxHasher::default();
        (
            &self.id,
            &self.kind,
            self.at,
            self.amount,
            &self.attributed_by,
            self.commission,
        )
            .hash(&mut hasher);
        (&self.dims.click_id, &self.dims.partner_id, &self.lines).hash(&mut hasher);
        mix(hasher.finish())
    }
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
    pub fn take(&mut self, entry: &Entry) {
        self.rows += 1;
        let sign = if entry.op == Op::Assert { 1 } else { -1 };
        let whole = match entry.op {
            Op::Assert => self.standing.insert(entry.id.clone(), entry.revision).is_none(),
            Op::Retract => self.standing.remove(&entry.id) == Some(entry.revision),
        };
        self.broken += u64::from(!whole);
        let digest = entry.digest();
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
    use tributary_avro::{Decoder, Encoder, Record};

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
        rows.iter().for_each(|row| net.take(&Entry::from(row)));
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

    #[test]
    fn a_part_of_a_record_is_read() {
        let mut decoder = Decoder::<Entry>::default();
        decoder.add(1, Conversion::TOPIC.schema()).unwrap();
        let mut full = row("a", 3, Op::Retract, 5);
        full.dims.click_id = "c".into();
        full.keys = vec!["k".into()];
        full.lines = vec![Default::default()];
        full.explanation = "why".into();
        let bytes = Encoder::new(1).encode(&full).unwrap();
        let entry = decoder.decode(&bytes).unwrap();
        assert_eq!(
            (entry.digest(), entry.op),
            (Entry::from(&full).digest(), Op::Retract)
        );
    }
}
