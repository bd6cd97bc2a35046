//! A time in which nobody asks the Hub: what one request is told holds for all.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::retry::jittered;

/// Until when the Hub is left alone.
#[derive(Debug, Default)]
pub(crate) struct Pause(Mutex<Option<Instant>>);

impl Pause {
    /// Nobody asks for so long from now on.
    pub(crate) fn begin(&self, wait: Duration) {
        let until = Instant::now().checked_add(wait);
        let end = self.0.lock();
        let mut end = end.unwrap_or_else(PoisonError::into_inner);
        *end = until.max(*end);
    }

    /// Waits until it is over, and up to a quarter longer. One that begins meanwhile is not waited
    /// for: whoever pauses all the time is asked all the same.
    pub(crate) async fn over(&self) {
        let end = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = end.and_then(|end| end.checked_duration_since(Instant::now()));
        if let Some(left) = left {
            tokio::time::sleep(left.saturating_add(jittered(left / 4))).await;
        }
    }
}
