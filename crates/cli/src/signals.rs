//! The signals that end a program, held back while something is to be put in order first.
//!
//! A handler that was installed stays. One whose signal nobody holds does what the kernel would have
//! done: the process dies of that signal, and its parent sees it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::low_level::{emulate_default_handler, pipe, unregister};
use signal_hook::{SigId, flag};

/// What Ctrl-C sends, and whoever runs services.
pub(crate) const STOP: [i32; 2] = [SIGINT, SIGTERM];
/// What a terminal that goes sends besides, and Ctrl-\: all that leave a program a last word.
pub(crate) const END: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Signals that end nothing while this lives. One that came, and was not answered, ends the process
/// when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    /// Has something to read once a signal came.
    ears: UnixStream,
    signals: Vec<(Signal, SigId)>,
}

impl Held {
    pub(crate) fn back(numbers: &[i32]) -> io::Result<Self> {
        let (ears, mouth) = UnixStream::pair()?;
        let signals = Vec::new();
        let mut held = Self { ears, signals };
        for number in numbers {
            let signal = Signal::handled(*number)?;
            let told = pipe::register(*number, mouth.try_clone()?)?;
            signal.ends.store(false, SeqCst);
            held.signals.push((signal, told));
        }
        Ok(held)
    }

    /// For whoever waits in an event loop.
    pub(crate) fn ears(&self) -> io::Result<UnixStream> {
        let ears = self.ears.try_clone()?;
        ears.set_nonblocking(true)?;
        Ok(ears)
    }

    /// Whoever asked for an end gets it in another way.
    pub(crate) fn answer(&self) {
        for (signal, _) in &self.signals {
            signal.came.store(false, SeqCst);
        }
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ears.as_fd()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for (signal, told) in self.signals.drain(..) {
            signal.ends.store(true, SeqCst);
            unregister(told);
            if signal.came.swap(false, SeqCst) {
                // Only a signal that is none is an error.
                emulate_default_handler(signal.number).ok();
            }
        }
    }
}

/// What the handlers of one signal know.
#[derive(Clone, Debug)]
struct Signal {
    number: i32,
    came: Arc<AtomicBool>,
    /// Whether it ends the process.
    ends: Arc<AtomicBool>,
}

impl Signal {
    /// Its handlers are installed once.
    fn handled(number: i32) -> io::Result<Self> {
        static ALL: Mutex<Vec<Signal>> = Mutex::new(Vec::new());
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.iter().find(|signal| signal.number == number) {
            return Ok(known.clone());
        }
        let signal = Self {
            number,
            came: Arc::default(),
            ends: Arc::new(AtomicBool::new(true)),
        };
        // In this order: who lets it end the process, and then looks whether it came, misses none.
        flag::register(number, Arc::clone(&signal.came))?;
        flag::register_conditional_default(number, Arc::clone(&signal.ends))?;
        all.push(signal.clone());
        Ok(signal)
    }
}
