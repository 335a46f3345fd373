//! docs/protocol.md: what stands behind its mark is made from the types of the protocol and their comments.

use std::fmt::Write;

use musterd::protocol::{Request, Response};

use crate::{check, source};

const FILE: &str = "docs/protocol.md";
const MARK: &str = "<!-- From here on made from src/protocol.rs by `cargo test --test documents`. -->\n";
const SOURCES: [&str; 5] = [
    "src/protocol.rs",
    "src/protocol/status.rs",
    "src/protocol/story.rs",
    "src/protocol/changes.rs",
    "src/config/mod.rs",
];

/// Of src/config/mod.rs this alone is among the words.
const FOREIGN: &str = "LogLevel";

/// A type of the protocol.
struct Type {
    name: String,
    comment: String,
    /// The field that tells a variant, where variants are objects.
    tag: Option<String>,
    is_enum: bool,
    members: Vec<Member>,
}

/// A field, or a variant with its fields.
struct Member {
    name: String,
    comment: String,
    attributes: String,
    /// Of a field its type, of a variant `Name(Type)` that type.
    of: String,
    fields: Vec<Member>,
}

fn kebab(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(c.to_lowercase());
    }
    text.replace('_', "-")
}

/// Reads the public types of a file in the form that rustfmt gives them.
fn types(text: &str) -> Vec<Type> {
    let mut types: Vec<Type> = Vec::new();
    let (mut comment, mut attributes) = (Vec::new(), String::new());
    let mut is_inside = false;
    for line in text.lines() {
        let depth = line.len() - line.trim_start().len();
        let line = line.trim();
        if let Some(text) = line.strip_prefix("///") {
            comment.push(text.trim());
            continue;
        }
        if line == ")]" || (!is_inside && depth > 0) {
            continue;
        }
        if line.starts_with("#[") {
            attributes.push_str(line);
            continue;
        }
        let (told, with) = (std::mem::take(&mut comment).join(" "), std::mem::take(&mut attributes));
        let begins = ["pub enum ", "pub struct "].iter().find_map(|begin| line.strip_prefix(begin));
        match (begins, depth) {
            (Some(rest), 0) if rest.ends_with(" {") => {
                let tag = with.split("tag = \"").nth(1).and_then(|rest| rest.split('"').next());
                types.push(Type {
                    name: rest.trim_end_matches(" {").to_owned(),
                    comment: told,
                    tag: tag.map(str::to_owned),
                    is_enum: line.starts_with("pub enum"),
                    members: Vec::new(),
                });
                is_inside = true;
            }
            (None, 0) => is_inside = false,
            (_, 4 | 8) if is_inside && line != "}," => {
                let line = line.trim_start_matches("pub ").trim_end_matches([',', '{', ' ']);
                let (name, of) = line
                    .split_once(": ")
                    .or_else(|| line.strip_suffix(')').and_then(|line| line.split_once('(')))
                    .unwrap_or((line, ""));
                let member = Member {
                    name: name.to_owned(),
                    comment: told,
                    attributes: with,
                    of: of.to_owned(),
                    fields: Vec::new(),
                };
                let members = &mut types.last_mut().unwrap().members;
                if depth == 4 {
                    members.push(member)
                } else {
                    members.last_mut().unwrap().fields.push(member)
                }
            }
            _ => {}
        }
    }
    types
}

fn inner<'a>(of: &'a str, outer: &str) -> Option<&'a str> {
    of.strip_prefix(outer)?.strip_prefix('<')?.strip_suffix('>')
}

/// A type, as somebody sees it who knows JSON and not Rust.
fn words(of: &str) -> String {
    match (inner(of, "Option"), inner(of, "Vec"), inner(of, "Box")) {
        (Some(of), ..) => format!("{} or null", words(of)),
        (_, Some(of), _) => format!("list of {}", words(of)),
        (.., Some(of)) => words(of),
        (None, None, None) => match of {
            "String" | "Signal" => "text".to_owned(),
            "bool" => "boolean".to_owned(),
            "u64" | "u32" | "usize" | "i32" | "f64" => "number".to_owned(),
            name => format!("[{name}](#{})", name.to_lowercase()),
        },
    }
}

fn bare(of: &str) -> &str {
    ["Option", "Vec", "Box"].iter().find_map(|outer| inner(of, outer)).map_or(of, bare)
}

