//! The Python client that users have, unmodified. The tests of the fetcher share this file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A Python with `huggingface_hub` that knows the hub at `endpoint` and this home alone.
pub(crate) fn python(endpoint: &str, home: &Path) -> Command {
    let mut command = Command::new(interpreter());
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("HF_") || name.starts_with("HUGGING") || name.ends_with("_proxy") {
            command.env_remove(&key);
        }
    }
    command.env("HF_ENDPOINT", endpoint).env("HF_HOME", home);
    command
        .env("HF_HUB_DISABLE_TELEMETRY", "1")
        .env("NO_PROXY", "127.0.0.1,::1");
    command
}

/// `TENSORGATE_PYTHON` if it is set, else the project's environment, else `python3`.
fn interpreter() -> OsString {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ros/jazzy/bin/python");
    let candidates = match std::env::var_os("TENSORGATE_PYTHON") {
        Some(named) => vec![PathBuf::from(named)],
        None => vec![project, PathBuf::from("python3")],
    };
    let imports = |python: &&PathBuf| {
        let run = Command::new(python)
            .args(["-c", "import huggingface_hub"])
            .output();
        run.is_ok_and(|Output { status, .. }| status.success())
    };
    let found = candidates.iter().find(imports);
    found
        .unwrap_or_else(|| panic!("no huggingface_hub in {candidates:?}: run `source ros/env.sh`"))
        .clone()
        .into_os_string()
}
