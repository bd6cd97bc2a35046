//! What lies in a directory, whatever it is: nothing is opened, no link is followed.

use std::fs;
use std::path::{Path, PathBuf};

use tensorgate_verify::{Error, FilePath, Kind, Limits, MANIFEST_FILE, RepoType};

use crate::failure::Failure;

/// As many components as the path of a policy's file may have.
const DEPTH: usize = 16;

/// One file, link or whatever else lies in a directory.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Its path inside the directory.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) place: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) is_file: bool,
}

/// Everything below `directory`, in the order of the names.
///
/// # Errors
/// It cannot be listed, or has more files than any policy.
pub(crate) fn list(directory: &Path, limits: &Limits) -> Result<Vec<Listed>, Failure> {
    let mut listed = Vec::new();
    walk(directory, "", DEPTH, limits, &mut listed)?;
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(listed)
}

fn walk(
    directory: &Path,
    prefix: &str,
    depth: usize,
    limits: &Limits,
    listed: &mut Vec<Listed>,
) -> Result<(), Failure> {
    let io = |error| Failure::io("list", directory, &error);
    for found in fs::read_dir(directory).map_err(io)? {
        let found = found.map_err(io)?;
        if listed.len() >= limits.files {
            let detail = format!("{directory:?} has more than {} files", limits.files);
            return Err(Failure::about(directory, detail));
        }
        let (name, place) = (found.file_name(), found.path());
        let name = format!("{prefix}{}", name.to_string_lossy());
        let stat = fs::symlink_metadata(&place).map_err(io)?;
        if stat.is_dir() && depth > 1 {
            walk(&place, &format!("{name}/"), depth - 1, limits, listed)?;
            continue;
        }
        listed.push(Listed {
            name,
            place,
            bytes: stat.len(),
            is_file: stat.is_file(),
        });
    }
    Ok(())
}

impl Listed {
    /// Its path as a policy's file, or why no file of a policy may have this name or form.
    pub(crate) fn path(&self) -> Result<FilePath, String> {
        if !self.is_file {
            return Err("not a regular file".to_owned());
        }
        self.name.parse().map_err(|error: Error| match &error {
            Error::Rejected(all) => all.first().detail.to_string(),
            other => other.to_string(),
        })
    }

    /// What its name stands for in a model repository.
    pub(crate) fn kind(&self) -> Option<Kind> {
        Kind::of(&self.path().ok()?, RepoType::Model)
    }

    /// The same for people.
    pub(crate) fn kind_name(&self) -> String {
        match self.kind() {
            Some(kind) => kind.to_string(),
            None if self.is_file && self.name == MANIFEST_FILE => "manifest".to_owned(),
            None => "-".to_owned(),
        }
    }
}
