//! `musterd ctl` as people and programs see it: the real binary against a manager that the test plays.
//!
//! What it prints is compared with the files `tests/snapshots/ctl-*.txt`; with `UPDATE_SNAPSHOTS=1` in the
//! environment they are written anew, to be looked at in the diff.

#![expect(clippy::unwrap_used, reason = "what helps a test may panic as the test may")]

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use libtest_mimic::{Arguments, Trial};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Far longer than a client needs to connect.
const LIMIT: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

const RUNNING: &str = r#"{"name":"apache2","state":"running","wanted":true,"pid":173,"restarts":1,"reason":"restarted: main process 32 killed by SIGKILL","since":"2026-11-21T12:00:00Z","seconds":12.5,"cpu":0.12,"cpu_over":1.0,"memory":10276045,"children":3}"#;
const DAEMON: &str = r#"{"name":"sshd","state":"running","wanted":true,"pid":20,"restarts":0,"reason":"daemonised by pid 19","since":"2026-11-21T11:57:00Z","seconds":192.0,"cpu":0.0,"cpu_over":1.0,"memory":4299161,"children":0}"#;
const MISSING: &str = r#"{"name":"web","state":"backoff","wanted":true,"pid":null,"restarts":7,"reason":"cannot execute /srv/web: permission denied; trying again in 4s","since":"2026-11-21T12:00:00Z","seconds":1.25}"#;
const STOPPED: &str = r#"{"name":"mail","state":"stopped","wanted":false,"pid":null,"restarts":0,"reason":"stopped by ctl (uid 0, pid 99)","since":"2026-11-21T12:00:00Z","seconds":90.0}"#;
const STUCK: &str = r#"{"name":"db","state":"stopping","wanted":false,"pid":5,"restarts":0,"reason":"SIGKILL sent to pid 5","since":"2026-11-21T12:00:00Z","seconds":6.0}"#;
const UNWELL: &str = r#"{"name":"api","state":"unhealthy","wanted":true,"pid":9,"restarts":0,"reason":"its check fails: http://127.0.0.1/ answers 503","since":"2026-11-21T12:00:00Z","seconds":6.0}"#;
const TASK: &str = r#"{"name":"migrate","state":"exited","wanted":true,"pid":null,"restarts":0,"reason":"done","since":"2026-11-21T12:00:00Z","seconds":6.0}"#;
const WHOLE: &str = r#"{"name":"web","state":"running","wanted":true,"pid":9,"restarts":1,"reason":"restarted: main process 7 killed by SIGKILL","since":"2026-11-21T12:00:00Z","seconds":75.0,"cpu":2.5,"cpu_over":60.0,"memory":4299161,"children":1,"next_check":"2026-11-21T12:01:20.000Z","health":{"well":true,"checked":"2026-11-21T12:01:10Z","failed":0,"retries":3,"failure":null},"last_exits":[{"time":"2026-11-21T12:00:00.000Z","pid":7,"text":"killed by SIGKILL","code":null,"signal":"SIGKILL","core":false,"oom":false}],"detail":[{"name":"found","value":"started"},{"name":"start","value":"/srv/web --port 80"}]}"#;
const LOSING: &str =
    r#""log_failures":[{"to":"/var/log/web.log","cause":"no space left on device","lost_lines":1234}]"#;
