//! What goes into which table: columns, their types, and the field that each comes from.
//!
//! A topic more is a file more in `tables/` and a line in `Table::ledger`; the SQL stands in `migrations/`. A table
//! that is not ours is described by ClickHouse itself (`foreign`): columns take the fields of their names.

mod clicks;
mod commissions;
mod conversions;
mod foreign;
mod refunds;

pub use foreign::{Foreign, describe};

use std::hash::Hasher;

use rustc_hash::FxHasher;
use tributary_avro::Topic;

use crate::native::Kind;

/// Name, type, path of the field.
type Fields = &'static [(&'static str, Kind, &'static str)];

/// Where a column's values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A field, by its path: `dims.click_id`. A list of records gives one column for each of its fields.
    Field(String),
    /// The Kafka partition.
    Partition,
    /// The Kafka offset.
    Offset,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Name in ClickHouse.
    pub name: String,
    /// Type in ClickHouse.
    pub kind: Kind,
    /// Where its values come from.
    pub source: Source,
}

/// A table and the topic that fills it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Topic, with its prefix.
    pub topic: String,
    /// Table, with its database.
    pub name: String,
    /// Columns in the order in which they are sent.
    pub columns: Vec<ColumnSpec>,
    /// Schema that gives the defaults.
    pub schema: String,
    /// Index of the column by whose month the table is partitioned.
    pub month_of: Option<usize>,
    /// Index of the column with a record's ID, and of the one that names another record which it repeats. Who wrote a
    /// record again without knowing whether the first one is there lets it name itself.
    pub repeats: Option<(usize, usize)>,
}

impl Table {
    /// The tables of the pipeline.
    pub fn pipeline(database: &str, topic_prefix: &str) -> Vec<Table> {
        [
            (Topic::Clicks, clicks::FIELDS),
            (Topic::Conversions, conversions::FIELDS),
            (Topic::Refunds, refunds::FIELDS),
            (Topic::Commissions, commissions::FIELDS),
        ]
        .into_iter()
        .map(|(topic, fields)| Self::of(topic, fields, database, topic_prefix))
        .collect()
    }

    fn of(topic: Topic, fields: Fields, database: &str, topic_prefix: &str) -> Table {
        let position = [
            ("kafka_partition", Kind::Int32, Source::Partition),
            ("kafka_offset", Kind::Int64, Source::Offset),
        ];
        let columns: Vec<ColumnSpec> = fields
            .iter()
            .map(|(name, kind, path)| (*name, *kind, Source::Field((*path).to_owned())))
            .chain(position)
            .map(|(name, kind, source)| ColumnSpec {
                name: name.to_owned(),
                kind,
                source,
            })
            .collect();
        let position = |name: &str| columns.iter().position(|column| column.name == name);
        Table {
            topic: format!("{topic_prefix}{}", topic.name()),
            name: format!("{database}.{}", topic.name()),
            month_of: position("at"),
            repeats: match topic {
                Topic::Clicks => position("id").zip(position("duplicate_of")),
                _ => None,
            },
            columns,
            schema: topic.schema().to_owned(),
        }
    }

    /// Index of the column with a source.
    pub fn position_of(&self, source: &Source) -> Option<usize> {
        self.columns.iter().position(|column| column.source == *source)
    }

    /// Whether rows can be found again by their Kafka position.
    pub fn keeps_positions(&self) -> bool {
        self.position_of(&Source::Partition).is_some() && self.position_of(&Source::Offset).is_some()
    }

    /// Database and name.
    pub fn database_and_name(&self) -> (&str, &str) {
        self.name.split_once('.').unwrap_or(("default", &self.name))
    }

    /// The statement that puts a block into this table, or into one with the same columns.
    pub fn insert_into(&self, name: &str) -> String {
        let columns: Vec<String> = self.columns.iter().map(|c| format!("`{}`", c.name)).collect();
        format!("INSERT INTO {name} ({}) FORMAT Native", columns.join(", "))
    }

    /// A number for the columns and their types: another layout, another number.
    pub fn layout(&self) -> u32 {
        let mut hasher = FxHasher::default();
        for column in &self.columns {
            hasher.write(column.name.as_bytes());
            hasher.write(column.kind.type_name().as_bytes());
        }
        let hash = hasher.finish();
        (hash ^ (hash >> 32)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_reads_its_own_schema() {
        for table in Table::pipeline("tributary", "p.") {
            crate::rows::Program::compile(&table.schema, &table).unwrap();
            assert!(table.keeps_positions());
            assert!(table.topic.starts_with("p."));
            assert_eq!(
                table.month_of.map(|at| table.columns[at].kind),
                Some(Kind::Millis)
            );
        }
    }
}
