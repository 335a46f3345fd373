//! The configuration as it was written: every key path with its value and where that is from. Layers
//! are laid over each other here; what a key means is not known here (short forms are the schema's).

use std::{
    collections::BTreeMap,
    ops::{Bound, Range},
    sync::Arc,
};

use toml::de::{DeTable, DeValue};

pub(crate) use super::value::{Element, Value, convert, quote, quote_key};
use super::{
    origin::{Origin, SourceFile},
    schema,
};

/// What a key path holds.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    /// Where the value is from.
    pub(crate) origin: Origin,
    /// Where the key is written.
    pub(crate) key: Origin,
    /// When the path first appeared.
    order: usize,
}

/// Key paths and what they hold. A later layer overrides key by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    entries: BTreeMap<Vec<String>, Entry>,
    /// How many paths ever appeared.
    appeared: usize,
}

impl Tree {
    /// Lays one value over what is there.
    pub(crate) fn insert(&mut self, path: &[String], value: Value, origin: &Origin, key: &Origin) {
        let path = &*schema::in_full(path, &value);
        for length in 1..path.len() {
            if !matches!(self.entries.get(&path[..length]), Some(Entry { value: Value::Table, .. })) {
                self.put(&path[..length], Value::Table, origin, key);
            }
        }
        let again = matches!(value, Value::Table)
            && matches!(self.entries.get(path), Some(Entry { value: Value::Table, .. }));
        if !again {
            self.put(path, value, origin, key);
        }
    }

    fn put(&mut self, path: &[String], value: Value, origin: &Origin, key: &Origin) {
        let order = self.entries.get(path).map_or(self.appeared, |entry| entry.order);
        self.appeared += 1;
        if !matches!(value, Value::Table) {
            self.remove_below(path);
        }
        let entry = Entry { value, origin: origin.clone(), key: key.clone(), order };
        self.entries.insert(path.to_vec(), entry);
    }

    /// Lays a parsed value (a table field by field) over what is there. `origin` maps bytes to a place.
    pub(crate) fn insert_parsed(
        &mut self,
        path: &mut Vec<String>,
        value: &DeValue<'_>,
        at: (&Origin, &Origin),
        origin: &dyn Fn(Range<usize>) -> Origin,
    ) {
        self.insert(path, convert(value, origin), at.0, at.1);
        if let DeValue::Table(table) = value {
            self.insert_table(path, table, origin);
        }
    }

    /// Lays the fields of a parsed table over what is there, in the order in which they were written.
    pub(crate) fn insert_table(
        &mut self,
        path: &mut Vec<String>,
        table: &DeTable<'_>,
        origin: &dyn Fn(Range<usize>) -> Origin,
    ) {
        let mut fields: Vec<_> = table.iter().collect();
        fields.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in fields {
            path.push(key.get_ref().to_string());
            let key = origin(key.span());
            let value_origin = if value.get_ref().is_table() { key.clone() } else { origin(value.span()) };
            self.insert_parsed(path, value.get_ref(), (&value_origin, &key), origin);
            path.pop();
        }
    }

    /// Lays all of another layer over this one. A rule of it replaces other rules of the same table.
    pub(crate) fn overlay(&mut self, layer: &Tree) {
        for path in layer.entries.keys() {
            self.remove_other_rules(path);
        }
        let mut entries: Vec<_> = layer.entries.iter().collect();
        entries.sort_by_key(|(_, entry)| entry.order);
        for (path, entry) in entries {
            self.insert(path, entry.value.clone(), &entry.origin, &entry.key);
        }
    }

    /// Removes the rules that this one is given instead of.
    fn remove_other_rules(&mut self, path: &[String]) {
        let ([section, table, rule] | [section, _, table, rule]) = path else { return };
        let rules = schema::rules(table);
        let in_service = path.len() == 4;
        if section != if in_service { "services" } else { "defaults" } || !rules.contains(&rule.as_str()) {
            return;
        }
        let mut other = path.to_vec();
        for rule in rules.iter().filter(|other| *other != rule) {
            other[path.len() - 1] = (*rule).to_owned();
            self.entries.remove(&other);
            self.remove_below(&other);
        }
    }

    /// Removes all that is inside a table.
    fn remove_below(&mut self, path: &[String]) {
        let inside = self.entries.range::<[String], _>((Bound::Excluded(path), Bound::Unbounded));
        let below: Vec<Vec<String>> =
            inside.map(|(inner, _)| inner).take_while(|inner| inner.starts_with(path)).cloned().collect();
        for path in below {
            self.entries.remove(&path);
        }
    }

