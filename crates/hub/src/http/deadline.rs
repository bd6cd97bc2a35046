//! Times by which something must be over, each with what is said if it is not.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::FetchError;

/// A hundred years, for times that the clock cannot hold.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A time by which something must be over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    end: Instant,
    waited: Duration,
    what: &'static str,
}

impl Deadline {
    /// That time from now; `what` says what did not happen by then.
    pub(crate) fn within(waited: Duration, what: &'static str) -> Self {
        let now = Instant::now();
        let end = now.checked_add(waited).unwrap_or(now + FAR);
        Self { end, waited, what }
    }

    /// Whichever comes first.
    pub(crate) fn sooner(self, other: Self) -> Self {
        match other.end < self.end {
            true => other,
            false => self,
        }
    }

    /// Whether it is over before `wait` is.
    pub(crate) fn is_before(self, wait: Duration) -> bool {
        Instant::now()
            .checked_add(wait)
            .is_none_or(|end| self.end < end)
    }

    /// Waits no longer than that. `url` may be shown.
    pub(crate) async fn bound<T>(
        self,
        url: &str,
        work: impl Future<Output = T>,
    ) -> Result<T, FetchError> {
        let done = tokio::time::timeout_at(self.end, work).await;
        done.map_err(|_| FetchError::timed_out(url, self.what, self.waited))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_time_is_no_panic_and_bounds_nothing() {
        let deadline = Deadline::within(Duration::MAX, "never");
        assert!(Deadline::within(Duration::ZERO, "now").end < deadline.end);
        assert_eq!(deadline.bound("", async { 1 }).await.unwrap(), 1);
    }
}
