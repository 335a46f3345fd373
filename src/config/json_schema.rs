//! Describes a configuration file as a JSON Schema (draft 2020-12), for editors. What it accepts can still be
//! refused: what values mean to each other, and what other files say, no schema tells.

use serde_json::{Map, Value as Json, json};
use toml::de::DeValue;

use super::{
    ServiceName,
    keys::{MANAGER, SERVICE},
    limits,
    origin::Origin,
    schema::{self, AnyKey, Form, OWN_KEYS},
    tree::{Value, convert},
};

/// What names of services are: see `ServiceName`.
const SERVICE_NAME: &str = r"^[^\s/=,*-][^\s/=,*]*$";
const DURATION: &str = r"^\s*([0-9]+\s*[a-zA-Zµ]+\s*)+$";
const SIZE: &str = r"^[0-9]+\s*(B|KiB|MiB|GiB|TiB)?$";
const PERCENTAGE: &str = r"^[0-9.]+\s*%$";

/// The JSON Schema of a configuration file, generated from the table of keys.
pub fn json_schema() -> String {
    let common: Vec<_> = SERVICE.iter().copied().filter(|key| !is_own(key.name())).collect();
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "musterd's configuration",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "manager": section(MANAGER, "what concerns musterd itself"),
            "defaults": section(&common, "for every service that does not say otherwise"),
            "services": {
                "description": "the services by their names",
                "type": "object",
                "propertyNames": { "pattern": SERVICE_NAME, "not": { "const": ServiceName::ALL } },
                "additionalProperties": section(SERVICE, "a service; start is needed, in this file or another"),
            },
        },
    });
    format!("{schema:#}\n")
}

/// Whether only a service itself can have the key.
fn is_own(name: &str) -> bool {
    OWN_KEYS.contains(&name.split('.').next().unwrap_or_default())
}