const EVENTS: &str = r#"{"number":3,"time":"2026-11-21T12:00:00.000Z","service":"web","pid":7,"event":"exit","code":null,"signal":"SIGKILL","core":false,"oom":false},{"number":4,"time":"2026-11-21T12:00:00.000Z","service":"web","pid":null,"event":"state","from":"running","to":"starting","cause":"exit","reason":"main process 7 killed by SIGKILL"},{"number":5,"time":"2026-11-21T12:00:00.001Z","service":"web","pid":9,"event":"message","level":"info","message":"started","cause":"main process 7 killed by SIGKILL","consequence":null},{"number":6,"time":"2026-11-21T12:00:00.001Z","service":"web","pid":9,"event":"state","from":"starting","to":"running","cause":"exit","reason":"restarted: main process 7 killed by SIGKILL"},{"number":7,"time":"2026-11-21T12:00:01.000Z","service":"web","pid":null,"event":"request","verb":"stop","uid":0,"client":99},{"number":8,"time":"2026-11-21T12:00:02.000Z","service":null,"pid":null,"event":"message","level":"info","message":"shutting down","cause":"SIGTERM\u001b","consequence":"stopping everything"},{"number":9,"time":"2026-11-21T12:00:03.000Z","service":"web","pid":null,"event":"eclipse","moon":"new"}"#;
const HOSTILE: &str = r#"{"name":"x","state":"starting","wanted":true,"pid":8,"restarts":0,"reason":"\u001b[2Jcleared\nyour screen","since":"2026-11-21T12:00:00Z","seconds":0.0}"#;

fn services(services: &[&str]) -> String {
    format!(r#"{{"result":"services","services":[{}]}}"#, services.join(","))
}

/// A folder of the test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = env::temp_dir().join(format!("musterd-ctl-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("musterd.sock")
    }

    fn ctl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_musterd"));
        command.arg("ctl").args(arguments).env_clear().env("MUSTERD_SOCKET", self.socket());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs the command, takes its one request, answers; gives the request and what the command made of it.
fn converse(mut command: Command, socket: &Path, answer: &str) -> (String, Output) {
    let listener = UnixListener::bind(socket).unwrap();
    let child = command.spawn().unwrap();
    let mut wait = [PollFd::new(&listener, PollFlags::IN)];
    assert_eq!(poll(&mut wait, Some(&LIMIT)).unwrap(), 1, "ctl did not connect");
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut request = String::new();
    BufReader::new(&stream).read_line(&mut request).unwrap();
    stream.write_all(answer.as_bytes()).unwrap();
    drop(stream);
    let output = child.wait_with_output().unwrap();
    fs::remove_file(socket).unwrap();
    (request, output)
}

/// A transcript: the command, what it asked, what it printed, its exit code.
#[derive(Default)]
struct Transcript(String);

impl Transcript {
    fn say(&mut self, folder: &Folder, arguments: &[&str], answer: Option<&str>) {
        let line = ["musterd", "ctl"].iter().chain(arguments).copied().collect::<Vec<_>>().join(" ");
        self.0 += &format!("$ {line}\n");
        let output = match answer {
            Some(answer) => {
                let answer = format!("{answer}\n");
                let (request, output) = converse(folder.ctl(arguments), &folder.socket(), &answer);
                // Each is of the same version.
                let request = request.replace(",\"protocol\":1}", "}");
                self.0 += &format!("→ {request}");
                output
            }
            None => folder.ctl(arguments).output().unwrap(),
        };
        let us = format!("/proc/{}/", std::process::id());
        let replace = |text: Vec<u8>| {
            let text = String::from_utf8(text).unwrap();
            text.replace(folder.0.to_str().unwrap(), "/FOLDER").replace(&us, "/proc/PID/")
        };
        self.0 += &replace(output.stdout);
        for error in replace(output.stderr).lines() {
            self.0 += format!("! {error}").trim_end();
            self.0.push('\n');
        }
        self.0 += &format!("exit {}\n\n", output.status.code().unwrap());
    }

    fn check(self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/ctl-{name}.txt"));
        if env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(&path, &self.0).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert!(self.0 == expected, "{} says\n{expected}\nbut it was\n{}", path.display(), self.0);
    }
}

fn status_is_a_table_or_json() {
    let folder = Folder::new("status");
    let mut transcript = Transcript::default();
    let mut say = |arguments: &[&str], answer: &[&str]| {
        transcript.say(&folder, arguments, Some(&services(answer)));
    };
    say(&["status"], &[RUNNING, DAEMON, STOPPED]);
    say(&["status"], &[RUNNING, DAEMON, MISSING, STOPPED]);
    say(&["status", "sshd"], &[DAEMON]);
    say(&["status", "x"], &[HOSTILE]);
    say(&["status", "--json", "apache2", "web"], &[RUNNING, MISSING]);
    say(&["status", "--json"], &[STOPPED]);
    transcript.check("status");
}

