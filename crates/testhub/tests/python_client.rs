//! The Python client `huggingface_hub`, unmodified, downloads bit-identically,
//! and its token stays on the hub's port.
#![cfg(test)] // so that clippy takes the helpers for tests, too

mod common;
mod python;

use std::path::Path;

use common::ID;
use python::python;
use serde_json::{Value, json};
use tensorgate_testhub::{Port, TestHub};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python_client.py");
const TOKEN: &str = "hf_python_client";
const FILE: &str = "model.safetensors";

#[test]
fn a_model_is_downloaded_bit_identically() {
    let (hub, commits) = common::hub();
    check(&hub, "model", &commits);
}

#[test]
fn a_dataset_is_downloaded_bit_identically() {
    let hub = TestHub::start().unwrap();
    let repository = common::repository(&format!("datasets/{ID}"));
    let commits = repository.commits().try_into().unwrap();
    hub.serve(repository);
    check(&hub, "dataset", &commits);
}

#[test]
fn errors_have_the_names_that_python_users_know() {
    let (hub, _) = common::hub();
    let home = tempfile::tempdir().unwrap();
    for (call, name) in [
        (
            "hf_hub_download('robots/none', 'x')",
            "RepositoryNotFoundError",
        ),
        (
            "hf_hub_download('robots/walk', 'x', revision='v2')",
            "RevisionNotFoundError",
        ),
        (
            "hf_hub_download('robots/walk', 'x')",
            "RemoteEntryNotFoundError",
        ),
    ] {
        let script = format!("from huggingface_hub import *\n{call}");
        let output = python(hub.endpoint(), home.path())
            .args(["-c", &script])
            .output()
            .unwrap();
        assert!(
            text(&output.stderr).contains(name),
            "{call}: {}",
            text(&output.stderr)
        );
    }
}

fn check(hub: &TestHub, kind: &str, [first, newest]: &[String; 2]) {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("local");
    let told = download(
        hub,
        home.path(),
        &[ID, kind, newest, TOKEN, path(&folder), FILE],
    );
    assert!(
        told["cached"].as_str().unwrap().ends_with(&**newest),
        "{told}"
    );
    for root in [&told["cached"], &told["local"]] {
        for (path, bytes) in common::files() {
            let there = std::fs::read(Path::new(root.as_str().unwrap()).join(path)).unwrap();
            assert_eq!(there, bytes, "{path}");
        }
    }
    for one in [&told["by_commit"], &told["by_branch"]] {
        assert_eq!(
            std::fs::read(one.as_str().unwrap()).unwrap(),
            common::file(FILE)
        );
    }
    assert_eq!(
        told["tree"].as_array().unwrap().len(),
        common::files().len()
    );
    assert_eq!(told["tree"], told["paths_info"]);
    assert_eq!(told["refs"], json!({"main": newest, "v1": first}));
    assert_eq!(told["main"], json!(newest));
    assert_token_stayed_at_home(hub);
}

fn assert_token_stayed_at_home(hub: &TestHub) {
    let (home, cdn) = (hub.requests_at(Port::Hub), hub.requests_at(Port::Cdn));
    assert!(!home.is_empty() && !cdn.is_empty());
    assert!(
        home.iter().all(|request| request.token() == Some(TOKEN)),
        "{home:?}"
    );
    assert!(
        cdn.iter().all(|request| request.authorization.is_none()),
        "{cdn:?}"
    );
}

fn download(hub: &TestHub, home: &Path, arguments: &[&str]) -> Value {
    let output = python(hub.endpoint(), home)
        .arg(SCRIPT)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
