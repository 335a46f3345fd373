//! Every key of the configuration and the test with real processes that fails where the key does nothing. The tests
//! of keys that no other file has are below.

mod environment;
mod guards;
mod health;
mod life;
mod manager;
mod policy;
mod process;
mod ready;

use std::collections::BTreeSet;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::{
    common::{run, wait},
    machine::{Folder, MUSTERD, Machine, pid, way_in},
};

/// Each key, and the trials that fail without it.
const PROOFS: &[(&str, &[&str])] = &[
    ("manager.include", &["include_brings_drop_ins"]),
    ("manager.shutdown-timeout", &["what_does_not_listen_is_killed_in_time", "fifty_deaf_ones_end_in_time"]),
    ("manager.socket", &["socket_is_where_it_is_said"]),
    ("manager.allow-users", &["allow_users_may_do_all_and_observers_may_look"]),
    ("manager.observers", &["allow_users_may_do_all_and_observers_may_look"]),
    ("manager.log-format", &["json_lines_carry_the_main_process"]),
    ("manager.log-level", &["log_level_leaves_out_what_is_less_important"]),
    ("manager.log-times", &["log_times_stand_before_lines"]),
    ("kind", &["kind_task_runs_once_before_what_follows", "tasks_alone_end_the_machine_with_their_code"]),
    ("start", &["commands_and_configured_services_are_started"]),
    ("stop", &["stop_is_run_instead_of_the_signal"]),
    ("reload", &["reload_is_run_instead_of_the_signal"]),
    ("shell", &["shell_says_who_splits_the_words"]),
    ("match.name", &["user_tells_two_programs_apart"]),
    ("match.cmdline", &["cmdline_tells_two_programs_apart"]),
    ("match.exe", &["exe_tells_two_programs_apart_through_a_link"]),
    ("match.user", &["user_tells_two_programs_apart", "all_fields_must_hold"]),
    ("match.pidfile", &["pidfile_tells_two_programs_apart"]),
    ("interval", &["interval_is_the_longest_absence"]),
    ("after", &["a_command_makes_it_ready", "what_comes_after_is_stopped_before"]),
    ("autostart", &["commands_and_configured_services_are_started"]),
    ("restart", &["restart_says_what_is_started_again"]),
    ("success-exit-codes", &["success_exit_codes_are_no_failure"]),
    ("backoff.initial", &["backoff_initial_is_the_first_pause"]),
    ("backoff.factor", &["backoff_factor_lengthens_the_pause"]),
    ("backoff.max", &["backoff_max_ends_the_growth"]),
    ("stable-after", &["stable_after_begins_the_backoff_anew"]),
    ("start-limit.starts", &["start_limit_gives_up"]),
    ("start-limit.within", &["start_limit_within_forgets"]),
    ("essential", &["essential_ends_the_machine_with_its_code"]),
    ("start-timeout", &["a_start_command_that_hangs_is_ended_and_told"]),
    ("ready.exec", &["a_command_makes_it_ready"]),
    ("ready.tcp", &["ready_tcp_waits_for_a_listener"]),
    ("ready.http", &["ready_http_waits_for_success"]),
    ("ready.log", &["a_line_of_its_output_makes_it_ready"]),
    ("ready.notify", &["it_says_itself_that_it_is_ready"]),
    ("ready.delay", &["ready_delay_lasts"]),
    ("ready.timeout", &["ready_timeout_fails_the_start"]),
    ("log.to", &["log_goes_to_files_that_are_rotated_and_opened_anew"]),
    ("log.stderr", &["log_goes_to_files_that_are_rotated_and_opened_anew"]),
    ("log.path", &["log_goes_to_files_that_are_rotated_and_opened_anew"]),
    ("log.stderr-path", &["log_goes_to_files_that_are_rotated_and_opened_anew"]),
    ("log.max-size", &["log_goes_to_files_that_are_rotated_and_opened_anew"]),
    ("log.keep", &["log_goes_to_files_that_are_rotated_and_opened_anew"]),
    ("log.overflow", &["log_overflow_drops_what_nobody_reads"]),
    ("log.memory", &["log_memory_is_as_much_as_is_said"]),
    ("check.exec", &["a_check_tells_why_it_fails"]),
    ("check.tcp", &["check_tcp_sees_the_listener_go"]),
    ("check.http", &["check_http_sees_the_status"]),
    ("check.notify", &["silence_of_the_watchdog_is_heard"]),
    ("check.every", &["check_every_and_retries_are_counted"]),
    ("check.timeout", &["check_timeout_ends_what_hangs"]),
    ("check.retries", &["check_every_and_retries_are_counted"]),
    ("check.on-failure", &["check_on_failure_restarts_or_reports"]),
    ("stop-signal", &["stop_signal_is_sent"]),
    ("reload-signal", &["reload_signal_is_sent"]),
    ("stop-timeout", &["stop_timeout_ends_patience"]),
    ("memory-max.size", &["memory_max_restarts_or_reports"]),
    ("memory-max.for", &["memory_max_for_is_patient"]),
    ("memory-max.on-excess", &["memory_max_restarts_or_reports"]),
    ("cpu-max.percent", &["cpu_max_restarts_or_reports"]),
    ("cpu-max.for", &["cpu_max_restarts_or_reports"]),
    ("cpu-max.on-excess", &["cpu_max_restarts_or_reports"]),
    ("directory", &["directory_is_where_it_runs"]),
    ("user", &["user_is_whom_it_runs_as"]),
    ("group", &["group_is_its_group"]),
    ("groups", &["groups_are_its_supplementary_ones"]),
    ("umask", &["umask_is_its_own"]),
    ("nice", &["nice_stands_back"]),
    ("limits.as", &["limits_are_its_own"]),
    ("limits.core", &["limits_are_its_own"]),
    ("limits.cpu", &["limits_are_its_own"]),
    ("limits.data", &["limits_are_its_own"]),
    ("limits.fsize", &["limits_are_its_own"]),
    ("limits.locks", &["limits_are_its_own"]),
    ("limits.memlock", &["limits_are_its_own"]),
    ("limits.msgqueue", &["limits_are_its_own"]),
    ("limits.nofile", &["limits_are_its_own"]),
    ("limits.nproc", &["limits_are_its_own"]),
    ("limits.rss", &["limits_are_its_own"]),
    ("limits.rttime", &["limits_are_its_own"]),
    ("limits.sigpending", &["limits_are_its_own"]),
    ("limits.stack", &["limits_are_its_own"]),
    ("limits.nice", &["limits_of_priority_are_its_own"]),
    ("limits.rtprio", &["limits_of_priority_are_its_own"]),
    ("oom-score-adj", &["oom_score_adj_is_its_own"]),
    ("capabilities", &["capabilities_are_all_it_keeps"]),
    ("no-new-privileges", &["no_new_privileges_is_set"]),
    ("inherit-environment", &["inherit_environment_names_what_it_gets"]),
    ("unset-environment", &["unset_environment_takes_away"]),
    ("env-file", &["env_file_is_read_at_each_start"]),
    ("environment.NAME", &["environment_is_filled_in"]),
    ("environment.NAME.file", &["environment_file_is_read_at_each_start"]),
];

