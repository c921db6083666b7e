//! One SQL statement with its server-side parameters.
//!
//! Invariant: text that comes from a request travels as a parameter, never as SQL.

/// A parameter's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Texts(Vec<String>),
    Integer(i64),
    Integers(Vec<i64>),
}

/// SQL and the values of its `{name:Type}` places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub sql: String,
    pub values: Vec<(String, Value)>,
}

impl Statement {
    pub fn new(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            values: Vec::new(),
        }
    }

    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.values.push((name.to_owned(), value));
        self
    }

    pub fn with_all(mut self, values: impl IntoIterator<Item = (String, Value)>) -> Self {
        self.values.extend(values);
        self
    }
}
