//! Reads the text of environment variables, with its references to others. Looks no variable up.

use super::{Template, TemplatePart, parse, tree::Value};

/// What begins a reference, and what stands for that as text.
const OPEN: &str = "${";
const ESCAPED: &str = "$${";

/// Whether an environment variable can have this name (environ(7)).
pub(crate) fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

pub(crate) fn value(value: &Value) -> Result<Template, String> {
    template(&parse::text(value)?)
}

fn template(text: &str) -> Result<Template, String> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(behind) = rest.strip_prefix(ESCAPED) {
            plain.push_str(OPEN);
            rest = behind;
        } else if let Some(inside) = rest.strip_prefix(OPEN) {
            let Some((reference, behind)) = inside.split_once('}') else {
                return Err(format!("has a `{OPEN}` without its `}}`; `{ESCAPED}` stands for `{OPEN}`"));
            };
            if !plain.is_empty() {
                parts.push(TemplatePart::Text(std::mem::take(&mut plain)));
            }
            parts.push(variable(reference)?);
            rest = behind;
        } else {
            plain.push('$');
            rest = &rest[1..];
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() || parts.is_empty() {
        parts.push(TemplatePart::Text(plain));
    }
    Ok(Template { parts })
}

/// What stands between the braces: `NAME` or `NAME:-default`, the name as a shell allows it (POSIX 3.230).
fn variable(reference: &str) -> Result<TemplatePart, String> {
    let (name, default) =
        reference.split_once(":-").map_or((reference, None), |(name, default)| (name, Some(default)));
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !name.starts_with(letter) || !name.chars().all(|c| letter(c) || c.is_ascii_digit()) {
        return Err(format!(
            "has `${{{reference}}}`, where ${{NAME}} or ${{NAME:-default}} can be; `{ESCAPED}` stands for `{OPEN}`"
        ));
    }
    if default.is_some_and(|default| default.contains(OPEN)) {
        return Err(format!("has a reference in the default of ${{{name}}}, which can be text only"));
    }
    Ok(TemplatePart::Variable { name: name.to_owned(), default: default.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> TemplatePart {
        TemplatePart::Text(text.to_owned())
    }

    fn variable(name: &str, default: Option<&str>) -> TemplatePart {
        TemplatePart::Variable { name: name.to_owned(), default: default.map(str::to_owned) }
    }

    fn parts(text: &str) -> Vec<TemplatePart> {
        template(text).unwrap().parts
    }

    #[test]
    fn references_are_found_among_text() {
        assert_eq!(parts(""), [text("")]);
        assert_eq!(parts("a $b $ $"), [text("a $b $ $")]);
        assert_eq!(parts("${HOME}"), [variable("HOME", None)]);
        assert_eq!(parts("a${_A1:-x y}b"), [text("a"), variable("_A1", Some("x y")), text("b")]);
        assert_eq!(parts("${A:-}${B}"), [variable("A", Some("")), variable("B", None)]);
        assert_eq!(parts("${A:-b:-c}"), [variable("A", Some("b:-c"))]);
    }

    #[test]
    fn an_escape_stands_for_itself() {
        assert_eq!(parts("$${A}"), [text("${A}")]);
        assert_eq!(parts("$$A$${"), [text("$$A${")]);
        assert_eq!(parts("$$${A}"), [text("$${A}")]);
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        assert_eq!(template("a${B").unwrap_err(), "has a `${` without its `}`; `$${` stands for `${`");
        for text in ["${}", "${1}", "${A-b}", "${A:=b}", "${ A}", "${é}", "${A:+b}"] {
            assert!(
                template(text).unwrap_err().contains("where ${NAME} or ${NAME:-default} can be"),
                "{text}"
            );
        }
        assert!(template("${A:-${B}}").unwrap_err().contains("in the default of ${A}"));
    }
}