/// The tests of this folder, ignored where there is no namespace; `names`: all the other trials.
pub(crate) fn trials(ignored: bool, names: &[String]) -> Vec<Trial> {
    let tests = [
        life::TESTS,
        policy::TESTS,
        manager::TESTS,
        environment::TESTS,
        process::TESTS,
        ready::TESTS,
        health::TESTS,
        guards::TESTS,
    ]
    .concat();
    // In a user namespace there is one user, and groups cannot be set.
    let not_root = way_in().is_none_or(|way| !way.is_empty());
    let may_raise = process::has_sys_resource();
    let tests = tests.into_iter().map(|test| (test, ignored));
    let mut trials: Vec<Trial> = tests
        .chain(manager::ROOT_TESTS.iter().map(|test| (*test, ignored || not_root)))
        .chain(process::ROOT_TESTS.iter().map(|test| (*test, ignored || not_root)))
        .chain(process::RESOURCE_TESTS.iter().map(|test| (*test, ignored || not_root || !may_raise)))
        .map(|((name, test), ignored)| trial(name, test).with_ignored_flag(ignored))
        .collect();
    let own = trials.iter().map(|trial| trial.name().to_owned());
    let names: BTreeSet<String> = names.iter().cloned().chain(own).collect();
    trials.push(Trial::test("every_key_has_a_test", move || {
        every_key_has_a_test(&names);
        Ok(())
    }));
    trials
}

