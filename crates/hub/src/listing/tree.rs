//! Directories as git hashes them: what is listed in one must make the id that is listed for it.

use std::collections::BTreeMap;

use tensorgate_verify::{FilePath, Rejection};

use crate::error::FetchError;
use crate::fetch::hash::GitId;

/// Bytes that are hashed in search of the modes of files, which a listing does not have: 64 MiB,
/// some tenths of a second.
const WORK: usize = 64 << 20;
/// Files of a directory whose modes are all tried: 4,096 ways for 12.
const ALL_MODES: usize = 12;

/// The directories of a listing that have an id: no more than it has rows, however deep its files
/// lie.
#[derive(Debug, Default)]
pub(crate) struct Trees<'a>(BTreeMap<&'a str, Tree<'a>>);

/// One directory.
#[derive(Debug)]
struct Tree<'a> {
    id: GitId,
    files: Vec<(&'a str, GitId)>,
    directories: Vec<(&'a str, GitId)>,
    /// Whether something in it lies in a directory without an id: mirrors may leave these out.
    is_open: bool,
}

impl<'a> Trees<'a> {
    /// The directories, of which nothing is known yet but their ids.
    pub(crate) fn of(directories: impl Iterator<Item = (&'a FilePath, GitId)>) -> Self {
        let tree = |(path, id): (&'a FilePath, _)| {
            let (files, directories) = (Vec::new(), Vec::new());
            let tree = Tree {
                id,
                files,
                directories,
                is_open: false,
            };
            (path.as_str(), tree)
        };
        Self(directories.map(tree).collect())
    }

    pub(crate) fn add_file(&mut self, path: &'a FilePath, id: GitId) {
        let (parent, name) = split(path.as_str());
        if let Some(parent) = self.parent(parent) {
            parent.files.push((name, id));
        }
    }

    pub(crate) fn add_directory(&mut self, path: &'a FilePath, id: GitId) {
        let (parent, name) = split(path.as_str());
        if let Some(parent) = self.parent(parent) {
            parent.directories.push((name, id));
        }
    }

    /// That directory; where it has no id, whatever it lies in is open.
    fn parent(&mut self, path: &'a str) -> Option<&mut Tree<'a>> {
        let mut at = path;
        while !at.is_empty() && !self.0.contains_key(at) {
            (at, _) = split(at);
        }
        let tree = self.0.get_mut(at)?;
        tree.is_open |= at != path;
        (at == path).then_some(tree)
    }

    /// Rebuilds every directory but those that are open, and the root, of which no listing has an
    /// id.
    ///
    /// # Errors
    /// `digest-mismatch`: something in it was hidden, added or changed.
    pub(crate) fn refuse_others(&self) -> Result<(), FetchError> {
        let mut work = WORK;
        for (path, tree) in self.0.iter().filter(|(_, tree)| !tree.is_open) {
            let id = tree.id;
            if !tree.object().can_be(id, &mut work) {
                let detail = format!("what is listed in this directory does not make its id {id}");
                let rejection = Rejection::DigestMismatch;
                return Err(FetchError::rejected(rejection, path, detail));
            }
        }
        Ok(())
    }
}

impl Tree<'_> {
    /// The object with all files of mode 100644, as those are that come to the Hub through its
    /// API.
    fn object(&self) -> Object {
        let files = self.files.iter().map(|row| ("100644", row));
        let directories = self.directories.iter().map(|row| ("40000", row));
        let mut rows: Vec<_> = files.chain(directories).collect();
        // Git sorts a directory as if its name ended in a slash.
        let end = |mode| if mode == "40000" { "/" } else { "" };
        let key = |(mode, (name, _)): &(_, &(&str, GitId))| format!("{name}{}", end(*mode));
        rows.sort_by_cached_key(key);
        let mut object = Object::default();
        for (mode, (name, id)) in rows {
            object.push(mode, name, *id);
        }
        object
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
