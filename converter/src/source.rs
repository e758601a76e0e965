//! Writes values as Rust source, for constants.

use core::fmt::{self, Display, Write as _};

use serde::ser::{
    self, Serialize, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant, Serializer,
};

/// The expression of a value, for a scope with the names of its types. Lists are
/// [`heapless::Vec`]s, as in a blob's manifest.
///
/// # Errors
/// When the value has a type that manifests do not have: a map, bytes, or a float. The error names
/// the type.
///
/// ```
/// use kinglet_convert::source::expression;
///
/// #[derive(serde::Serialize)]
/// struct Shape { sides: Option<u8> }
/// assert_eq!(expression(&Shape { sides: Some(3) })?, "Shape { sides: Some(3) }");
/// # Ok::<(), kinglet_convert::source::Unwritable>(())
/// ```
pub fn expression(value: &impl Serialize) -> Result<String, Unwritable> {
    let mut writer = Writer(String::new());
    value.serialize(&mut writer)?;
    Ok(writer.0)
}

/// A value that has no expression.
#[derive(Debug)]
pub struct Unwritable(String);

impl Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value cannot be written as Rust source: {}", self.0)
    }
}

impl core::error::Error for Unwritable {}

impl ser::Error for Unwritable {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

struct Writer(String);

impl Writer {
    fn put(&mut self, text: impl Display) -> Result<(), Unwritable> {
        write!(self.0, "{text}").map_err(|fmt::Error| Unwritable("out of memory".into()))
    }

    fn open(&mut self, text: impl Display, end: &'static str) -> Result<Parts<'_>, Unwritable> {
        self.put(text)?;
        Ok(Parts { writer: self, end, first: true })
    }
}

/// The parts between an opening and its end, separated by commas.
struct Parts<'w> {
    writer: &'w mut Writer,
    end: &'static str,
    first: bool,
}

impl Parts<'_> {
    fn part(&mut self, name: Option<&str>, value: &(impl Serialize + ?Sized)) -> Result<(), Unwritable> {
        if !self.first {
            self.writer.put(", ")?;
        }
        self.first = false;
        if let Some(name) = name {
            self.writer.put(format_args!("{name}: "))?;
        }
        value.serialize(&mut *self.writer)
    }

    fn close(self) -> Result<(), Unwritable> {
        self.writer.put(self.end)
    }
}

macro_rules! plain {
    ($($method:ident $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<(), Unwritable> { self.put(value) })*
    };
}

macro_rules! refused {
    ($($method:ident $type:ty),*) => {
        $(fn $method(self, _: $type) -> Result<(), Unwritable> { Err(Unwritable(stringify!($type).into())) })*
    };
}

impl<'w> Serializer for &'w mut Writer {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Parts<'w>;
    type SerializeTuple = Parts<'w>;
    type SerializeTupleStruct = Parts<'w>;
    type SerializeTupleVariant = Parts<'w>;
    type SerializeMap = ser::Impossible<(), Unwritable>;
    type SerializeStruct = Parts<'w>;
    type SerializeStructVariant = Parts<'w>;

    plain!(
        serialize_bool bool, serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64
    );
    refused!(serialize_f32 f32, serialize_f64 f64, serialize_bytes &[u8]);

    fn serialize_char(self, value: char) -> Result<(), Unwritable> {
        self.put(format_args!("{value:?}"))
    }

    fn serialize_str(self, value: &str) -> Result<(), Unwritable> {
        self.put(format_args!("{value:?}"))
    }

    fn serialize_none(self) -> Result<(), Unwritable> {
        self.put("None")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unwritable> {
        self.serialize_newtype_struct("Some", value)
    }

    fn serialize_unit(self) -> Result<(), Unwritable> {
        self.put("()")
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<(), Unwritable> {
        self.put(name)
    }

    fn serialize_unit_variant(self, name: &'static str, _: u32, variant: &'static str) -> Result<(), Unwritable> {
        self.put(format_args!("{name}::{variant}"))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<(), Unwritable> {
        let mut parts = self.open(format_args!("{name}("), ")")?;
        parts.part(None, value)?;
        parts.close()
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        let mut parts = self.open(format_args!("{name}::{variant}("), ")")?;
        parts.part(None, value)?;
        parts.close()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'w>, Unwritable> {
        self.open("kinglet::heapless::Vec::from_array([", "])")
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'w>, Unwritable> {
        self.open("[", "]")
    }

    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> Result<Parts<'w>, Unwritable> {
        self.open(format_args!("{name}("), ")")
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'w>, Unwritable> {
        self.open(format_args!("{name}::{variant}("), ")")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unwritable> {
        Err(Unwritable("a map".into()))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Parts<'w>, Unwritable> {
        self.open(format_args!("{name} {{ "), " }")
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'w>, Unwritable> {
        self.open(format_args!("{name}::{variant} {{ "), " }")
    }
}

macro_rules! parts {
    ($($of:ident $method:ident $($key:ident)?),* $(,)?) => {
        $(impl $of for Parts<'_> {
            type Ok = ();
            type Error = Unwritable;

            fn $method<T: Serialize + ?Sized>(
                &mut self,
                $($key: &'static str,)?
                value: &T,
            ) -> Result<(), Unwritable> {
                let name: Option<&'static str> = None;
                $(let name = name.or(Some($key));)?
                self.part(name, value)
            }

            fn end(self) -> Result<(), Unwritable> {
                self.close()
            }
        })*
    };
}

parts!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
    SerializeStruct serialize_field key,
    SerializeStructVariant serialize_field key,
);

#[cfg(test)]
mod tests {
    use kinglet::format::spec::{Activation, AttentionPosition, ModelSpec, NormKind, NormSpec};
    use kinglet::tokenizer::section::Piece;
    use serde::Serialize;

    use super::expression;

    #[test]
    fn every_kind_of_value_is_the_expression_that_makes_it() {
        #[derive(Serialize)]
        struct All {
            words: &'static str,
            character: char,
            list: Vec<Piece>,
            place: AttentionPosition,
            pair: [i8; 2],
        }
        let all = All {
            words: "a \"b\"\n",
            character: '▁',
            list: vec![Piece::Special { id: 1, type_id: 0 }],
            place: AttentionPosition::Rotary { dims: 8, local: false, layers: u64::MAX },
            pair: [-1, 2],
        };
        assert_eq!(
            expression(&all).unwrap(),
            "All { words: \"a \\\"b\\\"\\n\", character: '▁', \
             list: kinglet::heapless::Vec::from_array([Piece::Special { id: 1, type_id: 0 }]), \
             place: AttentionPosition::Rotary { dims: 8, local: false, layers: 18446744073709551615 }, pair: [-1, 2] }"
        );
        let norm = NormSpec { kind: NormKind::Rms, bias: false, epsilon: 1 };
        assert_eq!(expression(&Some(norm)).unwrap(), "Some(NormSpec { kind: NormKind::Rms, bias: false, epsilon: 1 })");
        assert_eq!(expression(&(Activation::Gelu, None::<ModelSpec>)).unwrap(), "[Activation::Gelu, None]");
    }

    #[test]
    fn what_blobs_do_not_have_is_refused() {
        assert!(expression(&1.5_f32).unwrap_err().to_string().contains("f32"));
        assert!(expression(&std::collections::BTreeMap::from([(1, 2)])).is_err());
    }
}
