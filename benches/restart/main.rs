//! What people feel of a service manager: how long a start and a restart take, what it needs meanwhile. musterd beside
//! a bare loop, supervisord and s6, each as PID 1 of a PID namespace of its own, in turn. Judges nothing.
//!
//! `cargo bench --bench restart`, as root, on a machine that does nothing else. Only figures of one run compare.

mod bare;
mod connector;
mod folder;
mod load;
mod machine;
mod managers;
mod measure;
mod observer;
mod table;

use std::{process::ExitCode, time::Duration};

use clap::Parser;

use managers::Manager;
use measure::Bench;
use observer::Observer;

/// The word that makes this program the bare loop.
const BARE: &str = "keep";

/// Measures start-up, restart, memory and wake-ups of service managers.
#[derive(Debug, Parser)]
#[command(name = "restart")]
struct Options {
    /// How many services the large machine has
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=9999))]
    services: u16,
    /// Starts of each manager with one service
    #[arg(long, default_value_t = 10)]
    starts: usize,
    /// Restarts with one service; a manager that has taken 10 s for them sits out the rest
    #[arg(long, default_value_t = 100)]
    kills: usize,
    /// Starts of each manager with many services, with ten restarts each
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long the idle managers are watched, in seconds
    #[arg(long, default_value_t = 10)]
    window: u64,
    /// Instead: restarts of so many services while musterd is asked for their states
    #[arg(long, value_name = "SERVICES", num_args = 0..=1, default_missing_value = "200")]
    load: Option<u16>,
    /// How often it is asked then, in a second
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(400..))]
    rate: u32,
    /// Only these managers; the bare loop is always there
    #[arg(long, value_delimiter = ',', value_enum)]
    managers: Vec<Manager>,
    /// Set by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
    /// Set by cargo bench: the benchmarks to run
    #[arg(hide = true)]
    filter: Option<String>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == BARE) {
        return bare::keep(arguments);
    }
    let options = Options::parse();
    if options.filter.as_ref().is_some_and(|filter| !"restart".contains(filter.as_str())) {
        return ExitCode::SUCCESS;
    }
    // As a test only its building matters.
    if !options.bench {
        println!("restart: ignored: a benchmark, run by cargo bench");
        return ExitCode::SUCCESS;
    }
    let observer = match Observer::new() {
        Ok(observer) => observer,
        Err(why) => {
            println!("restart: ignored: {why}");
            return ExitCode::SUCCESS;
        }
    };
    match run(&options, observer) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("restart: cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures everything and prints the table; false if a manager did not do what it was to do.
fn run(options: &Options, mut observer: Observer) -> std::io::Result<bool> {
    if let Some(services) = options.load {
        println!("{}\n", machine());
        return load::run(&mut observer, usize::from(services).max(7), options.rate).map(|()| true);
    }
    let many = usize::from(options.services);
    let managers = Manager::installed(&options.managers);
    let mut bench = Bench::new(observer, &managers, many.max(measure::IDLE))?;
    let start_one = bench.start_up(options.starts)?;
    let restart_one = bench.restart_one(options.kills)?;
    let (start_many, restart_many) = bench.many(many, options.rounds)?;
    let memory = bench.memory()?;
    let wakeups = bench.wakeups(Duration::from_secs(options.window))?;
    let services = |count: usize| format!("{count} service{}", if count == 1 { "" } else { "s" });
    let mut table = table::Table::new(managers.iter().map(|manager| manager.name()));
    table.times(&format!("start-up, {}", services(1)), &start_one);
    table.times(&format!("start-up, {}", services(many)), &start_many);
    table.times(&format!("restart, {}", services(1)), &restart_one);
    table.times(&format!("restart, {}", services(many)), &restart_many);
    table.numbers(&format!("memory (RSS in KiB), {}", services(1)), &memory);
    let idle = format!("wake-ups in {} s, {}, idle", options.window, services(measure::IDLE));
    table.numbers(&idle, &wakeups);
    println!("{}\n\n{table}", machine());
    Ok(table.is_complete())
}

/// What this machine is, for whoever reads the table elsewhere.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("Linux {}, {count} × {}", kernel.trim_end(), model.map_or("processor", |(_, model)| model))
}
