//! The ClickHouse types that the sink writes.

/// A type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `String`.
    Text,
    /// `LowCardinality(String)`, sent as dictionary and indexes.
    Dictionary,
    /// `DateTime64(3, 'UTC')`, from milliseconds since 1970.
    Millis,
    /// `Bool`.
    Bool,
    /// `Int8`.
    Int8,
    /// `Int16`.
    Int16,
    /// `Int32`.
    Int32,
    /// `Int64`.
    Int64,
    /// `UInt8`.
    UInt8,
    /// `UInt16`.
    UInt16,
    /// `UInt32`.
    UInt32,
    /// `UInt64`, of which 63 bits are used.
    UInt64,
    /// `Array(String)`.
    Texts,
    /// `Array(Int64)`.
    Ints,
}

impl Kind {
    const ALL: [Kind; 14] = [
        Kind::Text,
        Kind::Dictionary,
        Kind::Millis,
        Kind::Bool,
        Kind::Int8,
        Kind::Int16,
        Kind::Int32,
        Kind::Int64,
        Kind::UInt8,
        Kind::UInt16,
        Kind::UInt32,
        Kind::UInt64,
        Kind::Texts,
        Kind::Ints,
    ];

    /// As ClickHouse writes the type.
    pub fn type_name(self) -> &'static str {
        match self {
            Kind::Text => "String",
            Kind::Dictionary => "LowCardinality(String)",
            Kind::Millis => "DateTime64(3, 'UTC')",
            Kind::Bool => "Bool",
            Kind::Int8 => "Int8",
            Kind::Int16 => "Int16",
            Kind::Int32 => "Int32",
            Kind::Int64 => "Int64",
            Kind::UInt8 => "UInt8",
            Kind::UInt16 => "UInt16",
            Kind::UInt32 => "UInt32",
            Kind::UInt64 => "UInt64",
            Kind::Texts => "Array(String)",
            Kind::Ints => "Array(Int64)",
        }
    }

    /// The kind of a type of ClickHouse's, if the sink writes it. The zone of a time is its display only.
    pub fn parse(type_name: &str) -> Option<Self> {
        if type_name == "DateTime64(3)" || type_name.starts_with("DateTime64(3,") {
            return Some(Kind::Millis);
        }
        Self::ALL.into_iter().find(|kind| kind.type_name() == type_name)
    }

    /// Bytes of one value, for types of fixed width.
    pub fn width(self) -> Option<usize> {
        match self {
            Kind::Bool | Kind::Int8 | Kind::UInt8 => Some(1),
            Kind::Int16 | Kind::UInt16 => Some(2),
            Kind::Int32 | Kind::UInt32 => Some(4),
            Kind::Millis | Kind::Int64 | Kind::UInt64 => Some(8),
            Kind::Text | Kind::Dictionary | Kind::Texts | Kind::Ints => None,
        }
    }

    /// Whether values are text.
    pub fn is_text(self) -> bool {
        matches!(self, Kind::Text | Kind::Dictionary | Kind::Texts)
    }

    /// Whether values are lists.
    pub fn is_list(self) -> bool {
        matches!(self, Kind::Texts | Kind::Ints)
    }

    /// Whether an integer can stand in the column unchanged.
    pub fn holds(self, value: i64) -> bool {
        match self {
            Kind::Bool => value == 0 || value == 1,
            Kind::Int8 => i8::try_from(value).is_ok(),
            Kind::Int16 => i16::try_from(value).is_ok(),
            Kind::Int32 => i32::try_from(value).is_ok(),
            Kind::UInt8 => u8::try_from(value).is_ok(),
            Kind::UInt16 => u16::try_from(value).is_ok(),
            Kind::UInt32 => u32::try_from(value).is_ok(),
            Kind::UInt64 => value >= 0,
            Kind::Millis | Kind::Int64 | Kind::Ints => true,
            Kind::Text | Kind::Dictionary | Kind::Texts => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_are_read_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.type_name()), Some(kind));
        }
        assert_eq!(Kind::parse("DateTime64(3)"), Some(Kind::Millis));
        assert_eq!(Kind::parse("DateTime64(6)"), None);
        assert_eq!(Kind::parse("Nullable(String)"), None);
    }
}
