//! Where the reference implementation is. The tests of the command share this file.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// `TENSORGATE_PYTHON` if it is set, else the project's environment, else `python3`.
pub(crate) fn interpreter() -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ros/jazzy/bin/python");
    let candidates = match std::env::var_os("TENSORGATE_PYTHON") {
        Some(named) => vec![PathBuf::from(named)],
        None => vec![project, PathBuf::from("python3")],
    };
    let imports = |python: &&PathBuf| {
        let run = Command::new(python)
            .args(["-c", "import model_signing"])
            .output();
        run.is_ok_and(|Output { status, .. }| status.success())
    };
    let found = candidates.iter().find(imports).cloned();
    found.unwrap_or_else(|| panic!("no model_signing in {candidates:?}: run `source ros/env.sh`"))
}
