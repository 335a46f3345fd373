//! What is done to the machines, and how often. The managers take turns, so that what else the machine does meets
//! all of them.

use std::{io, path::PathBuf, time::Duration};

use crate::{
    folder::Folder,
    machine::Machine,
    managers::Manager,
    observer::{Observer, now, sleep},
};

/// Services of the idle machine: with them a wake-up for each would be seen.
pub(crate) const IDLE: usize = 100;

/// A manager that looks once a second would take minutes for as many restarts as the others do in a second.
const SHARE: Duration = Duration::from_secs(10);

/// Restarts in each round with many services.
const KILLS: usize = 10;

/// A step between the killed ones that meets all of them, near and far in the manager's lists: a prime number.
const STRIDE: usize = 617;

/// What a manager does only after its start is done by then: s6 waits a second at most, musterd's lines are out after
/// a quarter.
const REST: Duration = Duration::from_secs(2);

/// The samples of each manager, in the managers' order.
pub(crate) type Samples<T> = Vec<Vec<T>>;

/// All that a benchmark needs.
#[derive(Debug)]
pub(crate) struct Bench {
    observer: Observer,
    managers: Vec<Manager>,
    folder: Folder,
    programs: Vec<PathBuf>,
    machines: usize,
}

impl Bench {
    /// Makes the programs of so many services.
    ///
    /// # Errors
    /// There is no room for them.
    pub(crate) fn new(observer: Observer, managers: &[Manager], services: usize) -> io::Result<Self> {
        let folder = Folder::new()?;
        let programs = folder.programs(services)?;
        Ok(Self { observer, managers: managers.to_vec(), folder, programs, machines: 0 })
    }

    /// Start-up of one service.
    ///
    /// # Errors
    /// What makes all further figures worthless, as of each function here.
    pub(crate) fn start_up(&mut self, starts: usize) -> io::Result<Samples<Duration>> {
        let mut times = self.samples();
        for _ in 0..starts {
            for (at, manager) in self.managers.clone().into_iter().enumerate() {
                let (machine, time) = self.started(manager, 1)?;
                times[at].extend(time);
                sleep(REST / 10);
                machine.end(&mut self.observer)?;
            }
        }
        Ok(times)
    }

    /// Restarts of one service; all managers live at once.
    ///
    /// # Errors
    /// See `start_up`.
    pub(crate) fn restart_one(&mut self, kills: usize) -> io::Result<Samples<Duration>> {
        let mut times = self.samples();
        let mut machines = self.all_started(1)?;
        let mut left = vec![SHARE; machines.len()];
        for _ in 0..kills {
            for (at, machine) in machines.iter_mut().enumerate() {
                times[at].extend(restart(&mut self.observer, machine, 0, &mut left[at])?);
            }
        }
        self.end(machines)?;
        Ok(times)
    }

    /// Start-up of many services, and restarts of some of them.
    ///
    /// # Errors
    /// See `start_up`.
    pub(crate) fn many(
        &mut self,
        services: usize,
        rounds: usize,
    ) -> io::Result<(Samples<Duration>, Samples<Duration>)> {
        let (mut starts, mut restarts) = (self.samples(), self.samples());
        for round in 0..rounds {
            for (at, manager) in self.managers.clone().into_iter().enumerate() {
                let (mut machine, time) = self.started(manager, services)?;
                starts[at].extend(time);
                sleep(REST);
                // Of one that did not come up nothing is asked.
                let mut left = if time.is_some() { SHARE / 2 } else { Duration::ZERO };
                for victim in (0..KILLS).map(|kill| (round * KILLS + kill) * STRIDE) {
                    restarts[at].extend(restart(&mut self.observer, &mut machine, victim, &mut left)?);
                }
                machine.end(&mut self.observer)?;
            }
        }
        Ok((starts, restarts))
    }

    /// The memory of manager and helpers with one service, in KiB.
    ///
    /// # Errors
    /// See `start_up`.
    pub(crate) fn memory(&mut self) -> io::Result<Samples<u64>> {
        let machines = self.all_started(1)?;
        sleep(REST);
        self.observer.take_in()?;
        let held = machines.iter().map(|machine| vec![machine.memory(&self.observer)]).collect();
        self.end(machines)?;
        Ok(held)
    }

    /// How often manager and helpers are awoken in so long a time, while nothing happens.
    ///
    /// # Errors
    /// See `start_up`.
    pub(crate) fn wakeups(&mut self, window: Duration) -> io::Result<Samples<u64>> {
        let machines = self.all_started(IDLE)?;
        sleep(REST);
        self.observer.take_in()?;
        let waits = |observer| machines.iter().map(|machine| machine.waits(observer)).collect::<Vec<_>>();
        let before = waits(&self.observer);
        sleep(window);
        let after = waits(&self.observer);
        self.end(machines)?;
        Ok(before.iter().zip(after).map(|(before, after)| vec![after.saturating_sub(*before)]).collect())
    }

    fn samples<T>(&self) -> Samples<T> {
        self.managers.iter().map(|_| Vec::new()).collect()
    }

    fn started(&mut self, manager: Manager, services: usize) -> io::Result<(Machine, Option<Duration>)> {
        self.machines += 1;
        let folder = self.folder.sub(&self.machines.to_string())?;
        let machine = Machine::start(&mut self.observer, manager, folder, &self.programs[..services])?;
        let time = machine.await_up(&mut self.observer)?;
        if time.is_none() {
            let words = machine.last_words();
            eprintln!("restart: {} does not start all of {services} services:\n{words}", manager.name());
        }
        Ok((machine, time))
    }

    fn all_started(&mut self, services: usize) -> io::Result<Vec<Machine>> {
        let managers = self.managers.clone().into_iter();
        managers.map(|manager| Ok(self.started(manager, services)?.0)).collect()
    }

    fn end(&mut self, machines: Vec<Machine>) -> io::Result<()> {
        machines.into_iter().try_for_each(|machine| machine.end(&mut self.observer))
    }
}

/// Restarts a service, if the manager has time left for it.
fn restart(
    observer: &mut Observer,
    machine: &mut Machine,
    victim: usize,
    left: &mut Duration,
) -> io::Result<Option<Duration>> {
    if left.is_zero() {
        return Ok(None);
    }
    let began = now();
    let time = machine.restart(observer, victim)?;
    *left = left.saturating_sub(now().saturating_sub(began));
    Ok(time)
}