/// A table with these keys.
fn section(keys: &[&'static dyn AnyKey], description: &str) -> Json {
    let mut properties = Map::new();
    for key in keys {
        match key.name().split_once('.') {
            None => {
                properties.insert(key.name().to_owned(), property(*key));
            }
            Some((table, _)) if !properties.contains_key(table) => {
                properties.insert(table.to_owned(), inner_table(keys, table));
            }
            Some(_) => {}
        }
    }
    json!({
        "description": description,
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

/// A table inside a section, or what is short for it.
fn inner_table(keys: &[&'static dyn AnyKey], table: &str) -> Json {
    let fields =
        keys.iter().filter_map(|key| Some((key.name().strip_prefix(table)?.strip_prefix('.')?, *key)));
    let fields: Vec<(&str, &dyn AnyKey)> = fields.map(|(name, key)| (name, key as &dyn AnyKey)).collect();
    let of_any_name =
        |name: &str| fields.iter().find(|(field, _)| *field == name).map(|(_, key)| property(*key));
    let object = match (of_any_name("NAME"), of_any_name("NAME.file")) {
        (Some(text), Some(file)) => {
            let secret = json!({
                "type": "object",
                "additionalProperties": false,
                "required": ["file"],
                "properties": { "file": file },
            });
            json!({
                "type": "object",
                "propertyNames": { "pattern": "^[^=]+$" },
                "additionalProperties": { "anyOf": [text, secret] },
            })
        }
        (Some(limit), None) => {
            let named = limits::NAMES.iter().map(|name| ((*name).to_owned(), limit.clone()));
            json!({
                "type": "object",
                "additionalProperties": false,
                "properties": named.collect::<Map<_, _>>(),
            })
        }
        (None, _) => {
            let named = fields.iter().map(|(name, key)| ((*name).to_owned(), property(*key)));
            let mut object = json!({
                "type": "object",
                "additionalProperties": false,
                "properties": named.collect::<Map<_, _>>(),
            });
            if let Some(two) = two_rules(table) {
                object["not"] = two;
            }
            object
        }
    };
    match schema::short(table).and_then(|short| fields.iter().find(|(field, _)| *field == short)) {
        Some((_, key)) => json!({ "anyOf": [property(*key), object] }),
        None => object,
    }
}

/// What holds of a table that has two of its rules.
fn two_rules(table: &str) -> Option<Json> {
    let rules = schema::rules(table);
    let pairs = rules
        .iter()
        .enumerate()
        .flat_map(|(at, one)| rules[at + 1..].iter().map(move |other| json!({ "required": [one, other] })));
    let pairs: Vec<Json> = pairs.collect();
    (!pairs.is_empty()).then(|| json!({ "anyOf": pairs }))
}

/// A key: what can be written, its meaning and its default.
fn property(key: &dyn AnyKey) -> Json {
    let mut property = form(key.form());
    property["description"] = format!("{} ({})", key.meaning(), key.allowed()).into();
    let default = key.default().and_then(|default| DeValue::parse(default).ok());
    if let Some(default) = default {
        property["default"] = json(&convert(default.get_ref(), &|_| Origin::BuiltIn));
    }
    property
}

fn form(form: Form) -> Json {
    let one_or_list = |one: Json| json!({ "anyOf": [one, { "type": "array", "items": one }] });
    let integer =
        |least: i64, greatest: i64| json!({ "type": "integer", "minimum": least, "maximum": greatest });
    match form {
        Form::Boolean => json!({ "type": "boolean" }),
        Form::True => json!({ "const": true }),
        Form::Text => json!({ "type": "string", "minLength": 1 }),
        Form::Scalar => json!({ "type": ["string", "integer", "boolean"] }),
        Form::Strings => one_or_list(json!({ "type": "string" })),
        Form::Command => json!({ "anyOf": [
            { "type": "string", "minLength": 1 },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] }),
        Form::OneOf(choices) => json!({ "enum": choices }),
        Form::BooleanOrStrings => json!({ "anyOf": [
            { "type": "boolean" },
            { "type": "array", "items": { "type": "string" } },
        ] }),
        Form::Integer(least, greatest) => integer(least, greatest),
        Form::Number(least) => json!({ "type": "number", "minimum": least }),
        Form::Integers(least, greatest) => one_or_list(integer(least, greatest)),
        Form::Duration => json!({ "type": "string", "pattern": DURATION }),
        Form::Size => json!({ "anyOf": [
            { "type": "string", "pattern": SIZE },
            { "type": "integer", "minimum": 1 },
        ] }),
        Form::Percentage => json!({ "type": "string", "pattern": PERCENTAGE }),
        Form::Octal => json!({ "type": "string", "pattern": "^0*[0-7]{1,3}$" }),
        Form::NameOrNumber => json!({ "type": ["string", "integer"] }),
        Form::NamesOrNumbers => one_or_list(json!({ "type": ["string", "integer"] })),
        Form::Limit => json!({ "anyOf": [{ "type": "string" }, { "type": "integer", "minimum": 0 }] }),
    }
}

/// A default as JSON.
fn json(value: &Value) -> Json {
    match value {
        Value::String(text) | Value::Datetime(text) => text.as_str().into(),
        Value::Integer(integer) => i64::try_from(*integer).map_or(Json::Null, Json::from),
        Value::Float(float) => (*float).into(),
        Value::Boolean(boolean) => (*boolean).into(),
        Value::Array(elements) => elements.iter().map(|element| json(&element.value)).collect(),
        Value::Table => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the schema has at a key's place.
    fn found<'a>(section: &'a Json, name: &str) -> Option<&'a Json> {
        let mut parts = name.split('.');
        let mut at = section["properties"].get(parts.next()?)?;
        for part in parts {
            let object = match at.get("anyOf") {
                Some(choices) => choices.as_array()?.iter().find(|choice| choice["type"] == "object")?,
                None => at,
            };
            at = match part {
                "NAME" if object.get("properties").is_some() => object["properties"].get("nofile")?,
                "NAME" => &object["additionalProperties"],
                part => object["properties"].get(part)?,
            };
        }
        Some(at)
    }

    #[test]
    fn every_key_is_in_the_schema_with_its_default() {
        let schema: Json = serde_json::from_str(&json_schema()).unwrap();
        let (manager, defaults) = (&schema["properties"]["manager"], &schema["properties"]["defaults"]);
        let service = &schema["properties"]["services"]["additionalProperties"];
        for (section, keys) in [(manager, MANAGER), (service, SERVICE)] {
            for key in keys {
                let at = found(section, key.name()).unwrap_or_else(|| panic!("{} is missing", key.name()));
                let at = if key.name() == "environment.NAME" { &at["anyOf"][0] } else { at };
                let description = at["description"].as_str();
                assert!(
                    description.is_some_and(|text| text.starts_with(key.meaning())),
                    "{}: {at}",
                    key.name()
                );
                assert_eq!(at.get("default").is_some(), key.default().is_some(), "{}", key.name());
            }
        }
        for key in SERVICE {
            assert_eq!(found(defaults, key.name()).is_none(), is_own(key.name()), "{}", key.name());
        }
        assert_eq!(found(service, "check.retries").unwrap()["default"], 3);
    }

    #[test]
    fn no_table_takes_unknown_keys() {
        fn look(at: &Json, path: &str) {
            if at["type"] == "object" {
                let closed = at["additionalProperties"] == false;
                assert!(closed || at.get("propertyNames").is_some(), "{path} is open");
            }
            for (name, inner) in at.as_object().into_iter().flatten() {
                look(inner, &format!("{path}/{name}"));
            }
            for inner in at.as_array().into_iter().flatten() {
                look(inner, path);
            }
        }
        look(&serde_json::from_str(&json_schema()).unwrap(), "");
    }

    #[test]
    fn two_rules_exclude_each_other() {
        assert_eq!(two_rules("check").unwrap()["anyOf"].as_array().unwrap().len(), 6);
        assert_eq!(two_rules("start-limit"), None);
        assert_eq!(two_rules("limits"), None);
    }
}
