//! Until when something can be called off.

use std::sync::atomic::{AtomicU8, Ordering};

/// Either it is called off, or it came too far for that; whichever is first.
#[derive(Debug, Default)]
pub(crate) struct Stage(AtomicU8);

const CANCELED: u8 = 1;
const COMMITTED: u8 = 2;

impl Stage {
    pub(crate) const fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    /// Calls it off; `false` where it is too late.
    pub(crate) fn cancel(&self) -> bool {
        self.becomes(CANCELED)
    }

    /// From now on it cannot be called off; `false` where it was.
    pub(crate) fn commit(&self) -> bool {
        self.becomes(COMMITTED)
    }

    pub(crate) fn is_canceled(&self) -> bool {
        self.0.load(Ordering::Relaxed) == CANCELED
    }

    pub(crate) fn is_committed(&self) -> bool {
        self.0.load(Ordering::Relaxed) == COMMITTED
    }

    fn becomes(&self, stage: u8) -> bool {
        let changed = (self.0).compare_exchange(0, stage, Ordering::Relaxed, Ordering::Relaxed);
        changed.is_ok() || changed == Err(stage)
    }
}
