//! Lays all layers over each other, in order, and makes a configuration of them or a report of what is
//! wrong. Reads files; environment, directory and who musterd is are arguments.

use std::path::PathBuf;

use toml::de::DeValue;

use super::{
    Config, Ordinary, Provenance, Service, ServiceName, build, commands, files, keys, ordinary,
    origin::Origin,
    overrides,
    report::{Report, did_you_mean},
    tree::Tree,
    validate, warnings,
};
use crate::text::printable;

/// All that configuration comes from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The files of `--config`, in order.
    pub files: Vec<PathBuf>,
    /// The file that is read where none is named, and that may be absent.
    pub default_file: PathBuf,
    /// What the environment says.
    pub variables: Variables,
    /// The directory that relative paths of options are relative to.
    pub directory: PathBuf,
    /// The values of `--set`: `KEY=VALUE`.
    pub set: Vec<String>,
    /// The services of `--only`; empty: all.
    pub only: Vec<String>,
    /// The services of `--without`.
    pub without: Vec<String>,
    /// The path of `--socket`.
    pub socket: Option<String>,
    /// The level of `--log-level`.
    pub log_level: Option<String>,
    /// The COMMANDs.
    pub commands: Vec<String>,
    /// The command of `--main`.
    pub main: Option<String>,
    /// Who musterd is; `None`: root, who can do everything.
    pub ordinary: Option<Ordinary>,
    /// Whether stdin is a terminal.
    pub is_interactive: bool,
}

/// The environment variables that matter.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    /// `MUSTERD_CONFIG`: files, separated by `:`; where `--config` is given, it is not used.
    pub config: Option<String>,
    /// `MUSTERD_SET`: `KEY=VALUE` lines.
    pub set: Option<String>,
    /// `MUSTERD_SOCKET`.
    pub socket: Option<String>,
    /// `PATH`, to tell programs from arguments.
    pub path: Option<String>,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            default_file: PathBuf::from(files::DEFAULT_FILE),
            variables: Variables::default(),
            directory: PathBuf::from("/"),
            set: Vec::new(),
            only: Vec::new(),
            without: Vec::new(),
            socket: None,
            log_level: None,
            commands: Vec::new(),
            main: None,
            ordinary: None,
            is_interactive: false,
        }
    }
}

impl Sources {
    /// What this process' environment says, and its directory.
    pub fn of_this_process() -> Self {
        let variable = |name| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
            // What is not UTF-8 is seen in the report that follows: no path, key or value has the replacement.
            Some(value.to_string_lossy().into_owned())
        };
        Self {
            variables: Variables {
                config: variable("MUSTERD_CONFIG"),
                set: variable("MUSTERD_SET"),
                socket: variable("MUSTERD_SOCKET"),
                path: variable("PATH"),
            },
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            ..Self::default()
        }
    }
}

/// Reads and merges all layers: built-in defaults < files in order, each with its drop-ins < environment <
/// options < COMMANDs.
///
/// # Errors
///
/// Everything that is wrong, in all layers.
pub fn load(sources: &Sources) -> Result<(Config, Provenance), Report> {
    let mut report = Report::default();
    let mut tree = built_in();
    files::read(sources, &mut tree, &mut report);
    overrides::apply(sources, &mut tree, &mut report);
    let mut commanded = commands::apply(sources, &mut tree, &mut report);
    let main = commands::apply_main(sources, &mut tree, &mut report);
    commanded.extend(main.clone());
    validate::check(&tree, &mut report);
    if let Some(caller) = &sources.ordinary {
        ordinary::check(&tree, caller, &mut report);
    }
    let manager = build::manager(&tree, &sources.directory, &mut report);
    let services = build::services(&tree, main.as_deref(), &sources.directory, &mut report);
    check_names(sources, &tree, &mut report);
    let services = choose(services, sources, &commanded);
    if services.is_empty() && report.is_empty() {
        report.add(&Origin::Whole, nothing_to_manage(sources, &tree));
    }
    match manager {
        Some(manager) if report.is_empty() => {
            let provenance = Provenance::new(&tree, &services);
            let warnings = warnings::find(sources, &tree, &services);
            Ok((Config { manager, services, warnings }, provenance))
        }
        Some(_) | None => Err(report),
    }
}

/// `manager.socket` alone, as [`load`] would have it, for those who look for a running manager: nothing that is wrong
/// elsewhere matters to them.
pub fn socket(sources: &Sources) -> Option<PathBuf> {
    let (mut tree, mut report) = (Tree::default(), Report::default());
    files::read(sources, &mut tree, &mut report);
    overrides::apply(sources, &mut tree, &mut report);
    build::socket(&tree, &sources.directory)
}

/// The layer of the defaults, from the table of keys.
fn built_in() -> Tree {
    let mut tree = Tree::default();
    for (section, keys) in [("manager", keys::MANAGER), ("defaults", keys::SERVICE)] {
        for key in keys.iter().filter(|key| key.name() != keys::INCLUDE.name) {
            let Some(value) = key.default().and_then(|default| DeValue::parse(default).ok()) else {
                continue;
            };
            let mut path: Vec<String> = vec![section.to_owned()];
            path.extend(key.name().split('.').map(str::to_owned));
            let at = (&Origin::BuiltIn, &Origin::BuiltIn);
            tree.insert_parsed(&mut path, value.get_ref(), at, &|_| Origin::BuiltIn);
        }
    }
    tree
}

/// Reports the names of `--only` and `--without` that no service has.
fn check_names(sources: &Sources, tree: &Tree, report: &mut Report) {
    let known = tree.fields(&["services"]);
    for (option, names) in [("--only", &sources.only), ("--without", &sources.without)] {
        for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
            let hint = did_you_mean(name, known.iter().copied()).unwrap_or_default();
            let origin = Origin::Argument(format!("{option} {name}").into());
            report.add(&origin, format!("no such service: \"{}\"{hint}", printable(name)));
        }
    }
}

/// The services that `--only` and `--without` leave, and those of COMMANDs and `--main` always: each is a choice
/// itself. No service waits for one that was not chosen; for an address it waits all the same.
fn choose(services: Vec<Service>, sources: &Sources, commanded: &[String]) -> Vec<Service> {
    let chosen = |name: &ServiceName| {
        let is = |other: &String| other == name.as_str();
        let only = sources.only.is_empty() || sources.only.iter().any(is);
        commanded.iter().any(is) || only && !sources.without.iter().any(is)
    };
    let mut services: Vec<Service> = services.into_iter().filter(|service| chosen(&service.name)).collect();
    services.iter_mut().for_each(|service| service.after.retain(chosen));
    services
}

fn nothing_to_manage(sources: &Sources, tree: &Tree) -> String {
    let why = if !tree.fields(&["services"]).is_empty() {
        "--only and --without leave no service".to_owned()
    } else if sources.files.is_empty() && sources.variables.config.is_none() && !sources.default_file.exists()
    {
        format!("no COMMAND is given, and there is no {}", sources.default_file.display())
    } else {
        "no COMMAND is given, and no file has a service".to_owned()
    };
    format!(
        "nothing to manage: {why}\n  give each service as one argument: musterd \"/usr/sbin/sshd -D\" \"nginx -g 'daemon \
         off;'\"\n  or write {}:\n      [services.sshd]\n      start = \"/usr/sbin/sshd -D\"",
        sources.default_file.display()
    )
}