    /// All that is inside a table, with the paths from there.
    pub(crate) fn section(&self, path: &[&str]) -> Vec<(&[String], &Entry)> {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        let inside = self.entries.range::<[String], _>((Bound::Excluded(path.as_slice()), Bound::Unbounded));
        inside
            .take_while(|(inner, _)| inner.starts_with(&path))
            .map(|(inner, entry)| (&inner[path.len()..], entry))
            .collect()
    }

    /// What the path holds.
    pub(crate) fn get(&self, path: &[&str]) -> Option<&Entry> {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        self.entries.get(&path)
    }

    /// Removes the path.
    pub(crate) fn remove(&mut self, path: &[&str]) -> Option<Entry> {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        self.entries.remove(&path)
    }

    /// All paths and what they hold, by path.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[String], &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_slice(), entry))
    }

    /// The names of the fields of a table, in the order in which they first appeared.
    pub(crate) fn fields(&self, table: &[&str]) -> Vec<&str> {
        let table: Vec<String> = table.iter().map(|&part| part.to_owned()).collect();
        let mut fields: Vec<_> = self
            .entries
            .range::<[String], _>((Bound::Excluded(table.as_slice()), Bound::Unbounded))
            .take_while(|(path, _)| path.starts_with(&table))
            .filter(|(path, _)| path.len() == table.len() + 1)
            .collect();
        fields.sort_by_key(|(_, entry)| entry.order);
        fields.into_iter().map(|(path, _)| path[table.len()].as_str()).collect()
    }
}

/// The places in a file.
pub(crate) fn places(file: &Arc<SourceFile>) -> impl Fn(Range<usize>) -> Origin + use<> {
    let file = file.clone();
    move |span| Origin::File { file: file.clone(), span }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Tree {
        let mut tree = Tree::default();
        let document = DeTable::parse(text).unwrap();
        tree.insert_table(&mut Vec::new(), document.get_ref(), &|_| Origin::Whole);
        tree
    }

    #[test]
    fn a_later_layer_overrides_field_by_field() {
        let mut merged = tree("[services.web]\nstart = \"a\"\nbackoff = { initial = \"1s\", factor = 3 }");
        merged.overlay(&tree("[services.web]\nbackoff.initial = \"2s\""));
        let value = |path: &[&str]| merged.get(path).unwrap().value.to_string();
        assert_eq!(value(&["services", "web", "start"]), "\"a\"");
        assert_eq!(value(&["services", "web", "backoff", "initial"]), "\"2s\"");
        assert_eq!(value(&["services", "web", "backoff", "factor"]), "3");
    }

    #[test]
    fn a_rule_of_a_later_layer_replaces_the_earlier_one() {
        let mut merged =
            tree("[services.web]\nready = { tcp = 80, timeout = \"1s\" }\n[defaults]\ncheck.exec = \"a\"");
        merged.overlay(&tree("[services.web]\nready.delay = \"2s\"\n[defaults]\ncheck.tcp = 1"));
        assert_eq!(merged.fields(&["services", "web", "ready"]), ["timeout", "delay"]);
        assert_eq!(merged.fields(&["defaults", "check"]), ["tcp"]);
        merged.overlay(&tree("[services.web]\nready = { tcp = 80, exec = \"a\" }"));
        assert_eq!(merged.fields(&["services", "web", "ready"]), ["timeout", "tcp", "exec"]);
    }

    #[test]
    fn a_value_replaces_a_table() {
        let mut merged = tree("[services.web.environment]\nA = { file = \"/a\" }");
        merged.overlay(&tree("[services.web.environment]\nA = \"b\""));
        assert!(merged.get(&["services", "web", "environment", "A", "file"]).is_none());
        merged.overlay(&tree("[services.web.environment]\nA = { file = \"/c\" }"));
        let path = ["services", "web", "environment", "A", "file"];
        assert_eq!(merged.get(&path).unwrap().value.to_string(), "\"/c\"");
    }

    #[test]
    fn fields_keep_the_order_of_their_first_appearance() {
        let mut merged = tree("[services.web]\n[services.db]\n");
        merged.overlay(&tree("[services.app]\n[services.db]\n"));
        assert_eq!(merged.fields(&["services"]), ["web", "db", "app"]);
    }
}
