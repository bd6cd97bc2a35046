//! What listings say about the files of a commit.

use serde::Serialize;

use crate::commit::{Blob, Commit};
use crate::fault::{Fault, Faults};
use crate::git::ObjectId;
use crate::resolve::XET_HASH;

/// One row of a tree listing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    #[serde(rename = "type")]
    kind: &'static str,
    pub(crate) oid: String,
    pub(crate) size: u64,
    pub(crate) path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lfs: Option<LfsEntry>,
    #[serde(rename = "xetHash", skip_serializing_if = "Option::is_none")]
    xet_hash: Option<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LfsEntry {
    pub(crate) oid: String,
    size: u64,
    pub(crate) pointer_size: u64,
}

impl Entry {
    pub(crate) fn is_file(&self) -> bool {
        self.kind == "file"
    }

    fn file(path: &str, blob: &Blob, faults: &Faults) -> Self {
        let mut entry = Self {
            kind: "file",
            oid: blob.oid.to_string(),
            size: blob.size,
            path: path.to_owned(),
            lfs: blob.lfs.as_ref().map(|lfs| LfsEntry {
                oid: lfs.sha256.clone(),
                size: blob.size,
                pointer_size: lfs.pointer_size,
            }),
            xet_hash: None,
        };
        entry.tamper(faults);
        entry
    }

    fn directory(path: &str, id: ObjectId) -> Self {
        let (oid, path) = (id.to_string(), path.to_owned());
        Self {
            kind: "directory",
            oid,
            size: 0,
            path,
            lfs: None,
            xet_hash: None,
        }
    }

    fn tamper(&mut self, faults: &Faults) {
        let size = faults.find(|fault| match fault {
            Fault::ListedSize { path, size } if *path == self.path => Some(*size),
            _ => None,
        });
        let oid = faults.find(|fault| match fault {
            Fault::ListedOid { path, oid } if *path == self.path => Some(oid.clone()),
            _ => None,
        });
        let sha256 = faults.find(|fault| match fault {
            Fault::ListedSha256 { path, sha256 } if *path == self.path => Some(sha256.clone()),
            _ => None,
        });
        let xet = faults.all(|fault| match fault {
            Fault::XetHash { path } if *path == self.path => Some(XET_HASH),
            _ => None,
        });
        self.xet_hash = xet.first().copied();
        self.size = size.unwrap_or(self.size);
        self.oid = oid.unwrap_or_else(|| self.oid.clone());
        if let Some(lfs) = &mut self.lfs {
            lfs.size = self.size;
            lfs.oid = sha256.unwrap_or_else(|| lfs.oid.clone());
        }
    }
}

/// The rows below `directory` (`""` for the root), all the way down if `recursive`;
/// nothing if there is no such directory.
pub(crate) fn tree(
    commit: &Commit,
    directory: &str,
    recursive: bool,
    faults: &Faults,
) -> Option<Vec<Entry>> {
    commit.directories.get(directory)?;
    let wanted = |path: &str| below(directory, path).is_some_and(|p| recursive || !p.contains('/'));
    let directories = commit.directories.iter().filter(|(path, _)| wanted(path));
    let files = commit.files.iter().filter(|(path, _)| wanted(path));
    let mut entries: Vec<_> = directories
        .map(|(path, id)| Entry::directory(path, *id))
        .collect();
    entries.extend(files.map(|(path, blob)| Entry::file(path, blob, faults)));
    if directory.is_empty() && recursive {
        entries.extend(foreign(faults));
    }
    let hidden = faults.all(|fault| match fault {
        Fault::ListedWithout { path } => Some(path.clone()),
        _ => None,
    });
    entries.retain(|entry| !hidden.contains(&entry.path));
    Some(entries)
}

/// The rows of these paths; paths that do not exist have none.
pub(crate) fn paths(commit: &Commit, paths: &[String], faults: &Faults) -> Vec<Entry> {
    let row = |path: &String| {
        let path = path.trim_end_matches('/');
        let directory = commit
            .directories
            .get(path)
            .map(|id| Entry::directory(path, *id));
        directory.or_else(|| {
            commit
                .files
                .get(path)
                .map(|blob| Entry::file(path, blob, faults))
        })
    };
    paths.iter().filter_map(row).collect()
}

fn below<'a>(directory: &str, path: &'a str) -> Option<&'a str> {
    if directory.is_empty() {
        return Some(path).filter(|path| !path.is_empty());
    }
    path.strip_prefix(directory)?.strip_prefix('/')
}

/// An entry that is in no commit.
fn foreign(faults: &Faults) -> Option<Entry> {
    let path = faults.find(|fault| match fault {
        Fault::ListedPath { path } => Some(path.clone()),
        _ => None,
    })?;
    let oid = ObjectId::of_blob(b"").to_string();
    Some(Entry {
        kind: "file",
        oid,
        size: 0,
        path,
        lfs: None,
        xet_hash: None,
    })
}
