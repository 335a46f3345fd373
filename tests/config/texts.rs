//! What people read, compared with tests/snapshots/config. `UPDATE_SNAPSHOTS=1` writes it anew.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::{Command, Output},
};

use musterd::config::{Sources, load};

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
fn every_wrong_value_of_a_services_life_is_told() {
    refused("life-errors.txt", &["check", "--config", "life-errors.toml", "--main", "bash 'x"]);
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
fn the_json_schema_is_printed() {
    let output = musterd(&["schema"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), musterd::config::json_schema());
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
    let [first, second] = [output, again].map(|output| String::from_utf8(output.stdout).unwrap());
    assert_eq!(values(&second), values(&first));
}

/// A configuration as root has it, whoever runs the test: warnings and what `check` prints.
fn as_root(file: PathBuf, main: Option<&str>) -> (String, String) {
    let sources = Sources {
        files: vec![file],
        directory: snapshots(),
        main: main.map(str::to_owned),
        ..Sources::default()
    };
    let (config, provenance) = load(&sources).unwrap_or_else(|report| panic!("{report}"));
    let warnings = config.warnings.iter().map(|warning| format!("{warning}\n")).collect();
    (warnings, provenance.to_string())
}

/// The values that were printed, without where they are from.
fn values(printed: &str) -> Vec<&str> {
    let values = printed.lines().map(|line| line.split("  # ").next().unwrap().trim_end());
    // Who has the terminal is no value: nothing in a file can say it.
    values.filter(|line| !line.starts_with("# with musterd's terminal")).collect()
}

#[test]
fn every_key_of_a_services_life_is_shown_and_reads_back() {
    let (warnings, shown) = as_root("life.toml".into(), Some("bash -l"));
    same("life-warnings.txt", warnings.as_bytes());
    same("life.txt", shown.as_bytes());
    let printed = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("printed-life.toml");
    fs::write(&printed, &shown).unwrap();
    let (_, again) = as_root(printed, None);
    assert_eq!(values(&again), values(&shown));
}

#[test]
fn warnings_of_check_are_on_stderr() {
    let output = musterd(&["check", "--config", "/dev/null", "cd /srv && ./app"]);
    assert_eq!(output.status.code(), Some(0));
    same("warnings.txt", &output.stderr);
    assert!(String::from_utf8(output.stdout).unwrap().contains("[services.cd]"));
}

#[test]
fn warnings_are_logged_at_the_start() {
    let folder = std::env::temp_dir().join(format!("musterd-warning-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let output = Command::new("timeout")
        .args(["-k", "5", "20", env!("CARGO_BIN_EXE_musterd"), "--config", "/dev/null", "--socket"])
        .arg(folder.join("socket"))
        .args(["--set", "services.cd.essential=true", "--set", "services.cd.restart=never", "cd / && true"])
        .output()
        .unwrap();
    fs::remove_dir_all(folder).unwrap();
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(told.contains("service \"cd\": no process is ever called"), "{told}");
    assert_ne!(output.status.code(), Some(124), "it ends by itself: {told}");
}

/// The program runs as an ordinary user, as whom the test may run itself.
#[test]
fn an_ordinary_user_is_told_what_only_root_can_do() {
    let root = nix::unistd::geteuid().is_root();
    // Another user may not reach the folder of the build.
    let folder = std::env::temp_dir().join(format!("musterd-ordinary-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.join("musterd");
    fs::copy(env!("CARGO_BIN_EXE_musterd"), &program).unwrap();
    for verb in [&["check"][..], &[]] {
        let mut command = Command::new(&program);
        command.args(verb).args(["--config", "/dev/null", "--set", "services.a.user=0", "--set"]);
        command.args(["services.a.nice=-20", "/bin/a"]).env_clear().current_dir("/");
        if root {
            command.uid(65534).gid(65534);
        }
        let output = command.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        let place =
            "--set services.a.user=0: service \"a\": cannot use user 0: only root can become another user";
        assert!(told.contains(place), "{told}");
        assert!(told.contains("cannot use nice -20: only root can lower the nice value"), "{told}");
    }
    fs::remove_dir_all(folder).unwrap();
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

    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("uncommented.toml");
    fs::write(&path, uncommented).unwrap();
    let (warnings, shown) = as_root(path, None);
    assert!(warnings.is_empty(), "{warnings}");
    assert!(shown.contains("[services.apache2]") && shown.contains("[services.migrate]"), "{shown}");
}
