//! A serializer that appends.

use serde::ser::{Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

use super::DatumError;

/// Appends the datum of a value.
pub(crate) fn write<T: Serialize>(out: &mut Vec<u8>, value: &T) -> Result<(), DatumError> {
    value.serialize(Writer(out))
}

struct Writer<'a>(&'a mut Vec<u8>);

fn long(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn length(out: &mut Vec<u8>, length: usize) -> Result<(), DatumError> {
    long(
        out,
        i64::try_from(length).map_err(|_| DatumError::new("too long"))?,
    );
    Ok(())
}

fn none<T>() -> Result<T, DatumError> {
    Err(DatumError::new("a type that the contract does not use"))
}

/// Items of a list or map: one block, closed by an empty one.
struct Items<'a>(&'a mut Vec<u8>);

impl<'a> Items<'a> {
    fn begin(out: &'a mut Vec<u8>, count: Option<usize>) -> Result<Self, DatumError> {
        match count {
            None => return Err(DatumError::new("a list of unknown length")),
            Some(0) => {}
            Some(count) => length(out, count)?,
        }
        Ok(Self(out))
    }

    fn end(self) -> Result<(), DatumError> {
        self.0.push(0);
        Ok(())
    }
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = DatumError;
    type SerializeSeq = Items<'a>;
    type SerializeMap = Items<'a>;
    type SerializeStruct = Self;
    type SerializeTuple = Impossible<(), DatumError>;
    type SerializeTupleStruct = Impossible<(), DatumError>;
    type SerializeTupleVariant = Impossible<(), DatumError>;
    type SerializeStructVariant = Impossible<(), DatumError>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<(), DatumError> {
        self.0.push(u8::from(value));
        Ok(())
    }

    fn serialize_i32(self, value: i32) -> Result<(), DatumError> {
        long(self.0, i64::from(value));
        Ok(())
    }

    fn serialize_i64(self, value: i64) -> Result<(), DatumError> {
        long(self.0, value);
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), DatumError> {
        self.serialize_bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), DatumError> {
        length(self.0, value.len())?;
        self.0.extend_from_slice(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), DatumError> {
        long(self.0, 0);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), DatumError> {
        long(self.0, 1);
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), DatumError> {
        long(self.0, i64::from(index));
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), DatumError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), DatumError> {
        long(self.0, i64::from(index));
        value.serialize(self)
    }

    fn serialize_seq(self, count: Option<usize>) -> Result<Items<'a>, DatumError> {
        Items::begin(self.0, count)
    }

    fn serialize_map(self, count: Option<usize>) -> Result<Items<'a>, DatumError> {
        Items::begin(self.0, count)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, DatumError> {
        Ok(self)
    }

    fn serialize_i8(self, _: i8) -> Result<(), DatumError> {
        none()
    }

    fn serialize_i16(self, _: i16) -> Result<(), DatumError> {
        none()
    }

    fn serialize_u8(self, _: u8) -> Result<(), DatumError> {
        none()
    }

    fn serialize_u16(self, _: u16) -> Result<(), DatumError> {
        none()
    }

    fn serialize_u32(self, _: u32) -> Result<(), DatumError> {
        none()
    }

    fn serialize_u64(self, _: u64) -> Result<(), DatumError> {
        none()
    }

    fn serialize_f32(self, _: f32) -> Result<(), DatumError> {
        none()
    }

    fn serialize_f64(self, _: f64) -> Result<(), DatumError> {
        none()
    }

    fn serialize_char(self, _: char) -> Result<(), DatumError> {
        none()
    }

    fn serialize_unit(self) -> Result<(), DatumError> {
        none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), DatumError> {
        none()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, DatumError> {
        none()
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, DatumError> {
        none()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, DatumError> {
        none()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, DatumError> {
        none()
    }
}

impl SerializeStruct for Writer<'_> {
    type Ok = ();
    type Error = DatumError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        _: &'static str,
        value: &T,
    ) -> Result<(), DatumError> {
        value.serialize(Writer(self.0))
    }

    fn end(self) -> Result<(), DatumError> {
        Ok(())
    }
}

impl SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = DatumError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), DatumError> {
        value.serialize(Writer(self.0))
    }

    fn end(self) -> Result<(), DatumError> {
        self.end()
    }
}

impl SerializeMap for Items<'_> {
    type Ok = ();
    type Error = DatumError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), DatumError> {
        key.serialize(Writer(self.0))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), DatumError> {
        value.serialize(Writer(self.0))
    }

    fn end(self) -> Result<(), DatumError> {
        self.end()
    }
}
