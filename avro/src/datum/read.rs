//! A deserializer that takes bytes off a slice.

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::{Deserializer, forward_to_deserialize_any};

use super::DatumError;

/// Takes the datum of a value off the front of a slice.
pub(crate) fn read<'de, T: Deserialize<'de>>(input: &mut &'de [u8]) -> Result<T, DatumError> {
    T::deserialize(Reader(input))
}

struct Reader<'a, 'de>(&'a mut &'de [u8]);

impl<'de> Reader<'_, 'de> {
    fn again(&mut self) -> Reader<'_, 'de> {
        Reader(self.0)
    }

    fn byte(&mut self) -> Result<u8, DatumError> {
        let (first, rest) = self
            .0
            .split_first()
            .ok_or_else(|| DatumError::new("bytes are missing"))?;
        *self.0 = rest;
        Ok(*first)
    }

    fn long(&mut self) -> Result<i64, DatumError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(DatumError::new("a number is longer than 64 bits"))
    }

    /// A count of things of at least one byte each: no more than bytes are left.
    fn count(&mut self) -> Result<usize, DatumError> {
        let count = self.long()?;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= self.0.len())
            .ok_or_else(|| DatumError(format!("{count} of something in {} bytes", self.0.len())))
    }

    fn slice(&mut self) -> Result<&'de [u8], DatumError> {
        let length = self.count()?;
        let (slice, rest) = self.0.split_at(length);
        *self.0 = rest;
        Ok(slice)
    }

    fn text(&mut self) -> Result<&'de str, DatumError> {
        std::str::from_utf8(self.slice()?).map_err(|_| DatumError::new("a text is not UTF-8"))
    }

    fn index(&mut self) -> Result<u32, DatumError> {
        let index = self.long()?;
        u32::try_from(index).map_err(|_| DatumError(format!("branch {index}")))
    }
}

impl<'de> Deserializer<'de> for Reader<'_, 'de> {
    type Error = DatumError;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, DatumError> {
        Err(DatumError::new("a type that the contract does not use"))
    }

    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, DatumError> {
        match self.byte()? {
            0 => visitor.visit_bool(false),
            1 => visitor.visit_bool(true),
            byte => Err(DatumError(format!("{byte} is no boolean"))),
        }
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DatumError> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, DatumError> {
        visitor.visit_i64(self.long()?)
    }

    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, DatumError> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DatumError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, DatumError> {
        visitor.visit_borrowed_bytes(self.slice()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DatumError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, DatumError> {
        match self.index()? {
            0 => visitor.visit_none(),
            1 => visitor.visit_some(self),
            index => Err(DatumError(format!("branch {index} of two"))),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DatumError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DatumError> {
        visitor.visit_seq(Blocks {
            reader: self,
            left: 0,
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DatumError> {
        visitor.visit_map(Blocks {
            reader: self,
            left: 0,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DatumError> {
        visitor.visit_seq(Fields {
            reader: self,
            left: fields.len(),
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DatumError> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// The fields of a record, in the schema's order, which is the type's.
struct Fields<'a, 'de> {
    reader: Reader<'a, 'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Fields<'_, 'de> {
    type Error = DatumError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DatumError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(self.reader.again()).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The blocks of a list or map: each with a count, and with its size in bytes if that is negative.
struct Blocks<'a, 'de> {
    reader: Reader<'a, 'de>,
    left: usize,
}

impl Blocks<'_, '_> {
    /// Whether an item follows.
    fn next(&mut self) -> Result<bool, DatumError> {
        if self.left == 0 {
            // A count before its size in bytes is negative.
            let mut ahead = *self.reader.0;
            if Reader(&mut ahead).long()? < 0 {
                let count = self.reader.long()?.unsigned_abs();
                self.reader.long()?;
                self.left = usize::try_from(count)
                    .ok()
                    .filter(|count| *count <= self.reader.0.len())
                    .ok_or_else(|| DatumError(format!("a block of {count}")))?;
            } else {
                self.left = self.reader.count()?;
            }
            if self.left == 0 {
                return Ok(false);
            }
        }
        self.left -= 1;
        Ok(true)
    }
}

impl<'de> SeqAccess<'de> for Blocks<'_, 'de> {
    type Error = DatumError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DatumError> {
        if !self.next()? {
            return Ok(None);
        }
        seed.deserialize(self.reader.again()).map(Some)
    }
}

impl<'de> MapAccess<'de> for Blocks<'_, 'de> {
    type Error = DatumError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DatumError> {
        if !self.next()? {
            return Ok(None);
        }
        seed.deserialize(self.reader.again()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DatumError> {
        seed.deserialize(self.reader.again())
    }
}

impl<'de> EnumAccess<'de> for Reader<'_, 'de> {
    type Error = DatumError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(mut self, seed: V) -> Result<(V::Value, Self), DatumError> {
        let index = self.index()?;
        let variant = seed.deserialize(IntoDeserializer::<DatumError>::into_deserializer(index))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Reader<'_, 'de> {
    type Error = DatumError;

    fn unit_variant(self) -> Result<(), DatumError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DatumError> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, DatumError> {
        Err(DatumError::new("a type that the contract does not use"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, DatumError> {
        Err(DatumError::new("a type that the contract does not use"))
    }
}
