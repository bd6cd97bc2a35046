//! Files of the operator and of the policy: opened without surprises, written all or nothing.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;
use std::sync::LazyLock;

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, flock, fsync, openat, renameat, statat,
    unlinkat,
};
use rustix::io::Errno;
use tensorgate_verify::{
    Directory, LeaseHolder, LeaseSignal, Limits, MANIFEST_FILE, Rejection, SignedManifest,
    SignedRevocations,
};

use crate::failure::Failure;

/// Opens the directory that the user names; links on the way to it are the user's own.
pub(crate) fn open_directory(path: &Path) -> Result<Directory, Failure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat(rustix::fs::CWD, path, flags, Mode::empty()) {
        Ok(handle) => Ok(guarded(Directory::new(handle))),
        Err(error) => Err(Failure::io("open the directory", path, &error.into())),
    }
}

/// The same for whoever reads all of it: it may lie in a store, from which it is not removed
/// meanwhile.
pub(crate) fn hold_directory(path: &Path) -> Result<Directory, Failure> {
    let directory = open_directory(path)?;
    // Where there are no locks, nobody removes it either.
    let _held = tensorgate_store::hold(&directory);
    Ok(directory)
}

/// The same directory, whose weights are read without a copy where the system allows that.
pub(crate) fn guarded(directory: Directory) -> Directory {
    match lease_holder() {
        Some(holder) => directory.guarded_by(holder),
        None => directory,
    }
}

/// Answers for leases; without it weights are copied, and `verify` says so. A writer who comes
/// meanwhile waits for a copy, or until this command is done: nobody needs to hear of it.
pub(crate) fn lease_holder() -> Option<&'static LeaseHolder> {
    static HOLDER: LazyLock<Option<LeaseHolder>> =
        LazyLock::new(|| LeaseHolder::start(LeaseSignal::default(), |_| {}).ok());
    HOLDER.as_ref()
}

/// The manifest inside a policy's directory.
///
/// # Errors
/// `manifest-missing`, `file-not-regular`, and what its envelope is refused for.
pub(crate) fn manifest_in(
    directory: &Directory,
    limits: &Limits,
) -> Result<SignedManifest, Failure> {
    match untrusted_bytes(directory, MANIFEST_FILE, limits.manifest_bytes)? {
        Some(bytes) => Ok(SignedManifest::parse(&bytes, limits)?),
        None => Err(manifest_missing()),
    }
}

/// That there is none.
pub(crate) fn manifest_missing() -> Failure {
    let detail = "nobody vouches for this directory";
    Failure::rejected(Rejection::ManifestMissing, MANIFEST_FILE, detail)
}

/// The manifest that the user points to.
pub(crate) fn manifest_at(path: &Path, limits: &Limits) -> Result<SignedManifest, Failure> {
    let bytes = read_at_most(path, limits.manifest_bytes)
        .map_err(|error| Failure::io("read the manifest", path, &error))?;
    Ok(SignedManifest::parse(&bytes, limits)?)
}

/// The list of revocations that lies there, if one does.
pub(crate) fn list_at(path: &Path, limits: &Limits) -> Result<Option<SignedRevocations>, Failure> {
    match read_at_most(path, limits.manifest_bytes) {
        Ok(bytes) => Ok(Some(SignedRevocations::parse(&bytes, limits)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io("read", path, &error)),
    }
}

/// A file directly in `directory`, if it is there: never through a link, never waiting. At most
/// one byte more than `limit`, so that a parser sees that there was too much.
pub(crate) fn untrusted_bytes(
    directory: &Directory,
    name: &str,
    limit: u64,
) -> Result<Option<Vec<u8>>, Failure> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let not_regular = |detail| Failure::rejected(Rejection::FileNotRegular, name, detail);
    let file = match openat(directory, name, flags, Mode::empty()) {
        Ok(handle) => File::from(handle),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::NXIO) => return Err(not_regular("a link, socket or device")),
        Err(error) => return Err(Failure::io("read", Path::new(name), &error.into())),
    };
    let io = |error| Failure::io("read", Path::new(name), &error);
    if !file.metadata().map_err(io)?.is_file() {
        return Err(not_regular("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(io)?;
    Ok(Some(bytes))
}

/// A regular file that the user names; at most one byte more than `limit`.
pub(crate) fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a regular file, and does not wait if it turns out to be a FIFO.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(openat(rustix::fs::CWD, path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "not a regular file",
    ))
}

/// Makes a new file that did not exist before, with all of `bytes` on disk.
pub(crate) fn create(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.inspect_err(|_| {
        // The first error is the one to report; a half-written file must not stay.
        std::fs::remove_file(path).ok();
    })
}

/// The directory of a file that is to be written, held by this process alone where all who write
/// there ask for it (`flock`). `waiting` is called if another one has it.
pub(crate) fn lock_parent(path: &Path, waiting: impl FnOnce()) -> io::Result<OwnedFd> {
    let folder = open_parent(path)?;
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => waiting(),
        other => return Ok(other.map(|()| folder)?),
    }
    rustix::io::retry_on_intr(|| flock(&folder, FlockOperation::LockExclusive))?;
    Ok(folder)
}

