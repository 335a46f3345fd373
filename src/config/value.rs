//! A value of TOML, and how it is written. Knows no key and no layer.

use std::{fmt, ops::Range};

use toml::de::DeValue;

use super::origin::Origin;
use crate::text::is_unseen;

/// A value of TOML.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    String(String),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    Array(Vec<Element>),
    /// A table: its fields are entries of their own.
    Table,
}

/// An element of an array.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// The value; a table's fields are left to the caller.
pub(crate) fn convert(value: &DeValue<'_>, origin: &dyn Fn(Range<usize>) -> Origin) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(integer) => i128::from_str_radix(integer.as_str(), integer.radix())
            .map_or_else(|_| Value::Float(f64::INFINITY), Value::Integer),
        DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Datetime(datetime) => Value::Datetime(datetime.to_string()),
        DeValue::Array(elements) => Value::Array(
            elements
                .iter()
                .map(|element| Element {
                    value: convert(element.get_ref(), origin),
                    origin: origin(element.span()),
                })
                .collect(),
        ),
        DeValue::Table(_) => Value::Table,
    }
}

impl fmt::Display for Value {
    /// As TOML.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::String(text) => f.write_str(&quote(text)),
            Value::Integer(integer) => write!(f, "{integer}"),
            Value::Float(float) => write!(f, "{float:?}"),
            Value::Boolean(boolean) => write!(f, "{boolean}"),
            Value::Datetime(text) => f.write_str(text),
            Value::Array(elements) => {
                let elements: Vec<_> = elements.iter().map(|element| element.value.to_string()).collect();
                write!(f, "[{}]", elements.join(", "))
            }
            Value::Table => f.write_str("{ … }"),
        }
    }
}

/// The text as a basic string of TOML.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if is_unseen(c) => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// The text as a key of TOML: bare where that is possible.
pub(crate) fn quote_key(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !text.is_empty() && text.chars().all(bare) { text.to_owned() } else { quote(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_as_toml_that_reads_back() {
        for text in ["\"a\\\"b\\\\c\\n\\u0007é\"", "5", "2.5", "true", "[\"a\", [1]]", "1979-05-27"] {
            let print =
                |text: &str| convert(DeValue::parse(text).unwrap().get_ref(), &|_| Origin::Whole).to_string();
            assert_eq!(print(&print(text)), print(text), "{text}");
            assert!(!print(text).contains(['\n', '\u{7}']), "{text}");
        }
        assert_eq!(quote_key("a.b"), "\"a.b\"");
        assert_eq!(quote_key("a-b"), "a-b");
    }
}
