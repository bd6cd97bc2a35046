//! Parts: what came of a file before its download was cut off, kept for the next attempt.
//!
//! A part is a draft with a name that is found again. Nothing is known of its bytes but that they
//! are there: whoever goes on from them reads them first.

use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{AtFlags, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use sha2::Digest as _;
use tensorgate_verify::{FilePath, Sha256};

use crate::draft::Draft;
use crate::error::{Result, StoreError};
use crate::folder::{Folder, RESOLVE};
use crate::quarantine::{Incoming, Quarantine, or_none};
use crate::record::each_chunk;

/// The name of a part. It follows from what the file is expected to be, so that another
/// expectation finds no bytes of this one.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PartName(String);

/// How a file was left: whoever writes to it, or puts another in its place, changes that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stamp {
    size: u64,
    place: (u64, u64),
    /// The time of the last change, which no program can set (`inode(7)`, `ctime`).
    changed: (i64, i64),
}

/// No draft of this process, and no object's digest, ends like this.
const SUFFIX: &str = ".part";

impl PartName {
    /// The part of a file of `size` bytes whose content is to have this digest, in any notation.
    pub fn of(path: &FilePath, size: u64, digest: impl std::fmt::Display) -> Self {
        let mut expected = sha2::Sha256::new();
        // No path has a NUL.
        expected.update(format!("{path}\0{size}\0{digest}"));
        let name = Sha256::from_bytes(expected.finalize().into());
        Self(format!("{name}{SUFFIX}"))
    }

    fn is_one(name: &std::ffi::OsStr) -> bool {
        let digest = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        digest.is_some_and(|digest| digest.parse::<Sha256>().is_ok())
    }
}

impl Quarantine {
    /// Goes on with a part of at most `most` bytes, or begins it. What cannot be one, for its
    /// length or its kind, is removed; from its first hole on, nothing was ever written.
    ///
    /// Dropped before it is [placed](Self::place), it stays, unless it is empty.
    ///
    /// # Errors
    /// When it cannot be opened or made.
    pub fn resume(&self, name: &PartName, most: u64) -> Result<Incoming> {
        Draft::resume(&self.drafts, &name.0, most).map(Incoming)
    }

    /// The bytes of a part that the disk has, 0 where there is none.
    ///
    /// # Errors
    /// When it cannot be examined.
    pub fn part_size(&self, name: &PartName, most: u64) -> Result<u64> {
        size_in(&self.drafts, name, most)
    }

    /// Removes the parts of all files but those.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn remove_other_parts(&self, wanted: &[PartName]) -> Result<()> {
        let others = self.drafts.names()?.into_iter();
        others
            .filter(|name| !wanted.iter().any(|wanted| *name == *wanted.0))
            .try_for_each(|name| self.drafts.remove(name))
    }
}

/// The bytes of a part of at most `most` bytes that the disk has, 0 where there is none.
pub(crate) fn size_in(drafts: &Folder, name: &PartName, most: u64) -> Result<u64> {
    let Some(file) = or_none(drafts.open(&name.0))? else {
        return Ok(0);
    };
    let failed = |error| StoreError::io("examine", &drafts.path_of(&name.0), error);
    let found = file.metadata().map_err(failed)?;
    let on_disk = found.blocks().saturating_mul(512);
    Ok(match found.len() <= most {
        true => found.len().min(on_disk),
        false => 0,
    })
}

/// Removes what a crash left, but for parts.
pub(crate) fn clear_all_but_parts(drafts: &Folder) -> Result<()> {
    let names = drafts.names()?.into_iter();
    names
        .filter(|name| !PartName::is_one(name))
        .try_for_each(|name| drafts.remove(name))
}

impl Incoming {
    /// Reads what is there, in order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&mut self, take: impl FnMut(&[u8])) -> Result<()> {
        self.0.read(take)
    }

    /// Goes back to nothing.
    ///
    /// # Errors
    /// When it cannot be cut off.
    pub fn clear(&mut self) -> Result<()> {
        self.0.cut(0)
    }

    /// How the file is now, or `None` where it has lost its name.
    ///
    /// # Errors
    /// When it cannot be examined.
    pub fn stamp(&self) -> Result<Option<Stamp>> {
        self.0.stamp()
    }

    /// Removes it, part or not.
    pub fn discard(mut self) {
        self.0.stays = false;
    }
}

impl Draft {
    fn resume(folder: &Folder, name: &str, most: u64) -> Result<Self> {
        let found = Self::find(folder, name)?;
        let draft = match found.filter(|draft| draft.may_be_of(most)) {
            Some(draft) => draft,
            None => {
                folder.remove(name)?;
                Self::make(folder, name.to_owned(), true)?
            }
        };
        draft.cut_at_hole()?;
        Ok(draft)
    }

    /// Opens what has the name, if it can be written to.
    fn find(folder: &Folder, name: &str) -> Result<Option<Self>> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC;
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        match rustix::fs::openat2(folder, name, flags, Mode::empty(), RESOLVE) {
            Ok(handle) => Ok(Some(Self {
                folder: folder.again()?,
                name: name.to_owned(),
                file: handle.into(),
                stays: true,
                waiting: 0,
            })),
            // Nothing, a link, a directory, a device, or a file that is not to be written to.
            Err(
                Errno::NOENT
                | Errno::LOOP
                | Errno::ISDIR
                | Errno::NXIO
                | Errno::NODEV
                | Errno::ACCESS
                | Errno::PERM,
            ) => Ok(None),
            Err(error) => Err(StoreError::io("open", &folder.path_of(name), error)),
        }
    }

    /// Another name of the file would be written to as well: an object of the store, perhaps.
    fn may_be_of(&self, most: u64) -> bool {
        let found = self.file.metadata();
        found.is_ok_and(|found| found.is_file() && found.nlink() == 1 && found.len() <= most)
    }

    /// A file system that knows no holes says that there is none.
    fn cut_at_hole(&self) -> Result<()> {
        match rustix::fs::seek(&self.file, SeekFrom::Hole(0)) {
            Ok(end) => self.cut(end),
            Err(_) => Ok(()),
        }
    }

    fn cut(&self, size: u64) -> Result<()> {
        let cut = self.file.set_len(size);
        cut.map_err(|error| self.failed("cut off", error))
    }

    fn read(&mut self, take: impl FnMut(&[u8])) -> Result<()> {
        let read = |error| self.failed("read", error);
        if self.file.metadata().map_err(read)?.len() == 0 {
            return Ok(());
        }
        rustix::fs::seek(&self.file, SeekFrom::Start(0)).map_err(|error| read(error.into()))?;
        let file = self.file.try_clone().map_err(read)?;
        each_chunk(file, take).map_err(read)
    }

    fn stamp(&self) -> Result<Option<Stamp>> {
        match rustix::fs::statat(&self.folder, &*self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(Stamp {
                size: u64::try_from(found.st_size).unwrap_or_default(),
                place: (found.st_dev, found.st_ino),
                changed: (
                    found.st_ctime,
                    i64::try_from(found.st_ctime_nsec).unwrap_or_default(),
                ),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.failed("examine", error.into())),
        }
    }
}
