//! Chooses how long to wait before a restart. Starts nothing.

use std::time::Duration;

use crate::config::Service;

/// How many ends and failed starts in a row there are now; `ran`: how long the run lasted that just
/// ended, `None` where the start command could not even be run.
pub(super) fn failures(service: &Service, before: u32, ran: Option<Duration>) -> u32 {
    match ran {
        // Nothing ended that could be back at once, and trying without a pause would spin.
        None => before.saturating_add(1).max(2),
        Some(_) if service.stable_after.is_zero() => 0,
        Some(ran) if ran >= service.stable_after => 1,
        Some(_) => before.saturating_add(1),
    }
}

/// The shortest pause after a start that failed, whatever is configured: more tries a second find nothing new, and
/// without any pause they would keep everything else from being done.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// The pause before the next start after one that failed.
pub(super) fn pause_after_failure(service: &Service, failures: u32) -> Duration {
    pause(service, failures).max(AFTER_FAILURE)
}

/// The pause before the next start after so many failures: none after the first.
pub(super) fn pause(service: &Service, failures: u32) -> Duration {
    let Some(growths) = failures.checked_sub(2) else { return Duration::ZERO };
    let longest = service.backoff.max.min(service.interval);
    if service.backoff.initial.is_zero() {
        return Duration::ZERO;
    }
    let seconds = service.backoff.initial.as_secs_f64() * service.backoff.factor.powf(f64::from(growths));
    Duration::try_from_secs_f64(seconds).map_or(longest, |pause| pause.min(longest))
}
