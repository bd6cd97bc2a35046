//! The table of a safetensors file, for commands that show it and vouch for nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tensorgate_verify::{Error, Header, Limits};

use crate::failure::Failure;

/// Reads the table of `file` and none of its data, wherever the handle stands.
///
/// # Errors
/// What the header is refused for; `name` is the subject where that is the file as a whole.
pub(crate) fn read(file: &File, name: &Path, limits: &Limits) -> Result<Header, Failure> {
    let io = |error| Failure::io("read", name, &error);
    let len = file.metadata().map_err(io)?.len();
    let start = first(file, len.min(8)).map_err(io)?;
    let wanted = Header::prefix_len(&start, limits).map_err(|error| about(name, error))?;
    let bytes = first(file, len.min(wanted)).map_err(io)?;
    Header::parse(&bytes, len, limits).map_err(|error| about(name, error))
}

/// The first bytes, as many as the caller has bounded.
fn first(file: &File, len: u64) -> io::Result<Vec<u8>> {
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Puts the file's name in place of the word "header".
fn about(name: &Path, error: Error) -> Failure {
    let mut failure = Failure::from(error);
    if let Failure::Rejected(all) = &mut failure {
        for finding in all.iter_mut().filter(|finding| finding.subject == "header") {
            finding.subject = name.display().to_string();
        }
    }
    failure
}
