//! A Hugging Face cache as a place to take files from: somebody's directory, of which nothing is
//! believed.
//!
//! ```text
//! models--OWNER--NAME/refs/main                  the commit that `main` was
//! models--OWNER--NAME/trees/COMMIT.json          what the commit lists (huggingface_hub 1.18 and later)
//! models--OWNER--NAME/snapshots/COMMIT/config.json  -> ../../blobs/GIT-SHA1 or SHA256
//! models--OWNER--NAME/blobs/SHA256               the bytes, or -> ../../blobs/XX/XET-HASH
//! blobs/XX/XET-HASH                              bytes that several repositories share
//! ```
//! Links are followed beneath the cache and nowhere else, and whatever a file turns out to be, its
//! bytes are copied while they are hashed and judged: others may write there meanwhile.

mod copy;
mod snapshot;
mod tree;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use tensorgate_verify::{FilePath, Rejection, RepoType, Revision};

use crate::config::token::huggingface_home;
use crate::error::FetchError;
use crate::progress::Progress;
use crate::target::{At, Target};

pub use copy::import;

/// The directory of a Hugging Face cache, as `huggingface_hub` and `hf-hub` write it.
#[derive(Debug)]
pub struct Cache {
    root: OwnedFd,
    path: PathBuf,
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// Without waiting for whoever would write into a FIFO.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
/// Links that lead out of the cache, absolute ones and those of /proc are errors.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
/// The system cannot vouch for `..` while something is renamed, and asks to be called again
/// (openat2(2), EAGAIN): 100 times.
const TRIES: usize = 100;
/// A commit id is as long, and one byte more shows that it is none.
const REF_BYTES: u64 = 41;

impl Cache {
    /// Where `huggingface_hub` keeps its cache: `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE`, else
    /// `hub` in `HF_HOME`, else `huggingface/hub` in `XDG_CACHE_HOME` or `~/.cache`.
    ///
    /// # Errors
    /// [`FetchError::Cache`] where there is not even a home.
    pub fn default_location() -> Result<PathBuf, FetchError> {
        Self::location(&|name| std::env::var_os(name))
    }

    fn location(var: &dyn Fn(&str) -> Option<OsString>) -> Result<PathBuf, FetchError> {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let named = var("HF_HUB_CACHE").or_else(|| var("HUGGINGFACE_HUB_CACHE"));
        let hub = || huggingface_home(&var).map(|home| home.join("hub"));
        let nowhere = || FetchError::cache(Path::new("HOME"), "it is not set");
        named.map(PathBuf::from).or_else(hub).ok_or_else(nowhere)
    }

    /// Opens the cache at `path`; links on the way there are the user's own.
    ///
    /// # Errors
    /// [`FetchError::Cache`] if no directory is there.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FetchError> {
        let path = path.as_ref().to_owned();
        match rustix::fs::open(&path, DIRECTORY, Mode::empty()) {
            Ok(root) => Ok(Self { root, path }),
            Err(error) => Err(FetchError::cache(&path, error)),
        }
    }

    /// The commit that a branch or tag stood for when the cache learned of it.
    ///
    /// # Errors
    /// [`FetchError::Cache`] if the cache does not know the name, or has no commit id for it.
    pub fn resolve(
        &self,
        target: &Target,
        progress: &dyn Progress,
    ) -> Result<Revision, FetchError> {
        let name = match &target.at {
            At::Commit(revision) => return Ok(revision.clone()),
            At::Name(name) => name,
        };
        let at = format!("{}/refs/{name}", folder_of(target));
        let Some(bytes) = self.read(&at, REF_BYTES)? else {
            return Err(self.unusable(&at, "it is not there: the cache knows no such name"));
        };
        let text = String::from_utf8_lossy(&bytes);
        let no_commit = |_| self.unusable(&at, "it holds no commit id");
        let revision = text.parse().map_err(no_commit)?;
        progress.notice(&format!("{target} is commit {revision} in the cache"));
        Ok(revision)
    }

