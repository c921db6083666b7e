//! An Avro schema as a tree, names resolved. Only what reading needs.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::Incompatible;

/// Named types may nest; a schema deeper than this refers to itself.
const DEPTH: usize = 24;

#[derive(Debug, Clone)]
pub(super) enum Node {
    Null,
    Boolean,
    Integer,
    Float,
    Double,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    Array(Box<Node>),
    Map(Box<Node>),
    Union(Vec<Node>),
    Record(Vec<Field>),
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) node: Node,
    pub(super) default: Option<Json>,
}

pub(super) fn parse(json: &str) -> Result<Node, Incompatible> {
    let value: Json = serde_json::from_str(json).map_err(|error| Incompatible::Schema(error.to_string()))?;
    Parser::default().node(&value, 0)
}

#[derive(Default)]
struct Parser {
    named: HashMap<String, Node>,
}

impl Parser {
    fn node(&mut self, json: &Json, depth: usize) -> Result<Node, Incompatible> {
        if depth > DEPTH {
            return Err(Incompatible::Schema("too deep".to_owned()));
        }
        match json {
            Json::String(name) => self.primitive(name),
            Json::Array(branches) => branches
                .iter()
                .map(|branch| self.node(branch, depth + 1))
                .collect::<Result<_, _>>()
                .map(Node::Union),
            Json::Object(object) => match object.get("type") {
                Some(Json::String(kind)) => self.complex(kind, json, depth),
                Some(inner) => self.node(inner, depth + 1),
                None => Err(Incompatible::Schema("an object without type".to_owned())),
            },
            _ => Err(Incompatible::Schema(format!("not a type: {json}"))),
        }
    }

    fn primitive(&self, name: &str) -> Result<Node, Incompatible> {
        Ok(match name {
            "null" => Node::Null,
            "boolean" => Node::Boolean,
            "int" | "long" => Node::Integer,
            "float" => Node::Float,
            "double" => Node::Double,
            "bytes" | "string" => Node::Text,
            other => self
                .named
                .get(short(other))
                .cloned()
                .ok_or_else(|| Incompatible::Schema(format!("unknown type {other}")))?,
        })
    }

    fn complex(&mut self, kind: &str, json: &Json, depth: usize) -> Result<Node, Incompatible> {
        let child = |key: &str| {
            json.get(key)
                .ok_or_else(|| Incompatible::Schema(format!("{kind} without {key}")))
        };
        let node = match kind {
            "record" | "error" => {
                let fields = child("fields")?.as_array().map(Vec::as_slice).unwrap_or_default();
                let fields = fields.iter().map(|field| {
                    Ok(Field {
                        name: field
                            .get("name")
                            .and_then(Json::as_str)
                            .unwrap_or_default()
                            .to_owned(),
                        node: self.node(field.get("type").unwrap_or(&Json::Null), depth + 1)?,
                        default: field.get("default").cloned(),
                    })
                });
                Node::Record(fields.collect::<Result<_, Incompatible>>()?)
            }
            "enum" => {
                let symbols = child("symbols")?
                    .as_array()
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                Node::Enum(
                    symbols
                        .iter()
                        .filter_map(Json::as_str)
                        .map(str::to_owned)
                        .collect(),
                )
            }
            "array" => return Ok(Node::Array(Box::new(self.node(child("items")?, depth + 1)?))),
            "map" => return Ok(Node::Map(Box::new(self.node(child("values")?, depth + 1)?))),
            "fixed" => {
                let size = child("size")?
                    .as_u64()
                    .and_then(|size| usize::try_from(size).ok());
                Node::Fixed(size.ok_or_else(|| Incompatible::Schema("fixed without size".to_owned()))?)
            }
            other => return self.primitive(other),
        };
        if let Some(name) = json.get("name").and_then(Json::as_str) {
            self.named.insert(short(name).to_owned(), node.clone());
        }
        Ok(node)
    }
}

fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
