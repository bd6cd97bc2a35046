//! The gate's end.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};

use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown};

use crate::packet::Packet;
use crate::place::Listening;
use crate::{HandoffError, Offer, Peers, Refusal, line};

/// Hands what is offered to whoever connects and is one of its peers.
///
/// One thread answers one connection after the other and waits for nobody: all packets fit into
/// the socket's buffer, whether or not the other end reads them. The socket goes with this.
///
/// A peer that connects often, never reads and stays can keep the others away: the kernel bounds
/// the descriptors of one user, root excepted, that are on their way (`RLIMIT_NOFILE`; unix(7),
/// `ETOOMANYREFS`). Each hand-off that fails so is told to the listener.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    listening: Arc<Listening>,
    thread: Option<JoinHandle<()>>,
}

/// What became of a connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A policy was handed to this user.
    HandedOver {
        /// Who it is, by the kernel's word.
        uid: u32,
    },
    /// Nothing was handed over.
    Refused {
        /// Why not.
        error: &'a HandoffError,
    },
    /// Nobody can connect for now: this process has no descriptors left, for one.
    Deaf {
        /// What the system said.
        error: io::Error,
    },
}

type Listener = dyn Fn(&Event<'_>) + Send + Sync;

struct Shared {
    peers: Peers,
    offer: Mutex<Result<Arc<Offer>, Refusal>>,
    stop: AtomicBool,
    listener: Box<Listener>,
}

/// Between two attempts to accept where that fails.
const PAUSE: Duration = Duration::from_millis(50);

impl Server {
    /// Listens at `path` and answers `peers`; nothing is offered yet. `listener` is told of every
    /// connection, on the thread that answers them.
    ///
    /// The socket has mode 0600, or 0666 where `peers` names others than this process's user and
    /// root; who is answered is decided by the kernel's word in either case.
    ///
    /// # Errors
    /// [`HandoffError::Place`]: others may write to the directory, the path is too long, something
    /// has that name (a dead socket of the same user gives way). [`HandoffError::Io`]: no thread.
    pub fn start(
        path: &Path,
        peers: Peers,
        listener: impl Fn(&Event<'_>) + Send + Sync + 'static,
    ) -> Result<Self, HandoffError> {
        let place = |source| HandoffError::Place {
            path: path.to_owned(),
            source,
        };
        let listening = Arc::new(Listening::at(path, &peers).map_err(place)?);
        let shared = Arc::new(Shared {
            peers,
            offer: Mutex::new(Err(Refusal::NothingOffered)),
            stop: AtomicBool::new(false),
            listener: Box::new(listener),
        });
        let (answers, socket) = (Arc::clone(&shared), Arc::clone(&listening));
        let thread = thread::Builder::new()
            .name("tensorgate-hand".to_owned())
            .spawn(move || answers.run(&socket.socket))
            .map_err(|error| HandoffError::io("a thread", error))?;
        Ok(Self {
            shared,
            listening,
            thread: Some(thread),
        })
    }

    /// From now on, `offer` is handed over.
    pub fn offer(&self, offer: Offer) {
        self.shared.set(Ok(Arc::new(offer)));
    }

    /// From now on, `why` is all that is said. What was handed over stays with those who have it.
    pub fn withdraw(&self, why: Refusal) {
        self.shared.set(Err(why));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // Wakes the thread: `accept` on a socket that was shut down is EINVAL.
        let woken = shutdown(&self.listening.socket, Shutdown::Both);
        if let Some(thread) = self.thread.take().filter(|_| woken.is_ok()) {
            // A listener that panicked ended it before.
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn set(&self, offer: Result<Arc<Offer>, Refusal>) {
        *self.offer.lock().unwrap_or_else(PoisonError::into_inner) = offer;
    }

    fn offered(&self) -> Result<Arc<Offer>, Refusal> {
        self.offer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn run(&self, listening: &OwnedFd) {
        let mut deaf = false;
        while !self.stop.load(Ordering::Acquire) {
            match accept_with(listening, SocketFlags::CLOEXEC) {
                Ok(socket) => {
                    deaf = false;
                    self.answer(&socket);
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => {
                    if !deaf && !self.stop.load(Ordering::Acquire) {
                        let error = error.into();
                        (self.listener)(&Event::Deaf { error });
                    }
                    deaf = true;
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    fn answer(&self, socket: &OwnedFd) {
        match self.hand_over(socket) {
            Ok(uid) => (self.listener)(&Event::HandedOver { uid }),
            Err(error) => (self.listener)(&Event::Refused { error: &error }),
        }
    }

    fn hand_over(&self, socket: &OwnedFd) -> Result<u32, HandoffError> {
        let refuse = |why| {
            // It may be gone already.
            let _told = line::send(socket, &Packet::Refusal(why), None);
        };
        let admitted = self.peers.admit(socket);
        let uid = admitted.inspect_err(|_| refuse(Refusal::NotAdmitted))?;
        let offered = self.offered().inspect_err(|why| refuse(*why));
        offered.map_err(HandoffError::Refused)?.send(socket)?;
        Ok(uid)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("peers", &self.peers)
            .field("offer", &self.offer)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandedOver { uid } => write!(f, "handed over to user {uid}"),
            Self::Refused { error } => write!(f, "nothing was handed over: {error}"),
            Self::Deaf { error } => write!(f, "nobody can connect for now: {error}"),
        }
    }
}
