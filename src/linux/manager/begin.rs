//! Makes a manager: what it listens to, what it keeps, what another one before it has left. Starts no service.

use std::{
    collections::{BTreeMap, HashMap},
    io,
};

use nix::sys::epoll::{Epoll, EpollCreateFlags};

use super::{
    Manager, clock, descriptors, logs, parent_pid,
    reload::Loaded,
    token::{CONTROL, OUTPUT, PROCESS, SIGNALS, readable, token},
};
use crate::{
    config::Config,
    linux::{
        control::Guests,
        endpoint::Endpoint,
        log::{Log, wall_clock},
        notify::Notifier,
        oom::OomKills,
        output::Output,
        probes::Probes,
        record::Store,
        reserve::Reserve,
        setup::Setup,
        spawn::Spawner,
        table::Scanner,
        watch::Watcher,
    },
    process::Pid,
    supervisor::{Place, Recorded, Supervisor},
    text::cannot,
};

impl Manager {
    pub(super) fn new(config: &Config, loaded: Loaded, log: &Log) -> io::Result<Self> {
        let setup = Setup::new()?;
        // Before the pipes: its descriptors must have low numbers, as a new process closes all above them.
        let spawner = Spawner::new(&setup)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(cannot("make an epoll"))?;
        epoll.add(&setup, readable(SIGNALS)).map_err(cannot("listen to signals"))?;
        let now = clock();
        let (endpoint, folder) = Endpoint::open(
            config.manager.socket.as_deref(),
            Guests::of(&config.manager),
            &epoll,
            CONTROL,
            now,
        )?;
        let mut output = Output::new(log).map_err(cannot("prepare stdout and stderr"))?;
        epoll.add(&output, readable(OUTPUT)).map_err(cannot("listen to the services' output"))?;
        output.make_room(config.services.iter().map(|service| service.name.as_str()));
        let reserve = Reserve::new(descriptors::FOR_A_LOOK).map_err(cannot("reserve descriptors"))?;
        descriptors::warn_if_few(&config.services);
        if !no_colours() {
            output.allow_colours();
        }
        // PID 1 takes all its services with it: nobody writes while there is no musterd.
        if let Some(folder) = folder.as_ref().filter(|_| !setup.is_init)
            && let Err(error) =
                output.keep_fifos(folder, config.services.iter().map(|service| service.name.as_str()))
        {
            let consequence = "a musterd that is killed takes its services' output with it";
            tracing::warn!(cause = %error, consequence, "cannot keep the services' output");
        }
        // PID 1 takes all its services with it: there is nothing to be found again.
        let store = folder.filter(|_| !setup.is_init).map(|folder| Store::new(&folder));
        let record = store.as_ref().map(Store::load).unwrap_or_default();
        let record: HashMap<String, Recorded> = record
            .services
            .into_iter()
            .map(|(name, entry)| (name, Recorded { main: entry.main, restarts: entry.restarts }))
            .collect();
        let boot = wall_clock().checked_sub(now.since_boot()).unwrap_or(std::time::UNIX_EPOCH);
        let place = Place { pid: own_pid(), parent: parent_pid(), is_init: setup.is_init };
        Ok(Manager {
            supervisor: Supervisor::new(config, place, &record, now, boot),
            loaded,
            spawner,
            watcher: Watcher::new(|pid| token(PROCESS, u64::from(pid.unsigned_abs()))),
            scanner: Scanner::new()
                .map_err(cannot("look at the processes"))?
                .with_users(config.services.iter().any(|service| service.matching.needs_users())),
            recorded: BTreeMap::new(),
            record_failed: None,
            exit: None,
            deadline: None,
            is_deadline_old: true,
            is_record_old: true,
            setup,
            epoll,
            log: log.clone(),
            output,
            outlets: Vec::new(),
            reserve,
            followers: logs::Followers::default(),
            probes: Probes::default(),
            oom_kills: OomKills::new(),
            notifier: Notifier::new(config.manager.socket.as_deref()),
            lent: None,
            are_mains_old: false,
            carried: now,
            endpoint,
            store,
            now,
        })
    }
}

/// https://no-color.org: any value but the empty one.
fn no_colours() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb")
}

fn own_pid() -> Pid {
    rustix::process::getpid().as_raw_pid()
}
