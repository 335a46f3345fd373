//! What services write, with the real binary: `ctl logs`, log files, the level of messages, a musterd that is killed.

use nix::sys::signal::Signal;

use crate::{
    Test,
    common::{text, wait},
    machine::{Folder, Machine, pid},
};

pub(crate) const TESTS: &[Test] = &[
    ("ctl_logs_shows_the_last_lines_and_follows_across_a_restart", follows),
    ("log_goes_to_files_that_are_rotated_and_opened_anew", files),
    ("log_level_is_changed_at_run_time", level),
    ("log_times_stand_before_lines", times),
    ("log_memory_is_as_much_as_is_said", bounded),
    ("log_overflow_drops_what_nobody_reads", overflow),
    ("no_line_is_lost_when_musterd_is_killed_and_comes_back", killed),
];

const COUNTER: &str = "n=0; while :; do n=$((n+1)); echo \"tick $n\"; echo err >&2; sleep 0.02; done";

fn follows() {
    let folder = Folder::new("logs-follow");
    let web = folder.script("counter", COUNTER);
    let config = folder
        .config(&format!("[services.counter]\nstart = {web:?}\n[services.idle]\nstart = \"sleep 1000\""));
    let machine = Machine::start(folder, &["-c", &config]);
    let before = machine.wait_running("counter");
    wait("there are lines", || text(&machine.ctl(&["logs", "counter"])).contains("tick 20\n").then_some(()));
    let out = text(&machine.ctl(&["logs", "-n", "3", "counter"]));
    assert_eq!(out.lines().count(), 3, "{out}");
    assert!(out.lines().all(|line| line.starts_with("counter | ")), "{out}");
    let json = text(&machine.ctl(&["logs", "--json", "--since", "1h", "counter"]));
    let lines: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.iter().any(|line| line["message"] == "tick 1" && line["stream"] == "stdout"), "{json}");
    assert!(lines.iter().any(|line| line["stream"] == "stderr" && line["pid"] == pid(&before)), "{json}");
    assert!(text(&machine.ctl(&["logs", "idle"])).contains("-- "), "a start is marked");

    let follow = machine.folder.path("follow");
    let script = format!("{} ctl logs -f -n 1 counter >{follow} 2>&1 &", env!("CARGO_BIN_EXE_musterd"));
    machine.inside(&["sh", "-c", &script]);
    wait("it follows", || (machine.folder.lines("follow").len() > 5).then_some(()));
    machine.kill("KILL", pid(&before));
    let told = wait("it follows across the restart", || {
        let lines = machine.folder.lines("follow");
        let ended = lines.iter().position(|line| line.contains("killed by SIGKILL"))?;
        lines[ended..].iter().any(|line| line == "counter | tick 3").then_some(lines)
    });
    assert!(told.iter().any(|line| line.contains("-- ") && line.contains("started")), "{told:?}");
    let output = machine.ctl(&["logs", "conter"]);
    assert_eq!(output.status.code(), Some(4));
}

