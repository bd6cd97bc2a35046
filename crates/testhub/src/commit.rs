use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use axum::body::Bytes;

use crate::error::Error;
use crate::git::{self, ObjectId};

/// Files larger than this are LFS whatever their name: the Hub takes no
/// plain git file above 10 MB ("Repository limitations and recommendations").
pub const LFS_THRESHOLD: u64 = 10 * 1024 * 1024;

/// Files with these extensions are LFS whatever their size, as the Hub's
/// default `.gitattributes` has them.
pub const LFS_EXTENSIONS: [&str; 14] = [
    "arrow",
    "bin",
    "ckpt",
    "gz",
    "h5",
    "mp4",
    "npy",
    "npz",
    "onnx",
    "parquet",
    "pkl",
    "pt",
    "pth",
    "safetensors",
];

/// One commit: its whole tree and the id that binds it.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) id: ObjectId,
    pub(crate) files: BTreeMap<String, Blob>,
    /// Tree ids by path; the root's is `""`.
    pub(crate) directories: BTreeMap<String, ObjectId>,
}

impl Commit {
    pub(crate) fn new(
        contents: BTreeMap<String, Content>,
        parent: Option<ObjectId>,
        message: String,
    ) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        for (path, content) in contents {
            require_normal(&path)?;
            let blob = Blob::new(&path, content)?;
            files.insert(path, blob);
        }
        let blobs = files.iter().map(|(path, blob)| (path.as_str(), blob.oid));
        let (root, directories) = git::trees(blobs);
        if let Some(both) = directories.keys().find(|path| files.contains_key(*path)) {
            return Err(Error::Path(both.clone()));
        }
        Ok(Self {
            id: git::commit_id(root, parent, &message),
            files,
            directories,
        })
    }
}

/// A file as git has it: LFS content stands in the tree as its pointer text.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) content: Content,
    pub(crate) size: u64,
    pub(crate) oid: ObjectId,
    pub(crate) lfs: Option<Lfs>,
}

#[derive(Clone, Debug)]
pub(crate) struct Lfs {
    pub(crate) sha256: String,
    pub(crate) pointer_size: u64,
}

impl Blob {
    fn new(path: &str, content: Content) -> Result<Self, Error> {
        let (size, plain, sha256) = content.digest()?;
        if !is_lfs(path, size) {
            return Ok(Self {
                content,
                size,
                oid: plain,
                lfs: None,
            });
        }
        let pointer = git::lfs_pointer(&sha256, size);
        let lfs = Lfs {
            sha256,
            pointer_size: pointer.len() as u64,
        };
        let oid = ObjectId::of_blob(pointer.as_bytes());
        Ok(Self {
            content,
            size,
            oid,
            lfs: Some(lfs),
        })
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Memory(Bytes),
    Disk(PathBuf, Stamp),
}

/// What changes when a file does: length, inode and the time of the last change to it, which no
/// program can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    len: u64,
    inode: u64,
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            len: metadata.len(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Content {
    fn digest(&self) -> Result<(u64, ObjectId, String), Error> {
        let (reader, size): (Box<dyn Read>, u64) = match self {
            Self::Memory(bytes) => (Box::new(&bytes[..]), bytes.len() as u64),
            Self::Disk(path, stamp) => {
                let file = File::open(path).map_err(|error| Error::read(path, error))?;
                (Box::new(file), stamp.len)
            }
        };
        let digests = git::digest(reader, size);
        let (blob, sha256) = digests.map_err(|error| Error::read(self.path(), error))?;
        Ok((size, blob, sha256))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Memory(_) => Path::new("memory"),
            Self::Disk(path, _) => path,
        }
    }
}

fn is_lfs(path: &str, size: u64) -> bool {
    let extension = Path::new(path)
        .extension()
        .and_then(|extension| extension.to_str());
    size > LFS_THRESHOLD || extension.is_some_and(|name| LFS_EXTENSIONS.contains(&name))
}

fn require_normal(path: &str) -> Result<(), Error> {
    let normal = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    if path.split('/').all(normal) {
        Ok(())
    } else {
        Err(Error::Path(path.to_owned()))
    }
}

/// Adds the files below `dir` to `contents`, their paths starting with `below`.
pub(crate) fn collect(
    dir: &Path,
    below: &str,
    contents: &mut BTreeMap<String, Content>,
) -> Result<(), Error> {
    let read = |source| Error::read(dir, source);
    for entry in fs::read_dir(dir).map_err(read)? {
        let entry = entry.map_err(read)?;
        let kind = entry.file_type().map_err(read)?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(Error::Path(
                entry.file_name().to_string_lossy().into_owned(),
            ));
        };
        let path = if below.is_empty() {
            name.clone()
        } else {
            format!("{below}/{name}")
        };
        if name == ".git" {
            continue;
        } else if kind.is_dir() {
            collect(&entry.path(), &path, contents)?;
        } else if kind.is_file() {
            let stamp = Stamp::of(&entry.metadata().map_err(read)?);
            contents.insert(path, Content::Disk(entry.path(), stamp));
        } else {
            return Err(Error::Special(entry.path()));
        }
    }
    Ok(())
}
