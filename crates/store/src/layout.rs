//! What the directory of a policy must be: links to the right objects, a manifest, and nothing else.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};
use tensorgate_verify::{Blake3, FilePath, MANIFEST_FILE, Rejection};

use crate::error::{Result, StoreError};
use crate::folder::Folder;

/// One way in which a directory is not what it must be.
#[derive(Debug)]
pub(crate) struct Flaw {
    pub(crate) rejection: Rejection,
    pub(crate) path: PathBuf,
    pub(crate) detail: String,
}

/// Shows all flaws of a directory but those of its manifest.
pub(crate) fn each_flaw(
    objects: &Folder,
    folder: &Folder,
    files: &[(&FilePath, Blake3)],
    show: &mut dyn FnMut(Flaw),
) -> Result<()> {
    for (path, blake3) in files {
        if let Some((rejection, detail)) = flaw_of(objects, folder, path, blake3)? {
            let path = path.as_str().into();
            show(Flaw {
                rejection,
                path,
                detail,
            });
        }
    }
    if let Some(detail) = exposed(folder, ".")? {
        let path = PathBuf::new();
        let rejection = Rejection::FileNotRegular;
        show(Flaw {
            rejection,
            path,
            detail,
        });
    }
    let mut expected: BTreeSet<&Path> = BTreeSet::from([MANIFEST_FILE.as_ref()]);
    expected.extend(files.iter().map(|(path, _)| Path::new(path.as_str())));
    each_stranger(folder, Path::new(""), &expected, show)
}

fn flaw_of(
    objects: &Folder,
    folder: &Folder,
    path: &FilePath,
    blake3: &Blake3,
) -> Result<Option<(Rejection, String)>> {
    let object = regular(objects, &blake3.to_string())?;
    let flaw = |rejection, detail: String| Ok(Some((rejection, detail)));
    match (regular(folder, path.as_str())?, object) {
        (None, _) => flaw(
            Rejection::FileMissing,
            "no file that can be read is there".into(),
        ),
        (_, None) => flaw(
            Rejection::FileMissing,
            format!("its object {blake3} is not there, or cannot be read"),
        ),
        (Some(link), Some(object)) if link != object => flaw(
            Rejection::DigestMismatch,
            format!("it is another file than the object {blake3}"),
        ),
        _ => Ok(None),
    }
}

/// Who may write to an entry that nobody may write to, or to a directory of others. Whoever loads
/// what lies there sees every byte again; a store in which this is so was changed all the same.
pub(crate) fn exposed(folder: &Folder, name: impl AsRef<Path>) -> Result<Option<String>> {
    let Some(stat) = folder.stat(name)? else {
        return Ok(None);
    };
    let kind = FileType::from_raw_mode(stat.st_mode);
    let (mode, denied) = match kind {
        FileType::RegularFile => (stat.st_mode & 0o7777, 0o6222),
        FileType::Directory => (stat.st_mode & 0o7777, 0o022),
        _ => return Ok(None),
    };
    Ok(match stat.st_uid {
        owner if is_foreign(owner) => Some(format!("it is owned by user {owner}")),
        _ if mode & denied != 0 => Some(format!("its mode is {mode:04o}, so it can be written to")),
        _ => None,
    })
}

/// Root can change everything anyhow.
pub(crate) fn is_foreign(owner: u32) -> bool {
    owner != 0 && owner != rustix::process::geteuid().as_raw()
}

/// What a name leads to, or `None` where it leads to no regular file that can be read.
fn regular(folder: &Folder, name: &str) -> Result<Option<(u64, u64)>> {
    use std::os::unix::fs::MetadataExt as _;
    let file = match folder.open(name) {
        Ok(Some(file)) => file,
        Ok(None) | Err(StoreError::Foreign { .. }) => return Ok(None),
        Err(error) if error.is_unreadable() => return Ok(None),
        Err(error) => return Err(error),
    };
    let stat = file
        .metadata()
        .map_err(|error| StoreError::io("examine", &folder.path_of(name), error))?;
    Ok(Some((stat.dev(), stat.ino())))
}

/// Goes no deeper than what is expected does.
fn each_stranger(
    folder: &Folder,
    prefix: &Path,
    expected: &BTreeSet<&Path>,
    show: &mut dyn FnMut(Flaw),
) -> Result<()> {
    for name in folder.entries()? {
        let name: OsString = name?;
        let path = prefix.join(&name);
        let Some(stat) = folder.stat(&name)? else {
            continue;
        };
        let mut within = expected.range(&*path..).take(1);
        let leads_on = within.any(|next| *next != path && next.starts_with(&path));
        match is_directory(&stat) {
            true if leads_on => {
                if let Some(detail) = exposed(folder, &name)? {
                    let (rejection, path) = (Rejection::FileNotRegular, path.clone());
                    show(Flaw {
                        rejection,
                        path,
                        detail,
                    });
                }
                if let Some(child) = folder.find(&name)? {
                    each_stranger(&child, &path, expected, show)?;
                }
            }
            // What stands in the place of a file was seen before.
            _ if expected.contains(&*path) => {}
            _ => show(Flaw {
                rejection: Rejection::FileUnexpected,
                path,
                detail: "it is not in the manifest".into(),
            }),
        }
    }
    Ok(())
}

pub(crate) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}
