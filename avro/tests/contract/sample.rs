//! Records made from a schema alone, one for each branch of its widest union: no Rust type is asked, so
//! that they stay what the schema's own time would have written.

use std::collections::HashMap;

use apache_avro::schema::{Name, RecordSchema, Schema};
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

/// Datums of a schema, as bytes.
pub fn datums(json: &str) -> Vec<Vec<u8>> {
    let schema = Schema::parse_str(json).unwrap();
    let mut names = HashMap::new();
    collect(&schema, &mut names);
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    (0..widest(&schema))
        .map(|branch| {
            let mut out = Vec::new();
            writer
                .write_value(&mut out, value(&schema, branch, &names))
                .unwrap();
            out
        })
        .collect()
}

fn widest(schema: &Schema) -> usize {
    match schema {
        Schema::Union(union) => union.variants().len(),
        Schema::Record(record) => record
            .fields
            .iter()
            .map(|field| widest(&field.schema))
            .max()
            .unwrap_or(1),
        _ => 1,
    }
}

// A name stands for a record that was spelled out before.
fn collect<'a>(schema: &'a Schema, names: &mut HashMap<Name, &'a RecordSchema>) {
    match schema {
        Schema::Record(record) => {
            names.insert(record.name.clone(), record);
            record
                .fields
                .iter()
                .for_each(|field| collect(&field.schema, names));
        }
        Schema::Union(union) => union.variants().iter().for_each(|branch| collect(branch, names)),
        Schema::Array(array) => collect(&array.items, names),
        Schema::Map(map) => collect(&map.types, names),
        _ => {}
    }
}

fn value(schema: &Schema, branch: usize, names: &HashMap<Name, &RecordSchema>) -> Value {
    match schema {
        Schema::Null => Value::Null,
        Schema::Boolean => Value::Boolean(true),
        Schema::Int => Value::Int(7),
        Schema::Long => Value::Long(1_789_208_102_000),
        Schema::String => Value::String("text".to_owned()),
        Schema::Bytes => Value::Bytes(b"bytes".to_vec()),
        Schema::Enum(symbols) => Value::Enum(0, symbols.symbols[0].clone()),
        Schema::Array(array) => Value::Array(vec![value(&array.items, branch, names); 2]),
        Schema::Map(map) => Value::Map([("name".to_owned(), value(&map.types, branch, names))].into()),
        Schema::Record(record) => fields(record, branch, names),
        Schema::Ref { name } => fields(names[name], branch, names),
        Schema::Union(union) => {
            let index = branch % union.variants().len();
            let inner = value(&union.variants()[index], branch, names);
            Value::Union(u32::try_from(index).unwrap(), Box::new(inner))
        }
        other => panic!("the contract uses {other:?}: say here what a value of it is"),
    }
}

fn fields(record: &RecordSchema, branch: usize, names: &HashMap<Name, &RecordSchema>) -> Value {
    let field =
        |field: &apache_avro::schema::RecordField| (field.name.clone(), value(&field.schema, branch, names));
    Value::Record(record.fields.iter().map(field).collect())
}
