//! An untrusted directory, reached through an open handle and never left.

use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::error::{Error, Findings, Result};
use crate::names::DEPTH;
use crate::{FilePath, LeaseHolder, Limits, Rejection, Untrusted};

/// An open directory of files that nobody vouches for yet.
///
/// Names are resolved beneath the handle only: no link is followed, no `..`, no other mount's
/// magic (`openat2` with `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS`, `RESOLVE_NO_MAGICLINKS`), so
/// that what is checked is what lies there, whoever renames things meanwhile.
#[derive(Debug)]
pub struct Directory {
    handle: OwnedFd,
    holder: Option<LeaseHolder>,
}

/// How anything is opened: never through a link, never waiting for a FIFO's other end.
const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

impl Directory {
    /// A directory from its open handle.
    pub const fn new(handle: OwnedFd) -> Self {
        let holder = None;
        Self { handle, holder }
    }

    /// Holds its weights without a copy, under leases that `holder` answers for, where that can be.
    pub fn guarded_by(self, holder: &LeaseHolder) -> Self {
        let holder = Some(holder.clone());
        Self { holder, ..self }
    }

    /// Opens one file, of which nothing is known but that it is a regular file.
    ///
    /// # Errors
    /// `file-missing`, `file-not-regular`.
    pub fn open(&self, path: &FilePath) -> Result<Untrusted> {
        match openat2(&self.handle, path.as_str(), FLAGS, Mode::empty(), RESOLVE) {
            Ok(fd) => {
                let untrusted =
                    Untrusted::new(File::from(fd)).map_err(|error| error.about(path))?;
                Ok(match &self.holder {
                    Some(holder) => untrusted.guarded_by(holder, path),
                    None => untrusted,
                })
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Err(Error::rejected(
                Rejection::FileMissing,
                path,
                "it is not there",
            )),
            Err(Errno::LOOP | Errno::NXIO) => Err(Error::rejected(
                Rejection::FileNotRegular,
                path,
                "a link, socket or device",
            )),
            Err(error) => Err(Error::io(path, error)),
        }
    }

    /// Lists every file below, dotfiles included; unsafe names and whatever is no regular file
    /// become findings.
    pub(crate) fn list(&self, limits: &Limits, findings: &mut Findings) -> Result<Vec<FilePath>> {
        let mut walk = Walk {
            limits,
            findings,
            files: Vec::new(),
            seen: 0,
        };
        walk.directory(self.handle.as_fd(), "", 0)?;
        walk.files.sort_unstable();
        Ok(walk.files)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

struct Walk<'a> {
    limits: &'a Limits,
    findings: &'a mut Findings,
    files: Vec<FilePath>,
    seen: usize,
}

impl Walk<'_> {
    fn directory(&mut self, handle: BorrowedFd<'_>, prefix: &str, depth: usize) -> Result<()> {
        if depth >= DEPTH {
            self.findings.reject(
                Rejection::FileNameUnsafe,
                prefix,
                "directories nested too deep",
            );
            return Ok(());
        }
        let entries = Dir::read_from(handle).map_err(|error| Error::io(Shown(prefix), error))?;
        for entry in entries {
            let entry = entry.map_err(|error| Error::io(Shown(prefix), error))?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            self.seen = self.seen.saturating_add(1);
            // Room for the manifest, and for as many directories as there are files.
            let most = self.limits.files.saturating_mul(2).saturating_add(1);
            if self.seen > most {
                let detail = format!("more than {most} entries");
                return Err(Error::rejected(
                    Rejection::FileUnexpected,
                    Shown(prefix),
                    detail,
                ));
            }
            self.entry(handle, prefix, depth, entry.file_name())?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        prefix: &str,
        depth: usize,
        name: &CStr,
    ) -> Result<()> {
        let shown = format!("{prefix}{}", name.to_string_lossy());
        let path = name
            .to_str()
            .ok()
            .map(|name| format!("{prefix}{name}").parse::<FilePath>());
        let Some(path) = path else {
            self.findings
                .reject(Rejection::FileNameUnsafe, shown, "the name is not UTF-8");
            return Ok(());
        };
        let Some(path) = self.findings.note(path)? else {
            return Ok(());
        };
        // The type is that of the entry itself: `lstat` through the parent's handle.
        let stat = rustix::fs::statat(parent, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| Error::io(&path, error))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.files.push(path),
            FileType::Directory => {
                let child = openat2(
                    parent,
                    name,
                    FLAGS.union(OFlags::DIRECTORY),
                    Mode::empty(),
                    RESOLVE,
                )
                .map_err(|error| Error::io(&path, error))?;
                self.directory(child.as_fd(), &format!("{path}/"), depth.saturating_add(1))?;
            }
            other => {
                let what = match other {
                    FileType::Symlink => "a link",
                    FileType::Fifo => "a FIFO",
                    FileType::Socket => "a socket",
                    _ => "a device",
                };
                let detail = format!("{what}, where only files and directories may be");
                self.findings
                    .reject(Rejection::FileNotRegular, path, detail);
            }
        }
        Ok(())
    }
}

/// The directory itself has no name inside the policy.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { self.0 })
    }
}
