//! The ids by which git and LFS name content, so that a commit id binds every byte below it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// When every commit was made: `2026-01-01T00:00:00Z`. A fixed instant makes
/// equal content have equal commit ids in every run.
pub const COMMIT_TIME: u64 = 1_767_225_600;

/// Author and committer of every commit.
pub const COMMIT_AUTHOR: &str = "testhub <testhub@localhost>";

/// The sha1 of a git object; shown as 40 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId([u8; 20]);

impl ObjectId {
    /// The id of a blob with these bytes.
    pub fn of_blob(bytes: &[u8]) -> Self {
        Self::of("blob", bytes)
    }

    /// The object format: type, length in decimal, NUL, body
    /// (Pro Git, "Git Internals - Git Objects").
    fn of(kind: &str, body: &[u8]) -> Self {
        let mut hasher = Sha1::new();
        hasher.update(format!("{kind} {}\0", body.len()));
        hasher.update(body);
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text that stands in the git tree for an LFS file
/// (git-lfs `docs/spec.md`, "The Pointer").
pub fn lfs_pointer(sha256: &str, size: u64) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n")
}

/// Both digests of `size` bytes of `reader`, as a plain blob and as LFS content.
pub(crate) fn digest(mut reader: impl Read, size: u64) -> io::Result<(ObjectId, String)> {
    let mut blob = Sha1::new();
    let mut content = Sha256::new();
    blob.update(format!("blob {size}\0"));
    let mut buffer = vec![0; 1 << 20];
    let mut left = size;
    loop {
        let n = reader.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        let chunk = buffer.get(..n).unwrap_or_default();
        left = left.checked_sub(chunk.len() as u64).ok_or_else(changed)?;
        blob.update(chunk);
        content.update(chunk);
    }
    if left > 0 {
        return Err(changed());
    }
    Ok((ObjectId(blob.finalize().into()), hex(&content.finalize())))
}

/// The id of a root tree, and those of all directories by path (the root's under `""`).
///
/// `files` maps whole paths to blob ids. All files are mode 100644, as those
/// are that come to the Hub through its API.
pub(crate) fn trees<'a>(
    files: impl IntoIterator<Item = (&'a str, ObjectId)>,
) -> (ObjectId, BTreeMap<String, ObjectId>) {
    let mut root = Directory::default();
    for (path, id) in files {
        root.insert(path, id);
    }
    let mut ids = BTreeMap::new();
    (root.write("", &mut ids), ids)
}

/// The id of a commit of `tree` with the fixed author and time.
pub(crate) fn commit_id(tree: ObjectId, parent: Option<ObjectId>, message: &str) -> ObjectId {
    let parent = parent.map_or_else(String::new, |id| format!("parent {id}\n"));
    let who = format!("{COMMIT_AUTHOR} {COMMIT_TIME} +0000");
    let body = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\n{message}\n");
    ObjectId::of("commit", body.as_bytes())
}

#[derive(Default)]
struct Directory {
    files: BTreeMap<String, ObjectId>,
    directories: BTreeMap<String, Self>,
}

impl Directory {
    fn insert(&mut self, path: &str, id: ObjectId) {
        match path.split_once('/') {
            Some((head, rest)) => {
                self.directories
                    .entry(head.to_owned())
                    .or_default()
                    .insert(rest, id);
            }
            None => {
                self.files.insert(path.to_owned(), id);
            }
        }
    }

    fn write(&self, path: &str, ids: &mut BTreeMap<String, ObjectId>) -> ObjectId {
        let mut rows: Vec<(String, &str, &str, ObjectId)> = Vec::new();
        for (name, id) in &self.files {
            rows.push((name.clone(), "100644", name, *id));
        }
        for (name, directory) in &self.directories {
            let below = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}/{name}")
            };
            // Git sorts a directory as if its name ended in a slash (`base_name_compare`).
            rows.push((
                format!("{name}/"),
                "40000",
                name,
                directory.write(&below, ids),
            ));
        }
        rows.sort_unstable();
        let mut body = Vec::new();
        for (_, mode, name, id) in rows {
            body.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            body.extend_from_slice(&id.0);
        }
        let id = ObjectId::of("tree", &body);
        ids.insert(path.to_owned(), id);
        id
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn changed() -> io::Error {
    io::Error::other("the file changed its size while it was read")
}
