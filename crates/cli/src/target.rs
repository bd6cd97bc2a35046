//! Where `sign` writes: the place of a manifest or a bundle, and over nothing but a manifest.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use tensorgate_verify::{Directory, Limits, Revision, SignedManifest};

use crate::args::sign::Sign;
use crate::disk;
use crate::failure::Failure;
use crate::output::{say, say_waiting};

const HELD: &str =
    "hint: somebody signs there, or a gate runs from it; with --out FILE no gate is waited for";

/// The file that the manifest or bundle goes to.
pub(crate) struct Target {
    pub(crate) path: PathBuf,
    name: OsString,
    /// Whether it lies in the policy's directory, which holds nothing but what is signed.
    inside: bool,
}

impl Target {
    /// The file that the options name, else the one of the usual name in the directory.
    ///
    /// # Errors
    /// It would become one of the files that are signed, or a download's next run would remove it.
    pub(crate) fn of(args: &Sign, usual: &str) -> Result<Self, Failure> {
        let inside = || args.dir.join(usual);
        let path = args.out.clone().unwrap_or_else(inside);
        let real = |path: &Path| {
            let real = path.canonicalize();
            real.map_err(|error| Failure::io("open the directory", path, &error))
        };
        let (dir, parent) = (real(&args.dir)?, real(disk::parent(&path))?);
        let Some(name) = path.file_name().map(OsString::from) else {
            return Err(Failure::about(&path, format!("{path:?} names no file")));
        };
        let inside = parent.starts_with(&dir);
        if inside && (parent != dir || name != usual) {
            let detail = format!("{path:?} is in the directory that is signed");
            let hint = format!("its place there is {usual}: leave out --out, or name another one");
            return Err(Failure::about(&path, detail).hint(hint));
        }
        if inside && is_quarantine(&dir) {
            let detail = format!(
                "{:?} is a download: what is put there, `fetch` removes",
                args.dir
            );
            let hint = "give --out FILE, and later name that FILE to `verify` and `fetch`";
            return Err(Failure::about(&args.dir, detail).hint(hint));
        }
        Ok(Self { path, name, inside })
    }

    /// The directory that is signed; `store gc` leaves it meanwhile. Where the manifest goes into it,
    /// that would keep [`lock`](Self::lock) from being taken, for ever.
    pub(crate) fn directory(&self, dir: &Path) -> Result<Directory, Failure> {
        match self.inside {
            true => disk::open_directory(dir),
            false => disk::hold_directory(dir),
        }
    }

    /// Keeps others who sign away from it.
    pub(crate) fn lock(&self, json: bool) -> Result<OwnedFd, Failure> {
        let parent = disk::parent(&self.path);
        let waiting = || {
            say_waiting(json, parent);
            if self.inside && !json {
                say(HELD);
            }
        };
        disk::lock_parent(&self.path, waiting).map_err(|error| Failure::io("lock", parent, &error))
    }

    /// Its name, if it lies in the directory.
    pub(crate) fn inside(&self) -> Option<&str> {
        self.name.to_str().filter(|_| self.inside)
    }

    /// Refuses to write over whatever is there.
    pub(crate) fn refuse_existing(&self) -> Result<(), Failure> {
        let path = &self.path;
        match path.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Failure::io("look at", path, &error)),
            Ok(_) => {
                let detail = format!("{path:?} is there; nothing was touched");
                Err(Failure::about(path, detail).hint("move it away, or give another --out"))
            }
        }
    }

    /// The manifest that is there.
    ///
    /// # Errors
    /// Something else is there: it is nobody's wish that it be overwritten.
    pub(crate) fn read(&self, limits: &Limits) -> Result<Option<SignedManifest>, Failure> {
        let path = &self.path;
        if matches!(path.symlink_metadata(), Err(error) if error.kind() == ErrorKind::NotFound) {
            return Ok(None);
        }
        match disk::manifest_at(path, limits) {
            Err(Failure::Rejected(_)) => {
                let detail = format!("{path:?} is there and is no manifest; nothing was touched");
                Err(Failure::about(path, detail).hint("move it away, or give another --out"))
            }
            other => other.map(Some),
        }
    }

    /// Puts the manifest in place.
    ///
    /// A directory that is signed holds its files only, so that whoever looks into it meanwhile
    /// finds no stranger: the draft lies beside it. That cannot be where the directory is a mount
    /// of its own or its parent is not ours; there it appears for a moment.
    pub(crate) fn write(&self, folder: &OwnedFd, bytes: &[u8]) -> Result<(), Failure> {
        let here = || disk::replace(folder, &self.name, ".", bytes);
        let written = match self.inside {
            true => disk::replace(folder, &self.name, "..", bytes).or_else(|error| {
                use ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem};
                match error.kind() {
                    CrossesDevices | PermissionDenied | ReadOnlyFilesystem => here(),
                    _ => Err(error),
                }
            }),
            false => here(),
        };
        written.map_err(|error| Failure::io("write", &self.path, &error))
    }
}

/// Whether a store downloads to this directory: it is named by a commit, and its lock is beside it.
fn is_quarantine(dir: &Path) -> bool {
    let name = dir.file_name().and_then(|name| name.to_str());
    let revision = name.and_then(|name| name.parse::<Revision>().ok());
    revision.is_some_and(|revision| dir.with_file_name(format!("{revision}.lock")).is_file())
}
