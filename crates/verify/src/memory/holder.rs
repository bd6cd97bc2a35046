//! The thread that answers when a lease breaks.

use std::ffi::c_int;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::thread::{Pid, gettid};

use super::guarded::Leased;
use super::kernel;
use crate::FilePath;

/// Answers for the leases of guarded holds: a thread that sleeps until somebody wants to write.
///
/// The kernel tells of it by one real-time signal, sent to that thread alone, which is the only one
/// to block it: the rest of the process keeps its handlers, masks and dispositions. The thread
/// lives as long as this, or any hold.
#[derive(Clone, Debug)]
pub struct LeaseHolder {
    watch: Arc<Watch>,
}

/// The real-time signal of a broken lease; by default `SIGRTMIN + 10`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeaseSignal(c_int);

/// Somebody wanted to write to a file that is held.
#[derive(Debug)]
#[non_exhaustive]
pub struct LeaseEvent<'a> {
    /// The file's path inside its policy.
    pub path: &'a FilePath,
    /// Its size in bytes.
    pub bytes: u64,
    /// What became of the hold.
    pub outcome: LeaseOutcome<'a>,
}

/// What became of a hold when somebody wanted to write.
#[derive(Debug)]
#[non_exhaustive]
pub enum LeaseOutcome<'a> {
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
        error: &'a io::Error,
        /// How long the writer will be held back at most.
        left: Duration,
    },
}

type Listener = dyn Fn(&LeaseEvent<'_>) + Send + Sync;

/// The thread, for those who keep it alive.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    id: Pid,
    signal: LeaseSignal,
}

/// What the thread works on.
struct Shared {
    leased: Mutex<Vec<Weak<Leased>>>,
    stop: AtomicBool,
    break_time: Duration,
    listener: Box<Listener>,
}

/// Between two attempts to find memory.
const RETRY: Duration = Duration::from_millis(20);
/// What any machine copies and maps in a second.
const BYTES_PER_SECOND: u64 = 256 << 20;
/// `/proc/sys/fs/lease-break-time` of 0: the kernel waits for ever.
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

impl LeaseHolder {
    /// Starts the thread; `listener` is called on it whenever somebody wanted to write.
    ///
    /// # Errors
    /// No thread, or `/proc/sys/fs/lease-break-time` cannot be read.
    pub fn start(
        signal: LeaseSignal,
        listener: impl Fn(&LeaseEvent<'_>) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            leased: Mutex::default(),
            stop: AtomicBool::new(false),
            break_time: break_time()?,
            listener: Box::new(listener),
        });
        let (sender, receiver) = sync_channel(1);
        let works = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("tensorgate-lease".to_owned())
            .spawn(move || {
                let ready = kernel::block_all_signals().map(|()| gettid());
                let blocked = ready.is_ok();
                if sender.send(ready).is_ok() && blocked {
                    works.run(signal);
                }
            })?;
        let id = receiver.recv().map_err(io::Error::other)??;
        let watch = Watch {
            shared,
            thread,
            id,
            signal,
        };
        Ok(Self {
            watch: Arc::new(watch),
        })
    }

    pub(super) const fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }
}

impl LeaseSignal {
    /// The signal of this number, or `None` where it is no real-time signal (signal(7)).
    pub fn new(number: i32) -> Option<Self> {
        (libc::SIGRTMIN()..=libc::SIGRTMAX())
            .contains(&number)
            .then_some(Self(number))
    }

    /// Its number.
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl Default for LeaseSignal {
    fn default() -> Self {
        Self(libc::SIGRTMIN().saturating_add(10))
    }
}

impl Watch {
    pub(super) fn take_lease(&self, file: &File) -> io::Result<()> {
        kernel::take_lease(file, self.signal, self.id)
    }

    /// Whether what is held, and `len` bytes more, can be moved before the kernel's patience ends.
    pub(super) fn has_time_for(&self, len: u64) -> bool {
        let held = self.shared.live();
        let held = held.iter().map(|leased| leased.bytes());
        let all = held.fold(len, u64::saturating_add);
        let seconds = all.div_ceil(BYTES_PER_SECOND);
        Duration::from_secs(seconds) < self.shared.patience()
    }

    /// Answers for a lease from now on. It may have been broken since it was taken.
    pub(super) fn answer_for(&self, leased: &Arc<Leased>) {
        self.shared.list().push(Arc::downgrade(leased));
        kernel::wake(&self.thread, self.signal);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Perhaps on that very thread, with the last hold: it is not waited for.
        self.shared.stop.store(true, Ordering::Release);
        kernel::wake(&self.thread, self.signal);
    }
}

impl Shared {
    fn run(&self, signal: LeaseSignal) {
        let mut all_moved = true;
        while !self.stop.load(Ordering::Acquire) {
            match all_moved {
                true => kernel::wait_for(signal),
                false => thread::sleep(RETRY),
            }
            // Whichever hold the signal was for: signals are lost where too many are queued.
            all_moved = self.live().iter().fold(true, |all, leased| {
                let moved = leased
                    .wanted_since()
                    .is_none_or(|since| self.move_away(leased, since));
                all && moved
            });
        }
    }

    /// Says whether nobody waits for the file any more.
    fn move_away(&self, leased: &Leased, since: Instant) -> bool {
        match leased.seal() {
            Ok(true) => {
                let took = since.elapsed();
                self.tell(leased, LeaseOutcome::Moved { took });
                true
            }
            Ok(false) => true,
            Err(error) => {
                self.starve(leased, &error, since);
                false
            }
        }
    }

    fn starve(&self, leased: &Leased, error: &io::Error, since: Instant) {
        let left = self.patience().saturating_sub(since.elapsed());
        if leased.starve() {
            self.tell(leased, LeaseOutcome::Starved { error, left });
        }
        if left.is_zero() {
            leased.give_up();
        }
    }

    /// A listener that panics must not end the thread: nobody would answer any more.
    fn tell(&self, leased: &Leased, outcome: LeaseOutcome<'_>) {
        let event = LeaseEvent {
            path: leased.path(),
            bytes: leased.bytes(),
            outcome,
        };
        let told = catch_unwind(AssertUnwindSafe(|| (self.listener)(&event)));
        drop(told);
    }

    /// For how long a writer is held back before this process must have answered.
    fn patience(&self) -> Duration {
        self.break_time.mul_f64(0.75)
    }

    fn live(&self) -> Vec<Arc<Leased>> {
        let mut list = self.list();
        list.retain(|leased| leased.strong_count() > 0);
        list.iter().filter_map(Weak::upgrade).collect()
    }

    fn list(&self) -> MutexGuard<'_, Vec<Weak<Leased>>> {
        self.leased.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the kernel holds writers back (proc_sys_fs(5)).
fn break_time() -> io::Result<Duration> {
    let path = "/proc/sys/fs/lease-break-time";
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let mut text = String::new();
    File::from(openat(CWD, path, flags, Mode::empty())?)
        .take(32)
        .read_to_string(&mut text)?;
    match text.trim().parse() {
        Ok(0) => Ok(FOR_EVER),
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, path)),
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("leased", &self.leased)
            .field("break_time", &self.break_time)
            .finish_non_exhaustive()
    }
}
