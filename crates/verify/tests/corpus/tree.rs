//! Makes the directory that a case describes.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::case::{Case, What};

/// The files below `policy/`, in a directory that goes away with the handle.
pub(crate) fn make(case: &Case) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, what) in case.below("policy") {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        make_one(&path, what);
    }
    folder
}

fn make_one(path: &Path, what: &What) {
    match what {
        What::File(bytes) => fs::write(path, bytes).unwrap(),
        What::Link(target) => symlink(target, path).unwrap(),
        What::Fifo => mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap(),
        What::Socket => drop(UnixListener::bind(path).unwrap()),
        What::Directory => fs::create_dir_all(path).unwrap(),
    }
}