    /// Opens the file that a snapshot has for `path`: its handle and its size.
    fn open_file(&self, snapshot: &str, path: &FilePath) -> Result<(File, u64), FetchError> {
        let at = format!("{snapshot}/{path}");
        let refuse = |detail| {
            Err(FetchError::rejected(
                Rejection::FileNotRegular,
                path,
                detail,
            ))
        };
        let file = match self.find(&at, FILE, BENEATH) {
            Ok(handle) => File::from(handle),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                let detail = "the cache does not have it";
                return Err(FetchError::rejected(Rejection::FileMissing, path, detail));
            }
            Err(Errno::XDEV) => return refuse("a link that leads out of the cache"),
            Err(Errno::LOOP) => return refuse("links that lead nowhere"),
            Err(Errno::NXIO) => return refuse("a socket or device"),
            Err(error) => return Err(self.unusable(&at, io::Error::from(error))),
        };
        let stat = file.metadata().map_err(|error| self.unusable(&at, error))?;
        match stat.is_file() {
            true => Ok((file, stat.len())),
            false => refuse("neither a file nor a link to one"),
        }
    }

    /// Reads a small file of the cache's own, or `None` where there is none. It is no link.
    fn read(&self, at: &str, limit: u64) -> Result<Option<Vec<u8>>, FetchError> {
        let file = match self.find(at, FILE, BENEATH.union(ResolveFlags::NO_SYMLINKS)) {
            Ok(handle) => File::from(handle),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(self.unusable(at, io::Error::from(error))),
        };
        let failed = |error: io::Error| self.unusable(at, error);
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(self.unusable(at, "it is no file"));
        }
        let mut bytes = Vec::new();
        let mut file = file.take(limit.saturating_add(1));
        file.read_to_end(&mut bytes).map_err(failed)?;
        match u64::try_from(bytes.len()).is_ok_and(|len| len <= limit) {
            true => Ok(Some(bytes)),
            false => Err(self.unusable(at, format!("it has more than {limit} bytes"))),
        }
    }

    /// Opens a directory that is no link.
    fn folder(&self, at: &str) -> Result<OwnedFd, FetchError> {
        let beneath = BENEATH.union(ResolveFlags::NO_SYMLINKS);
        let found = self.find(at, DIRECTORY, beneath);
        found.map_err(|error| self.unusable(at, io::Error::from(error)))
    }

    fn find(&self, at: &str, flags: OFlags, how: ResolveFlags) -> Result<OwnedFd, Errno> {
        let open = || rustix::fs::openat2(&self.root, at, flags, Mode::empty(), how);
        let mut opened = open();
        for _try in 1..TRIES {
            match opened {
                Err(Errno::AGAIN) => opened = open(),
                _ => break,
            }
        }
        opened
    }

    fn unusable(&self, at: &str, what: impl std::fmt::Display) -> FetchError {
        FetchError::cache(&self.path.join(at), what)
    }
}

/// Both parts of an id have no `--`, so two repositories never share a folder.
fn folder_of(target: &Target) -> String {
    let kind = match target.repo_type {
        RepoType::Dataset => "datasets",
        _ => "models",
    };
    format!("{kind}--{}--{}", target.repo.owner(), target.repo.name())
}

fn snapshot_of(target: &Target, revision: &Revision) -> String {
    format!("{}/snapshots/{revision}", folder_of(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        let place = |vars: &[(&str, &str)]| {
            let found = Cache::location(&|name| {
                let (_, value) = vars.iter().find(|(key, _)| *key == name)?;
                Some((*value).into())
            });
            found.ok().and_then(|path| path.to_str().map(str::to_owned))
        };
        let mut vars = vec![
            ("HF_HUB_CACHE", "/a", "/a"),
            ("HUGGINGFACE_HUB_CACHE", "/b", "/b"),
            ("HF_HOME", "/c", "/c/hub"),
            ("XDG_CACHE_HOME", "/d", "/d/huggingface/hub"),
            ("HOME", "/e", "/e/.cache/huggingface/hub"),
        ];
        while !vars.is_empty() {
            let set: Vec<_> = vars
                .iter()
                .map(|(name, value, _)| (*name, *value))
                .collect();
            let (_, _, expected) = vars.remove(0);
            assert_eq!(place(&set).as_deref(), Some(expected));
            let (name, _) = set[0];
            let empty = [&[(name, "")], &set[1..]].concat();
            assert_eq!(place(&empty), place(&set[1..]), "an empty {name} is none");
        }
        assert_eq!(place(&[]), None);
    }
}
