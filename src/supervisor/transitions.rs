//! The table of states and of the ways between them, which a test walks. Decides nothing.

use super::state::State;

/// A state by name alone; people see seeking, spawning and readying as `starting`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is described beside its facts, in `State`")]
pub enum Stage {
    Stopped,
    Waiting,
    Seeking,
    Spawning,
    Starting,
    Readying,
    Running,
    Unhealthy,
    Stopping,
    Backoff,
    Exited,
    Failed,
}

impl From<&State> for Stage {
    fn from(state: &State) -> Self {
        match state {
            State::Stopped => Stage::Stopped,
            State::Waiting { .. } => Stage::Waiting,
            State::Seeking(_) => Stage::Seeking,
            State::Spawning => Stage::Spawning,
            State::Starting { .. } => Stage::Starting,
            State::Readying { .. } => Stage::Readying,
            State::Running { .. } => Stage::Running,
            State::Unhealthy { .. } => Stage::Unhealthy,
            State::Stopping(_) => Stage::Stopping,
            State::Backoff { .. } => Stage::Backoff,
            State::Exited => Stage::Exited,
            State::Failed => Stage::Failed,
        }
    }
}

/// From where, to where, and when: every way there is. Seeking and spawning last no longer than one turn of the loop,
/// but for a seeking that waits for a pidfile.
pub const TRANSITIONS: &[(Stage, Stage, &str)] = {
    use Stage::{
        Backoff, Exited, Failed, Readying, Running, Seeking, Spawning, Starting, Stopped, Stopping,
        Unhealthy, Waiting,
    };
    &[
        (Stopped, Waiting, "it becomes wanted, and what it comes after is not ready"),
        (Stopped, Seeking, "it becomes wanted"),
        (Stopped, Spawning, "it becomes wanted, and only musterd runs it: a task"),
        (Waiting, Seeking, "all that it comes after is ready"),
        (Waiting, Spawning, "all that the task comes after is ready"),
        (Waiting, Stopped, "it is no longer wanted"),
        (Seeking, Running, "a look shows its process"),
        (Seeking, Readying, "a look shows its process, which is not ready yet"),
        (
            Seeking,
            Stopping,
            "a look shows what it left and must go first; or it is not wanted or to be restarted, and may have left \
             something",
        ),
        (Seeking, Spawning, "a look shows nothing"),
        (Seeking, Waiting, "a look shows nothing, and what it comes after is not ready"),
        (Seeking, Backoff, "a look shows nothing, and the pause lasts"),
        (Seeking, Exited, "a look shows nothing, and its policy says that it ended for good"),
        (Seeking, Failed, "a look shows nothing, and it is given up"),
        (Seeking, Stopped, "it is no longer wanted, and nothing of it ran"),
        (Spawning, Running, "the start command runs and may be the service itself"),
        (Spawning, Readying, "the start command runs and may be the service itself, which is not ready yet"),
        (Spawning, Starting, "the start command runs and is not the service itself"),
        (Spawning, Backoff, "the start command cannot be run"),
        (Spawning, Stopped, "the start command cannot be run, and it is no longer wanted"),
        (Spawning, Failed, "the start command cannot be run, and it is given up"),
        (Starting, Running, "the start command has become the service, or has started it and stays"),
        (Starting, Readying, "the same, and the service is not ready yet"),
        (Starting, Seeking, "the start command ended"),
        (Starting, Stopping, "`start-timeout` is over; it is no longer wanted, or to be restarted"),
        (Readying, Running, "it is ready"),
        (Readying, Seeking, "the main process ended"),
        (Readying, Stopping, "it did not become ready in time; it is no longer wanted, or to be restarted"),
        (Running, Unhealthy, "its health check fails"),
        (Running, Seeking, "the main process ended"),
        (Running, Exited, "the task is done"),
        (
            Running,
            Stopping,
            "it is no longer wanted, or to be restarted; it is not as it should be; or what is followed never took its \
             name",
        ),
        (Unhealthy, Running, "its health check succeeds"),
        (Unhealthy, Seeking, "the main process ended"),
        (Unhealthy, Exited, "the task is done"),
        (Unhealthy, Stopping, "it is no longer wanted, or to be restarted"),
        (Stopping, Stopped, "nothing of it is left, and it is not wanted"),
        (Stopping, Seeking, "nothing of it is left"),
        (Stopping, Spawning, "nothing of the task is left, and it runs again"),
        (Stopping, Waiting, "nothing of it is left, and what it comes after is not ready"),
        (Stopping, Backoff, "nothing of it is left, and the pause lasts"),
        (Stopping, Exited, "nothing of it is left, and its policy says that it ended for good"),
        (Stopping, Failed, "nothing of it is left, and it is given up"),
        (Backoff, Seeking, "the pause is over"),
        (Backoff, Spawning, "the pause is over, and the task runs again"),
        (Backoff, Waiting, "the pause is over, and what it comes after is not ready"),
        (Backoff, Stopped, "it is no longer wanted"),
        (Exited, Seeking, "it is asked for again"),
        (Exited, Spawning, "the task is asked for again"),
        (Exited, Waiting, "it is asked for again, and what it comes after is not ready"),
        (Exited, Stopped, "it is no longer wanted"),
        (Failed, Seeking, "it is asked for again"),
        (Failed, Spawning, "the task is asked for again"),
        (Failed, Waiting, "it is asked for again, and what it comes after is not ready"),
        (Failed, Stopped, "it is no longer wanted"),
    ]
};
