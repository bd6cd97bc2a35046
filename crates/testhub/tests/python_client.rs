//! The Python client `huggingface_hub`, unmodified, downloads bit-identically,
//! and its token stays on the hub's port.
#![cfg(test)] // so that clippy takes the helpers for tests, too

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::ID;
use serde_json::{Value, json};
use tensorgate_testhub::{Fault, Port, Repository, TestHub, git, huggingface_hub, lfs_pointer};

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
        let output = huggingface_hub(hub.endpoint(), home.path())
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

/// It writes 10 MiB at a time, and asks for what comes after those that it wrote.
#[test]
fn a_cut_download_goes_on_from_where_it_was() {
    let weights = common::noise(12_000_000);
    let large = Repository::new(ID).unwrap();
    let large = large.commit_files([(FILE, weights.clone())]).unwrap();
    let hub = TestHub::start().unwrap();
    hub.serve(large);
    let home = tempfile::tempdir().unwrap();
    let (path, after) = (FILE.to_owned(), 11_500_000);
    hub.inject_once(Fault::ConnectionCut { path, after });
    let get = "print(hf_hub_download('robots/walk', 'model.safetensors'))";
    let there = run(&hub, home.path(), &[], get);
    assert!(std::fs::read(there.trim()).unwrap() == weights);
    let asked = hub.requests_at(Port::Cdn).into_iter();
    let asked = asked.filter(|request| request.method == "GET");
    let ranges: Vec<_> = asked.map(|request| request.range).collect();
    assert_eq!(ranges, [None, Some(format!("bytes={}-", 10 << 20))]);
}

#[test]
fn offline_it_takes_what_it_has_and_asks_nobody() {
    let (hub, [_, newest]) = common::hub();
    let home = tempfile::tempdir().unwrap();
    let snapshot = "print(snapshot_download('robots/walk'))";
    let offline = [("HF_HUB_OFFLINE", "1")];
    let first = run(&hub, home.path(), &[], snapshot);
    assert!(first.trim().ends_with(&newest), "{first}");
    hub.clear_requests();
    assert_eq!(run(&hub, home.path(), &offline, snapshot), first);
    assert_eq!(hub.requests(), []);
}

#[test]
fn directories_have_the_ids_of_gits_trees_and_nothing_has_a_xet_hash() {
    let (hub, [_, newest]) = common::hub();
    let home = tempfile::tempdir().unwrap();
    let list = format!(
        "import json
rows = list(HfApi().list_repo_tree('robots/walk', revision='{newest}', recursive=True))
assert all(row.xet_hash is None for row in rows if hasattr(row, 'size'))
print(json.dumps({{row.path: row.tree_id for row in rows if hasattr(row, 'tree_id')}}))"
    );
    let told: BTreeMap<String, String> =
        serde_json::from_str(&run(&hub, home.path(), &[], &list)).unwrap();
    assert_eq!(told, trees_of_git());
}

/// What git makes of the same files, by path.
fn trees_of_git() -> BTreeMap<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| git(dir.path(), arguments, b"");
    git(&["init", "--quiet", "--object-format=sha1"]);
    for (path, bytes) in common::files() {
        let place = dir.path().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        let bytes = match path.ends_with(".safetensors") {
            true => {
                let sha256 = git_lfs_sha256(&bytes);
                lfs_pointer(&sha256, bytes.len() as u64).into_bytes()
            }
            false => bytes,
        };
        std::fs::write(place, bytes).unwrap();
    }
    git(&["add", "--all"]);
    let tree = git(&["write-tree"]);
    let listed = git(&["ls-tree", "-r", "-d", "-z", &tree]);
    let entries = listed.split_terminator('\0').map(|entry| {
        let (head, path) = entry.split_once('\t').unwrap();
        (path.to_owned(), head.rsplit(' ').next().unwrap().to_owned())
    });
    entries.collect()
}

fn git_lfs_sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What these statements print, with `huggingface_hub` in scope.
fn run(hub: &TestHub, home: &Path, env: &[(&str, &str)], statements: &str) -> String {
    let script = format!("from huggingface_hub import *\n{statements}");
    let mut command = huggingface_hub(hub.endpoint(), home);
    command.args(["-c", &script]).envs(env.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
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
    let output = huggingface_hub(hub.endpoint(), home)
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
