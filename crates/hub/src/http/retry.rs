//! When it is worth to ask again, and when not.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::FetchError;
use crate::http::deadline::Deadline;
use crate::limits::FetchLimits;
use crate::progress::Progress;

/// Tries again what may only have been bad luck.
pub(crate) struct Retries<'a> {
    left: u32,
    backoff: Duration,
    limits: &'a FetchLimits,
    deadline: Option<Deadline>,
    reached: Option<Reached>,
    progress: &'a dyn Progress,
}

/// How much of a file there is.
struct Reached {
    /// After the last attempt.
    bytes: u64,
    size: u64,
    /// After any attempt.
    most: u64,
    /// When there was more than ever, or the first attempt began.
    since: Instant,
}

impl<'a> Retries<'a> {
    pub(crate) fn new(limits: &'a FetchLimits, progress: &'a dyn Progress) -> Self {
        Self {
            left: limits.retries,
            backoff: limits.retry_delay,
            limits,
            deadline: None,
            reached: None,
            progress,
        }
    }

    /// The same for a file of `size` bytes, which takes no attempt after `deadline`.
    pub(crate) fn of_file(mut self, size: u64, deadline: Deadline) -> Self {
        self.deadline = Some(deadline);
        self.reached = Some(Reached {
            bytes: 0,
            size,
            most: 0,
            since: Instant::now(),
        });
        self
    }

    /// There are so many bytes of the file now. If that is more than ever, and they came no slower
    /// than anything may, the attempts that failed are forgotten: a link that is cut again and
    /// again gets a large file, and one that brings a byte each time does not.
    pub(crate) fn reach(&mut self, bytes: u64) {
        let Some(reached) = &mut self.reached else {
            return;
        };
        reached.bytes = bytes;
        if bytes <= reached.most {
            return;
        }
        let enough = self.limits.slowest_bytes(reached.since.elapsed());
        if bytes - reached.most >= enough {
            (self.left, self.backoff) = (self.limits.retries, self.limits.retry_delay);
        }
        (reached.most, reached.since) = (bytes, Instant::now());
    }

    /// The file begins from nothing, for a new reason.
    pub(crate) fn forget(&mut self) {
        if let Some(reached) = &mut self.reached {
            (reached.bytes, reached.most) = (0, 0);
        }
    }

    /// Waits until it is time for another attempt; the error comes back if there is none.
    pub(crate) async fn wait_after(&mut self, error: FetchError) -> Result<(), FetchError> {
        let wait = error.wait(jittered(self.backoff), self.limits.retry_after);
        let in_time = |wait: &Duration| !self.deadline.is_some_and(|end| end.is_before(*wait));
        let Some(wait) = wait.filter(|_| self.left > 0).filter(in_time) else {
            return Err(error);
        };
        let (seconds, place) = (wait.as_secs_f32(), self.place());
        let text = format!("{error}; {place} in {seconds:.1} s");
        self.progress.notice(&text);
        tokio::time::sleep(wait).await;
        self.left -= 1;
        self.backoff = self.backoff.saturating_mul(2);
        Ok(())
    }

    /// What is done, and from where on.
    fn place(&self) -> String {
        match &self.reached {
            Some(Reached { bytes, size, .. }) if *bytes > 0 => {
                format!("cut at {bytes} of {size} bytes, trying again from there")
            }
            _ => "trying again".into(),
        }
    }
}

/// Between a half and the whole of `backoff`, so that a fleet does not come back in step.
pub(crate) fn jittered(backoff: Duration) -> Duration {
    use std::hash::{BuildHasher as _, RandomState};
    let random = RandomState::new().hash_one(0_u8) % 512;
    backoff.mul_f64(0.5 + random as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn limits() -> FetchLimits {
        FetchLimits {
            retry_delay: Duration::from_millis(1),
            ..FetchLimits::default()
        }
    }

    /// Attempts until the error comes back, if each brings what `more` says.
    async fn attempts(limits: &FetchLimits, more: &[u64], deadline: Deadline) -> usize {
        let mut retries = Retries::new(limits, &Silent).of_file(1 << 40, deadline);
        let mut have = 0;
        for (attempt, bytes) in more.iter().enumerate() {
            have += bytes;
            retries.reach(have);
            let cut = FetchError::timed_out("", "no more bytes came", Duration::ZERO);
            if retries.wait_after(cut).await.is_err() {
                return attempt;
            }
        }
        more.len()
    }

    fn far() -> Deadline {
        Deadline::within(Duration::MAX, "never")
    }

    #[tokio::test]
    async fn progress_gives_the_attempts_back_and_nothing_else_does() {
        let limits = limits();
        assert_eq!(attempts(&limits, &[0; 50], far()).await, 3);
        assert_eq!(attempts(&limits, &[1 << 20; 50], far()).await, 50);
        let one = [&[1 << 20][..], &[0; 50]].concat();
        assert_eq!(attempts(&limits, &one, far()).await, 3);
        let slow = FetchLimits {
            slowest: u64::MAX,
            retry_delay: Duration::from_millis(10),
            ..limits
        };
        assert!(attempts(&slow, &[1 << 20; 50], far()).await < 5);
    }

    #[tokio::test]
    async fn what_came_before_is_no_progress() {
        let limits = limits();
        let mut retries = Retries::new(&limits, &Silent).of_file(1 << 40, far());
        for bytes in [1 << 20, 1 << 19, 1 << 20] {
            retries.reach(bytes);
            let cut = FetchError::timed_out("", "", Duration::ZERO);
            retries.wait_after(cut).await.unwrap();
        }
        assert_eq!(retries.left, 0);
        retries.reach(1 << 21);
        assert_eq!(retries.left, 3);
    }

    #[tokio::test]
    async fn nobody_waits_beyond_the_deadline() {
        let limits = FetchLimits {
            retry_delay: Duration::from_secs(60),
            ..FetchLimits::default()
        };
        let soon = Deadline::within(Duration::from_secs(1), "now");
        assert_eq!(attempts(&limits, &[1 << 20; 9], soon).await, 0);
    }
}
