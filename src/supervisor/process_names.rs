//! What a process is called and what it runs, and whether it can be a service's at all.
//! Looks at one process; which service's it may be is `pattern`'s, who gets which is `presence`'s.

use std::{
    cell::OnceCell,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use crate::process::{Life, Process};

/// `comm` holds this many bytes, TASK_COMM_LEN less the NUL (proc_pid_comm(5)).
const COMM_LEN: usize = 15;

/// The argument vectors that may have started this process: its own; and where the kernel put an
/// interpreter (and its one argument) before a script, the script's (execve(2)).
pub(super) fn command_lines(process: &Process) -> impl Iterator<Item = &[OsString]> {
    let longest = process.argv.first().map_or(0, |first| if interpreter(first).is_some() { 2 } else { 0 });
    (0..=longest).filter_map(|skip| process.argv.get(skip..)).filter(|argv| !argv.is_empty())
}

/// Whether a process may be any service's at all.
pub(super) fn is_candidate(process: &Process) -> bool {
    process.life == Life::Alive
        && !process.foreign
        && !process.probe
        && !is_init_script(&process.argv)
        && !is_own_client(&process.argv)
}

/// Whether this is another musterd: what descends from it is managed, and nobody else's.
pub(super) fn is_manager(process: &Process) -> bool {
    process.life == Life::Alive
        && Names::of(process).has(OsStr::new("musterd"))
        && !is_own_client(&process.argv)
}

/// The subcommands that manage nothing.
const CLIENTS: [&str; 5] = ["check", "ctl", "plan", "probe", "schema"];

/// Whether this is a `musterd` that manages nothing (a probe as a manager starts it, too), in whose arguments a service's
/// may be found.
fn is_own_client(argv: &[OsString]) -> bool {
    let is_musterd = argv.first().is_some_and(|first| title(first) == "musterd" || first == "/proc/self/exe");
    is_musterd && argv.get(1).is_some_and(|verb| CLIENTS.iter().any(|client| verb == client))
}

/// The names that a process answers to.
pub(super) struct Names<'a> {
    comm: &'a OsStr,
    exe: Option<&'a OsStr>,
    first: Option<&'a OsStr>,
    /// The basename of the script that an interpreter runs.
    pub(super) script: Option<&'a OsStr>,
    argv: &'a [OsString],
    line: OnceCell<String>,
}

impl<'a> Names<'a> {
    pub(super) fn of(process: &'a Process) -> Self {
        Self::new(&process.comm, &process.argv, process.exe.as_deref())
    }

    pub(super) fn new(comm: &'a OsStr, argv: &'a [OsString], exe: Option<&'a Path>) -> Self {
        let first = argv.first().map(|first| title(first));
        let script = argv.first().and_then(|first| script(first, &argv[1..]));
        Names { comm, exe: exe.and_then(Path::file_name), first, script, argv, line: OnceCell::new() }
    }

    /// All the names; a `comm` that was cut is none.
    pub(super) fn iter(&self) -> impl Iterator<Item = &OsStr> {
        let others = [self.exe, self.first, self.script];
        let cut = |other: &OsStr| {
            self.comm.len() == COMM_LEN
                && other.len() > COMM_LEN
                && other.as_bytes().starts_with(self.comm.as_bytes())
        };
        let comm = (!self.comm.is_empty() && !others.into_iter().flatten().any(cut)).then_some(self.comm);
        others.into_iter().chain([comm]).flatten()
    }

    pub(super) fn has(&self, name: &OsStr) -> bool {
        self.iter().any(|own| own == name)
    }

    /// The arguments, joined by single blanks; bytes that are not UTF-8 are shown as U+FFFD.
    pub(super) fn line(&self) -> &str {
        self.line.get_or_init(|| {
            let words: Vec<_> = self.argv.iter().map(|word| word.to_string_lossy()).collect();
            words.join(" ")
        })
    }
}

/// The name in an `argv[0]`: without directory, a login shell's `-`, a `: title` set by the program, a path in a
/// title without a colon (`watching /usr/sbin/apache2`).
pub(super) fn title(first: &OsStr) -> &OsStr {
    let bytes = first.as_bytes();
    let end = bytes.windows(2).position(|pair| pair == b": " || pair == b" /").unwrap_or(bytes.len());
    let bytes = bytes[..end].strip_suffix(b":").unwrap_or(&bytes[..end]);
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let base = bytes.rsplit(|&byte| byte == b'/').next().unwrap_or(bytes);
    OsStr::from_bytes(base)
}

