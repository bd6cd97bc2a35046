//! Directories as git hashes them: what is listed in one must make the id that is listed for it.

use std::collections::BTreeMap;

use tensorgate_verify::{FilePath, Rejection};

use crate::error::FetchError;
use crate::hash::GitId;

/// Bytes that are hashed in search of the modes of files, which a listing does not have: 64 MiB,
/// some tenths of a second.
const WORK: usize = 64 << 20;
/// Files of a directory whose modes are all tried: 4,096 ways for 12.
const ALL_MODES: usize = 12;

/// The directories of a listing.
#[derive(Debug, Default)]
pub(crate) struct Trees<'a>(BTreeMap<&'a str, Tree<'a>>);

/// One directory.
#[derive(Debug, Default)]
struct Tree<'a> {
    /// As it is listed; mirrors may leave directories out.
    id: Option<GitId>,
    files: BTreeMap<&'a str, GitId>,
    directories: Vec<&'a str>,
}

impl<'a> Trees<'a> {
    pub(crate) fn add_file(&mut self, path: &'a FilePath, id: GitId) {
        let (parent, name) = split(path.as_str());
        self.tree(parent).files.insert(name, id);
    }

    pub(crate) fn add_directory(&mut self, path: &'a FilePath, id: GitId) {
        self.tree(path.as_str()).id = Some(id);
    }

    /// That directory, which its parent has, too.
    fn tree(&mut self, path: &'a str) -> &mut Tree<'a> {
        if !path.is_empty() && !self.0.contains_key(path) {
            let (parent, _) = split(path);
            self.tree(parent).directories.push(path);
        }
        self.0.entry(path).or_default()
    }

    /// Rebuilds every directory with an id. One whose sub-directory has none is left unchecked,
    /// as the root is, of which no listing has an id.
    ///
    /// # Errors
    /// `digest-mismatch`: something in it was hidden, added or changed.
    pub(crate) fn refuse_others(&self) -> Result<(), FetchError> {
        let mut work = WORK;
        for (path, tree) in &self.0 {
            if let (Some(id), Some(object)) = (tree.id, self.object(tree))
                && !object.can_be(id, &mut work)
            {
                let detail = format!("what is listed in this directory does not make its id {id}");
                let rejection = Rejection::DigestMismatch;
                return Err(FetchError::rejected(rejection, path, detail));
            }
        }
        Ok(())
    }

    /// The tree's object with all files of mode 100644, as those are that come to the Hub through
    /// its API; `None` if it has a directory without an id.
    fn object(&self, tree: &Tree<'_>) -> Option<Object> {
        let mut rows = Vec::new();
        for (name, id) in &tree.files {
            rows.push((name.as_bytes().to_vec(), "100644", *name, *id));
        }
        for path in &tree.directories {
            let (_, name) = split(path);
            // Git sorts a directory as if its name ended in a slash.
            let key = format!("{name}/").into_bytes();
            rows.push((key, "40000", name, self.0.get(path)?.id?));
        }
        rows.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
        let mut object = Object::default();
        for (_, mode, name, id) in rows {
            object.push(mode, name, id);
        }
        Some(object)
    }
}

/// The content of a tree object.
#[derive(Default)]
struct Object {
    bytes: Vec<u8>,
    /// Where the modes of files are.
    modes: Vec<usize>,
}

impl Object {
    fn push(&mut self, mode: &str, name: &str, id: GitId) {
        if mode == "100644" {
            self.modes.push(self.bytes.len());
        }
        self.bytes.extend(format!("{mode} {name}\0").bytes());
        self.bytes.extend(id.as_bytes());
    }

    /// Whether some modes of its files make this id: of a few files any, of many those in which
    /// all but two are plain, or all but two are programs.
    fn can_be(mut self, id: GitId, work: &mut usize) -> bool {
        let files = self.modes.len();
        let few = files <= ALL_MODES;
        let mut is_it = |programs: &dyn Fn(usize) -> bool| {
            *work = work.checked_sub(self.bytes.len())?;
            (self.id_with(programs) == id).then_some(())
        };
        if few {
            return (0..1_u32 << files).any(|mask| is_it(&|file| mask >> file & 1 == 1).is_some());
        }
        let pairs = (0..files).flat_map(|a| (a..files).map(move |b| (a, b)));
        let bases = [false, true];
        bases.into_iter().any(|base| is_it(&|_| base).is_some())
            || pairs.into_iter().any(|(a, b)| {
                let two = |file| file == a || file == b;
                bases
                    .into_iter()
                    .any(|base| is_it(&|file| two(file) != base).is_some())
            })
    }

    /// Its id if those files are programs, of mode 100755.
    fn id_with(&mut self, programs: &dyn Fn(usize) -> bool) -> GitId {
        for (file, at) in self.modes.iter().enumerate() {
            let mode = if programs(file) { b"100755" } else { b"100644" };
            if let Some(place) = self.bytes.get_mut(*at..*at + mode.len()) {
                place.copy_from_slice(mode);
            }
        }
        GitId::of_object("tree", &self.bytes)
    }
}

/// A path's directory, which is empty for the root, and its name there.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}
