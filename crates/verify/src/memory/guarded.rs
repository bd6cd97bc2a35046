//! The file itself, mapped, under a lease that keeps it as it is.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::process::abort;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use memmap2::Mmap;
use rustix::fs::{FsWord, fstatfs};

use super::holder::Watch;
use super::{Filling, Holding, LeaseHolder, kernel};
use crate::{Blake3, FilePath};

/// The pages of a file, mapped; when somebody wants to write to it, the same bytes at the same
/// addresses, in a sealed memfd.
#[derive(Debug)]
pub struct Guarded {
    leased: Arc<Leased>,
    /// Answers when the lease breaks, as long as there is a hold.
    _watch: Arc<Watch>,
}

/// What the thread that answers for the lease shares with those who read.
#[derive(Debug)]
pub(super) struct Leased {
    path: FilePath,
    map: Mmap,
    /// The lease lives and dies with this open file description (fcntl(2)).
    file: File,
    /// Where the bytes will go: made beforehand, so that moving wants memory, and nothing else.
    spare: Filling,
    sealed: AtomicBool,
    /// There is no memory to move to, for now.
    starved: AtomicBool,
    /// The bytes may have changed before anybody relied on them.
    lost: AtomicBool,
    wanted_since: OnceLock<Instant>,
    relied_on: AtomicBool,
    proven: OnceLock<Blake3>,
    moving: Mutex<()>,
}

/// Why a file is not held under a lease, but as a sealed copy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Unguarded {
    /// Nobody is there to answer for leases, or the bytes never were a file here.
    NotAsked,
    /// Another process handed it over.
    HandedOff,
    /// Somebody has the file open for writing (`EAGAIN`).
    BeingWritten,
    /// The file is another user's, and this process has no `CAP_LEASE` (`EACCES`).
    NotOwner,
    /// The file system is none where a lease keeps everybody from writing.
    FileSystem,
    /// It could not be moved within the kernel's `lease-break-time`.
    TooLarge,
    /// The kernel gave no lease for another reason.
    NoLease,
    /// Somebody wanted to write to the file, or it was handed off: it was guarded until then.
    Moved,
}

/// File systems of which one machine's kernel sees every write (include/uapi/linux/magic.h). On an
/// overlay file system, a write to the layer beneath breaks no lease; a FUSE or network server may
/// change a file behind the kernel's back.
const GUARDING: [FsWord; 5] = [EXT, XFS, BTRFS, F2FS, TMPFS];
const EXT: FsWord = 0xef53;
const XFS: FsWord = 0x5846_5342;
const BTRFS: FsWord = 0x9123_683e;
const F2FS: FsWord = 0xf2f5_2010;
pub(super) const TMPFS: FsWord = 0x0102_1994;

impl Guarded {
    /// Takes a lease on `file` and maps it, or gives it back and says why not.
    pub(crate) fn take(
        file: File,
        len: u64,
        path: &FilePath,
        holder: &LeaseHolder,
    ) -> Result<Self, (File, Unguarded)> {
        match Leased::take(&file, len, holder.watch()) {
            Ok((map, spare)) => {
                let leased = Arc::new(Leased {
                    path: path.clone(),
                    map,
                    file,
                    spare,
                    sealed: AtomicBool::new(false),
                    starved: AtomicBool::new(false),
                    lost: AtomicBool::new(false),
                    wanted_since: OnceLock::new(),
                    relied_on: AtomicBool::new(false),
                    proven: OnceLock::new(),
                    moving: Mutex::new(()),
                });
                holder.watch().answer_for(&leased);
                let _watch = Arc::clone(holder.watch());
                Ok(Self { leased, _watch })
            }
            Err(why) => Err((file, why)),
        }
    }

    pub(super) fn holding(&self) -> Holding {
        match self.leased.is_sealed() {
            true => Holding::Sealed(Unguarded::Moved),
            false => Holding::Guarded,
        }
    }

    pub(super) fn to_memfd(&self) -> io::Result<OwnedFd> {
        self.leased.seal()?;
        self.leased.spare.memfd().try_clone_to_owned()
    }

    pub(super) fn is_starved(&self) -> bool {
        self.leased.starved.load(Ordering::Acquire) || self.leased.lost.load(Ordering::Acquire)
    }

    /// From now on somebody relies on the bytes: if they are lost, this process ends. `proven` is
    /// the digest of them all, where that is known.
    ///
    /// # Errors
    /// They were lost before: nothing is known of what was read.
    pub(super) fn rely_on(&self, proven: Option<Blake3>) -> io::Result<()> {
        let _still = self.leased.stand_still();
        if self.is_starved() {
            return Err(starved());
        }
        if let Some(digest) = proven {
            self.leased.proven.get_or_init(|| digest);
        }
        self.leased.relied_on.store(true, Ordering::Release);
        Ok(())
    }
}