/// Puts a file in place as a whole: after a crash there is the old one or the new one. Until then
/// it lies in `drafts`, a path from `folder` in the same file system.
pub(crate) fn replace(
    folder: &OwnedFd,
    name: &OsStr,
    drafts: &str,
    bytes: &[u8],
) -> io::Result<()> {
    write_draft(
        folder,
        drafts,
        |draft| draft.write_all(bytes),
        |draft| Ok(renameat(folder, draft, folder, name)?),
    )
}

/// The same over a file of the user's, of which owner and mode stay.
pub(crate) fn rewrite(
    folder: &OwnedFd,
    name: &OsStr,
    before: &Metadata,
    bytes: &[u8],
) -> io::Result<()> {
    let write = |draft: &mut File| {
        draft.write_all(bytes)?;
        let (own, owner) = (draft.metadata()?, (before.uid(), before.gid()));
        if (own.uid(), own.gid()) != owner {
            fchown(&*draft, Some(owner.0), Some(owner.1))?;
        }
        draft.set_permissions(Permissions::from_mode(before.mode() & 0o777))
    };
    write_draft(folder, "", write, |draft| {
        Ok(renameat(folder, draft, folder, name)?)
    })
}

/// Writes a draft, and lets `place` put it where it belongs.
fn write_draft(
    folder: &OwnedFd,
    drafts: &str,
    write: impl FnOnce(&mut File) -> io::Result<()>,
    place: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let draft = Path::new(drafts).join(draft_name()?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = File::from(openat(folder, &draft, flags, Mode::from_raw_mode(0o644))?);
    let written = write(&mut file).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| place(&draft));
    placed.inspect_err(|_| {
        // The first error is the one to report.
        unlinkat(folder, &draft, AtFlags::empty()).ok();
    })?;
    Ok(fsync(folder)?)
}

/// Puts a file of the user's in place as a whole, over nothing but an empty file (`mktemp`) or an
/// earlier one of its kind, which begins with `head`.
///
/// # Errors
/// `AlreadyExists`, if anything else has the name: nothing would bring it back.
pub(crate) fn put(path: &Path, head: &[u8], bytes: &[u8]) -> io::Result<()> {
    let (folder, name) = (open_parent(path)?, file_name(path)?);
    let write = |draft: &mut File| draft.write_all(bytes);
    write_draft(&folder, "", write, |draft| {
        // As late as can be, so that what came meanwhile stays.
        has_earlier(&folder, name, head)?;
        Ok(renameat(&folder, draft, &folder, name)?)
    })
}

/// Removes what [`put`] would write over, for good, if it says anything.
///
/// # Errors
/// As of `put`.
pub(crate) fn withdraw(path: &Path, head: &[u8]) -> io::Result<()> {
    let (folder, name) = (open_parent(path)?, file_name(path)?);
    if has_earlier(&folder, name, head)? {
        match unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => fsync(&folder)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Refuses where [`put`] would, as far as that can be known before.
pub(crate) fn refuse_taken(path: &Path, head: &[u8]) -> io::Result<()> {
    has_earlier(&open_parent(path)?, file_name(path)?, head).map(|_| ())
}

/// Whether an earlier file of the same kind has this name; an empty one is of every kind, and says
/// nothing. Nothing but a regular file is opened: a device may do something when it is.
fn has_earlier(folder: &OwnedFd, name: &OsStr, head: &[u8]) -> io::Result<bool> {
    let taken = |what| Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(false),
        Err(error) => return Err(error.into()),
        Ok(found) if !FileType::from_raw_mode(found.st_mode).is_file() => {
            return taken("something that is no regular file has this name");
        }
        Ok(_) => {}
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut start = Vec::new();
    File::from(openat(folder, name, flags, Mode::empty())?)
        .take(head.len() as u64)
        .read_to_end(&mut start)?;
    match start.as_slice() {
        [] => Ok(false),
        start if start == head => Ok(true),
        _ => taken("another file has this name"),
    }
}

fn file_name(path: &Path) -> io::Result<&OsStr> {
    let none = || io::Error::new(io::ErrorKind::InvalidInput, "no file name");
    path.file_name().ok_or_else(none)
}

/// Makes the entry of `path` in its directory durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    Ok(fsync(open_parent(path)?)?)
}

fn open_parent(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(rustix::fs::CWD, parent(path), flags, Mode::empty())?)
}

/// Beside the draft of another process, or one that a crash left.
fn draft_name() -> io::Result<String> {
    let number = getrandom::u64().map_err(io::Error::other)?;
    Ok(format!(".{MANIFEST_FILE}.{number:016x}"))
}

/// The directory that `path` is in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
