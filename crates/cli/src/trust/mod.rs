//! The trust policy that the user names: never a verdict, always usable or exit status 2.

pub(crate) mod add_key;
pub(crate) mod check;
pub(crate) mod revoke;
mod second;
pub(crate) mod show;

use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::fs::CWD;
use tensorgate_verify::{TrustPolicy, TrustPolicyError};

use crate::failure::Failure;

/// Reads `trust.toml`.
pub(crate) fn load(path: &Path) -> Result<TrustPolicy, Failure> {
    TrustPolicy::open(CWD, path).map_err(|error| {
        let detail = format!("the trust policy {path:?} cannot be used: {error}");
        let is_other = path.symlink_metadata().is_ok_and(|found| !found.is_file());
        Failure::about(path, detail).hint(match is_other {
            true => "name the file itself: a link could lead to where others write",
            false => hint(&error),
        })
    })
}

fn hint(error: &TrustPolicyError) -> &'static str {
    const SMALLEST: &str = "`tensorgate verify --help` shows the smallest trust.toml";
    match error {
        TrustPolicyError::File(source) => hint_to_read(source).unwrap_or(SMALLEST),
        TrustPolicyError::KeyFile { .. } => {
            "`public_key_file` is relative to the directory of the trust policy"
        }
        TrustPolicyError::Key { .. } => {
            "a public key begins with `-----BEGIN PUBLIC KEY-----`; `tensorgate keygen` makes a pair"
        }
        TrustPolicyError::Threshold { .. } => {
            "`threshold` says how many of the `[[keys]]` must have signed"
        }
        _ => SMALLEST,
    }
}

/// What to do about a file that decides and could not be read ([`own_text`]), if it is there.
///
/// [`own_text`]: tensorgate_verify::own_text
pub(crate) fn hint_to_read(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::NotFound => None,
        // The system's own refusal has a number; that of a file which others can write has none.
        _ if error.raw_os_error().is_some() => Some("it must be a file that you may read"),
        ErrorKind::PermissionDenied => {
            Some("read it first, somebody may have changed it; then `chmod go-w`")
        }
        _ => None,
    }
}
