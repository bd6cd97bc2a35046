//! Files come into the store by steps that a crash cannot tear apart: write, flush, rename, flush
//! the directory.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Advice, AtFlags, Mode, OFlags};

use crate::error::{Result, StoreError};
use crate::folder::{Folder, RESOLVE};

/// A file that is being written and has no place yet. Dropped, it is gone, unless it is to stay.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) folder: Folder,
    pub(crate) name: String,
    pub(crate) file: File,
    /// Whether another attempt goes on from what is there: a [part](crate::part).
    pub(crate) stays: bool,
    /// Bytes that the system has not been asked to bring to the disk.
    pub(crate) waiting: u64,
}

/// 8 MiB: what is written before the disk is set to work, so that it does not begin at the end.
const BATCH: u64 = 8 << 20;

/// Names of drafts differ within a process; between processes, a lock keeps them apart.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

impl Draft {
    pub(crate) fn new(folder: &Folder) -> Result<Self> {
        let name = format!(
            "{}-{}",
            std::process::id(),
            DRAFTS.fetch_add(1, Ordering::Relaxed)
        );
        Self::make(folder, name, false)
    }

    /// A new file: whatever is written goes to its end, and can be read.
    pub(crate) fn make(folder: &Folder, name: String, stays: bool) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC;
        let flags = flags | OFlags::CREATE | OFlags::EXCL;
        let mode = Mode::RUSR | Mode::WUSR;
        let handle = rustix::fs::openat2(folder, &*name, flags, mode, RESOLVE)
            .map_err(|error| StoreError::io("create", &folder.path_of(&name), error))?;
        Ok(Self {
            folder: folder.again()?,
            name,
            file: File::from(handle),
            stays,
            waiting: 0,
        })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(|error| self.failed("write", error))?;
        self.waiting += u64::try_from(bytes.len()).unwrap_or(0);
        if self.waiting >= BATCH {
            self.begin_to_flush();
        }
        Ok(())
    }

    /// Linux begins to write what is dirty, and waits for nothing (mm/fadvise.c). It is advice:
    /// `publish` flushes whatever it was not heeded for.
    fn begin_to_flush(&mut self) {
        let (end, len) = (self.file.stream_position(), NonZeroU64::new(self.waiting));
        let begin = end.map(|end| end.saturating_sub(self.waiting));
        if let Ok(begin) = begin {
            let _heeded = rustix::fs::fadvise(&self.file, begin, len, Advice::DontNeed);
        }
        self.waiting = 0;
    }

    /// Nobody, the owner included, may write to the file from now on.
    pub(crate) fn freeze(&self) -> Result<()> {
        rustix::fs::fchmod(&self.file, Mode::RUSR | Mode::RGRP | Mode::ROTH)
            .map_err(|error| self.failed("freeze", error.into()))
    }

    /// Gives the file its place, where it replaces what was there, be it a directory.
    pub(crate) fn publish(self, folder: &Folder, name: &str) -> Result<()> {
        self.file
            .sync_all()
            .map_err(|error| self.failed("flush", error))?;
        self.folder.rename(&self.name, folder, name)
    }

    pub(crate) fn failed(&self, step: &'static str, error: io::Error) -> StoreError {
        StoreError::io(step, &self.folder.path_of(&self.name), error)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let empty = || self.file.metadata().is_ok_and(|found| found.len() == 0);
        if self.stays && !empty() {
            return;
        }
        // After `publish`, the name is gone; otherwise whoever takes the lock next clears it.
        let _removed = rustix::fs::unlinkat(&self.folder, &*self.name, AtFlags::empty());
    }
}