impl Deref for Guarded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.leased.map
    }
}

impl Leased {
    fn take(file: &File, len: u64, watch: &Watch) -> Result<(Mmap, Filling), Unguarded> {
        refuse_file_system(file)?;
        if !watch.has_time_for(len) {
            return Err(Unguarded::TooLarge);
        }
        let spare = Filling::new(len).map_err(|_| Unguarded::NoLease)?;
        watch.take_lease(file).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Unguarded::BeingWritten,
            io::ErrorKind::PermissionDenied => Unguarded::NotOwner,
            io::ErrorKind::InvalidInput => Unguarded::FileSystem,
            _ => Unguarded::NoLease,
        })?;
        match Self::map(file, len) {
            Ok(map) => Ok((map, spare)),
            Err(why) => {
                // Nobody would answer for it. What cannot be given back ends with the file.
                drop(kernel::release_lease(file));
                Err(why)
            }
        }
    }

    fn map(file: &File, len: u64) -> Result<Mmap, Unguarded> {
        // Under the lease, nobody makes it longer or shorter any more.
        if file.metadata().map_err(|_| Unguarded::NoLease)?.len() != len {
            return Err(Unguarded::BeingWritten);
        }
        let len = usize::try_from(len).map_err(|_| Unguarded::TooLarge)?;
        kernel::map_leased(file, len).map_err(|_| Unguarded::NoLease)
    }

    pub(super) const fn path(&self) -> &FilePath {
        &self.path
    }

    pub(super) fn bytes(&self) -> u64 {
        u64::try_from(self.map.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Since when somebody waits for the file, as far as was noticed.
    pub(super) fn wanted_since(&self) -> Option<Instant> {
        let wanted = !self.is_sealed() && !kernel::is_leased(&self.file);
        wanted.then(|| *self.wanted_since.get_or_init(Instant::now))
    }

    /// There is no memory to move to, for now; says whether that is news.
    pub(super) fn starve(&self) -> bool {
        !self.starved.swap(true, Ordering::AcqRel)
    }

    /// Moves the bytes into a sealed memfd, at the same addresses, and lets writers go on. Says
    /// whether there was anything to move.
    ///
    /// # Errors
    /// No memory: all is as before, and may be tried again while writers wait.
    pub(super) fn seal(&self) -> io::Result<bool> {
        let _still = self.stand_still();
        if self.is_sealed() {
            return Ok(false);
        }
        let memfd = self.spare.seal_copy_of(&self.file)?;
        kernel::map_over(&self.map, memfd)?;
        let in_time = kernel::release_lease(&self.file).unwrap_or(false);
        if !self.is_what_it_was(in_time) {
            self.lose();
        }
        self.sealed.store(true, Ordering::Release);
        self.starved.store(false, Ordering::Release);
        Ok(true)
    }

    /// A lease that was ours until the copy was in place kept the file as it was. One that had been
    /// taken away kept nothing, and only the digest can tell; it is compared in any case where it is
    /// known, since memory fails, too.
    fn is_what_it_was(&self, in_time: bool) -> bool {
        match self.proven.get() {
            Some(proven) => Blake3::of(&self.map) == *proven,
            None => in_time,
        }
    }

    /// The kernel's patience ends, and nothing could be moved.
    pub(super) fn give_up(&self) {
        let _still = self.stand_still();
        self.lose();
    }

    /// Whoever relies on the bytes must not see what they become: that would be undefined
    /// behaviour, and foreign weights. Who only reads them to find out is told afterwards.
    fn lose(&self) {
        if self.relied_on.load(Ordering::Acquire) {
            abort();
        }
        self.lost.store(true, Ordering::Release);
    }

    fn stand_still(&self) -> MutexGuard<'_, ()> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn starved() -> io::Error {
    let why = "somebody waits to write to the file, and there is no memory to move it to";
    io::Error::new(io::ErrorKind::OutOfMemory, why)
}

fn refuse_file_system(file: &File) -> Result<(), Unguarded> {
    match fstatfs(file) {
        Ok(stat) if GUARDING.contains(&stat.f_type) => Ok(()),
        _ => Err(Unguarded::FileSystem),
    }
}

impl fmt::Display for Unguarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAsked => "no lease was asked for",
            Self::HandedOff => "another process handed it over",
            Self::BeingWritten => "somebody has the file open for writing",
            Self::NotOwner => "the file is another user's",
            Self::FileSystem => "on this file system a lease does not keep everybody from writing",
            Self::TooLarge => "it could not be moved within the kernel's lease-break-time",
            Self::NoLease => "the kernel gave no lease",
            Self::Moved => "it was moved there from the file",
        })
    }
}
