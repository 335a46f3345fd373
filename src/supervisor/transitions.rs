//! The table of states and of the ways between them, which a test walks. Decides nothing.

use super::state::State;

/// A state by name alone; people see seeking and spawning as `starting`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is described beside its facts, in `State`")]
pub enum Stage {
    Stopped,
    Waiting,
    Seeking,
    Spawning,
    Starting,
    Running,
    Stopping,
    Backoff,
}

impl From<&State> for Stage {
    fn from(state: &State) -> Self {
        match state {
            State::Stopped => Stage::Stopped,
            State::Waiting => Stage::Waiting,
            State::Seeking(_) => Stage::Seeking,
            State::Spawning => Stage::Spawning,
            State::Starting { .. } => Stage::Starting,
            State::Running { .. } => Stage::Running,
            State::Stopping(_) => Stage::Stopping,
            State::Backoff { .. } => Stage::Backoff,
        }
    }
}

/// From where, to where, and when: every way there is. Seeking and spawning last no longer than one turn of the loop,
/// but for a seeking that waits for a pidfile.
pub const TRANSITIONS: &[(Stage, Stage, &str)] = {
    use Stage::{Backoff, Running, Seeking, Spawning, Starting, Stopped, Stopping, Waiting};
    &[
        (Stopped, Waiting, "it becomes wanted, and what it comes after does not run"),
        (Stopped, Seeking, "it becomes wanted"),
        (Waiting, Seeking, "all that it comes after runs"),
        (Waiting, Stopped, "it is no longer wanted"),
        (Seeking, Running, "a look shows its process"),
        (
            Seeking,
            Stopping,
            "a look shows what it left and must go first; or it is not wanted, and may have left something",
        ),
        (Seeking, Spawning, "a look shows nothing"),
        (Seeking, Backoff, "a look shows nothing, and the pause lasts"),
        (Seeking, Stopped, "it is no longer wanted, and nothing of it ran"),
        (Spawning, Running, "the start command runs and may be the service itself"),
        (Spawning, Starting, "the start command runs and is not the service itself"),
        (Spawning, Backoff, "the start command cannot be run"),
        (Starting, Running, "the start command has become the service, or has started it and stays"),
        (Starting, Seeking, "the start command ended"),
        (Starting, Stopping, "`start-timeout` is over; it is no longer wanted, or to be restarted"),
        (Running, Seeking, "the main process ended"),
        (
            Running,
            Stopping,
            "it is no longer wanted, or to be restarted; or what is followed never took its name",
        ),
        (Stopping, Stopped, "nothing of it is left, and it is not wanted"),
        (Stopping, Seeking, "nothing of it is left"),
        (Stopping, Waiting, "nothing of it is left, and what it comes after does not run"),
        (Stopping, Backoff, "nothing of it is left, and the pause lasts"),
        (Backoff, Seeking, "the pause is over"),
        (Backoff, Waiting, "the pause is over, and what it comes after does not run"),
        (Backoff, Stopped, "it is no longer wanted"),
    ]
};
