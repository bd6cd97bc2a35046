//! Programs that tests run beside the hub, none of which knows the settings of whoever runs the
//! tests.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on ends"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::git::{COMMIT_AUTHOR, COMMIT_TIME};

/// What git prints when it runs in `dir` with `input`, without the white space at its ends. Its
/// commits are by [`COMMIT_AUTHOR`], at [`COMMIT_TIME`].
///
/// # Panics
/// When it fails.
pub fn git(dir: &Path, arguments: &[&str], input: &[u8]) -> String {
    let (name, rest) = COMMIT_AUTHOR.split_once(" <").unwrap();
    let (email, date) = (rest.trim_end_matches('>'), format!("{COMMIT_TIME} +0000"));
    let mut command = without("git", |name| name.starts_with("GIT_"));
    command
        .current_dir(dir)
        // Of all settings, these have a place of their own.
        .args(["-c", "core.attributesFile=/dev/null"])
        .args(["-c", "core.excludesFile=/dev/null"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_CEILING_DIRECTORIES", dir.parent().unwrap());
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), name);
        command.env(format!("GIT_{who}_EMAIL"), email);
        command.env(format!("GIT_{who}_DATE"), &date);
    }
    let (stdin, stdout) = (Stdio::piped(), Stdio::piped());
    let mut child = command.stdin(stdin).stdout(stdout).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A Python that can import `module`: `TENSORGATE_PYTHON` if it is set, else the project's
/// environment, else `python3`.
///
/// # Panics
/// When it cannot.
pub fn python(module: &str) -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ros/jazzy/bin/python");
    let candidates = match std::env::var_os("TENSORGATE_PYTHON") {
        Some(named) => vec![PathBuf::from(named)],
        None => vec![project, PathBuf::from("python3")],
    };
    let imports = |python: &&PathBuf| {
        let mut command = Command::new(python);
        let run = command.args(["-c", &format!("import {module}")]).output();
        run.is_ok_and(|output| output.status.success())
    };
    let found = candidates.iter().find(imports).cloned();
    found.unwrap_or_else(|| panic!("no {module} in {candidates:?}: run `source ros/env.sh`"))
}

/// A Python with `huggingface_hub`, unmodified, that knows the hub at `endpoint` and this home
/// alone.
///
/// # Panics
/// When there is none.
pub fn huggingface_hub(endpoint: &str, home: &Path) -> Command {
    let mut command = without(python("huggingface_hub"), |name| {
        name.starts_with("HF_") || name.starts_with("HUGGING") || name.ends_with("_proxy")
    });
    command
        .env("HF_ENDPOINT", endpoint)
        .env("HF_HOME", home)
        .env("HF_HUB_DISABLE_TELEMETRY", "1")
        .env("NO_PROXY", "127.0.0.1,::1");
    command
}

/// A program that does not see these variables.
fn without(program: impl AsRef<std::ffi::OsStr>, hidden: impl Fn(&str) -> bool) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if hidden(&name.to_string_lossy()) {
            command.env_remove(&name);
        }
    }
    command
}
