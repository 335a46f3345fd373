//! What people read, compared with tests/snapshots/config. `UPDATE_SNAPSHOTS=1` writes it anew.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

fn snapshots() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/config"))
}

fn musterd(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_musterd"))
        .args(arguments)
        .current_dir(snapshots())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap()
}

fn same(name: &str, text: &[u8]) {
    let path = snapshots().join(name);
    let text = String::from_utf8(text.to_vec()).unwrap();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{} differs; expected:\n{expected}\ngot:\n{text}", path.display());
}

/// The report on stderr, exit code 2, and nothing on stdout.
fn refused(name: &str, arguments: &[&str]) {
    let output = musterd(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    assert!(output.stdout.is_empty());
    same(name, &output.stderr);
}

#[test]
fn every_error_of_every_layer_is_in_one_report() {
    refused(
        "errors.txt",
        &[
            "--config",
            "errors.toml",
            "--set",
            "services.web.interval=5",
            "--set",
            "manager.log-levle=info",
            "--set",
            "nonsense",
            "--only",
            "wbe",
            "sshd",
            "cron 'x",
        ],
    );
}

#[test]
fn check_gives_the_same_report() {
    refused("check-errors.txt", &["check", "--config", "syntax.toml"]);
}

#[test]
fn an_unreadable_file_is_told() {
    refused("absent.txt", &["--config", "absent.toml", "sshd"]);
}

#[test]
fn an_unquoted_command_is_shown_with_quotes() {
    refused("unquoted.txt", &["--config", "valid.toml", "nginx", "-g", "daemon off;"]);
}

#[test]
fn nothing_to_manage_says_what_to_do() {
    refused("nothing.txt", &["--config", "/dev/null"]);
}

#[test]
fn a_misspelt_option_is_told() {
    refused("option.txt", &["--sett", "a=b", "sshd"]);
}

#[test]
fn the_environment_is_a_layer() {
    let output = Command::new(env!("CARGO_BIN_EXE_musterd"))
        .args(["check", "--only", "db"])
        .current_dir(snapshots())
        .env_clear()
        .env("MUSTERD_CONFIG", "valid.toml")
        .env("MUSTERD_SET", "manager.log-level=debug\nservices.db.interval=7s\n")
        .env("MUSTERD_SOCKET", "/run/env.sock")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    same("environment.txt", &output.stdout);
}

#[test]
fn the_table_of_keys_is_markdown() {
    same("keys.md", musterd::config::markdown().as_bytes());
}

#[test]
fn the_readme_has_the_table_of_keys() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    assert!(
        readme.contains(musterd::config::markdown().trim()),
        "put tests/snapshots/config/keys.md into README.md"
    );
}

#[test]
fn help_is_designed() {
    for (name, arguments) in [("help.txt", &["--help"][..]), ("check-help.txt", &["check", "--help"])] {
        let output = musterd(arguments);
        assert_eq!(output.status.code(), Some(0));
        same(name, &output.stdout);
    }
}

#[test]
fn check_shows_where_each_value_is_from_and_reads_back() {
    let arguments = [
        "check",
        "--config",
        "valid.toml",
        "--set",
        "services.web.interval=1m",
        "--socket",
        "/run/m.sock",
        "A=1 /usr/sbin/sshd -D",
        "/opt/sshd",
        "nginx -t",
    ];
    let output = musterd(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    same("check.txt", &output.stdout);

    let printed = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("printed.toml");
    fs::write(&printed, &output.stdout).unwrap();
    let again = musterd(&["check", "--config", printed.to_str().unwrap()]);
    let values = |output: &Output| -> Vec<String> {
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        text.lines().map(|line| line.split("  # ").next().unwrap().trim_end().to_owned()).collect()
    };
    assert_eq!(values(&again), values(&output));
}

#[test]
fn the_configuration_of_the_image_is_valid() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/musterd.toml");
    let output = musterd(&["check", "--config", file, "sshd"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = fs::read_to_string(file).unwrap();
    let uncommented: String = shown
        .lines()
        .filter_map(|line| line.strip_prefix('#').filter(|line| !line.starts_with(' ')).or(Some(line)))
        .map(|line| format!("{line}\n"))
        .collect();
    let uncommented = uncommented.replace("after = [\"db\"]", "after = []");
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("uncommented.toml");
    fs::write(&path, uncommented).unwrap();
    let output = musterd(&["check", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
