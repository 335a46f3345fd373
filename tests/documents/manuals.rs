//! man/: musterd(1) from the help of the program, musterd.toml(5) from the table of keys; in the language of man(7).

use std::{fmt::Write, process::Command};

use clap::{Arg, builder::StyledStr};
use musterd::config;

use crate::{
    check, source,
    tree::{Place, places, spellings},
};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const MADE: &str = ".\\\" Made from the program itself by `cargo test --test documents`.\n";

/// Text as it stands, whatever its characters mean to roff; what is in backquotes is bold.
fn plain(text: &str) -> String {
    let mut told = String::new();
    let mut is_code = false;
    for c in text.chars() {
        match c {
            '\\' => told.push_str("\\e"),
            '-' => told.push_str("\\-"),
            '`' => {
                is_code = !is_code;
                told.push_str(if is_code { "\\fB" } else { "\\fR" });
            }
            c => told.push(c),
        }
    }
    // A line that begins so would be taken for a request.
    if told.starts_with(['.', '\'']) { format!("\\&{told}") } else { told }
}

fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", plain(text).trim_start_matches("\\&"))
}

fn text(of: Option<&StyledStr>) -> String {
    of.map(ToString::to_string).unwrap_or_default()
}

/// A paragraph with what it is about in front.
fn item(what: &str, told: &str, into: &mut String) {
    write!(into, ".TP\n{what}\n{}\n", plain(told)).unwrap();
}

/// Help and version are told of the program alone, and what counts for all verbs of `ctl` there.
fn options(place: &Place, into: &mut String) {
    let depth = place.path.matches(' ').count();
    let is_told = |option: &&Arg| match option.get_id().as_str() {
        "help" | "version" => depth == 0,
        _ => depth < 2 || !option.is_global_set(),
    };
    for option in place.options().filter(is_told) {
        let names: Vec<String> = spellings(option).iter().map(|name| bold(name)).collect();
        let takes = option.get_action().takes_values();
        let value = option.get_value_names().filter(|_| takes).and_then(|names| names.first());
        let value = value.map_or(String::new(), |value| format!(" \\fI{}\\fR", plain(value)));
        item(&format!("{}{value}", names.join(", ")), &text(option.get_help()), into);
    }
    for argument in place.command.get_positionals() {
        let names = argument.get_value_names().unwrap_or_default();
        let name = names.first().map_or("", |name| name.as_str());
        item(&format!("\\fI{}\\fR", plain(name)), &text(argument.get_help()), into);
    }
}

/// The notes behind a help: headings that end with a colon, below them lines of `WHAT  meaning` or others.
fn notes(help: &str, heading: fn(&str) -> String, into: &mut String) {
    let mut lines = help.lines().peekable();
    while let Some(line) = lines.next() {
        let words = line.trim_start();
        let is_heading = line == words && lines.peek().is_some_and(|next| next.starts_with("  "));
        match words.split_once("  ") {
            _ if line.is_empty() => {}
            _ if is_heading => writeln!(into, "{}", heading(line.trim_end_matches(':'))).unwrap(),
            Some((what, meaning)) if line != words => {
                let mut told = meaning.trim_start().to_owned();
                while let Some(more) = lines.next_if(|next| next.starts_with("    ")) {
                    told = format!("{told} {}", more.trim_start());
                }
                item(&bold(what), &told, into);
            }
            None if line != words => write!(into, ".PP\n.EX\n{}\n.EE\n", plain(words)).unwrap(),
            _ => {
                let mut told = line.to_owned();
                while let Some(more) = lines.next_if(|next| !next.is_empty() && !next.starts_with(' ')) {
                    told = format!("{told} {more}");
                }
                write!(into, ".PP\n{}\n", plain(&told)).unwrap();
            }
        }
    }
}

fn usage(place: &Place) -> String {
    let usage = place.command.clone().render_usage().to_string();
    let words: Vec<&str> = usage.trim_start_matches("Usage:").split_whitespace().collect();
    let at = words.iter().position(|word| word.starts_with(['[', '<', '-'])).unwrap_or(words.len());
    // clap knows the last word, and not always those before it.
    [&[place.path.as_str()], &words[at..]].concat().join(" ")
}

/// The description of a subcommand: all that its help says but what that of `above` says already.
fn subcommand(place: &Place, root: &Place, above: &str, into: &mut String) {
    writeln!(into, ".SS {}", plain(&usage(place))).unwrap();
    let about = place.command.get_long_about().or(place.command.get_about());
    writeln!(into, "{}.", plain(text(about).trim_end_matches('.'))).unwrap();
    let shared =
        |place: &Place| place.options().map(|option| option.get_id().to_string()).collect::<Vec<_>>();
    if shared(place) == shared(root) {
        into.push_str(".PP\nOptions and COMMANDs are as above.\n");
    } else {
        options(place, into);
    }
    let help = text(place.command.get_after_help());
    if help != above {
        notes(&help, |line| format!(".PP\n{}", bold(line)), into);
    }
}

