//! `trust.toml` and whatever else decides, on disk: read through a handle, and only if nobody else can
//! write it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;
use rustix::process::{Uid, geteuid};

use crate::{TrustPolicy, TrustPolicyError};

/// Bytes of such a file at the most; real ones have a few hundred.
const MAX_BYTES: u64 = 1 << 20;

impl TrustPolicy {
    /// Reads the trust policy at `path`, resolved against the open `directory` as openat(2) does;
    /// `public_key_file` is relative to the trust policy's own directory.
    ///
    /// # Errors
    /// Besides those of [`parse`](Self::parse): the file, or a key's, is unreadable, a link, or
    /// others could write it or its directory, and so decide whom this robot trusts.
    pub fn open(directory: impl AsFd, path: &Path) -> Result<Self, TrustPolicyError> {
        let directory = directory.as_fd();
        let text = own_text(directory, path).map_err(TrustPolicyError::File)?;
        let home = path.parent().unwrap_or_else(|| Path::new(""));
        Self::parse(&text, |key_file| own_text(directory, &home.join(key_file)))
    }
}

/// The text of a small file that decides what is trusted or signed, if nobody else can write it: the
/// file at `path`, resolved against the open `directory` as openat(2) does.
///
/// # Errors
/// It is unreadable, a link, has more than 1 MiB, or others could write it or its directory. What the
/// system did not refuse itself has no `raw_os_error`.
pub fn own_text(directory: impl AsFd, path: &Path) -> io::Result<String> {
    // Its own directory first, so that both are judged and neither can be exchanged.
    let home = path.parent().filter(|home| !home.as_os_str().is_empty());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let home = openat(
        directory,
        home.unwrap_or_else(|| Path::new(".")),
        flags,
        Mode::empty(),
    )?;
    refuse_foreign(&fstat(&home)?, "the directory that it lies in")?;
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    // A link could lead to a place where others write.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let file = match openat(&home, name, flags, Mode::empty()) {
        Err(Errno::LOOP) => return Err(refusal("it is a link: name the file itself")),
        opened => File::from(opened?),
    };
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(refusal("it is not a regular file"));
    }
    refuse_foreign(&stat, "it")?;
    let mut text = String::new();
    file.take(MAX_BYTES.saturating_add(1))
        .read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|len| len > MAX_BYTES) {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "more than 1 MiB",
        ));
    }
    Ok(text)
}

/// Whoever can write the file, or put another in its place, decides in its owner's stead. In a
/// directory with the sticky bit, others cannot do the latter (unlink(2)).
fn refuse_foreign(stat: &Stat, what: &str) -> io::Result<()> {
    let owner = Uid::from_raw(stat.st_uid);
    if !owner.is_root() && owner != geteuid() {
        return Err(refusal(&format!(
            "{what} belongs to another user, {}",
            stat.st_uid
        )));
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    let sticky =
        FileType::from_raw_mode(stat.st_mode) == FileType::Directory && mode.contains(Mode::SVTX);
    if mode.intersects(Mode::WGRP | Mode::WOTH) && !sticky {
        return Err(refusal(&format!(
            "{what} may be written by its group or by everybody; try `chmod go-w`"
        )));
    }
    Ok(())
}

fn refusal(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}
