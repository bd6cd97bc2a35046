//! The trust policy that the user names: never a verdict, always usable or exit status 2.

pub(crate) mod add_key;
pub(crate) mod check;
pub(crate) mod revoke;
mod second;
pub(crate) mod show;

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
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    match error {
        TrustPolicyError::File(source) if source.kind() == NotFound => {
            "`tensorgate verify --help` shows the smallest trust.toml"
        }
        // The system's own refusal has a number; that of a file which others can write has none.
        TrustPolicyError::File(source) if source.raw_os_error().is_some() => {
            "it must be a file that you may read"
        }
        TrustPolicyError::File(source) if source.kind() == PermissionDenied => {
            "read it first, somebody may have changed it; then `chmod go-w`"
        }
        TrustPolicyError::KeyFile { .. } => {
            "`public_key_file` is relative to the directory of the trust policy"
        }
        TrustPolicyError::Key { .. } => {
            "a public key begins with `-----BEGIN PUBLIC KEY-----`; `tensorgate keygen` makes a pair"
        }
        TrustPolicyError::Threshold { .. } => {
            "`threshold` says how many of the `[[keys]]` must have signed"
        }
        _ => "`tensorgate verify --help` shows the smallest trust.toml",
    }
}
