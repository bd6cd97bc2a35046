//! Bytes that cannot change while they are held.
//!
//! Hash-then-map is unsound: a later write to the file shows through any mapping of it, and a
//! truncation ends the process with SIGBUS. So there are two ways to hold weights, behind one type
//! whose bytes neither change nor fault:
//!
//! - *guarded*: the file itself is mapped under a read lease. Whoever wants to write waits in the
//!   kernel until the bytes have moved into a sealed memfd at the same addresses. Nothing is
//!   copied unless somebody writes.
//! - *sealed*: a copy in a memfd that the kernel lets nobody write or resize.
//!
//! ```text
//!                         LeaseHolder, and a lease to be had
//! open file ─ Untrusted ──────────────────────────────────────▶ Guarded ── a writer comes ──▶ sealed,
//!                 │                                                        or `to_memfd`      in place
//!                 └─────────────── otherwise (`Unguarded` says why) ─────────────────────────▶ Sealed
//! ```

mod event;
mod guarded;
mod holder;
mod kernel;
mod room;
mod sealed;

use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};

pub use event::{LeaseEvent, LeaseOutcome};
pub use guarded::{Guarded, Unguarded};
pub use holder::{LeaseHolder, LeaseSignal};
pub(crate) use sealed::Filling;
pub use sealed::Sealed;

/// Gives memory that was freed back to the system: glibc keeps large blocks that were freed between
/// others, so a process that let go of weights would stay as large as it was. It takes some
/// milliseconds; other threads that allocate wait meanwhile.
///
/// ```
/// let weights = vec![0_u8; 1 << 20];
/// drop(weights);
/// tensorgate_verify::trim_heap();
/// ```
pub fn trim_heap() {
    kernel::trim_heap();
}

/// Bytes held so that nobody can change them: dereferences to `[u8]`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Hold {
    /// Private memory of this process.
    Owned(Box<[u8]>),
    /// The file itself, under a lease; or a sealed memfd since somebody wanted to write.
    Guarded(Guarded),
    /// A sealed memfd, mapped.
    Sealed(Sealed),
}

/// How bytes are held at the moment, and why not otherwise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Holding {
    /// In private memory.
    Owned,
    /// As pages of the file, which a lease keeps as they are.
    Guarded,
    /// In a sealed memfd.
    Sealed(Unguarded),
}

impl Hold {
    /// How the bytes are held now.
    pub fn holding(&self) -> Holding {
        match self {
            Self::Owned(_) => Holding::Owned,
            Self::Guarded(guarded) => guarded.holding(),
            Self::Sealed(sealed) => Holding::Sealed(sealed.reason()),
        }
    }

    /// A sealed memfd of these bytes, for another process to map: a guarded hold is sealed first,
    /// in place, and stays so.
    ///
    /// # Errors
    /// No memory for the copy, or no file descriptor.
    pub fn to_memfd(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Owned(bytes) => Sealed::of(bytes)?.memfd().try_clone_to_owned(),
            Self::Guarded(guarded) => guarded.to_memfd(),
            Self::Sealed(sealed) => sealed.memfd().try_clone_to_owned(),
        }
    }

    /// Maps a memfd of `len` bytes that another process filled, and sealed.
    ///
    /// # Errors
    /// `InvalidData`: it is no memfd, is not sealed against every change, or has another size.
    pub fn of_memfd(memfd: impl AsFd, len: u64) -> io::Result<Self> {
        let memfd = memfd.as_fd().try_clone_to_owned()?;
        Sealed::received(memfd.into(), len).map(Self::Sealed)
    }

    /// From now on somebody relies on the bytes.
    ///
    /// # Errors
    /// Somebody waits to write, and there was no memory to move them to: they may have changed.
    pub(crate) fn rely_on(&self) -> io::Result<()> {
        match self {
            Self::Guarded(guarded) => guarded.rely_on(),
            Self::Owned(_) | Self::Sealed(_) => Ok(()),
        }
    }

    /// Whether the bytes will be lost: somebody waits to write to the file, and there is no memory
    /// to move them to. Whoever holds them must let go of them.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Guarded(guarded) if guarded.is_lost())
    }

    /// What is starved proves nothing.
    pub(crate) fn refuse_lost(&self) -> io::Result<()> {
        match self.is_lost() {
            true => Err(guarded::lost()),
            false => Ok(()),
        }
    }
}

impl Deref for Hold {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Guarded(guarded) => guarded,
            Self::Sealed(sealed) => sealed,
        }
    }
}

impl Holding {
    /// In one word: `owned`, `guarded`, `sealed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owned => "owned",
            Self::Guarded => "guarded",
            Self::Sealed(_) => "sealed",
        }
    }
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owned => f.write_str("in private memory"),
            Self::Guarded => f.write_str("guarded by a lease"),
            Self::Sealed(why) => write!(f, "in sealed memory: {why}"),
        }
    }
}
