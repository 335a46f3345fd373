//! Prints the merged configuration as TOML that says the same again, each value with its origin. Checks
//! nothing itself.

use std::fmt;

use super::{
    Service,
    build::View,
    origin::Origin,
    schema,
    tree::{Tree, quote, quote_key},
};

/// Where every value of a configuration is from.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    sections: Vec<Section>,
}

#[derive(Clone, Debug)]
struct Section {
    header: String,
    values: Vec<(String, Origin)>,
}

impl Provenance {
    pub(crate) fn new(tree: &Tree, services: &[Service]) -> Self {
        let mut sections = vec![manager(tree)];
        sections.extend(services.iter().map(|service| section(tree, service)));
        Self { sections }
    }
}

fn manager(tree: &Tree) -> Section {
    let view = View::manager(tree);
    let included = ("include = []".to_owned(), Origin::Derived("merged already"));
    let values = schema::MANAGER.iter().filter_map(|key| {
        let entry = view.entry(key.name())?;
        Some((format!("{} = {}", key.name(), entry.value), entry.origin.clone()))
    });
    Section { header: "[manager]".to_owned(), values: std::iter::once(included).chain(values).collect() }
}

fn section(tree: &Tree, service: &Service) -> Section {
    let name = service.name.as_str();
    let view = View::service(tree, name);
    let mut values = Vec::new();
    for key in schema::SERVICE {
        let key = key.name();
        if key == schema::ENVIRONMENT.name {
            for variable in view.variables() {
                if let Some(entry) = view.variable(variable) {
                    let line = format!("environment.{} = {}", quote_key(variable), entry.value);
                    values.push((line, entry.origin.clone()));
                }
            }
        } else if key == schema::AFTER.name {
            let names: Vec<_> = service.after.iter().map(|before| quote(before.as_str())).collect();
            let origin = view.entry(key).map_or(Origin::BuiltIn, |entry| entry.origin.clone());
            values.push((format!("{key} = [{}]", names.join(", ")), origin));
        } else if let Some(entry) = view.entry(key) {
            values.push((format!("{key} = {}", entry.value), entry.origin.clone()));
        } else if let (true, Some(name)) = (key == schema::MATCH_NAME.name, &service.matching.name) {
            // Written as a key it would mean more: that the name was given, and its script does not matter.
            let line = format!("# {key} = {}", quote(name));
            values.push((line, Origin::Derived("default, from start")));
        }
    }
    Section { header: format!("[services.{}]", quote_key(name)), values }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Values longer than this get no more padding: the comments of the others stay on the screen.
        const WIDEST: usize = 60;
        for (index, section) in self.sections.iter().enumerate() {
            let widths = section.values.iter().map(|(line, _)| line.chars().count());
            let width = widths.filter(|width| *width <= WIDEST).max().unwrap_or(0);
            let blank = if index == 0 { "" } else { "\n" };
            writeln!(f, "{blank}{}", section.header)?;
            for (line, origin) in &section.values {
                writeln!(f, "{line:width$}  # {origin}")?;
            }
        }
        Ok(())
    }
}
