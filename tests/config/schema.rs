//! What `musterd schema` prints accepts what is right and refuses what is wrong. The validator knows the keywords
//! that are used there, and panics at others.

use std::{fs, path::Path};

use regex_lite::Regex;
use serde_json::Value as Json;

/// Whether the schema accepts the value (JSON Schema, draft 2020-12).
fn accepts(schema: &Json, value: &Json) -> bool {
    let Json::Object(keywords) = schema else {
        return schema.as_bool().unwrap_or_else(|| panic!("{schema} is no schema"));
    };
    keywords.iter().all(|(keyword, at)| match keyword.as_str() {
        "$schema" | "title" | "description" | "default" => true,
        "type" => match at {
            Json::Array(types) => types.iter().any(|one| is_of(one, value)),
            one => is_of(one, value),
        },
        "enum" => at.as_array().unwrap().contains(value),
        "const" => at == value,
        "anyOf" => at.as_array().unwrap().iter().any(|schema| accepts(schema, value)),
        "not" => !accepts(at, value),
        "pattern" => {
            let pattern = Regex::new(at.as_str().unwrap()).unwrap();
            value.as_str().is_none_or(|text| pattern.is_match(text))
        }
        "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= at.as_u64().unwrap()),
        "minimum" => value.as_f64().is_none_or(|number| number >= at.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= at.as_f64().unwrap()),
        "items" => value.as_array().is_none_or(|values| values.iter().all(|value| accepts(at, value))),
        "minItems" => value.as_array().is_none_or(|values| values.len() as u64 >= at.as_u64().unwrap()),
        "required" => {
            let names = at.as_array().unwrap();
            value.is_object() && names.iter().all(|name| value.get(name.as_str().unwrap()).is_some())
        }
        "properties" => at
            .as_object()
            .unwrap()
            .iter()
            .all(|(name, schema)| value.get(name).is_none_or(|value| accepts(schema, value))),
        "additionalProperties" => value.as_object().is_none_or(|fields| {
            let known = &schema["properties"];
            fields.iter().all(|(name, value)| known.get(name).is_some() || accepts(at, value))
        }),
        "propertyNames" => value
            .as_object()
            .is_none_or(|fields| fields.keys().all(|name| accepts(at, &Json::from(name.as_str())))),
        keyword => panic!("the validator does not know {keyword}"),
    })
}

fn is_of(name: &Json, value: &Json) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        name => panic!("the validator does not know the type {name}"),
    }
}

fn is_valid(text: &str) -> bool {
    let schema = serde_json::from_str(&musterd::config::json_schema()).unwrap();
    accepts(&schema, &toml::from_str(text).unwrap())
}

#[test]
fn the_files_that_are_shipped_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files =
        vec![root.join("tests/snapshots/config/valid.toml"), root.join("tests/snapshots/config/life.toml")];
    for folder in ["config", "examples"] {
        let mut folders = vec![root.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "toml") {
                    files.push(path);
                }
            }
        }
    }
    assert!(files.len() > 4, "{files:?}");
    for file in files {
        assert!(is_valid(&fs::read_to_string(&file).unwrap()), "{}", file.display());
    }
}

#[test]
fn what_the_image_shows_as_comments_is_valid() {
    let shown = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/musterd.toml")).unwrap();
    let lines = shown
        .lines()
        .map(|line| line.strip_prefix('#').filter(|line| !line.starts_with(' ')).unwrap_or(line));
    assert!(is_valid(&lines.collect::<Vec<_>>().join("\n")));
}

#[test]
fn what_is_wrong_is_refused() {
    assert!(is_valid("[services.web]\nstart = \"a\"\nready.tcp = 80"));
    for line in [
        "interval = 5",
        "interval = \"5\"",
        "intervall = \"5s\"",
        "kind = \"daemon\"",
        "autostart = \"yes\"",
        "start = []",
        "success-exit-codes = [256]",
        "start-limit = { starts = 0 }",
        "ready = { tcp = 80, notify = true }",
        "ready.notify = false",
        "check = \"curl\"",
        "memory-max = \"5MB\"",
        "cpu-max = 80",
        "umask = 22",
        "nice = 20",
        "limits.nofiles = 5",
        "environment.A = 1.5",
        "environment.A = { file = \"/a\", mode = 1 }",
        "environment.A = {}",
        "backoff.factor = 0.5",
        "terminal = true",
    ] {
        assert!(!is_valid(&format!("[services.web]\n{line}")), "{line}");
    }
    for text in [
        "[services.\"a b\"]",
        "[services.all]",
        "[service.web]",
        "[defaults]\nstart = \"a\"",
        "[manager]\nx = 1",
    ] {
        assert!(!is_valid(text), "{text}");
    }
}
