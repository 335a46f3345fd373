//! Recognises the commonest mistake: `musterd nginx -g "daemon off;"`, a command without quotes around it,
//! so that each of its arguments would be a service. Only clear cases are one.

use std::path::Path;

use super::words::quote;

/// If the commands are evidently one command without quotes: what to say about it.
///
/// Clear is an argument that begins with `-`; or where all are single words and none but the first names a
/// program: neither a service (`known`) nor an executable (`executable`).
pub(crate) fn find(
    commands: &[String],
    known: &dyn Fn(&str) -> bool,
    executable: &dyn Fn(&str) -> Program,
) -> Option<String> {
    let single = |word: &str| !word.contains(char::is_whitespace);
    let option = |word: &str| word.starts_with('-');
    let argument =
        |word: &str| option(word) || single(word) && !known(word) && executable(word) == Program::No;
    let rest = commands.get(1..)?;
    let clear = rest.iter().any(|word| option(word))
        || !rest.is_empty() && single(&commands[0]) && rest.iter().all(|word| argument(word));
    let first = 1 + rest.iter().position(|word| argument(word))?;
    if !clear {
        return None;
    }
    let belongs: Vec<String> = commands[first - 1..].iter().map(|word| quote(word)).collect();
    let mut line: Vec<String> = commands[..first - 1].iter().map(|command| quote_command(command)).collect();
    line.push(quote_command(&belongs.join(" ")));
    Some(format!(
        "cannot take {} for a service: each argument is one service, a command with its own arguments in \
         quotes; options of musterd come before the commands\n  write: musterd {}",
        quote_command(&commands[first]),
        line.join(" ")
    ))
}

/// Always in quotes: that is the point.
fn quote_command(command: &str) -> String {
    let quoted = quote(command);
    if quoted == command { format!("\"{command}\"") } else { quoted }
}

/// Whether a word names a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// It can be executed.
    Yes,
    /// It is there and cannot be, or is no path and nowhere on PATH.
    No,
    /// An absolute path to nothing: a program that comes later, as likely as an argument.
    Perhaps,
}

/// Looks the word up as execvp(3) would.
pub(crate) fn look_up(word: &str, search: &str, directory: &Path) -> Program {
    let executable = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let path = directory.join(word);
    let found = if word.contains('/') {
        executable(&path)
    } else {
        search.split(':').any(|part| executable(&directory.join(part).join(word)))
    };
    match found {
        true => Program::Yes,
        false if word.starts_with('/') && !path.exists() => Program::Perhaps,
        false => Program::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(commands: &[&str]) -> Option<String> {
        let commands: Vec<String> = commands.iter().map(|&command| command.to_owned()).collect();
        let executable = |word: &str| match word {
            "nginx" | "sshd" | "/usr/sbin/sshd" | "bash" | "python3" => Program::Yes,
            word if word.starts_with("/opt/") => Program::Perhaps,
            _ => Program::No,
        };
        find(&commands, &|word| word == "web", &executable)
    }

    fn rewritten(commands: &[&str]) -> String {
        told(commands).unwrap().rsplit("musterd ").next().unwrap().to_owned()
    }

    #[test]
    fn the_line_is_rewritten_with_quotes() {
        assert_eq!(rewritten(&["nginx", "-g", "daemon off;"]), "'nginx -g \"daemon off;\"'");
        assert_eq!(rewritten(&["sleep", "100"]), "\"sleep 100\"");
        assert_eq!(rewritten(&["python3", "app.py", "-v"]), "\"python3 app.py -v\"");
        assert_eq!(rewritten(&["a b", "nginx", "-t"]), "\"a b\" \"nginx -t\"");
        assert_eq!(rewritten(&["sh", "-c", "echo \"$X\" 'y'"]).matches("sh -c").count(), 1);
        assert_eq!(rewritten(&["sshd", "--set", "a=b"]), "\"sshd --set a=b\"");
    }

    #[test]
    fn what_may_be_right_is_not_told() {
        for commands in [
            &["nginx"][..],
            &["nginx", "sshd"],
            &["nginx", "/opt/later"],
            &["nginx", "web"],
            &["/etc/init.d/apache2 start", "typo"],
            &["nginx", "sshd -D"],
            &["typo"],
            &["sleep 1", "sleep 2"],
            &["nginx", "typo", "sshd"],
        ] {
            assert_eq!(told(commands), None, "{commands:?}");
        }
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn programs_are_looked_up_on_the_path() {
        let look = |word| look_up(word, "/nowhere:/bin", Path::new("/"));
        assert_eq!(look("sh"), Program::Yes);
        assert_eq!(look("/bin/sh"), Program::Yes);
        assert_eq!(look("/etc/passwd"), Program::No);
        assert_eq!(look("100"), Program::No);
        assert_eq!(look("/no/such/program"), Program::Perhaps);
    }
}
