//! The file itself, mapped, under a lease that keeps it as it is.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::process::abort;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use memmap2::Mmap;
use rustix::fs::{FsWord, fstatfs, ioctl_getflags};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::holder::{Promise, Watch};
use super::{Filling, Holding, LeaseHolder, kernel};
use crate::FilePath;

/// The pages of a file, mapped; when somebody wants to write to it, the same bytes at the same
/// addresses, in a sealed memfd.
///
/// This process ends (SIGABRT) where bytes that somebody relies on cannot be kept: there is no memory
/// for a copy until the kernel's `lease-break-time` (45 s) is nearly over, or the process was stopped
/// for that long (a debugger, SIGSTOP) while somebody waited to write. Whoever truncates the file by
/// `O_RDONLY | O_TRUNC`, which takes this user's own rights, ends it by SIGBUS. A child that was
/// forked and did not exec has no such pages: reading them is SIGSEGV there.
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
    promise: Promise,
    /// After so long, the kernel lets writers go on without us.
    break_time: Duration,
    sealed: AtomicBool,
    /// There is no memory to move to, for now.
    starved: AtomicBool,
    /// The bytes may have changed before anybody relied on them.
    lost: AtomicBool,
    /// When it was last seen that nobody waits for the file.
    at_peace: Mutex<Instant>,
    noticed: OnceLock<Instant>,
    relied_on: AtomicBool,
    moving: Mutex<()>,
}

/// Why bytes are in sealed memory, and not guarded in their file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Unguarded {
    /// No lease was asked for, or there is no file here.
    NotAsked,
    /// Another process handed it over.
    HandedOff,
    /// Somebody has the file open for writing (`EAGAIN`).
    BeingWritten,
    /// The file is another user's.
    NotOwner,
    /// Others than its owner may write to the file.
    Writable,
    /// The file system is none where a lease keeps everybody from writing.
    FileSystem,
    /// It could not be moved within the kernel's `lease-break-time`.
    TooLarge,
    /// The kernel gave no lease for another reason.
    NoLease,
    /// Somebody wanted to write to the file, or it was handed off: it was guarded until then.
    Moved,
}

/// File systems of which one machine's kernel sees every write (include/uapi/linux/magic.h), each
/// tried in tests/guarded. Not among them, and why:
///
/// - overlay: a write to the layer beneath breaks no lease.
/// - tmpfs: pages that were pinned through a shared mapping (io_uring_register(2)) can be written to
///   after the mapping and the file are closed, when a lease is given. Where pages are written back to
///   a disk, they cannot be pinned so (writable_file_mapping_allowed in mm/gup.c).
/// - FUSE, network: a server may change a file behind the kernel's back. 9p, by which virtual machines
///   and containers get folders of their host, gives out the server's magic for its own (v9fs_statfs
///   in fs/9p/vfs_super.c); it has no inode flags, which all of these have (ioctl_iflags(2)).
const GUARDING: [FsWord; 3] = [EXT, XFS, BTRFS];
const EXT: FsWord = 0xef53;
const XFS: FsWord = 0x5846_5342;
const BTRFS: FsWord = 0x9123_683e;

