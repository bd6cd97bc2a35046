//! The two directories, and one file at a time out of each.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::Digest as _;
use tensorgate_verify::{Directory, Kind, Limits, Manifest, Sha256};

use super::comparison::{Closed, FileFacts, Side};
use crate::disk;
use crate::failure::Failure;
use crate::listing::{self, Listed};

/// Bytes that are read at once: many enough to be fast, few enough for a robot.
pub(super) const CHUNK: usize = 1 << 20;

/// One of the two directories.
pub(super) struct Folder {
    path: PathBuf,
    directory: Directory,
    files: BTreeMap<String, Listed>,
    /// What its manifest claims, or why it claims nothing.
    pub(super) manifest: Result<Manifest, Closed>,
}

/// A file in one of the directories.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) name: String,
    /// Where it is, for messages.
    pub(super) place: PathBuf,
    pub(super) bytes: u64,
    pub(super) kind: Option<Kind>,
    pub(super) kind_name: String,
    /// Of all its bytes, if it is a file that can be one of a policy.
    pub(super) sha256: Option<Sha256>,
    /// Why it was not read.
    pub(super) note: Option<String>,
    file: Option<File>,
}

impl Folder {
    pub(super) fn open(path: &Path, limits: &Limits) -> Result<Self, Failure> {
        let directory = disk::hold_directory(path)?;
        let files = listing::list(path, limits)?;
        let manifest = disk::manifest_in(&directory, limits)
            .and_then(|signed| Ok(Ok(signed.untrusted(limits)?)))
            .or_else(Closed::or_failure)?;
        Ok(Self {
            path: path.to_owned(),
            directory,
            files: files
                .into_iter()
                .map(|file| (file.name.clone(), file))
                .collect(),
            manifest,
        })
    }

    pub(super) fn side(&self) -> Side {
        Side {
            name: self.path.display().to_string(),
            path: self.path.display().to_string(),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    fn version(&self, name: &str, limits: &Limits) -> Result<Option<Version>, Failure> {
        let Some(listed) = self.files.get(name) else {
            return Ok(None);
        };
        let mut version = Version {
            name: name.to_owned(),
            place: self.path.join(name),
            bytes: listed.bytes,
            kind: listed.kind(),
            kind_name: listed.kind_name(),
            sha256: None,
            note: None,
            file: None,
        };
        match self.open_file(listed, limits)? {
            Ok(file) => version.read(file)?,
            Err(closed) => version.note = Some(closed.to_string()),
        }
        Ok(Some(version))
    }

    /// Opens a file beneath the directory's handle, or says why it is not read.
    fn open_file(&self, listed: &Listed, limits: &Limits) -> Result<Result<File, Closed>, Failure> {
        let path = match listed.path() {
            Ok(path) => path,
            Err(why) => return Ok(Err(Closed::new(why))),
        };
        if listed.bytes > limits.weights_bytes {
            return Ok(Err(Closed::new("larger than any file of a policy")));
        }
        let opened = self.directory.open(&path);
        let opened = opened.map(|untrusted| Ok(untrusted.into_file()));
        opened.or_else(Closed::or_error)
    }
}

/// The file of this name in each of the two, both hashed at once.
pub(super) fn versions(
    a: &Folder,
    b: &Folder,
    name: &str,
    limits: &Limits,
) -> Result<(Option<Version>, Option<Version>), Failure> {
    let (a, b) = rayon::join(|| a.version(name, limits), || b.version(name, limits));
    Ok((a?, b?))
}

impl Version {
    fn read(&mut self, file: File) -> Result<(), Failure> {
        let (bytes, sha256) = hash(&file, self.bytes).map_err(|error| self.unreadable(error))?;
        (self.bytes, self.sha256, self.file) = (bytes, Some(sha256), Some(file));
        Ok(())
    }

    /// The file, opened and read once.
    pub(super) const fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// All bytes of a small file, or why there are none.
    pub(super) fn small(&self, most: u64) -> Result<Result<Vec<u8>, Closed>, Failure> {
        let Some(file) = &self.file else {
            return Ok(Err(Closed::new("not read")));
        };
        if self.bytes > most {
            return Ok(Err(Closed::new("too large to be compared inside")));
        }
        let mut bytes = vec![0; usize::try_from(self.bytes).unwrap_or_default()];
        file.read_exact_at(&mut bytes, 0)
            .map_err(|error| self.unreadable(error))?;
        Ok(Ok(bytes))
    }

    pub(super) fn unreadable(&self, error: io::Error) -> Failure {
        Failure::io("read", &self.place, &error)
    }

    pub(super) fn facts(&self) -> FileFacts {
        FileFacts {
            bytes: self.bytes,
            sha256: self.sha256,
            note: self.note.clone(),
        }
    }
}

/// How many bytes there were and their SHA-256, a chunk at a time; never more than were listed, so
/// that a file which grows is no endless one.
fn hash(file: &File, listed: u64) -> io::Result<(u64, Sha256)> {
    let mut sha256 = sha2::Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    while at < listed {
        let wanted = usize::try_from(listed - at).map_or(CHUNK, |left| left.min(CHUNK));
        match file.read_at(&mut chunk[..wanted], at)? {
            0 => break,
            read => {
                sha256.update(&chunk[..read]);
                at += read as u64;
            }
        }
    }
    Ok((at, Sha256::from_bytes(sha256.finalize().into())))
}