fn one_service_is_told_in_full() {
    let folder = Folder::new("detail");
    let mut transcript = Transcript::default();
    let mut say = |arguments: &[&str], answer: &str| transcript.say(&folder, arguments, Some(answer));
    say(&["status", "web"], &services(&[WHOLE]));
    let losing = WHOLE.replace(r#""last_exits""#, &format!("{LOSING},\"last_exits\""));
    say(&["status", "web"], &services(&[&losing]));
    say(&["status", "--json", "web"], &services(&[&losing]));
    say(&["status", "--json", "web"], &services(&[WHOLE]));
    let story = format!(r#"{{"result":"story","service":{WHOLE},"events":[{EVENTS}],"forgotten":2}}"#);
    say(&["why", "web"], &story);
    say(&["why", "--json", "web"], &story);
    say(&["why", "wbe"], r#"{"result":"no-such-service","names":["wbe"],"known":["web"]}"#);
    transcript.say(&folder, &["why"], None);
    transcript.say(&folder, &["status", "--watch", "--json"], None);
    transcript.say(&folder, &["why", "--help"], None);
    transcript.check("detail");
}

fn events_are_lines_for_people_and_programs() {
    let folder = Folder::new("events");
    let mut transcript = Transcript::default();
    let answer = |missed: u64, more: bool| {
        format!(
            r#"{{"result":"events","version":1,"events":[{EVENTS}],"next":9,"missed":{missed},"more":{more}}}"#
        )
    };
    let mut say = |arguments: &[&str], answer: &str| transcript.say(&folder, arguments, Some(answer));
    say(&["events"], &answer(2, false));
    say(&["events", "--json", "web"], &answer(2, false));
    // The manager hangs up before the next ones.
    say(&["events", "-f"], &answer(0, false));
    say(&["events"], &answer(0, true));
    transcript.say(&folder, &["events", "--help"], None);
    transcript.check("events");
}

/// A second answer, and what it says to have been missed.
fn what_was_missed_is_told() {
    let folder = Folder::new("missed");
    let answer = |next: u64, missed: u64, more: bool| {
        format!(
            r#"{{"result":"events","version":1,"events":[],"next":{next},"missed":{missed},"more":{more}}}"#
        )
    };
    let told = |arguments: &[&str]| {
        let answers = [answer(5, 5, true), answer(9, 3, false)].map(|answer| answer + "\n");
        let listener = UnixListener::bind(folder.socket()).unwrap();
        let child = folder.ctl(arguments).spawn().unwrap();
        let mut wait = [PollFd::new(&listener, PollFlags::IN)];
        assert_eq!(poll(&mut wait, Some(&LIMIT)).unwrap(), 1, "ctl did not connect");
        let (stream, _) = listener.accept().unwrap();
        let mut requests = BufReader::new(&stream);
        let mut afters = Vec::new();
        for answer in answers {
            let mut request = String::new();
            requests.read_line(&mut request).unwrap();
            afters.push(request.contains(r#""after":5"#));
            (&stream).write_all(answer.as_bytes()).unwrap();
        }
        assert_eq!(afters, [false, true], "each request goes on where the answer before ends");
        let output = child.wait_with_output().unwrap();
        fs::remove_file(folder.socket()).unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(told(&["events"]), "-- 3 events missed --\n");
    assert_eq!(told(&["events", "--json"]), "{\"version\":1,\"event\":\"missed\",\"missed\":3}\n");
}

fn health_names_what_is_not_well() {
    let folder = Folder::new("health");
    let mut transcript = Transcript::default();
    let mut say = |answer: &[&str]| transcript.say(&folder, &["health"], Some(&services(answer)));
    say(&[RUNNING, DAEMON, STOPPED]);
    say(&[RUNNING, MISSING, HOSTILE, UNWELL, STUCK]);
    say(&[TASK]);
    transcript.say(&folder, &["health"], Some(r#"{"result":"refused","reason":"busy"}"#));
    transcript.say(&folder, &["health"], None);
    transcript.say(&folder, &["health", "web"], None);
    transcript.check("health");
}

fn commands_show_what_they_touched() {
    let folder = Folder::new("commands");
    let mut transcript = Transcript::default();
    let mut say = |arguments: &[&str], answer: &[&str]| {
        transcript.say(&folder, arguments, Some(&services(answer)));
    };
    say(&["start", "apache2"], &[RUNNING]);
    say(&["start", "apache2", "web"], &[RUNNING, MISSING]);
    say(&["restart", "all"], &[RUNNING, DAEMON]);
    say(&["restart", "web"], &[MISSING]);
    say(&["stop", "mail"], &[STOPPED]);
    say(&["stop", "mail", "db"], &[STOPPED, STUCK]);
    say(&["stop", "--no-wait", "db"], &[STUCK]);
    say(&["reload", "apache2"], &[RUNNING]);
    say(&["signal", "sighup", "apache2", "sshd"], &[RUNNING, DAEMON]);
    say(&["check"], &[RUNNING, MISSING]);
    say(&["check", "--json", "sshd"], &[DAEMON]);
    let mut say = |arguments: &[&str], answer: &str| transcript.say(&folder, arguments, Some(answer));
    let failures = r#"{"name":"web","reason":"reload command 9 exited 1"}"#;
    say(&["reload", "web", "sshd"], &format!(r#"{{"result":"failed","failures":[{failures}]}}"#));
    say(&["reload", "mail"], r#"{"result":"refused","reason":"service \"mail\" is stopped"}"#);
    say(&["shutdown"], r#"{"result":"done"}"#);
    for misuse in [
        &["signal", "HUP"][..],
        &["signal", "HPU", "web"],
        &["reload", "--dry-run", "web"],
        &["reload", "--timeout", "5s"],
        &["restart", "web", "--timeout", "soon"],
        &["restart", "web", "--timeout", "5s", "--no-wait"],
        &["restrat", "web"],
    ] {
        transcript.say(&folder, misuse, None);
    }
    transcript.check("commands");
}

/// Answers each request with the next of these, on one connection after another where one hangs up; says what was asked.
fn converse_on(mut command: Command, socket: &Path, answers: &[Option<String>]) -> (Vec<String>, Output) {
    let listener = UnixListener::bind(socket).unwrap();
    let child = command.spawn().unwrap();
    let (mut asked, mut stream) = (Vec::new(), None::<BufReader<UnixStream>>);
    let mut silent = Vec::new();
    for answer in answers {
        let mut reader = stream.take().unwrap_or_else(|| {
            let mut wait = [PollFd::new(&listener, PollFlags::IN)];
            assert_eq!(poll(&mut wait, Some(&LIMIT)).unwrap(), 1, "ctl did not connect");
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            BufReader::new(stream)
        });
        let mut request = String::new();
        reader.read_line(&mut request).unwrap();
        asked.push(request.trim_end().replace(",\"protocol\":1}", "}"));
        match answer {
            Some(answer) => {
                reader.get_mut().write_all(format!("{answer}\n").as_bytes()).unwrap();
                stream = Some(reader);
            }
            // It waits in vain.
            None => silent.push(reader),
        }
    }
    let output = child.wait_with_output().unwrap();
    fs::remove_file(socket).unwrap();
    (asked, output)
}

fn patterns_become_names() {
    let folder = Folder::new("patterns");
    let all = Some(services(&[RUNNING, DAEMON, MISSING, STOPPED]));
    let answer = Some(services(&[RUNNING, MISSING]));
    let command = folder.ctl(&["start", "--no-wait", "*[eb]*", "apache2"]);
    let (asked, output) = converse_on(command, &folder.socket(), &[all.clone(), answer]);
    assert_eq!(
        asked,
        [
            r#"{"verb":"status","names":[]}"#,
            r#"{"verb":"start","names":["apache2","web","apache2"],"wait":false}"#
        ]
    );
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));

    let (asked, output) = converse_on(folder.ctl(&["stop", "web", "x*"]), &folder.socket(), &[all]);
    assert_eq!(asked.len(), 1, "nothing is stopped: {asked:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told, "musterd: cannot find a service \"x*\": there are apache2, sshd, web, mail\n");
    assert_eq!(output.status.code(), Some(4));
}

/// What comes of a manager that answers so to one who follows two services.
fn following(arguments: &[&str], answers: &[String]) -> (Vec<String>, Output) {
    let folder = Folder::new("following");
    let answers: Vec<Option<String>> = answers.iter().cloned().map(Some).collect();
    converse_on(folder.ctl(arguments), &folder.socket(), &answers)
}

fn who_follows_services_that_are_removed_comes_to_an_end() {
    let gone = |name: &str| format!(r#"{{"result":"no-such-service","names":["{name}"],"known":["mail"]}}"#);
    let lines = |next: u64| {
        let line = r#"{"time":"2026-11-21T12:00:00.000000Z","service":"web","stream":"stdout","pid":7,"message":"bye"}"#;
        format!(r#"{{"result":"lines","lines":[{line}],"next":{next},"more":false}}"#)
    };
    let events = |next: u64| {
        format!(r#"{{"result":"events","version":1,"events":[],"next":{next},"missed":0,"more":false}}"#)
    };
    let (asked, output) =
        following(&["logs", "-f", "web", "db"], &[lines(3), gone("web"), lines(5), gone("db")]);
    let request = |names: &str, after: u64, follow: bool| {
        format!(
            r#"{{"verb":"logs","names":[{names}],"after":{after},"lines":null,"since":null,"follow":{follow}}}"#
        )
    };
    let (both, one) = (r#""web","db""#, r#""db""#);
    assert_eq!(
        asked,
        [request(both, 0, false), request(both, 3, true), request(one, 3, true), request(one, 5, true)]
    );
    let words = |output: &Output| String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
    let told = "musterd: service \"web\" was removed\nmusterd: service \"db\" was removed\n";
    assert_eq!(words(&output), format!("web | bye\nweb | bye\n{told}"));
    assert_eq!(output.status.code(), Some(0));

    let (_, output) = following(&["events", "-f", "--json", "web"], &[events(3), gone("web")]);
    assert_eq!(words(&output), "musterd: service \"web\" was removed\n");
    assert_eq!(output.status.code(), Some(0));
    // Another one than was asked for: a manager that is not well.
    let (_, output) = following(&["events", "-f", "web"], &[events(3), gone("db")]);
    assert_eq!(output.status.code(), Some(4));
}

fn whose_patience_is_over_is_told_how_far_it_is() {
    let folder = Folder::new("late");
    let stuck = Some(services(&[STUCK]));
    let command = folder.ctl(&["stop", "db", "--timeout", "20ms"]);
    let (asked, output) = converse_on(command, &folder.socket(), &[None, stuck]);
    assert_eq!(asked, [r#"{"verb":"stop","names":["db"]}"#, r#"{"verb":"status","names":["db"]}"#]);
    let told = String::from_utf8(output.stderr).unwrap();
    let not = "musterd: service \"db\" has not stopped: SIGKILL sent to pid 5\n";
    assert_eq!(told, format!("{not}musterd: not done within 20ms; it goes on\n"));
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stdout).unwrap().contains("stopping"));
}

fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = Folder::new("pipe");
    let (read_end, write_end) = nix::unistd::pipe().unwrap();
    drop(read_end);
    let mut command = folder.ctl(&["status"]);
    command.stdout(write_end);
    let (_, output) = converse(command, &folder.socket(), &(services(&[RUNNING]) + "\n"));
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

fn logs_are_lines_with_marks() {
    let folder = Folder::new("logs");
    let mut transcript = Transcript::default();
    let line = |service: &str, stream: &str, message: &str| {
        format!(
            r#"{{"time":"2026-11-21T12:00:00.000000Z","service":"{service}","stream":"{stream}","pid":7,"message":"{message}"}}"#
        )
    };
    let lines = [
        line("web", "stdout", "GET / 200"),
        line("mail", "stderr", "cannot send"),
        line("web", "musterd", "ended: main process 7 killed by SIGKILL"),
        line("x\\u001b[2J", "musterd", "y\\n\\u001b[2J"),
    ];
    let answer =
        |more: bool| format!(r#"{{"result":"lines","lines":[{}],"next":9,"more":{more}}}"#, lines.join(","));
    let mut say = |arguments: &[&str], answer: &str| transcript.say(&folder, arguments, Some(answer));
    say(&["logs"], &answer(false));
    say(&["logs", "-n", "5", "--since", "2026-11-21T11:00:00Z", "web", "mail"], &answer(false));
    say(&["logs", "--json"], &answer(false));
    // The manager hangs up before the next page.
    say(&["logs"], &answer(true));
    say(&["logs", "-f"], &answer(false));
    say(&["logs", "wbe"], r#"{"result":"no-such-service","names":["wbe"],"known":["web"]}"#);
    say(&["reopen"], r#"{"result":"done"}"#);
    say(&["log-level", "debug"], r#"{"result":"done"}"#);
    transcript.say(&folder, &["log-level", "loud"], None);
    transcript.say(&folder, &["logs", "--since", "yesterday"], None);
    transcript.say(&folder, &["logs", "--help"], None);
    transcript.check("logs");
}

fn a_reload_shows_what_it_changes() {
    let folder = Folder::new("reload");
    let mut transcript = Transcript::default();
    let mut say = |arguments: &[&str], answer: &str| transcript.say(&folder, arguments, Some(answer));
    let key = |key: &str, old: &str, new: &str, effect: &str| {
        format!(r#"{{"key":"{key}","old":{old},"new":{new},"effect":"{effect}"}}"#)
    };
    let service = |name: &str, change: &str, effect: &str, keys: &[String]| {
        let keys = keys.join(",");
        format!(r#"{{"name":"{name}","change":"{change}","effect":"{effect}","keys":[{keys}]}}"#)
    };
    let start = key("start", r#""\"/srv/web\"""#, r#""\"/srv/web -v\"""#, "restarts");
    let interval = key("interval", r#""\"60s\"""#, r#""\"5s\"""#, "applied");
    let secret = key("environment.KEY", "null", r#""{ file = \"/run/secrets/key\" }""#, "restarts");
    let services = [
        service("web", "changed", "restarts", &[start, secret, interval.clone()]),
        service("api", "changed", "applied", &[interval]),
        service("db", "added", "applied", &[key("start", "null", r#""\"/srv/db\"""#, "applied")]),
        service("old\\u001b[2J", "removed", "restarts", &[]),
    ];
    let manager = [
        key("log-level", r#""\"info\"""#, r#""\"debug\"""#, "applied"),
        key("socket", "null", r#""\"/run/x.sock\"""#, "needs-new-start"),
    ];
    let answer = |dry_run: bool, manager: &[String], services: &[String], unchanged: usize| {
        let (manager, services) = (manager.join(","), services.join(","));
        format!(
            r#"{{"result":"changes","dry_run":{dry_run},"manager":[{manager}],"services":[{services}],"unchanged":{unchanged},"warnings":["/etc/musterd.toml:2:1: x"]}}"#
        )
    };
    say(&["reload"], &answer(false, &manager, &services, 3));
    say(&["reload", "--dry-run"], &answer(true, &[], &services[..1], 1));
    say(&["reload"], &answer(false, &[], &[], 4));
    say(&["reload", "--json"], &answer(false, &[], &services[1..2], 4));
    let report = r#"/etc/musterd.toml:2:12: cannot use interval \"0s\"\n    2 | x\n      | ^\n"#;
    say(&["reload"], &format!(r#"{{"result":"wrong-configuration","report":"{report}","count":"1 error"}}"#));
    say(
        &["reload", "--json"],
        &format!(r#"{{"result":"wrong-configuration","report":"{report}","count":"1 error"}}"#),
    );
    say(&["reload"], r#"{"result":"refused","reason":"musterd is shutting down"}"#);
    say(&["reload", "--json"], r#"{"result":"refused","reason":"musterd is shutting down"}"#);
    transcript.say(&folder, &["reload", "--help"], None);
    transcript.check("reload");
}

fn errors_say_what_to_do() {
    let folder = Folder::new("errors");
    let mut transcript = Transcript::default();
    transcript.say(&folder, &["status"], None);
    let mut say = |arguments: &[&str], answer: &str| transcript.say(&folder, arguments, Some(answer));
    let known = r#""known":["apache2","sshd"]"#;
    say(
        &["stop", "apach", "db"],
        &format!(r#"{{"result":"no-such-service","names":["apach","db"],{known}}}"#),
    );
    say(&["status"], r#"{"result":"refused","reason":"musterd is shutting down"}"#);
    let unknown = format!(r#"{{"result":"no-such-service","names":["apach"],{known}}}"#);
    for verb in [&["status"][..], &["why"], &["check"], &["logs"], &["events", "-f"]] {
        say(&[verb, &["--json", "apach"]].concat(), &unknown);
    }
    say(&["status"], r#"{"result":"poem","lines":[]}"#);
    say(&["status"], r#"{"result":"services","services":[],"protocol":2}"#);
    let told = "cannot understand the request: unknown variant `status`; this is musterd 0.0.9, protocol 1";
    say(&["status"], &format!(r#"{{"result":"refused","reason":"{told}","protocol":1}}"#));
    say(&["status"], r#"HTTP/1.1 400 Bad Request"#);
    transcript.say(&folder, &[], None);
    transcript.say(&folder, &["start"], None);
    transcript.say(&folder, &["stat"], None);
    transcript.say(&folder, &["status", "--jsno"], None);
    transcript.check("errors");
}

fn help_tells_of_exit_codes_and_sockets() {
    let folder = Folder::new("help");
    let mut transcript = Transcript::default();
    for arguments in [
        &["--help"][..],
        &["status", "--help"],
        &["start", "--help"],
        &["signal", "--help"],
        &["health", "--help"],
    ] {
        transcript.say(&folder, arguments, None);
    }
    transcript.check("help");
}

fn fields_of_a_newer_manager_are_no_trouble() {
    let folder = Folder::new("newer");
    let newer = RUNNING.replace(r#""pid":173"#, r#""pid":173,"memory":4096"#);
    let (_, output) = converse(folder.ctl(&["status"]), &folder.socket(), &(services(&[&newer]) + "\n"));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

fn a_manager_that_hangs_up_halfway_gave_no_answer() {
    let folder = Folder::new("half");
    let (_, output) =
        converse(folder.ctl(&["status"]), &folder.socket(), r#"{"result":"services","services":["#);
    let told = String::from_utf8(output.stderr).unwrap();
    let socket = folder.socket();
    assert_eq!(told, format!("musterd: cannot get an answer from {}: it hung up\n", socket.display()));
    assert_eq!(output.status.code(), Some(4));
}

fn the_socket_is_the_named_one_or_the_configured_or_a_usual_one() {
    let folder = Folder::new("which");
    let path = |name: &str| folder.0.join(name);
    fs::create_dir(path("run")).unwrap();
    fs::write(path("musterd.toml"), format!("[manager]\nsocket = {:?}\n", path("configured"))).unwrap();
    fs::write(path("broken.toml"), "[manager\n").unwrap();
    let asks = |socket: &Path, change: &dyn Fn(&mut Command)| {
        let mut command = folder.ctl(&["status"]);
        command.env("MUSTERD_SOCKET", path("environment"));
        command.env("MUSTERD_CONFIG", path("musterd.toml")).env("XDG_RUNTIME_DIR", path("run"));
        change(&mut command);
        let (_, output) = converse(command, socket, &(services(&[RUNNING]) + "\n"));
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    };
    asks(&path("named"), &|command| {
        command.arg("--socket").arg(path("named"));
    });
    asks(&path("environment"), &|_| ());
    asks(&path("configured"), &|command| {
        command.env("MUSTERD_SOCKET", "");
    });
    asks(&path("configured"), &|command| {
        let files = format!("{}:{}", path("musterd.toml").display(), path("broken.toml").display());
        command.env("MUSTERD_SOCKET", "").env("MUSTERD_CONFIG", files);
    });
    asks(&path("set"), &|command| {
        let set = format!("manager.socket={}", path("set").display());
        command.env("MUSTERD_SOCKET", "").env("MUSTERD_SET", set);
    });
}

fn without_a_configured_socket_the_usual_places_are_asked() {
    let folder = Folder::new("usual");
    let run = folder.0.join("run");
    fs::create_dir(&run).unwrap();
    fs::write(folder.0.join("broken.toml"), "[manager\n").unwrap();
    let mut command = folder.ctl(&["status"]);
    command.env_remove("MUSTERD_SOCKET").env("MUSTERD_CONFIG", folder.0.join("broken.toml"));
    command.env("XDG_RUNTIME_DIR", &run);
    let (_, output) = converse(command, &run.join("musterd.sock"), &(services(&[RUNNING]) + "\n"));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

fn an_answer_that_cannot_be_written_is_no_success() {
    let folder = Folder::new("full");
    let mut command = folder.ctl(&["status", "--json"]);
    command.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    let (_, output) = converse(command, &folder.socket(), &(services(&[RUNNING]) + "\n"));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("musterd: cannot write the answer: No space left on device"), "{told}");
    assert_eq!(output.status.code(), Some(1));
}

fn main() {
    let arguments = Arguments::from_args();
    let is_managed = UnixStream::connect("/run/musterd.sock").is_ok();
    if is_managed {
        eprintln!("ctl: the test of the usual places ignored: a musterd runs on this machine");
    }
    let tests = [
        ("status_is_a_table_or_json", status_is_a_table_or_json as fn(), false),
        ("one_service_is_told_in_full", one_service_is_told_in_full as fn(), false),
        ("events_are_lines_for_people_and_programs", events_are_lines_for_people_and_programs as fn(), false),
        ("what_was_missed_is_told", what_was_missed_is_told as fn(), false),
        ("health_names_what_is_not_well", health_names_what_is_not_well as fn(), false),
        ("commands_show_what_they_touched", commands_show_what_they_touched as fn(), false),
        ("patterns_become_names", patterns_become_names, false),
        (
            "who_follows_services_that_are_removed_comes_to_an_end",
            who_follows_services_that_are_removed_comes_to_an_end,
            false,
        ),
        ("whose_patience_is_over_is_told_how_far_it_is", whose_patience_is_over_is_told_how_far_it_is, false),
        ("a_reader_that_has_seen_enough_is_no_error", a_reader_that_has_seen_enough_is_no_error, false),
        ("logs_are_lines_with_marks", logs_are_lines_with_marks as fn(), false),
        ("a_reload_shows_what_it_changes", a_reload_shows_what_it_changes as fn(), false),
        ("errors_say_what_to_do", errors_say_what_to_do as fn(), false),
        ("help_tells_of_exit_codes_and_sockets", help_tells_of_exit_codes_and_sockets as fn(), false),
        ("fields_of_a_newer_manager_are_no_trouble", fields_of_a_newer_manager_are_no_trouble as fn(), false),
        (
            "a_manager_that_hangs_up_halfway_gave_no_answer",
            a_manager_that_hangs_up_halfway_gave_no_answer as fn(),
            false,
        ),
        (
            "the_socket_is_the_named_one_or_the_configured_or_a_usual_one",
            the_socket_is_the_named_one_or_the_configured_or_a_usual_one as fn(),
            false,
        ),
        (
            "without_a_configured_socket_the_usual_places_are_asked",
            without_a_configured_socket_the_usual_places_are_asked as fn(),
            is_managed,
        ),
        (
            "an_answer_that_cannot_be_written_is_no_success",
            an_answer_that_cannot_be_written_is_no_success as fn(),
            false,
        ),
    ];
    let trials = tests.into_iter().map(|(name, test, ignored)| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(ignored)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