impl Guarded {
    /// Takes a lease on `file` and maps it, or gives it back and says why not.
    pub(crate) fn take(
        file: File,
        len: u64,
        path: &FilePath,
        holder: &LeaseHolder,
    ) -> Result<Self, (File, Unguarded)> {
        match Taken::new(&file, len, holder.watch()) {
            Ok(taken) => {
                let leased = Arc::new(Leased::new(file, path, taken));
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

    pub(super) fn is_lost(&self) -> bool {
        self.leased.starved.load(Ordering::Acquire) || self.leased.lost.load(Ordering::Acquire)
    }

    /// From now on somebody relies on the bytes: if they are lost, this process ends.
    ///
    /// # Errors
    /// They were lost before: nothing is known of what was read.
    pub(super) fn rely_on(&self) -> io::Result<()> {
        let _still = self.leased.stand_still();
        self.leased.refuse_late();
        if self.is_lost() {
            return Err(lost());
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

/// What a file needs to be guarded.
struct Taken {
    map: Mmap,
    spare: Filling,
    promise: Promise,
    at_peace: Instant,
    break_time: Duration,
}

impl Taken {
    fn new(file: &File, len: u64, watch: &Watch) -> Result<Self, Unguarded> {
        refuse_file_system(file)?;
        refuse_other_writers(file)?;
        let promise = watch.promise(len).ok_or(Unguarded::TooLarge)?;
        let spare = Filling::spare(len).map_err(|_| Unguarded::NoLease)?;
        let at_peace = Instant::now();
        let taken = watch.take_lease(file);
        taken.map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::AGAIN) => Unguarded::BeingWritten,
            Some(Errno::ACCESS) => Unguarded::NotOwner,
            _ => Unguarded::NoLease,
        })?;
        // Where it fails, nobody would answer for the lease. What cannot be given back ends with
        // the file.
        let map = map(file, len).inspect_err(|_| drop(kernel::release_lease(file)))?;
        Ok(Self {
            map,
            spare,
            promise,
            at_peace,
            break_time: watch.break_time(),
        })
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

impl Leased {
    fn new(file: File, path: &FilePath, taken: Taken) -> Self {
        Self {
            path: path.clone(),
            map: taken.map,
            file,
            spare: taken.spare,
            promise: taken.promise,
            break_time: taken.break_time,
            sealed: AtomicBool::new(false),
            starved: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            at_peace: Mutex::new(taken.at_peace),
            noticed: OnceLock::new(),
            relied_on: AtomicBool::new(false),
            moving: Mutex::new(()),
        }
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

    /// Whether somebody waits for the file, or did until the kernel's patience ended.
    pub(super) fn is_wanted(&self) -> bool {
        if self.is_sealed() {
            return false;
        }
        let mut at_peace = self.at_peace.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let wanted = !kernel::is_leased(&self.file);
        match wanted {
            true => drop(self.noticed.get_or_init(|| now)),
            false => *at_peace = now,
        }
        wanted
    }

    /// How long somebody may have been waiting.
    pub(super) fn waited_at_most(&self) -> Duration {
        let at_peace = self.at_peace.lock().unwrap_or_else(PoisonError::into_inner);
        at_peace.elapsed()
    }

    /// There is no memory to move to, for now; says whether that is news.
    pub(super) fn starve(&self) -> bool {
        !self.starved.swap(true, Ordering::AcqRel)
    }

    /// Moves the bytes into a sealed memfd, at the same addresses, and lets writers go on. Says how
    /// long that took since it was noticed that they wait; nothing where it was done before.
    ///
    /// # Errors
    /// No memory: all is as before, and may be tried again while writers wait.
    pub(super) fn seal(&self) -> io::Result<Option<Duration>> {
        let _still = self.stand_still();
        if self.is_sealed() {
            return Ok(None);
        }
        self.refuse_late();
        let begun = Instant::now();
        let memfd = self.spare.seal_copy_of(&self.file).inspect_err(|error| {
            // Shorter, under a lease: what is beyond the end faults.
            if error.kind() == io::ErrorKind::UnexpectedEof {
                self.lose();
            }
        })?;
        kernel::map_over(&self.map, memfd)?;
        self.sealed.store(true, Ordering::Release);
        // The lease was ours until the copy was in its place, and kept the file as it was: that is
        // the proof that these are the same bytes. No digest is computed while a writer waits.
        if !kernel::release_lease(&self.file).unwrap_or(false) {
            self.lose();
        }
        self.starved.store(false, Ordering::Release);
        self.promise.give_back();
        Ok(Some(self.noticed.get().unwrap_or(&begun).elapsed()))
    }

    /// After the lease-break-time, the kernel let writers go on: this process was stopped, say.
    /// What they wrote shows since then, even where it was put right again.
    fn refuse_late(&self) {
        if self.is_wanted() && self.waited_at_most() >= self.break_time {
            self.lose();
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
            end(&format!(
                "{:?} could not be kept as it was",
                self.path.as_str()
            ));
        }
        self.lost.store(true, Ordering::Release);
    }

    fn stand_still(&self) -> MutexGuard<'_, ()> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn lost() -> io::Error {
    io::Error::other(
        "the file could not be kept as it was: somebody wrote to it, or waits to and there is no \
         memory to move it to",
    )
}

/// Ends this process with a word, whatever else it does.
pub(super) fn end(why: &str) -> ! {
    let line = format!("tensorgate: {why}; this process ends rather than act on other bytes\n");
    // Where nobody listens, it ends all the same.
    drop(io::stderr().write_all(line.as_bytes()));
    abort()
}

impl Drop for Leased {
    fn drop(&mut self) {
        // A child that was forked meanwhile has the file open, too, and would keep the lease.
        drop(kernel::release_lease(&self.file));
    }
}

/// A lease does not hold back who opens the file with `O_RDONLY | O_TRUNC` (handle_truncate in
/// fs/namei.c breaks none): the pages are gone, and whoever reads them gets SIGBUS. That takes the
/// right to write to the file, so nobody may have it but this process's own user, who could as well
/// kill it, and root. (Where an access control list gives it to somebody, the group's bit is set.)
fn refuse_other_writers(file: &File) -> Result<(), Unguarded> {
    let stat = file.metadata().map_err(|_| Unguarded::NoLease)?;
    if ![geteuid().as_raw(), 0].contains(&stat.uid()) {
        return Err(Unguarded::NotOwner);
    }
    match stat.mode() & 0o022 {
        0 => Ok(()),
        _ => Err(Unguarded::Writable),
    }
}

fn refuse_file_system(file: &File) -> Result<(), Unguarded> {
    match fstatfs(file) {
        Ok(stat) if GUARDING.contains(&stat.f_type) && ioctl_getflags(file).is_ok() => Ok(()),
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
            Self::Writable => "others than its owner may write to the file",
            Self::FileSystem => "on this file system a lease does not keep everybody from writing",
            Self::TooLarge => "it could not be moved within the kernel's lease-break-time",
            Self::NoLease => "the kernel gave no lease",
            Self::Moved => "it was moved there from the file",
        })
    }
}
