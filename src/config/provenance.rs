//! The merged configuration as it was written: printed as TOML that says the same again, each value with its origin.
//! Judges none.

use std::{fmt, path::Path};

use super::{
    Destination, Service, keys,
    origin::Origin,
    tree::{Tree, quote, quote_key},
    view::View,
};

/// Where every value of a configuration is from.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    sections: Vec<Section>,
}

#[derive(Clone, Debug)]
pub(super) struct Section {
    /// The service's name; `None`: `[manager]`.
    pub(super) service: Option<String>,
    values: Vec<Line>,
}

impl Section {
    /// What somebody has written: keys and their values.
    pub(super) fn given(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().filter(|line| !line.origin.is_default()).filter_map(Line::parts)
    }
}

#[derive(Clone, Debug)]
struct Line {
    /// `key = value`, or a comment.
    text: String,
    /// How long the key is in it, in bytes; `None`: it is a comment.
    key: Option<usize>,
    origin: Origin,
}

impl Line {
    fn new(key: &str, value: impl fmt::Display, origin: &Origin) -> Self {
        Line { text: format!("{key} = {value}"), key: Some(key.len()), origin: origin.clone() }
    }

    fn comment(text: String, origin: &Origin) -> Self {
        Line { text, key: None, origin: origin.clone() }
    }

    fn parts(&self) -> Option<(&str, &str)> {
        let key = self.key?;
        Some((&self.text[..key], &self.text[key + " = ".len()..]))
    }
}

impl Provenance {
    pub(crate) fn new(tree: &Tree, services: &[Service]) -> Self {
        let mut sections = vec![manager(tree)];
        sections.extend(services.iter().map(|service| section(tree, service)));
        Self { sections }
    }

    pub(super) fn sections(&self) -> &[Section] {
        &self.sections
    }
}

fn manager(tree: &Tree) -> Section {
    let view = View::manager(tree);
    let included = Line::new(keys::INCLUDE.name, "[]", &Origin::Derived("merged already"));
    let values = keys::MANAGER.iter().filter_map(|key| {
        let entry = view.entry(key.name())?;
        Some(Line::new(key.name(), &entry.value, &entry.origin))
    });
    Section { service: None, values: std::iter::once(included).chain(values).collect() }
}

fn section(tree: &Tree, service: &Service) -> Section {
    let name = service.name.as_str();
    let view = View::service(tree, name);
    let mut values = Vec::new();
    let mut add = |line: Line| values.push(line);
    let origin = |key: &str| view.entry(key).map_or(Origin::BuiltIn, |entry| entry.origin.clone());
    for key in keys::SERVICE.iter().map(|key| key.name()).filter(|key| view.says(key)) {
        if key == keys::ENVIRONMENT.name {
            for variable in view.names("environment") {
                let key = quote_key(variable);
                if let Some(file) = view.secret(variable) {
                    let value = format!("{{ file = {} }}", file.value);
                    add(Line::new(&format!("environment.{key}"), value, &file.origin));
                } else if let Some(entry) = view.named("environment", variable) {
                    add(Line::new(&format!("environment.{key}"), &entry.value, &entry.origin));
                }
            }
        } else if key == keys::LIMIT.name {
            for resource in view.names("limits") {
                if let Some(entry) = view.named("limits", resource) {
                    add(Line::new(&format!("limits.{resource}"), &entry.value, &entry.origin));
                }
            }
        } else if key == keys::AFTER.name {
            let services = service.after.iter().map(|before| quote(before.as_str()));
            let addresses = service.after_addresses.iter().map(|address| quote(address));
            add(Line::new(key, list(services.chain(addresses)), &origin(key)));
        } else if key == keys::ENV_FILE.name {
            // Relative paths would mean others in another place.
            let files = service.environment.files.iter().map(|file| quote(&file.display().to_string()));
            add(Line::new(key, list(files), &origin(key)));
        } else if let (Some(path), true) = (log_path(service, key, &view), view.entry(key).is_some()) {
            add(Line::new(key, quote(&path.display().to_string()), &origin(key)));
        } else if let Some(entry) = view.entry(key) {
            add(Line::new(key, &entry.value, &entry.origin));
        } else if let (true, Some(name)) = (key == keys::MATCH_NAME.name, &service.matching.name) {
            // Written as a key it would mean more: that the name was given, and its script does not matter.
            let derived = Origin::Derived("default, from start");
            add(Line::comment(format!("# {key} = {}", quote(name)), &derived));
        }
    }
    if service.terminal {
        // No key: one service has it, that of `--main`.
        let text = "# with musterd's terminal, stdin, stdout and stderr".to_owned();
        add(Line::comment(text, &origin(keys::START.name)));
    }
    Section { service: Some(name.to_owned()), values }
}

/// The path of a log, as it is taken: a relative one would mean another in another place.
fn log_path<'a>(service: &'a Service, key: &str, view: &View<'_>) -> Option<&'a Path> {
    let file = |destination: &'a Destination| match destination {
        Destination::File(file) => Some(file.path.as_path()),
        Destination::Prefix | Destination::Raw | Destination::None => None,
    };
    match key {
        // It is that of stderr where only that goes to a file, and to no other.
        key if key == keys::LOG_PATH.name => file(&service.log.stdout).or_else(|| {
            file(&service.log.stderr).filter(|_| view.entry(keys::LOG_STDERR_PATH.name).is_none())
        }),
        key if key == keys::LOG_STDERR_PATH.name => file(&service.log.stderr),
        _ => None,
    }
}

fn list(elements: impl Iterator<Item = String>) -> String {
    format!("[{}]", elements.collect::<Vec<_>>().join(", "))
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Values longer than this get no more padding: the comments of the others stay on the screen.
        const WIDEST: usize = 60;
        for (index, section) in self.sections.iter().enumerate() {
            let header = match &section.service {
                Some(name) => format!("[services.{}]", quote_key(name)),
                None => "[manager]".to_owned(),
            };
            let widths = section.values.iter().map(|line| line.text.chars().count());
            let width = widths.filter(|width| *width <= WIDEST).max().unwrap_or(0);
            let blank = if index == 0 { "" } else { "\n" };
            writeln!(f, "{blank}{header}")?;
            for Line { text, key: _, origin } in &section.values {
                writeln!(f, "{text:width$}  # {origin}")?;
            }
        }
        Ok(())
    }
}
