//! Computes the length of a value in postcard's encoding, without encoding it.
//!
//! Postcard has one non-canonical form: a varint with more bytes than it needs. So decoded bytes
//! were canonical if they are as long as the value's encoding. Encoding again to compare would also
//! work, but would link code that can panic into firmware.

use core::fmt;

use serde::ser::{self, Impossible, Serialize};

/// The length in bytes of a value's canonical encoding, or `None` if it contains a type that
/// manifests do not use.
pub(crate) fn encoded_len(value: &impl Serialize) -> Option<usize> {
    let mut length = Length(0);
    value.serialize(&mut length).ok()?;
    Some(length.0)
}

struct Length(usize);

impl Length {
    fn add(&mut self, bytes: usize) -> Result<(), Unknown> {
        self.0 += bytes;
        Ok(())
    }

    /// A varint: seven bits per byte.
    fn unsigned(&mut self, value: u64) -> Result<(), Unknown> {
        self.add((70 - (value | 1).leading_zeros() as usize) / 7)
    }

    /// A zigzag varint: the sign is the lowest bit.
    fn signed(&mut self, value: i64) -> Result<(), Unknown> {
        self.unsigned((value << 1 ^ value >> 63) as u64)
    }
}

/// The value contains a type that manifests do not use.
#[derive(Debug)]
struct Unknown;

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a type that no manifest has")
    }
}

impl core::error::Error for Unknown {}

impl ser::Error for Unknown {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl ser::Serializer for &mut Length {
    type Ok = ();
    type Error = Unknown;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Impossible<(), Unknown>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn serialize_bool(self, _: bool) -> Result<(), Unknown> {
        self.add(1)
    }

    fn serialize_i8(self, _: i8) -> Result<(), Unknown> {
        self.add(1)
    }

    fn serialize_i16(self, value: i16) -> Result<(), Unknown> {
        self.signed(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Unknown> {
        self.signed(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Unknown> {
        self.signed(value)
    }

    fn serialize_u8(self, _: u8) -> Result<(), Unknown> {
        self.add(1)
    }

    fn serialize_u16(self, value: u16) -> Result<(), Unknown> {
        self.unsigned(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Unknown> {
        self.unsigned(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Unknown> {
        self.unsigned(value)
    }

    fn serialize_f32(self, _: f32) -> Result<(), Unknown> {
        Err(Unknown)
    }

    fn serialize_f64(self, _: f64) -> Result<(), Unknown> {
        Err(Unknown)
    }

    fn serialize_char(self, _: char) -> Result<(), Unknown> {
        Err(Unknown)
    }

    fn serialize_str(self, value: &str) -> Result<(), Unknown> {
        self.serialize_bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Unknown> {
        self.unsigned(value.len() as u64)?;
        self.add(value.len())
    }

    fn serialize_none(self) -> Result<(), Unknown> {
        self.add(1)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unknown> {
        self.add(1)?;
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unknown> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unknown> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), Unknown> {
        self.unsigned(index.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Unknown> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unknown> {
        self.unsigned(index.into())?;
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Unknown> {
        self.unsigned(len.ok_or(Unknown)? as u64)?;
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unknown> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unknown> {
        Ok(self)
    }

    fn serialize_tuple_variant(self, _: &'static str, index: u32, _: &'static str, _: usize) -> Result<Self, Unknown> {
        self.unsigned(index.into())?;
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unknown> {
        Err(Unknown)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unknown> {
        Ok(self)
    }

    fn serialize_struct_variant(self, _: &'static str, index: u32, _: &'static str, _: usize) -> Result<Self, Unknown> {
        self.unsigned(index.into())?;
        Ok(self)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<(), Unknown> {
        Err(Unknown)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Compound types: postcard writes their elements one after the other, without separators.
macro_rules! parts {
    ($($kind:ident :: $part:ident ($($name:ty)?)),*) => {$(
        impl ser::$kind for &mut Length {
            type Ok = ();
            type Error = Unknown;

            fn $part<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Result<(), Unknown> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Unknown> {
                Ok(())
            }
        }
    )*};
}

parts!(
    SerializeSeq::serialize_element(),
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(&'static str),
    SerializeStructVariant::serialize_field(&'static str)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize)]
    enum Kind {
        Plain,
        Pair(u8, i32),
        Named { text: &'static str, list: heapless::Vec<u16, 4> },
    }

    #[test]
    fn a_value_is_as_long_as_postcard_makes_it() {
        let mut buffer = [0; 64];
        for shift in 0..64 {
            for value in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let signed = value as i64;
                let values = (value, signed, value as u32, signed as i32, value as u16, signed as i16, value as u8);
                let written = postcard::to_slice(&values, &mut buffer).expect("it fits").len();
                assert_eq!(encoded_len(&values), Some(written), "{values:?}");
            }
        }
        let list = heapless::Vec::from_slice(&[1, 300]).expect("it fits");
        for value in [Kind::Plain, Kind::Pair(200, -70), Kind::Named { text: "some text", list }] {
            let value = (Some(value), None::<u8>, true);
            let written = postcard::to_slice(&value, &mut buffer).expect("it fits").len();
            assert_eq!(encoded_len(&value), Some(written));
        }
        assert_eq!(encoded_len(&1.5_f32), None);
    }
}