fn trial(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// The keys of the schema that the binary prints are those of the table, and the table's tests are trials.
fn every_key_has_a_test(trials: &BTreeSet<String>) {
    let schema = run(MUSTERD, &["schema"]);
    let schema: Value = serde_json::from_slice(&schema.stdout).expect("a schema");
    let mut keys = BTreeSet::new();
    collect("manager.", &schema["properties"]["manager"], &mut keys);
    collect("", &schema["properties"]["services"]["additionalProperties"], &mut keys);
    let known: BTreeSet<String> = PROOFS.iter().map(|(key, _)| (*key).to_owned()).collect();
    assert_eq!(known.len(), PROOFS.len(), "a key is there twice");
    assert_eq!(keys.difference(&known).collect::<Vec<_>>(), [""; 0], "keys without a test");
    assert_eq!(known.difference(&keys).collect::<Vec<_>>(), [""; 0], "tests of keys that are none");
    for (key, tests) in PROOFS {
        assert!(!tests.is_empty(), "{key}");
        for test in *tests {
            assert!(trials.contains(*test), "{key}: there is no test {test}");
        }
    }
}

/// The keys below `node`, with those of the tables in it.
fn collect(above: &str, node: &Value, keys: &mut BTreeSet<String>) {
    assert!(node.get("$ref").is_none(), "{above}: this test follows no references");
    for (name, child) in node["properties"].as_object().into_iter().flatten() {
        let key = format!("{above}{name}");
        let choices = std::iter::once(child).chain(child["anyOf"].as_array().into_iter().flatten());
        let mut is_table = false;
        for choice in choices {
            is_table |= choice.get("properties").is_some();
            collect(&format!("{key}."), choice, keys);
            if let Some(any) = choice.get("additionalProperties").filter(|any| any.is_object()) {
                is_table = true;
                keys.insert(format!("{key}.NAME"));
                for choice in any["anyOf"].as_array().into_iter().flatten() {
                    collect(&format!("{key}.NAME."), choice, keys);
                }
            }
        }
        if !is_table {
            keys.insert(key);
        }
    }
}

/// A machine of two services that sleep, one with these keys and one without: their PIDs, in this order.
fn beside(test: &str, environment: &str, keys: &str) -> (Machine, i32, i32) {
    let folder = Folder::new(test);
    // Programs that any user can execute.
    let config = folder.config(&format!(
        "[services.alpha]\nstart = '/bin/sleep infinity'\n{keys}\n\
         [services.plain]\nstart = '/usr/bin/tail -f /dev/null'\n"
    ));
    let script = format!("export {environment}\nexec \"$@\"");
    let machine = Machine::start_by(folder, &script, &["-c", &config]);
    let (alpha, plain) = (pid(&machine.wait_running("alpha")), pid(&machine.wait_running("plain")));
    (machine, alpha, plain)
}

/// A file of `/proc/PID`.
fn read(machine: &Machine, pid: i32, name: &str) -> String {
    let bytes = std::fs::read(machine.proc(&format!("{pid}/{name}"))).expect("it lives");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A variable of the environment that the process began with.
fn variable(machine: &Machine, pid: i32, name: &str) -> Option<String> {
    // It is empty while the kernel executes the program; musterd gives each at least one.
    let environ = wait("it has an environment", || {
        Some(read(machine, pid, "environ")).filter(|environ| !environ.is_empty())
    });
    let prefix = format!("{name}=");
    environ.split('\0').find_map(|variable| variable.strip_prefix(&prefix)).map(str::to_owned)
}
