//! Real processes: started, watched, signalled, listed. Each test runs in the first thread of a process
//! of its own, as what it tests (signals, reaping) concerns a whole process: hence a runner of its own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod environment;
mod notify;
mod probes;
mod rights;
mod setup;
mod spawn;
mod support;
mod table;
mod terminal;
mod watch;

use std::{
    env,
    process::{Command, ExitCode},
};

type Test = (&'static str, fn());

macro_rules! test {
    ($module:ident::$name:ident) => {
        (concat!(stringify!($module), "::", stringify!($name)), $module::$name as fn())
    };
}

const TESTS: &[Test] = &[
    test!(setup::signals_are_heard_by_descriptor),
    test!(setup::orphans_come_to_musterd),
    test!(setup::an_inherited_descriptor_ends_with_musterd),
    test!(setup::the_limit_of_files_is_raised_and_given_back),
    test!(setup::an_ignored_sigchld_hides_no_end),
    test!(spawn::a_process_begins_afresh),
    test!(spawn::a_process_is_known_by_its_start),
    test!(spawn::the_environment_has_four_layers),
    test!(spawn::a_command_runs_in_its_directory),
    test!(spawn::a_file_that_may_not_be_executed_is_passed_over),
    test!(spawn::every_failure_says_why),
    test!(spawn::no_process_left_is_told),
    test!(spawn::no_descriptor_left_is_told),
    test!(spawn::a_thousand_starts_leave_nothing),
    test!(environment::files_and_templates_make_variables),
    test!(environment::what_the_caller_adds_is_over_all),
    test!(environment::what_is_inherited_is_chosen),
    test!(environment::a_bad_source_of_variables_is_named),
    test!(environment::a_secret_is_read_at_each_start),
    test!(environment::a_secret_that_cannot_be_read_fails_the_start),
    test!(environment::nothing_tells_a_secret),
    test!(rights::a_service_runs_as_its_user_with_his_groups),
    test!(rights::groups_are_given),
    test!(rights::an_id_needs_no_account),
    test!(rights::a_user_may_come_and_go),
    test!(rights::the_environment_follows_the_user),
    test!(rights::a_change_of_user_leaves_musterd_as_it_was),
    test!(rights::the_umask_is_set),
    test!(rights::nice_and_oom_score_adj_are_the_services_own),
    test!(rights::limits_are_set),
    test!(rights::the_limit_of_processes_counts_for_the_user),
    test!(rights::a_user_keeps_capabilities),
    test!(rights::root_gives_up_capabilities),
    test!(rights::new_privileges_are_refused),
    test!(rights::the_directory_is_entered_as_the_user),
    test!(rights::what_needs_root_is_refused_to_others),
    test!(rights::a_user_may_become_himself),
    test!(terminal::a_shell_has_the_terminal_in_a_session_of_its_own),
    test!(terminal::a_shell_has_the_terminal_that_musterd_shares),
    test!(terminal::what_is_stopped_goes_on),
    test!(terminal::without_a_terminal_stdin_is_musterds),
    test!(probes::the_last_line_is_known_at_the_end),
    test!(probes::a_flood_costs_a_share),
    test!(probes::what_a_probe_leaves_holds_nobody_up),
    test!(probes::a_probe_and_what_it_starts_is_marked),
    test!(notify::a_service_tells_of_itself),
    test!(notify::a_stranger_is_not_heard),
    test!(notify::descriptors_are_closed_at_once),
    test!(notify::a_flood_is_taken_in_portions),
    test!(notify::an_old_socket_is_replaced_and_the_folder_goes),
    test!(notify::without_a_folder_the_reason_is_told),
    test!(table::a_process_is_shown_in_full_or_in_brief),
    test!(table::names_are_what_they_are),
    test!(table::a_zombie_is_dead_and_a_deleted_program_keeps_its_name),
    test!(table::a_process_lives_while_a_thread_runs),
    test!(table::kernel_threads_are_told_apart),
    test!(watch::a_stranger_is_watched_by_its_pidfd),
    test!(watch::an_orphan_that_is_watched_is_told_once_with_its_status),
    test!(watch::a_session_is_empty_when_its_last_process_was_reaped),
    test!(watch::collect_knows_the_status_of_what_is_not_reaped_yet),
    test!(watch::a_recycled_pid_is_neither_watched_nor_signalled),
    test!(watch::pid_1_and_musterd_are_not_signalled),
    test!(watch::what_epoll_does_not_take_is_swept),
    test!(watch::hundreds_of_orphans_are_reaped),
    test!(watch::a_descriptor_goes_with_its_process),
    test!(watch::the_absence_of_a_core_dump_is_told),
    test!(watch::a_core_dump_is_told),
];

/// Told apart from the tests: these tell times and prove nothing.
const BY_NAME_ONLY: &[Test] = &[test!(spawn::start_times), test!(table::scan_times)];

/// The word before the name of a test that is run here, not in a process of its own.
const ALONE: &str = "alone";

/// The exit code of a test that cannot be made here (as of automake's tests).
const CANNOT_TEST: i32 = 77;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [word, name] = arguments.as_slice()
        && word == ALONE
    {
        let (_, test) = TESTS.iter().chain(BY_NAME_ONLY).find(|(known, _)| known == name).unwrap();
        test();
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(*filter));
    let names: Vec<&str> = TESTS.iter().map(|(name, _)| *name).filter(|name| chosen(name)).collect();
    println!("running {} tests, each in a process of its own", names.len());
    let outcomes: Vec<Outcome> = names.iter().map(|name| run(name)).collect();
    let count = |of: Outcome| outcomes.iter().filter(|&&outcome| outcome == of).count();
    let (passed, failed, ignored) = (count(Outcome::Ok), count(Outcome::Failed), count(Outcome::Ignored));
    println!("{passed} passed, {failed} failed, {ignored} ignored");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What came of a test.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Failed,
    Ignored,
}

/// Ends a test that cannot be made on this machine.
fn ignore(reason: &str) -> ! {
    println!("ignored: {reason}");
    std::process::exit(CANNOT_TEST)
}

fn run(name: &str) -> Outcome {
    let output = command(name).args([ALONE, name]).output().unwrap();
    let (outcome, word) = match output.status.code() {
        Some(0) => (Outcome::Ok, "ok"),
        Some(CANNOT_TEST) => (Outcome::Ignored, "ignored"),
        Some(_) | None => (Outcome::Failed, "FAILED"),
    };
    println!("test {name} ... {word}");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    if outcome == Outcome::Failed {
        println!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    outcome
}

/// What a test is started by: its surroundings are part of some.
fn command(name: &str) -> Command {
    let own = env::current_exe().unwrap();
    match name {
        "setup::an_ignored_sigchld_hides_no_end" => {
            let mut ignoring = Command::new("/bin/sh");
            ignoring.args(["-c", "trap '' CHLD USR2; exec \"$0\" \"$@\""]).arg(own);
            ignoring
        }
        "spawn::the_environment_has_four_layers"
        | "environment::files_and_templates_make_variables"
        | "environment::what_is_inherited_is_chosen"
        | "rights::the_environment_follows_the_user" => {
            let mut small = Command::new(own);
            small.env_clear();
            small.envs([("PATH", "/usr/bin:/bin"), ("A", "own"), ("B", "own"), ("MUSTERD_SET", "x=y")]);
            small
        }
        _ => Command::new(own),
    }
}
