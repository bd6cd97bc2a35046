//! `trust.toml` on disk: read through a handle, and only if nobody else can write it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstat, openat};

use crate::{TrustPolicy, TrustPolicyError};

/// Bytes of a trust policy or a key file at the most; real ones have a few hundred.
const MAX_BYTES: u64 = 1 << 20;

impl TrustPolicy {
    /// Reads the trust policy at `path`, resolved against the open `directory` as openat(2) does;
    /// `public_key_file` is relative to the trust policy's own directory.
    ///
    /// # Errors
    /// Besides those of [`parse`](Self::parse): the file, or a key's, is unreadable or can be
    /// written by its group or by everybody, who would then decide whom this robot trusts.
    pub fn open(directory: impl AsFd, path: &Path) -> Result<Self, TrustPolicyError> {
        let directory = directory.as_fd();
        let text = read(directory, path).map_err(TrustPolicyError::File)?;
        let home = path.parent().unwrap_or_else(|| Path::new(""));
        Self::parse(&text, |key_file| read(directory, &home.join(key_file)))
    }
}

fn read(directory: impl AsFd, path: &Path) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(openat(directory, path, flags, Mode::empty())?);
    let mode = Mode::from_raw_mode(fstat(&file)?.st_mode);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    if mode.intersects(Mode::WGRP | Mode::WOTH) {
        let why =
            "its group or everybody may write it, and so decide whom to trust; try `chmod go-w`";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
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
