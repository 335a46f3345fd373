//! Finds what is allowed and probably not meant. Refuses nothing.

use super::{
    Kind, Restart, Service, Sources,
    command::Text,
    keys,
    origin::Origin,
    report::Problem,
    shell,
    tree::Tree,
    view::View,
    words::{self, Syntax},
};
use crate::text::printable;

/// Programs that are shells: what a person gives who wants a prompt.
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "busybox"];

/// All that is probably not meant.
pub(crate) fn find(sources: &Sources, tree: &Tree, services: &[Service]) -> Vec<Problem> {
    let mut warnings = Vec::new();
    for service in services {
        let view = View::service(tree, service.name.as_str());
        let origin = |key: &str| view.entry(key).map_or(Origin::Whole, |entry| entry.origin.clone());
        let mut warn = |key: &str, message: String| {
            let message = format!("service \"{}\": {message}", printable(service.name.as_str()));
            warnings.push(Problem { origin: origin(key), message });
        };
        if is_endless(service) {
            warn(
                keys::ESSENTIAL.name,
                "is essential, but with restart = \"always\" and no start-limit it never ends for good"
                    .to_owned(),
            );
        }
        let start = view.get(&keys::START).filter(|_| view.get(&keys::SHELL) != Some(false));
        if let Some(word) = start.as_ref().and_then(never_a_process)
            && !service.matching.explicit
            && service.matching.is_name_only()
        {
            let name = printable(service.name.as_str());
            warn(
                keys::START.name,
                format!(
                    "no process is ever called \"{}\"; say what its process is called: \
                     --set services.{name}.match=NAME",
                    printable(&word)
                ),
            );
        }
        if let Origin::Command { .. } = origin(keys::START.name)
            && sources.is_interactive
            && is_lone_shell(&service.start.argv)
        {
            let shell = service.start.argv.join(" ");
            warn(
                keys::START.name,
                format!("has no terminal; for a prompt write: musterd --main {}", words::quote(&shell)),
            );
        }
    }
    warnings
}

/// Whether it is to end the container, and cannot.
fn is_endless(service: &Service) -> bool {
    service.essential
        && service.kind == Kind::Service
        && service.restart == Restart::Always
        && service.start_limit.is_none()
}

/// The first word of the command, if it is the shell's own or stands for something else.
fn never_a_process(start: &Text) -> Option<String> {
    let Text::Line(line) = start else { return None };
    let tokens = words::split(line, Syntax::Shell).ok()?;
    let word = shell::command_word(&tokens)?;
    shell::is_no_process(word).then(|| word.text.clone())
}

/// Whether a command is a shell that would ask for commands.
pub(crate) fn is_lone_shell(argv: &[String]) -> bool {
    let [program, options @ ..] = argv else { return false };
    let name = program.rsplit('/').next().unwrap_or_default();
    // With a file or `-c` it has its commands.
    let asks = |option: &String| {
        let is_short = option.starts_with('-') && !option.starts_with("--");
        option.starts_with("--")
            || is_short && !option.contains('c')
            || ["sh", "ash"].contains(&option.as_str())
    };
    SHELLS.contains(&name) && options.iter().all(asks)
}
