//! `snapshots/COMMIT`, where nothing but the links' own names says what the files should be.

use std::collections::HashSet;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use tensorgate_verify::{FilePath, Rejection};

use crate::cache::{BENEATH, Cache, DIRECTORY};
use crate::error::FetchError;
use crate::hub::too_large;
use crate::limits::FetchLimits;
use crate::listing::{Content, ListedFile};

/// The files of a snapshot, found one by one. The number of entries is bounded.
pub(super) struct Walk<'a> {
    cache: &'a Cache,
    snapshot: &'a str,
    most: u64,
    entries: usize,
    files: Vec<FilePath>,
}

impl Cache {
    /// Every file of a snapshot, in no order. One unsafe name refuses all.
    pub(super) fn walk(
        &self,
        snapshot: &str,
        limits: &FetchLimits,
    ) -> Result<Vec<FilePath>, FetchError> {
        let mut walk = Walk {
            cache: self,
            snapshot,
            most: u64::try_from(limits.entries).unwrap_or(u64::MAX),
            entries: 0,
            files: Vec::new(),
        };
        walk.directory(&self.folder(snapshot)?, "")?;
        refuse_twins(&walk.files)?;
        Ok(walk.files)
    }

    /// What the name of the blob says that the bytes are: a git id or a sha256.
    ///
    /// A name of 64 digits outside the repository's own blobs is a xet hash, which nothing here
    /// can recompute.
    pub(super) fn named(&self, snapshot: &str, path: &FilePath) -> Result<ListedFile, FetchError> {
        let (_, size) = self.open_file(snapshot, path)?;
        let content = self
            .blob_name(snapshot, path)?
            .and_then(|name| match name.len() {
                40 => name.parse().ok().map(Content::Git),
                _ => name.parse().ok().map(Content::Lfs),
            });
        let path = path.clone();
        match content {
            Some(content) => Ok(ListedFile {
                path,
                size,
                content,
            }),
            None => Err(FetchError::NoDigest { path }),
        }
    }

    /// The name behind `../../blobs/`, as deep as the file lies; `None` where it is no such link.
    fn blob_name(&self, snapshot: &str, path: &FilePath) -> Result<Option<String>, FetchError> {
        let at = format!("{snapshot}/{path}");
        let (parent, name) = at.rsplit_once('/').unwrap_or((snapshot, &at));
        let parent = self.folder(parent)?;
        let link = match rustix::fs::readlinkat(&parent, name, Vec::new()) {
            Ok(link) => link,
            Err(rustix::io::Errno::INVAL) => return Ok(None),
            Err(error) => return Err(self.unusable(&at, io::Error::from(error))),
        };
        let up = "../".repeat(path.as_str().split('/').count().saturating_add(1));
        let name = link.to_str().ok().and_then(|link| {
            let name = link.strip_prefix(&up)?.strip_prefix("blobs/")?;
            Some(name.to_owned())
        });
        Ok(name)
    }
}

/// No two names may be one file on a case-insensitive file system, as in a listing.
fn refuse_twins(files: &[FilePath]) -> Result<(), FetchError> {
    let mut seen = HashSet::new();
    let mut files = files.iter();
    match files.find(|path| !seen.insert(path.as_str().to_ascii_lowercase())) {
        Some(twin) => {
            let detail = "beside a name that differs only in case";
            Err(FetchError::rejected(
                Rejection::FileNameCollision,
                twin,
                detail,
            ))
        }
        None => Ok(()),
    }
}

impl Walk<'_> {
    fn directory(&mut self, folder: &OwnedFd, prefix: &str) -> Result<(), FetchError> {
        let failed = |error| self.cache.unusable(self.snapshot, io::Error::from(error));
        for entry in Dir::read_from(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            match entry.file_name().to_bytes() {
                b"." | b".." => {}
                _ => self.entry(folder.as_fd(), prefix, entry.file_name())?,
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        folder: BorrowedFd<'_>,
        prefix: &str,
        name: &CStr,
    ) -> Result<(), FetchError> {
        self.entries = self.entries.saturating_add(1);
        too_large("entries of the snapshot", self.entries, self.most)?;
        let shown = name.to_string_lossy();
        // What is not UTF-8 becomes a character that no path has.
        let path: FilePath = format!("{prefix}{shown}").parse()?;
        let failed = |error| self.cache.unusable(self.snapshot, io::Error::from(error));
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let flags = DIRECTORY.union(OFlags::NOFOLLOW);
                let how = BENEATH.union(ResolveFlags::NO_SYMLINKS);
                let child = rustix::fs::openat2(folder, name, flags, Mode::empty(), how);
                self.directory(&child.map_err(failed)?, &format!("{path}/"))
            }
            FileType::Symlink | FileType::RegularFile => {
                self.files.push(path);
                Ok(())
            }
            _ => {
                let detail = "neither a file nor a link to one";
                Err(FetchError::rejected(
                    Rejection::FileNotRegular,
                    path,
                    detail,
                ))
            }
        }
    }
}
