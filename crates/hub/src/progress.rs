//! Whom a download tells how it goes.

use tensorgate_verify::FilePath;

/// Who wants to know how a download goes. The default does nothing.
///
/// Calls come from several files at a time.
pub trait Progress: Send + Sync {
    /// It is known what has to be fetched.
    fn start(&self, files: usize, bytes: u64) {
        let _ = (files, bytes);
    }

    /// A file begins; after a failed attempt it begins again.
    fn file_started(&self, path: &FilePath, size: u64) {
        let _ = (path, size);
    }

    /// The file, just begun, goes on after its first `bytes`, which were there already.
    fn file_resumed(&self, path: &FilePath, bytes: u64) {
        let _ = (path, bytes);
    }

    /// `bytes` more of the file arrived.
    fn file_advanced(&self, path: &FilePath, bytes: u64) {
        let _ = (path, bytes);
    }

    /// The file is complete, right, and in its place.
    fn file_finished(&self, path: &FilePath) {
        let _ = path;
    }

    /// What may take its time begins, with `bytes` that are here already: reading, proving.
    fn step(&self, what: &'static str, bytes: u64) {
        let _ = (what, bytes);
    }

    /// Nothing goes on for now, and somebody else has the floor.
    fn pause(&self) {}

    /// Something a person wants to read: a wait, a retry, what a branch stands for.
    fn notice(&self, text: &str) {
        let _ = text;
    }
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has nothing and never will")]
pub struct Silent;

impl Progress for Silent {}
