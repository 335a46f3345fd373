//! Keys of whether and when a service is started again.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::{
    Test,
    common::wait,
    machine::{Folder, Machine},
};

pub(crate) const TESTS: &[Test] = &[
    ("restart_says_what_is_started_again", restart_says_what_is_started_again),
    ("success_exit_codes_are_no_failure", success_exit_codes_are_no_failure),
    ("interval_is_the_longest_absence", interval_is_the_longest_absence),
    ("backoff_initial_is_the_first_pause", backoff_initial_is_the_first_pause),
    ("backoff_factor_lengthens_the_pause", backoff_factor_lengthens_the_pause),
    ("backoff_max_ends_the_growth", backoff_max_ends_the_growth),
    ("stable_after_begins_the_backoff_anew", stable_after_begins_the_backoff_anew),
    ("start_limit_gives_up", start_limit_gives_up),
    ("start_limit_within_forgets", start_limit_within_forgets),
];

/// A service of this name that notes its start and then ends as `body` says.
fn service(folder: &Folder, name: &str, body: &str, keys: &str) -> String {
    let start = folder.script(name, &format!("echo $$ >>$folder/starts-{name}\n{body}"));
    format!("[services.{name}]\nstart = '{start}'\n{keys}\n")
}

fn one(test: &str, body: &str, keys: &str) -> Machine {
    let folder = Folder::new(test);
    let config = service(&folder, "web", body, keys);
    let config = folder.config(&config);
    Machine::start(folder, &["-c", &config])
}

fn starts(machine: &Machine, name: &str) -> usize {
    machine.folder.lines(&format!("starts-{name}")).len()
}

fn wait_starts(machine: &Machine, name: &str, count: usize) {
    wait(&format!("{name} is started {count} times"), || (starts(machine, name) >= count).then_some(()));
}

fn restart_says_what_is_started_again() {
    let folder = Folder::new("restart-key");
    let quick = "backoff = { initial = '1ms', factor = 1 }";
    let cases = [
        ("always-0", "exit 0", "always"),
        ("failure-0", "exit 0", "on-failure"),
        ("failure-1", "exit 1", "on-failure"),
        ("failure-kill", "kill -KILL $$", "on-failure"),
        ("never-1", "exit 1", "never"),
    ];
    let services = cases.map(|(name, body, restart)| {
        service(&folder, name, body, &format!("restart = '{restart}'\n{quick}"))
    });
    let config = folder.config(&services.concat());
    let machine = Machine::start(folder, &["-c", &config]);
    for name in ["always-0", "failure-1", "failure-kill"] {
        wait_starts(&machine, name, 4);
    }
    for name in ["failure-0", "never-1"] {
        let ended = machine.wait_service(name, "has ended", |service| service.state == "exited");
        assert_eq!((ended.pid, ended.restarts, starts(&machine, name)), (None, 0, 1), "{ended:?}");
    }
}

fn success_exit_codes_are_no_failure() {
    let folder = Folder::new("success");
    let keys =
        "restart = 'on-failure'\nsuccess-exit-codes = [0, 3]\nbackoff = { initial = '1ms', factor = 1 }";
    let services = [service(&folder, "three", "exit 3", keys), service(&folder, "four", "exit 4", keys)];
    let config = folder.config(&services.concat());
    let machine = Machine::start(folder, &["-c", &config]);
    machine.wait_service("three", "has ended", |three| three.state == "exited");
    wait_starts(&machine, "four", 3);
    assert_eq!(starts(&machine, "three"), 1);
}

fn interval_is_the_longest_absence() {
    let machine = one("interval", "exit 1", "interval = '200ms'\nbackoff = { initial = '1h', max = '1h' }");
    wait_starts(&machine, "web", 5);
}

/// The pause of a service that is in back-off after so many starts, to the second.
fn pause(machine: &Machine, after: usize) -> Duration {
    wait_starts(machine, "web", after);
    let service: Value = wait("it is in backoff", || {
        let status: Value = serde_json::from_slice(&machine.ctl(&["status", "--json"]).stdout).ok()?;
        (status[0]["state"] == "backoff").then(|| status[0].clone())
    });
    let time = |key: &str| {
        let text = service[key].as_str().unwrap_or_else(|| panic!("no {key}: {service}"));
        humantime::parse_rfc3339(text).expect("a time").duration_since(UNIX_EPOCH).expect("after 1970")
    };
    time("next_start") - time("since")
}

fn is_about(pause: Duration, expected: Duration) {
    // The pauses are spread so that not all come at once; half or the double is another factor.
    let (least, most) = (expected.mul_f64(0.75), expected.mul_f64(1.25));
    assert!(least <= pause && pause <= most, "{pause:?} is not {expected:?}");
}

const HOUR: Duration = Duration::from_secs(3600);

fn backoff_initial_is_the_first_pause() {
    let machine =
        one("initial", "exit 1", "interval = '9h'\nbackoff = { initial = '1h', factor = 2, max = '9h' }");
    is_about(pause(&machine, 2), HOUR);
}

fn backoff_factor_lengthens_the_pause() {
    let machine = one(
        "factor",
        "exit 1",
        "interval = '9h'\nbackoff = { initial = '100ms', factor = 36000, max = '9h' }",
    );
    is_about(pause(&machine, 3), HOUR);
}

fn backoff_max_ends_the_growth() {
    let keys = "interval = '9h'\nbackoff = { initial = '100ms', factor = 360000, max = '1h' }";
    let machine = one("max", "exit 1", keys);
    is_about(pause(&machine, 3), HOUR);
}

fn stable_after_begins_the_backoff_anew() {
    let hour = "interval = '9h'\nbackoff = { initial = '1h', max = '1h' }";
    let folder = Folder::new("stable");
    let long = "sleep 0.3; exit 1";
    let services = [
        service(&folder, "stable", long, &format!("stable-after = '100ms'\n{hour}")),
        service(&folder, "always", "exit 1", &format!("stable-after = '0s'\n{hour}")),
        service(&folder, "usual", long, hour),
    ];
    let config = folder.config(&services.concat());
    let machine = Machine::start(folder, &["-c", &config]);
    wait_starts(&machine, "stable", 5);
    wait_starts(&machine, "always", 20);
    machine.wait_service("usual", "waits", |usual| usual.state == "backoff");
    assert_eq!(starts(&machine, "usual"), 2);
}

fn start_limit_gives_up() {
    let keys = "start-limit = { starts = 3, within = '1h' }\nbackoff = { initial = '1ms', factor = 1 }";
    let machine = one("limit", "exit 5", keys);
    let web = machine.wait_service("web", "is given up", |web| web.state == "failed");
    assert_eq!((web.pid, starts(&machine, "web")), (None, 3), "{web:?}");
    assert!(
        web.reason.contains("exited 5") && web.reason.contains("given up after 3 starts"),
        "{}",
        web.reason
    );
    assert_eq!(machine.ctl(&["status"]).status.code(), Some(3));
    // Who asks for it gets it.
    machine.ctl(&["start", "web"]);
    wait_starts(&machine, "web", 4);
}

fn start_limit_within_forgets() {
    let keys = "start-limit = { starts = 3, within = '100ms' }\nbackoff = { initial = '1ms', factor = 1 }";
    let machine = one("within", "sleep 0.1; exit 5", keys);
    wait_starts(&machine, "web", 7);
    assert_ne!(machine.wait_service("web", "is there", |_| true).state, "failed");
}