fn files() {
    let folder = Folder::new("logs-files");
    let web = folder.script("counter", COUNTER);
    let config = folder.config(&format!(
        "[services.counter]\nstart = {web:?}\nlog = {{ to = \"file\", path = \"web.log\", stderr-path = \"web.err\", \
         max-size = \"200B\", keep = 2 }}\n\
         [services.raw]\nstart = \"sh -c 'echo as it is; exec sleep 1000'\"\nmatch = \"sleep\"\nlog = \"raw\"\n\
         [services.none]\nstart = \"sh -c 'echo not seen >&2; exec sleep 2000'\"\nmatch.cmdline = \"2000\"\n\
         log = {{ to = \"prefix\", stderr = \"none\" }}\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    wait("files are rotated", || (!machine.folder.lines("web.log.2").is_empty()).then_some(()));
    let line = &machine.folder.lines("web.log.1")[0];
    assert!(line.starts_with("tick "), "{line}");
    wait("stderr is in its own file", || (!machine.folder.lines("web.err").is_empty()).then_some(()));
    assert!(!machine.output().contains("tick"));
    wait("raw is raw", || machine.output().lines().any(|line| line == "as it is").then_some(()));
    assert!(!machine.output().contains("not seen"));
    wait("the oldest is dropped", || (machine.folder.lines("web.log.2").first()? != "tick 1").then_some(()));
    assert!(machine.folder.lines("web.log.3").is_empty());
    let moved = machine.folder.path("moved");
    std::fs::rename(machine.folder.path("web.err"), &moved).expect("it is there");
    assert!(machine.ctl(&["reopen"]).status.success());
    wait("the file is there again", || (!machine.folder.lines("web.err").is_empty()).then_some(()));
    std::fs::rename(machine.folder.path("web.err"), &moved).expect("it is there");
    machine.signal(Signal::SIGUSR1);
    wait("the file is there again", || (!machine.folder.lines("web.err").is_empty()).then_some(()));
}

fn level() {
    let folder = Folder::new("logs-level");
    let config = folder.config("[services.idle]\nstart = \"sleep 1000\"");
    let machine = Machine::start(folder, &["-c", &config, "--log-level", "error"]);
    machine.wait_running("idle");
    assert!(!machine.output().contains("started"));
    assert!(machine.ctl(&["log-level", "debug"]).status.success());
    machine.kill("KILL", pid(&machine.wait_running("idle")));
    wait("it is told", || machine.output().contains("reaped").then_some(()));
    assert_eq!(machine.ctl(&["log-level", "loud"]).status.code(), Some(2));
}

fn times() {
    let folder = Folder::new("logs-times");
    let config = folder.config("[manager]\nlog-times = true\n[services.idle]\nstart = \"sleep 1000\"");
    let machine = Machine::start(folder, &["-c", &config]);
    wait("it is told", || machine.output().contains("Z musterd | ").then_some(()));
}

fn bounded() {
    let folder = Folder::new("logs-bounded");
    let web = folder.script("counter", COUNTER);
    let config =
        folder.config(&format!("[services.counter]\nstart = {web:?}\nlog = {{ memory = \"1KiB\" }}\n"));
    let machine = Machine::start(folder, &["-c", &config]);
    wait("the first lines are forgotten", || {
        let lines = text(&machine.ctl(&["logs"]));
        assert!(lines.len() < 2000, "{lines}");
        (lines.contains("tick") && !lines.contains("tick 1\n")).then_some(())
    });
}

fn overflow() {
    let folder = Folder::new("logs-overflow");
    let flood = folder.script(
        "flood",
        "n=0; while [ $n -lt 20000 ]; do echo \"line $n, which is one of very many that nobody reads\"; n=$((n+1)); done\n\
         : >$folder/flooded; exec sleep 1000",
    );
    let config = folder.config(&format!("[services.flood]\nstart = {flood:?}\nlog.overflow = \"drop\"\n"));
    // Somebody has the other end of its output, and reads nothing.
    let script = "mkfifo /run/stuck; sleep infinity <>/run/stuck & exec \"$@\" >/run/stuck 2>&1";
    let machine = Machine::start_by(folder, script, &["-c", &config]);
    wait("the service is not held back", || {
        std::path::Path::new(&machine.folder.path("flooded")).exists().then_some(())
    });
    assert!(
        text(&machine.ctl(&["logs", "-n", "1", "flood"])).contains("line 19999"),
        "it is remembered all the same"
    );
}

fn killed() {
    const KILLS: usize = 25;
    let folder = Folder::new("logs-killed");
    let script = "n=0; while [ ! -e $folder/enough ]; do n=$((n+1)); echo \"tick $n\"; done; echo \"all $n\"; exec sleep 1000";
    let web = folder.script("counter", script);
    let config =
        folder.config(&format!("[services.counter]\nstart = {web:?}\nmatch.cmdline = \"counter|1000\"\n"));
    // What the shell says of a kill goes elsewhere: it would come amid a line that was being written.
    let script = "exec 3>&2 2>/dev/null; while :; do (exec \"$@\" 2>&3 3>&-); done";
    let machine = Machine::start_by(folder, script, &["-c", &config]);
    let before = machine.wait_running("counter");
    for _ in 0..KILLS {
        let manager = wait("there is one", || machine.named("musterd").first().map(|found| found.pid));
        machine.kill("KILL", manager);
        wait("another is there", || {
            machine.named("musterd").iter().find(|found| found.pid != manager).map(drop)
        });
    }
    std::fs::write(machine.folder.path("enough"), "").expect("a folder of ours");
    let output =
        wait("all lines are there", || Some(machine.output()).filter(|output| output.contains("| all ")));
    assert_eq!(machine.wait_running("counter").pid, before.pid, "the service died");
    let ticks: Vec<_> = output.lines().filter(|line| line.starts_with("counter")).collect();
    let wrong = (1..).zip(&ticks).position(|(number, line)| *line != format!("counter | tick {number}"));
    let end = format!("counter | all {}", ticks.len() - 1);
    assert_eq!(wrong, Some(ticks.len() - 1), "{:?}", wrong.map(|at| &ticks[at.saturating_sub(2)..=at]));
    assert_eq!(ticks.last(), Some(&end.as_str()));
}