fn program() -> String {
    let places = places();
    let root = &places[0];
    let mut page = format!("{MADE}.TH MUSTERD 1 \"\" \"musterd {VERSION}\"\n.SH NAME\n");
    page.push_str("musterd \\- service manager for containers\n.SH SYNOPSIS\n");
    for line in root.command.clone().render_usage().to_string().trim_start_matches("Usage:").lines() {
        let line = line.trim();
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        write!(page, ".B {}\n{}\n.br\n", plain(name), plain(rest)).unwrap();
    }
    page.push_str(".SH DESCRIPTION\n");
    for paragraph in text(root.command.get_about()).split("\n\n") {
        write!(page, ".PP\n{}.\n", plain(&paragraph.replace('\n', " ")).trim_end_matches('.')).unwrap();
    }
    page.push_str(".SH OPTIONS\n");
    options(root, &mut page);
    let help = text(root.command.get_after_help());
    // The subcommands come below, each with all that it has.
    let (_, rest) = help.split_once("\n\n").unwrap();
    notes(rest, |line| format!(".SH {}", plain(&line.to_uppercase())), &mut page);
    page.push_str(".SH SUBCOMMANDS\n");
    let mut above = String::new();
    for place in &places[1..] {
        // As its parent's: each verb of `ctl` has the notes of `ctl`.
        subcommand(place, root, &above, &mut page);
        if place.path.matches(' ').count() == 1 {
            above = text(place.command.get_after_help());
        }
    }
    page.push_str(
        ".SH FILES\n.TP\n/etc/musterd.toml\nthe configuration, musterd.toml(5)\n\
         .TP\n/etc/musterd.d/*.toml\ndrop\\-ins\n.TP\n/run/musterd.sock\nthe control socket\n\
         .SH SEE ALSO\nmusterd.toml(5)\n",
    );
    page
}

/// The text between two headings of the README that is indented by four blanks, as it stands there.
fn example() -> String {
    let readme = source("README.md");
    let (_, rest) = readme.split_once("\n## Configuration\n").unwrap();
    let block = rest.lines().skip_while(|line| !line.starts_with("    "));
    let block = block.take_while(|line| line.is_empty() || line.starts_with("    "));
    block.map(|line| plain(line.trim_start_matches("    ")) + "\n").collect::<String>().trim_end().to_owned()
}

fn configuration() -> String {
    let mut page = format!("{MADE}.TH MUSTERD.TOML 5 \"\" \"musterd {VERSION}\"\n.SH NAME\n");
    page.push_str("musterd.toml \\- configuration of musterd(1)\n.SH DESCRIPTION\n");
    for paragraph in [
        "A file in TOML with the sections `[manager]`, `[defaults]` and `[services.NAME]`. `[defaults]` holds any key of a \
         service but `start` and `match`, for each service that does not give it itself.",
        "Layers, each overriding the one before, key by key: built-in defaults, files in order, the environment \
         (`MUSTERD_SET`), `--set`, COMMANDs. `musterd check` shows the result, and where each value is from; `musterd schema` \
         prints a JSON Schema for editors.",
        "Durations are written as `500ms` or `1m 30s`, sizes as `64MiB`.",
    ] {
        write!(page, ".PP\n{}\n", plain(paragraph)).unwrap();
    }
    for row in config::markdown().lines().filter(|row| row.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches(['|', ' ']).splitn(4, " | ").map(str::trim).collect();
        let [key, default, allowed, meaning] = cells[..] else { panic!("{row}") };
        if default == "default" {
            writeln!(page, ".SH {}", plain(key.trim_matches('`'))).unwrap();
            continue;
        }
        let default = if default.is_empty() { String::new() } else { format!(" = {}", plain(default)) };
        write!(
            page,
            ".TP\n{}{default}\n{}.\n.br\nAllowed: {}.\n",
            plain(key),
            plain(meaning),
            plain(allowed)
        )
        .unwrap();
    }
    write!(page, ".SH EXAMPLE\n.EX\n{}\n.EE\n", example()).unwrap();
    page.push_str(
        ".SH FILES\n.TP\n/etc/musterd.toml\n.TQ\n/etc/musterd.d/*.toml\nread where no file is named\n",
    );
    page.push_str(".SH SEE ALSO\nmusterd(1)\n");
    page
}

#[test]
fn manuals_are_up_to_date() {
    check("man/musterd.1", &program());
    check("man/musterd.toml.5", &configuration());
}

#[test]
fn man_shows_them_without_a_warning() {
    for page in ["man/musterd.1", "man/musterd.toml.5"] {
        let folder = env!("CARGO_MANIFEST_DIR");
        let man =
            Command::new("man").args(["--warnings", "-E", "UTF-8", "-l", page]).current_dir(folder).output();
        let Ok(shown) = man else { return eprintln!("documents: there is no man to show the pages") };
        // Where pages are left out (a container's image), so is what shows them.
        if shown.status.success() {
            assert_eq!(String::from_utf8_lossy(&shown.stderr), "", "{page}");
        }
    }
}
