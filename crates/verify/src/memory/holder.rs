//! The thread that answers when a lease breaks.

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::thread::{Pid, gettid};

use super::guarded::Leased;
use super::room::kernel_text;
use super::{LeaseEvent, LeaseOutcome, event, kernel};

/// Answers for the leases of guarded holds: a thread that sleeps until somebody wants to write, and
/// another that tells of it.
///
/// The kernel sends one real-time signal to the first thread alone, which is the only one to block
/// it: the rest of the process keeps its handlers, masks and dispositions. A signal of that number
/// which was meant for the process is sent to it again. The threads end with the last clone of this
/// and the last hold.
///
/// At the usual `lease-break-time` of 45 s no more than about 4 GiB are guarded at a time, over all
/// files: what is beyond is copied ([`Unguarded::TooLarge`](super::Unguarded)).
///
/// A child that was forked and did not exec shares the open files, and with them the leases: if this
/// process is killed, they end with the child.
#[derive(Clone, Debug)]
pub struct LeaseHolder {
    watch: Arc<Watch>,
}

/// The real-time signal of a broken lease; by default `SIGRTMIN + 10`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeaseSignal(c_int);

/// The thread, for those who keep it alive.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    id: Pid,
    signal: LeaseSignal,
}

/// What the thread works on.
#[derive(Debug)]
struct Shared {
    leased: Mutex<Vec<Weak<Leased>>>,
    /// Bytes that would have to move if somebody wanted to write to all files at once.
    promised: AtomicU64,
    stop: AtomicBool,
    break_time: Duration,
    events: Sender<LeaseEvent>,
}

/// Bytes that can be moved in time, whatever else is promised.
#[derive(Debug)]
pub(super) struct Promise {
    shared: Arc<Shared>,
    bytes: AtomicU64,
}

/// Between two attempts to find memory, or after a signal of somebody else's.
const RETRY: Duration = Duration::from_millis(20);
/// Between two looks at every lease, signal or not: signals are lost where too many are queued, or
/// the process changed its user (sigio_perm in fs/fcntl.c). It is also how exactly is known since
/// when somebody may be waiting, so it must be a small part of `lease-break-time`.
const LOOK: Duration = Duration::from_secs(1);
const LOOKS: u32 = 8;
/// Assumed of every machine: 128 MiB a second are copied, evicted pages read again. Where the disk is
/// slower and somebody writes, the copy may come too late, and the process ends.
const BYTES_PER_SECOND: u64 = 128 << 20;
/// `/proc/sys/fs/lease-break-time` of 0: the kernel waits for ever.
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

impl LeaseHolder {
    /// Starts the threads; `listener` is called on one of them whenever somebody wanted to write.
    ///
    /// # Errors
    /// No thread, or `/proc/sys/fs/lease-break-time` cannot be read.
    pub fn start(
        signal: LeaseSignal,
        listener: impl Fn(&LeaseEvent) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            leased: Mutex::default(),
            promised: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            break_time: break_time()?,
            events: event::tell(listener)?,
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

    pub(super) fn break_time(&self) -> Duration {
        self.shared.break_time
    }

    /// Promises that `bytes` more, and all that was promised before, can be moved before the
    /// kernel's patience ends.
    pub(super) fn promise(&self, bytes: u64) -> Option<Promise> {
        let most = self.shared.patience().as_secs();
        let most = most.saturating_mul(BYTES_PER_SECOND);
        let add = |before: u64| before.checked_add(bytes).filter(|all| *all <= most);
        let promised = &self.shared.promised;
        let added = promised.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        added.ok().map(|_| Promise {
            shared: Arc::clone(&self.shared),
            bytes: AtomicU64::new(bytes),
        })
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

impl Promise {
    /// Nothing has to be moved any more.
    pub(super) fn give_back(&self) {
        let bytes = self.bytes.swap(0, Ordering::AcqRel);
        self.shared.promised.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Shared {
    fn run(&self, signal: LeaseSignal) {
        let look = LOOK.min(self.break_time.checked_div(LOOKS).unwrap_or(LOOK));
        let mut all_moved = true;
        while !self.stop.load(Ordering::Acquire) {
            // Who waits for a signal may be given the process's own: it leaves some time to others.
            let pause = !all_moved || kernel::wait_for(signal, look);
            if pause {
                thread::sleep(RETRY);
            }
            // Each is looked at before the first is moved, which takes a while.
            let mut wanted = self.live();
            wanted.retain(|leased| leased.is_wanted());
            wanted.retain(|leased| !self.move_away(leased));
            all_moved = wanted.is_empty();
        }
    }

    /// Says whether nobody waits for the file any more.
    fn move_away(&self, leased: &Leased) -> bool {
        match leased.seal() {
            Ok(took) => {
                if let Some(took) = took {
                    self.tell(leased, LeaseOutcome::Moved { took });
                }
                true
            }
            Err(error) => {
                self.starve(leased, error);
                false
            }
        }
    }

    fn starve(&self, leased: &Leased, error: io::Error) {
        let left = self.patience().saturating_sub(leased.waited_at_most());
        if leased.starve() {
            self.tell(leased, LeaseOutcome::Starved { error, left });
        }
        if left.is_zero() {
            leased.give_up();
        }
    }

    fn tell(&self, leased: &Leased, outcome: LeaseOutcome) {
        let event = LeaseEvent {
            path: leased.path().clone(),
            bytes: leased.bytes(),
            outcome,
        };
        // The other thread is there as long as this one.
        drop(self.events.send(event));
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
    match kernel_text(path)?.trim().parse() {
        Ok(0) => Ok(FOR_EVER),
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_promised_than_can_be_kept() {
        let holder = LeaseHolder::start(LeaseSignal::default(), |_| ()).unwrap();
        let watch = holder.watch();
        let most = watch.shared.patience().as_secs() * BYTES_PER_SECOND;
        assert!(watch.promise(most + 1).is_none());
        assert!(watch.promise(u64::MAX).is_none());
        let all = watch.promise(most).unwrap();
        assert!(watch.promise(1).is_none());
        all.give_back();
        let half = watch.promise(most / 2).unwrap();
        assert!(watch.promise(most).is_none());
        // What was given back is not given back again.
        drop((all, half));
        assert!(watch.promise(most).is_some());
        assert_eq!(watch.shared.promised.load(Ordering::Acquire), 0);
    }
}
