//! From Avro datums straight to columns, driven by the writer's schema.
//!
//! ```text
//!   writer schema + table ──compile──► Program ──decode(datum)──► Row (places in the datum) ──► columns
//! ```
//! A record is read and checked whole before its first value is appended, so a bad record leaves no half row.
//! It knows no topic: what goes where is the table's description. Fields that a schema lacks take the default of the
//! table's own schema.

mod compile;
mod decode;
mod schema;

pub use compile::{Incompatible, Program};
pub use decode::{BadRow, Row};
