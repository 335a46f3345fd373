//! Builds what a service's commands find in their environment. Reads no file and no variable.

use std::path::{Path, PathBuf};

use super::{Environment, Variable, build::base, keys, view::View};

/// The environment; `None` where a value is wrong.
pub(crate) fn of(view: &View<'_>, directory: &Path) -> Option<Environment> {
    let variable = |name: &&str| {
        let value = match view.secret(name) {
            Some(file) => Variable::File((keys::ENVIRONMENT_FILE.parse)(&file.value).ok()?),
            None => {
                let entry = view.named("environment", name)?;
                Variable::Text((keys::ENVIRONMENT.parse)(&entry.value).ok()?)
            }
        };
        Some(((*name).to_owned(), value))
    };
    Some(Environment {
        inherit: view.get(&keys::INHERIT_ENVIRONMENT)?,
        unset: view.get(&keys::UNSET_ENVIRONMENT)?,
        files: files(view, directory)?,
        set: view.names("environment").iter().filter_map(variable).collect(),
    })
}

/// The files of `env-file`; a relative path is relative to the file that names it.
fn files(view: &View<'_>, directory: &Path) -> Option<Vec<PathBuf>> {
    let base = base(&view.entry(keys::ENV_FILE.name)?.origin, directory);
    let files = view.get(&keys::ENV_FILE)?;
    Some(files.into_iter().map(|file| base.join(file)).collect())
}
