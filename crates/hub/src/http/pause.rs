//! A time in which nobody asks the Hub: what one request is told holds for all.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::http::retry::jittered;
use crate::progress::Progress;

/// Until when the Hub is left alone.
#[derive(Debug, Default)]
pub(crate) struct Pause(Mutex<Option<Until>>);

#[derive(Clone, Copy, Debug)]
struct Until {
    end: Instant,
    /// Whether somebody who waits has said so.
    is_told: bool,
}

impl Pause {
    /// Nobody asks for so long from now on.
    pub(crate) fn begin(&self, wait: Duration) {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = until.map(|until| until.end);
        if let Some(end) = Instant::now().checked_add(wait)
            && before.is_none_or(|before| before < end)
        {
            let is_told = false;
            *until = Some(Until { end, is_told });
        }
    }

    /// Waits until it is over, and up to a quarter longer. One that begins meanwhile is not waited
    /// for: whoever pauses all the time is asked all the same.
    pub(crate) async fn over(&self, progress: &dyn Progress) {
        let Some((left, is_news)) = self.left() else {
            return;
        };
        if is_news {
            let seconds = left.as_secs_f32();
            progress.notice(&format!("the Hub wants not to be asked for {seconds:.1} s"));
        }
        tokio::time::sleep(left.saturating_add(jittered(left / 4))).await;
    }

    /// What is left of it, and whether that was not asked before.
    fn left(&self) -> Option<(Duration, bool)> {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = until.as_mut()?;
        let left = until.end.checked_duration_since(Instant::now())?;
        Some((left, !std::mem::replace(&mut until.is_told, true)))
    }
}