/// How an interpreter names its program in its arguments.
struct Interpreter {
    /// The options that take a value in the next argument.
    with_value: &'static [&'static str],
    /// The options after which no script follows: the program is their value.
    inline: &'static [&'static str],
    /// The options whose value is the program's name: `python3 -m http.server`.
    named: &'static [&'static str],
}

const SHELL: Interpreter = Interpreter { with_value: &["-o", "-O", "+o", "+O"], inline: &["-c"], named: &[] };
const PYTHON: Interpreter = Interpreter { with_value: &["-W", "-X"], inline: &["-c"], named: &["-m"] };
const PERL: Interpreter = Interpreter { with_value: &["-I"], inline: &["-e", "-E"], named: &[] };
const RUBY: Interpreter = Interpreter { with_value: &["-I", "-r"], inline: &["-e"], named: &[] };
const NODE: Interpreter =
    Interpreter { with_value: &["-r", "--require", "--import"], inline: &["-e", "-p", "--eval"], named: &[] };
const PHP: Interpreter = Interpreter { with_value: &["-c", "-d", "-z"], inline: &["-r"], named: &["-f"] };
const JAVA: Interpreter = Interpreter {
    with_value: &["-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules"],
    inline: &[],
    named: &["-jar", "-m", "--module"],
};
const OTHER: Interpreter = Interpreter { with_value: &[], inline: &["-e", "-c"], named: &[] };

fn interpreter(first: &OsStr) -> Option<Interpreter> {
    let name = title(first).to_str()?;
    match name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') {
        "sh" | "bash" | "dash" | "ash" | "ksh" | "mksh" | "zsh" => Some(SHELL),
        "python" | "pypy" => Some(PYTHON),
        "perl" => Some(PERL),
        "ruby" => Some(RUBY),
        "node" | "nodejs" => Some(NODE),
        "php" => Some(PHP),
        "java" => Some(JAVA),
        "lua" | "luajit" | "tclsh" | "guile" | "Rscript" | "escript" => Some(OTHER),
        _ => None,
    }
}

/// The basename of the script, module or archive that the interpreter `first` runs.
fn script<'a>(first: &OsStr, arguments: &'a [OsString]) -> Option<&'a OsStr> {
    let base = script_path(first, arguments)?.as_bytes().rsplit(|&byte| byte == b'/').next()?;
    (!base.is_empty()).then(|| OsStr::from_bytes(base))
}

fn script_path<'a>(first: &OsStr, arguments: &'a [OsString]) -> Option<&'a OsStr> {
    let interpreter = interpreter(first)?;
    let is = |list: &[&str], argument: &OsStr| list.iter().any(|option| argument == *option);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if is(interpreter.inline, argument) || inline_cluster(&interpreter, argument) {
            return None;
        } else if is(interpreter.named, argument) || argument == "--" {
            return arguments.next().map(OsString::as_os_str);
        } else if is(interpreter.with_value, argument) {
            arguments.next();
        } else if !argument.as_bytes().starts_with(b"-") {
            return Some(argument);
        }
    }
    None
}

/// `sh -ec TEXT`, `perl -ne TEXT`: short options in one word, of which the last holds the program.
fn inline_cluster(interpreter: &Interpreter, argument: &OsStr) -> bool {
    let bytes = argument.as_bytes();
    bytes.len() > 2
        && bytes[0] == b'-'
        && bytes[1..].iter().all(u8::is_ascii_lowercase)
        && interpreter.inline.iter().any(|option| option.as_bytes().last() == bytes.last())
}

/// Whether this is a run of an init script: it works on the service and never is the service.
pub(super) fn is_init_script(argv: &[OsString]) -> bool {
    let Some(first) = argv.first() else { return false };
    let in_folder = |path: &OsStr| {
        [&b"/etc/init.d/"[..], b"/etc/rc.d/"].iter().any(|folder| path.as_bytes().starts_with(folder))
    };
    in_folder(first) || script_path(first, &argv[1..]).is_some_and(in_folder)
}

/// Whether this is a text for a shell, of which the name says nothing.
pub(super) fn is_shell_text(argv: &[OsString]) -> bool {
    argv.len() > 1 && interpreter(&argv[0]).is_some() && script_path(&argv[0], &argv[1..]).is_none()
}
