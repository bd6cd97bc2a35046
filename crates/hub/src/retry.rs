//! When it is worth to ask again, and when not.

use std::time::Duration;

use crate::error::FetchError;
use crate::limits::FetchLimits;
use crate::progress::Progress;

/// Tries again what may only have been bad luck.
pub(crate) struct Retries<'a> {
    left: u32,
    backoff: Duration,
    longest: Duration,
    progress: &'a dyn Progress,
}

impl<'a> Retries<'a> {
    pub(crate) fn new(limits: &FetchLimits, progress: &'a dyn Progress) -> Self {
        Self {
            left: limits.retries,
            backoff: limits.retry_delay,
            longest: limits.retry_after,
            progress,
        }
    }

    /// Waits until it is time for another attempt; the error comes back if there is none.
    pub(crate) async fn wait_after(&mut self, error: FetchError) -> Result<(), FetchError> {
        let wait = error.wait(jittered(self.backoff), self.longest);
        let Some(wait) = wait.filter(|_| self.left > 0) else {
            return Err(error);
        };
        let seconds = wait.as_secs_f32();
        let text = format!("{error}; trying again in {seconds:.1} s");
        self.progress.notice(&text);
        tokio::time::sleep(wait).await;
        self.left -= 1;
        self.backoff = self.backoff.saturating_mul(2);
        Ok(())
    }
}

/// Between a half and the whole of `backoff`, so that a fleet does not come back in step.
pub(crate) fn jittered(backoff: Duration) -> Duration {
    use std::hash::{BuildHasher as _, RandomState};
    let random = RandomState::new().hash_one(0_u8) % 512;
    backoff.mul_f64(0.5 + random as f64 / 1024.0)
}