/// A table of fields; `above` are the attributes of what they are in.
fn table(fields: &[Member], above: &str, is_request: bool, into: &mut String) {
    let named: Vec<&Member> = fields.iter().filter(|field| !field.attributes.contains("flatten")).collect();
    if !named.is_empty() {
        into.push_str("\n| field | | meaning |\n|---|---|---|\n");
        for field in named {
            let name = if above.contains("kebab-case") { kebab(&field.name) } else { field.name.clone() };
            let optional = match field.attributes.as_str() {
                with if with.contains("skip_serializing_if") => ", may be missing",
                with if with.contains("default") && is_request => ", may be missing",
                _ => "",
            };
            writeln!(into, "| `{name}` | {}{optional} | {} |", words(&field.of), field.comment).unwrap();
        }
    }
    for field in fields.iter().filter(|field| field.attributes.contains("flatten")) {
        let of = bare(&field.of);
        let absent = if field.of.starts_with("Option") { ", or none of them" } else { "" };
        writeln!(into, "\nBeside them the fields of [{of}](#{}){absent}.", of.to_lowercase()).unwrap();
    }
}

/// The variants of an enum of objects, each with its fields.
fn variants(of: &Type, level: &str, into: &mut String) {
    let is_request = of.name == "Request";
    for variant in of.members.iter().filter(|variant| !variant.attributes.contains("serde(other)")) {
        write!(into, "\n{level} `{}`\n\n{}\n", kebab(&variant.name), variant.comment).unwrap();
        if variant.of.is_empty() {
            table(&variant.fields, &variant.attributes, is_request, into);
        } else {
            writeln!(into, "\nThe fields of [{}](#{}).", variant.of, variant.of.to_lowercase()).unwrap();
        }
    }
}

fn object(of: &Type, into: &mut String) {
    write!(into, "\n### {}\n\n{}\n", of.name, of.comment).unwrap();
    match (&of.tag, of.is_enum) {
        (Some(tag), _) => {
            write!(into, "\nWhich one it is tells the field `{tag}`:\n").unwrap();
            variants(of, "####", into);
        }
        (None, true) => {
            into.push_str("\n| word | meaning |\n|---|---|\n");
            for word in of.members.iter() {
                writeln!(into, "| `\"{}\"` | {} |", kebab(&word.name), word.comment).unwrap();
            }
        }
        (None, false) => table(&of.members, "", false, into),
    }
}

fn reference() -> String {
    let mut types: Vec<Type> = SOURCES.iter().flat_map(|path| types(&source(path))).collect();
    let foreign = |of: &Type| source("src/config/mod.rs").contains(&format!(" {} {{", of.name));
    types.retain(|of| of.name == FOREIGN || !foreign(of));
    let find = |name: &str| types.iter().find(|of| of.name == name).unwrap();
    let mut text = String::from("\n## Requests\n");
    variants(find("Request"), "###", &mut text);
    text.push_str("\n## Responses\n");
    variants(find("Response"), "###", &mut text);
    text.push_str("\n## What they consist of\n");
    for of in types.iter().filter(|of| !["Request", "Response"].contains(&of.name.as_str())) {
        object(of, &mut text);
    }
    text
}

#[test]
fn the_description_of_the_protocol_is_up_to_date() {
    let found = source(FILE);
    let (head, _) = found.split_once(MARK).expect("the mark");
    check(FILE, &format!("{head}{MARK}{}", reference()));
}

/// The names in backquotes behind `expected` in what serde says of a wrong word.
fn expected(error: &str) -> Vec<&str> {
    let (_, list) = error.split_once("expected ").unwrap_or_default();
    list.split('`').skip(1).step_by(2).collect()
}

/// The types were read rightly: the program itself knows the same verbs, fields and results.
#[test]
fn every_verb_field_and_result_is_described() {
    let text = reference();
    let (requests, responses) = text.split_once("\n## Responses\n").unwrap();
    let section = |of: &str, name: &str| {
        let (_, rest) = of.split_once(&format!("\n### `{name}`\n")).unwrap_or_else(|| panic!("no {name}"));
        rest.split("\n### ").next().unwrap().to_owned()
    };
    let error = Request::parse(br#"{"verb":""}"#).unwrap_err();
    let verbs = expected(&error);
    assert!(verbs.contains(&"status"), "{error}");
    for verb in verbs {
        let described = section(requests, verb);
        // Verbs without fields ignore all.
        let Err(error) = Request::parse(format!(r#"{{"verb":"{verb}","":0}}"#).as_bytes()) else { continue };
        for field in expected(&error).into_iter().filter(|field| *field != "verb") {
            assert!(described.contains(&format!("| `{field}` |")), "{verb}: {field}: {error}");
        }
    }
    let error = Response::parse(br#"{"result":""}"#).unwrap_err();
    assert!(expected(&error).len() > 5, "{error}");
    for result in expected(&error) {
        section(responses, result);
    }
}
