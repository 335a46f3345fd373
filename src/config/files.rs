//! Reads configuration files: which, in which order, with their drop-ins. Judges no value but `include`.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::libc;
use toml::de::DeTable;

use super::{
    Sources, keys,
    origin::{Origin, SourceFile},
    parse,
    report::Report,
    tree::{Tree, Value, places},
};
use crate::text::{printable, reason};

/// Longer than any configuration, in bytes.
const LONGEST: u64 = 16 * 1024 * 1024;

/// The file that is read where none is named.
pub(crate) const DEFAULT_FILE: &str = "/etc/musterd.toml";

/// Lays all files over the tree.
pub(crate) fn read(sources: &Sources, tree: &mut Tree, report: &mut Report) {
    let named: Vec<(PathBuf, Origin)> = if sources.files.is_empty() {
        let listed = sources.variables.config.as_deref().unwrap_or_default().split(':');
        let origin = Origin::Variable { name: "MUSTERD_CONFIG", line: None };
        listed.filter(|path| !path.is_empty()).map(|path| (path.into(), origin.clone())).collect()
    } else {
        let origin = |path: &Path| Origin::Argument(format!("--config {}", path.display()).into());
        sources.files.iter().map(|path| (path.clone(), origin(path))).collect()
    };
    let mut reader = Reader { directory: &sources.directory, tree, report, open: Vec::new(), read: 0 };
    if named.is_empty() {
        reader.default_file(&sources.default_file);
    }
    for (path, origin) in named {
        reader.file(&path, &origin, &[]);
    }
}

struct Reader<'a> {
    /// What relative paths of options are relative to.
    directory: &'a Path,
    tree: &'a mut Tree,
    report: &'a mut Report,
    /// The files being read, each included by the one before: as named, and as the kernel knows them.
    open: Vec<(PathBuf, PathBuf)>,
    /// How many files were read.
    read: usize,
}

impl Reader<'_> {
    /// The default file, which may be absent; its drop-ins are read all the same.
    fn default_file(&mut self, path: &Path) {
        let include: Vec<String> = keys::INCLUDE
            .default
            .and_then(|default| toml::de::DeValue::parse(default).ok())
            .map(|value| super::tree::convert(value.get_ref(), &|_| Origin::BuiltIn))
            .and_then(|value| parse::strings(&value).ok())
            .unwrap_or_default();
        let absent =
            matches!(fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound);
        if absent {
            for pattern in include {
                self.include(Path::new("/"), &pattern, &Origin::BuiltIn);
            }
        } else {
            self.file(path, &Origin::BuiltIn, &include);
        }
    }

    /// A file, then what it includes (`include`, where it does not say).
    fn file(&mut self, path: &Path, from: &Origin, include: &[String]) {
        let cannot =
            |reason: String| format!("cannot read {}: {reason}", printable(&path.display().to_string()));
        let full = self.directory.join(path);
        let text = match bytes(&full).and_then(|text| Ok((fs::canonicalize(&full)?, text))) {
            Ok((real, _)) if self.open.iter().any(|(_, open)| *open == real) => {
                return self.report.add(from, self.cycle(path, &real));
            }
            Ok((real, text)) => {
                self.open.push((path.to_owned(), real));
                text
            }
            Err(error) => {
                self.report.set_incomplete();
                return self.report.add(from, cannot(reason(&error)));
            }
        };
        match String::from_utf8(text) {
            Ok(text) => self.text(path, text, include),
            Err(error) => {
                self.report.set_incomplete();
                let at = error.utf8_error().valid_up_to();
                self.report.add(from, cannot(format!("byte {at} is not UTF-8")));
            }
        }
        self.open.pop();
    }

    fn cycle(&self, path: &Path, real: &Path) -> String {
        let from = self.open.iter().position(|(_, open)| open == real).unwrap_or(0);
        let names = self.open[from..].iter().map(|(name, _)| name.as_path()).chain([path]);
        let names: Vec<_> = names.map(|name| name.display().to_string()).collect();
        format!("cannot include a file in itself: {}", printable(&names.join(" -> ")))
    }

    fn text(&mut self, path: &Path, text: String, include: &[String]) {
        let file = Arc::new(SourceFile::new(path.to_owned(), text, self.read));
        self.read += 1;
        let places = places(&file);
        let (document, errors) = DeTable::parse_recoverable(file.text());
        for error in &errors {
            self.report.set_incomplete();
            let end = file.text().len();
            self.report.add(&places(error.span().unwrap_or(end..end)), error.message());
        }
        let mut layer = Tree::default();
        layer.insert_table(&mut Vec::new(), document.get_ref(), &places);
        let included = layer.remove(&["manager", "include"]);
        self.tree.overlay(&layer);
        let base = path.parent().unwrap_or(Path::new(""));
        let Some(included) = included else {
            return include
                .iter()
                .for_each(|pattern| self.include(Path::new("/"), pattern, &Origin::BuiltIn));
        };
        if let Err(must) = parse::strings(&included.value) {
            let value = &included.value;
            return self.report.add(&included.origin, format!("cannot use include {value}: {must}"));
        }
        let one = super::tree::Element { value: included.value.clone(), origin: included.origin.clone() };
        let elements = if let Value::Array(elements) = included.value { elements } else { vec![one] };
        for element in elements {
            if let Value::String(pattern) = &element.value {
                self.include(base, pattern, &element.origin);
            }
        }
    }

    /// The files that a pattern names, in lexical order. A pattern may match nothing, a plain path may not.
    fn include(&mut self, base: &Path, pattern: &str, from: &Origin) {
        let path = base.join(pattern);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let parent = path.parent().unwrap_or(Path::new("")).to_owned();
        if parent.to_string_lossy().contains(['*', '?']) {
            let message =
                format!("cannot use include {pattern:?}: `*` and `?` must be in the file's name only");
            return self.report.add(from, message);
        }
        if !name.contains(['*', '?']) {
            return self.file(&path, from, &[]);
        }
        let entries = match fs::read_dir(self.directory.join(&parent)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                self.report.set_incomplete();
                let message = format!("cannot list {}: {}", parent.display(), reason(&error));
                return self.report.add(from, message);
            }
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|entry| matches(&name, entry)).collect();
        names.sort();
        for name in names {
            self.file(&parent.join(name), from, &[]);
        }
    }
}

/// Whether the file's name fits the pattern; as in a shell, a leading dot must be written.
fn matches(pattern: &str, name: &str) -> bool {
    fn fits(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            (['*', rest @ ..], _) => fits(rest, name) || !name.is_empty() && fits(pattern, &name[1..]),
            (['?', rest @ ..], [_, name @ ..]) => fits(rest, name),
            ([c, rest @ ..], [d, name @ ..]) => c == d && fits(rest, name),
            _ => false,
        }
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    (name.first() != Some(&'.') || pattern.first() == Some(&'.')) && fits(&pattern, &name)
}

/// A file's bytes: of what may have no end (/dev/zero) only so many, of what may have no beginning none.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let facts = file.metadata()?;
    if facts.file_type().is_fifo() || facts.file_type().is_socket() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST {
        Err(io::Error::other("it is longer than 16777216 bytes"))
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name) in
            [("*.toml", "a.toml"), ("?.toml", "a.toml"), ("a*b*c", "axxbc"), (".*", ".a"), ("*", "a")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.toml", ".a.toml"), ("?.toml", "ab.toml"), ("*.toml", "a.toml~"), ("a", "b"), ("?", "")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
