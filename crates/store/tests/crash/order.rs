//! What survives a power cut: the order in which bytes and names are flushed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::trace::{Change, Node};

/// What was changed and not flushed since.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Where the store is.
    store: PathBuf,
    /// By inode, with the path under which it was changed.
    unflushed: BTreeMap<u64, PathBuf>,
}

impl Order {
    pub(crate) fn new(store: &Path) -> Self {
        let (store, unflushed) = (store.to_owned(), BTreeMap::new());
        Self { store, unflushed }
    }

    /// Before a change is made.
    ///
    /// # Panics
    /// When something gets its place before it is on the disk, or loses its content before its name
    /// is gone from there.
    pub(crate) fn before(&self, change: &Change) {
        match change {
            Change::Rename {
                to, moved, back, ..
            } => {
                if !self.is_draft(&to.path) {
                    self.require_flushed(moved);
                }
                back.iter().for_each(|back| self.require_flushed(back));
            }
            Change::Link { linked, .. } => self.require_flushed(linked),
            Change::Unlink {
                removed: Some(removed),
                ..
            } if self.is_content(&removed.path) => {
                let policies = self.store.join("policies");
                let gone = self.unflushed.values().any(|path| *path == policies);
                assert!(
                    !gone,
                    "{removed:?} goes before the name of its policy has gone for good"
                );
            }
            _ => {}
        }
    }

    /// After a change was made.
    pub(crate) fn after(&mut self, change: &Change) {
        match change {
            Change::Write(node) => self.touch(node),
            Change::Create { parent, name, made } if !is_lock(name) => {
                self.touch(parent);
                made.iter().for_each(|made| self.touch(made));
            }
            Change::Sync(node) => drop(self.unflushed.remove(&node.inode)),
            Change::Rename { from, to, .. } => {
                self.touch(from);
                self.touch(to);
            }
            Change::Link { to, .. } => self.touch(to),
            Change::MakeDir { parent, .. } => self.touch(parent),
            Change::Unlink { parent, removed } => {
                self.touch(parent);
                let removed = removed.as_ref().map(|removed| removed.inode);
                removed.and_then(|inode| self.unflushed.remove(&inode));
            }
            _ => {}
        }
    }

    /// When the operation says that it is done.
    ///
    /// # Panics
    /// When that would not be so after a power cut.
    pub(crate) fn at_success(&self) {
        // Drafts mean nothing to whoever comes after a power cut.
        let paths = self.unflushed.values();
        let left: Vec<_> = paths.filter(|path| !self.is_draft(path)).collect();
        assert!(
            left.is_empty(),
            "not flushed when all is said to be done: {left:?}"
        );
    }

    fn touch(&mut self, node: &Node) {
        if !is_lock(&node.path) {
            self.unflushed.insert(node.inode, node.path.clone());
        }
    }

    fn require_flushed(&self, node: &Node) {
        let beneath = |path: &&PathBuf| path.starts_with(&node.path);
        let inside = self
            .unflushed
            .values()
            .find(|path| node.is_dir && beneath(path));
        let itself = self.unflushed.get(&node.inode);
        assert_eq!(
            itself.or(inside),
            None,
            "{node:?} gets a place before it is flushed"
        );
    }

    fn is_draft(&self, path: &Path) -> bool {
        let within = path.strip_prefix(&self.store).unwrap_or(path);
        within.components().any(|part| {
            let part = part.as_os_str().to_string_lossy();
            part == "tmp" || part.ends_with(".part")
        })
    }

    /// What a policy consisted of.
    fn is_content(&self, path: &Path) -> bool {
        let within = path.strip_prefix(&self.store).unwrap_or(path);
        within.starts_with("objects") || within.starts_with("tmp")
    }
}

fn is_lock(name: &Path) -> bool {
    name.ends_with("lock") || name.extension().is_some_and(|ending| ending == "lock")
}
