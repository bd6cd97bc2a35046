//! What the owner of a hold is told.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use super::kernel;
use crate::FilePath;

/// Somebody wanted to write to a file that is held.
#[derive(Debug)]
#[non_exhaustive]
pub struct LeaseEvent {
    /// The file's path inside its policy.
    pub path: FilePath,
    /// Its size in bytes.
    pub bytes: u64,
    /// What became of the hold.
    pub outcome: LeaseOutcome,
}

/// What became of a hold when somebody wanted to write.
#[derive(Debug)]
#[non_exhaustive]
pub enum LeaseOutcome {
    /// The bytes are in a sealed memfd now, at the same addresses, and the writer went on.
    Moved {
        /// For how long the writer waited, from the moment it was noticed.
        took: Duration,
    },
    /// There is no memory to move to. It is tried again until the kernel lets the writer go on; who
    /// holds the policy must withdraw it until then. Otherwise the process ends, since bytes that
    /// somebody relies on would change.
    Starved {
        /// What the system said.
        error: io::Error,
        /// How long the writer will be held back at most.
        left: Duration,
    },
}

/// Starts a thread that calls `listener` with each event, until the sender is gone.
///
/// It is a thread of its own: a listener that waits for something, or panics, must not keep the
/// other one from answering for leases.
pub(super) fn tell(
    listener: impl Fn(&LeaseEvent) + Send + 'static,
) -> io::Result<Sender<LeaseEvent>> {
    let (sender, events) = channel();
    let listen = move || {
        // None of the process's handlers runs here. What cannot be blocked changes nothing.
        drop(kernel::block_all_signals());
        for event in events {
            drop(catch_unwind(AssertUnwindSafe(|| listener(&event))));
        }
    };
    thread::Builder::new()
        .name("tensorgate-told".to_owned())
        .spawn(listen)?;
    Ok(sender)
}
