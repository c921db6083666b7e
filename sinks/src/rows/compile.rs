//! A writer's schema and a table, compiled into reading instructions.

use serde_json::Value as Json;

use super::schema::{Field, Node, parse};
use crate::native::Kind;
use crate::tables::{Source, Table};

/// Why records of a schema cannot be read into a table.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Incompatible {
    /// The schema is no valid Avro schema, or one that refers to itself.
    #[error("schema: {0}")]
    Schema(String),
    /// A column's field is absent and has no default.
    #[error("column {column}: the schema has no field {field}, and there is no default")]
    Missing {
        /// Column of the table.
        column: String,
        /// Path of the field.
        field: String,
    },
    /// A column's field has another type.
    #[error("column {column}: field {field} does not fit {kind}")]
    Type {
        /// Column of the table.
        column: String,
        /// Path of the field.
        field: String,
        /// Type of the column.
        kind: &'static str,
    },
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Int(i64),
    /// Start and end in the datum.
    Text(u32, u32),
    /// Index into `Program::constants`.
    Constant(u32),
}

/// What to read next, and the column it is for.
#[derive(Debug)]
pub(super) enum Op {
    Null(Option<usize>),
    Boolean(Option<usize>),
    Integer(Option<usize>),
    Text(Option<usize>),
    Skip(usize),
    Enum(Vec<Value>, Option<usize>),
    Array(Box<Op>),
    Map(Box<Op>),
    Union(Vec<Op>),
    Record(Vec<Op>),
}

/// Reads records of one schema into rows of one table.
#[derive(Debug)]
pub struct Program {
    pub(super) root: Op,
    pub(super) kinds: Vec<Kind>,
    pub(super) defaults: Vec<Value>,
    pub(super) constants: Vec<Vec<u8>>,
}

impl Program {
    /// Compiles the writer's schema for a table.
    ///
    /// # Errors
    /// If a column would have no value, or one of another type.
    pub fn compile(writer: &str, table: &Table) -> Result<Self, Incompatible> {
        let root = parse(writer)?;
        let own = parse(&table.schema)?;
        let mut compiler = Compiler {
            table,
            found: vec![false; table.columns.len()],
            constants: vec![Vec::new()],
        };
        let root = compiler.op(&root, "")?;
        let mut defaults = Vec::with_capacity(table.columns.len());
        for (index, column) in table.columns.iter().enumerate() {
            let value = match (&column.source, compiler.found.get(index)) {
                (Source::Partition | Source::Offset, _) | (_, Some(true)) => compiler.empty(column.kind),
                (Source::Field(path), _) => {
                    compiler
                        .default(&own, path, column.kind)
                        .ok_or_else(|| Incompatible::Missing {
                            column: column.name.clone(),
                            field: path.clone(),
                        })?
                }
            };
            defaults.push(value);
        }
        Ok(Self {
            root,
            kinds: table.columns.iter().map(|column| column.kind).collect(),
            defaults,
            constants: compiler.constants,
        })
    }
}

struct Compiler<'a> {
    table: &'a Table,
    found: Vec<bool>,
    constants: Vec<Vec<u8>>,
}

impl Compiler<'_> {
    fn op(&mut self, node: &Node, path: &str) -> Result<Op, Incompatible> {
        let target = self.target(node, path)?;
        Ok(match node {
            Node::Null => Op::Null(target),
            Node::Boolean => Op::Boolean(target),
            Node::Integer => Op::Integer(target),
            Node::Text => Op::Text(target),
            Node::Float => Op::Skip(4),
            Node::Double => Op::Skip(8),
            Node::Fixed(size) => Op::Skip(*size),
            Node::Enum(symbols) => {
                let signs = target
                    .and_then(|index| self.table.columns.get(index))
                    .is_some_and(|c| !c.kind.is_text());
                let values = symbols.iter().map(|symbol| match (signs, symbol.as_str()) {
                    (true, "retract") => Value::Int(-1),
                    (true, _) => Value::Int(1),
                    (false, text) => self.constant(text.as_bytes()),
                });
                Op::Enum(values.collect(), target)
            }
            Node::Array(item) => Op::Array(Box::new(self.op(item, path)?)),
            // A map has no column: its values are read over.
            Node::Map(value) => Op::Map(Box::new(self.op(value, "\0")?)),
            Node::Union(branches) => {
                let branches = branches.iter().map(|branch| self.op(branch, path));
                Op::Union(branches.collect::<Result<_, _>>()?)
            }
            Node::Record(fields) => {
                let ops = fields
                    .iter()
                    .map(|field| self.op(&field.node, &join(path, &field.name)));
                Op::Record(ops.collect::<Result<_, _>>()?)
            }
        })
    }

    // Leaves only: arrays, unions and records hand their path down.
    fn target(&mut self, node: &Node, path: &str) -> Result<Option<usize>, Incompatible> {
        if matches!(
            node,
            Node::Array(_) | Node::Map(_) | Node::Union(_) | Node::Record(_)
        ) {
            return Ok(None);
        }
        let wanted = |from: &Source| matches!(from, Source::Field(field) if field == path);
        let Some(index) = self
            .table
            .columns
            .iter()
            .position(|column| wanted(&column.source))
        else {
            return Ok(None);
        };
        let Some(column) = self.table.columns.get(index) else {
            return Ok(None);
        };
        let fits = match node {
            Node::Null => true,
            Node::Boolean | Node::Integer => !column.kind.is_text(),
            Node::Text => column.kind.is_text(),
            Node::Enum(_) => !column.kind.is_list(),
            _ => false,
        };
        if !fits {
            return Err(Incompatible::Type {
                column: column.name.clone(),
                field: path.to_owned(),
                kind: column.kind.type_name(),
            });
        }
        if let Some(found) = self.found.get_mut(index) {
            *found = true;
        }
        Ok(Some(index))
    }

    fn constant(&mut self, text: &[u8]) -> Value {
        let known = self.constants.iter().position(|constant| constant == text);
        let index = known.unwrap_or_else(|| {
            self.constants.push(text.to_vec());
            self.constants.len() - 1
        });
        Value::Constant(index as u32)
    }

    fn empty(&mut self, kind: Kind) -> Value {
        if kind.is_text() {
            Value::Constant(0)
        } else {
            Value::Int(0)
        }
    }

    // The default of a leaf, of a record around it, or of a list of records.
    fn default(&mut self, node: &Node, path: &str, kind: Kind) -> Option<Value> {
        let Node::Record(fields) = node else { return None };
        let (name, rest) = path
            .split_once('.')
            .map_or((path, None), |(name, rest)| (name, Some(rest)));
        let field: &Field = fields.iter().find(|field| field.name == name)?;
        if kind.is_list() {
            return field.default.as_ref().map(|_| self.empty(kind));
        }
        match rest {
            Some(rest) => self.default(&field.node, rest, kind),
            None => match field.default.as_ref()? {
                Json::String(text) if kind.is_text() => Some(self.constant(text.as_bytes())),
                Json::Bool(yes) if !kind.is_text() => Some(Value::Int(i64::from(*yes))),
                Json::Null => Some(self.empty(kind)),
                number => number.as_i64().filter(|_| !kind.is_text()).map(Value::Int),
            },
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
