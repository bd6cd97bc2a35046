//! Who watches a load, and may call it off.

use std::path::Path;

/// Told how a load goes on, from the threads that do it.
pub(crate) trait Observer: Send + Sync {
    /// A new phase begins; `total` is what [`Observer::advance`] will add up to in bytes, 0 where
    /// that is not known.
    fn phase(&self, phase: Phase, total: u64);

    /// So many more bytes of this phase are done.
    fn advance(&self, bytes: u64);

    /// A line for people.
    fn note(&self, text: &str);

    /// Another process has this lock.
    fn waiting(&self, lock: &Path) {
        self.note(&format!(
            "waiting for another process that has {}",
            lock.display()
        ));
    }

    /// Nobody wants the policy any more: end soon, and change nothing.
    fn is_canceled(&self) -> bool;

    /// What comes next cannot be taken back: from now on it is too late to call the load off. `false`
    /// where that was done before.
    fn commit(&self) -> bool;
}

/// What is done at the moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Which release it is, and whether the store has it.
    Looking,
    /// Its files come from a Hub.
    Fetching,
    /// Every byte is proven.
    Verifying,
}
