//! What a fetch would bring, and nothing of it.

use std::path::{Path, PathBuf};

use serde_json::json;
use tensorgate_testhub::Fault;

use crate::fixture::Fixture;
use crate::stage::{CHANNEL, Stage};
use crate::support::weights;

#[test]
fn what_would_come_is_listed_with_its_size_and_nothing_is_fetched() {
    let fixture = Fixture::new();
    let run = fixture.fetch(&fixture.files, &["--dry-run"]);
    run.expect(0)
        .says(&format!("would fetch: \"acme/walk@{}\"\n", fixture.files))
        .says("  files      3 files, 4,990 bytes\n")
        .says("  to fetch   3 files, 4,990 bytes; the disk has room for ")
        .says("  left out   run.exe: no file of a policy has this name\n");
    assert_eq!(
        run.stdout,
        "file               bytes  state\n\
         README.md              7  to fetch\n\
         config.json           15  to fetch\n\
         model.safetensors  4,968  to fetch\n"
    );
    let asked = fixture.hub.requests();
    assert!(
        !asked.iter().any(|at| at.target.contains("/resolve/")),
        "{asked:?}"
    );
}

#[test]
fn json_says_the_same() {
    let fixture = Fixture::new();
    let object = fixture
        .fetch("main", &["--dry-run", "--json"])
        .expect(0)
        .json();
    assert_eq!(object["dry_run"], true);
    assert_eq!(object["asked"], "acme/walk@main");
    assert_eq!(object["subject"], format!("acme/walk@{}", fixture.signed));
    assert_eq!(object["revision"], fixture.signed);
    let weights =
        json!({ "path": "model.safetensors", "size": weights().len(), "missing": weights().len() });
    assert_eq!(object["files"][2], weights);
    assert_eq!(object["bytes"], object["bytes_missing"]);
    assert_eq!(object["fits"], true);
    assert!(object["bytes_free"].as_u64().unwrap() > 0);
    assert_eq!(object["left_out"], json!([]));
    // Nothing was judged of it.
    assert!(object.get("verdict").is_none(), "{object}");
}

#[test]
fn the_store_is_left_as_it_was() {
    let fixture = Fixture::new();
    let store = fixture.workshop.path("store");
    fixture.workshop.run(["store", "ls"]).expect(0);
    let before = everything(&store);
    fixture.fetch(&fixture.files, &["--dry-run"]).expect(0);
    let manifest = [
        "--manifest",
        "walk/policy.dsse.json",
        "--trust",
        "trust.toml",
    ];
    fixture
        .fetch(&fixture.files, &[&manifest[..], &["--dry-run"]].concat())
        .expect(0);
    assert_eq!(everything(&store), before);
    fixture.fetch(&fixture.files, &[]).expect(0);
    let before = everything(&store);
    fixture.fetch(&fixture.files, &["--dry-run"]).expect(0);
    assert_eq!(everything(&store), before);
}

#[test]
fn what_is_there_is_told_from_what_is_missing() {
    let fixture = Fixture::new();
    let path = fixture.fetch(&fixture.files, &[]).expect(0).stdout.clone();
    let run = fixture.fetch(&fixture.files, &["--dry-run"]);
    run.expect(0).says("  to fetch   0 files, 0 bytes; ");
    std::fs::remove_file(Path::new(path.trim_end()).join("config.json")).unwrap();
    let run = fixture.fetch(&fixture.files, &["--dry-run"]);
    run.expect(0).says("  to fetch   1 file, 15 bytes; ");
    assert!(
        run.stdout.contains("config.json           15  to fetch\n"),
        "{run:?}"
    );
    assert!(
        run.stdout
            .contains("README.md              7  in the store\n"),
        "{run:?}"
    );
}

#[test]
fn a_part_that_came_before_a_cut_need_not_come_again() {
    let fixture = Fixture::new();
    let path = "model.safetensors".to_owned();
    fixture
        .hub
        .inject(Fault::ConnectionCut { path, after: 1000 });
    fixture.fetch(&fixture.files, &[]).expect(2);
    fixture.hub.clear_faults();
    let manifest = [
        "--manifest",
        "walk/policy.dsse.json",
        "--trust",
        "trust.toml",
        "--dry-run",
    ];
    for options in [&manifest[4..], &manifest] {
        let object = fixture
            .fetch(&fixture.files, &[options, &["--json"]].concat())
            .json();
        let missing = object["files"][2]["missing"].as_u64().unwrap();
        let there = weights().len() as u64 - missing;
        assert!((1..=4000).contains(&there), "{object}");
        let run = fixture.fetch(&fixture.files, options);
        assert!(run.stdout.contains("to fetch from byte "), "{run:?}");
        run.says("to fetch   1 file, ");
    }
}

#[test]
fn a_manifest_is_authenticated_and_says_all_sizes() {
    let fixture = Fixture::new();
    let manifest = [
        "--manifest",
        "walk/policy.dsse.json",
        "--trust",
        "trust.toml",
        "--dry-run",
    ];
    let run = fixture.fetch(&fixture.files, &manifest);
    run.expect(0)
        .says("signed by  \"release\"")
        .says("to fetch   3 files, 4,990 bytes");
    let object = fixture.fetch(
        &fixture.files,
        &[&manifest[..], &["--json", "--offline"]].concat(),
    );
    let object = object.expect(0).json();
    assert_eq!(object["evidence"]["signers"][0]["name"], "release");
    assert_eq!(fixture.hub.requests().len(), 0);
    // What is in the store, proven, is not missing.
    fixture.fetch_signed(&[]).expect(0);
    std::fs::remove_dir_all(fixture.workshop.path("store/quarantine")).unwrap();
    fixture
        .fetch(&fixture.files, &manifest)
        .expect(0)
        .says("to fetch   0 files");
    fixture.workshop.keygen("other");
    fixture.workshop.trust(1, &["other"]);
    fixture
        .fetch(&fixture.files, &manifest)
        .rejected("signature-invalid", "signatures");
}

#[test]
fn a_channel_is_asked_and_nothing_is_remembered() {
    let stage = Stage::new();
    let files = stage.release(2);
    stage.revoke(&["--revoked-key", &"0".repeat(64)]);
    stage.publish();
    stage.asked();
    let run = stage.follow(&["--dry-run"]);
    run.expect(0)
        .says(&format!("would fetch: \"acme/walk@{files}\""))
        .says("sequence   2\n");
    assert_eq!(stage.asked().len(), 3);
    let state = stage.workshop.path("store/state");
    assert!(!state.join("revocations.dsse.json").exists());
    // It was only a look: the older release is as good as before.
    stage.workshop.remove("revocations.dsse.json");
    stage.release(1);
    stage.follow(&[]).expect(0);
    // What is called back is refused here as well.
    stage.revoke(&["--manifest", &stage.manifest()]);
    stage.publish();
    stage
        .follow(&["--dry-run"])
        .rejected("manifest-revoked", "manifest");
    assert!(!state.join("revocations.dsse.json").exists());
}

#[test]
fn what_a_fetch_refuses_a_look_refuses() {
    let fixture = Fixture::new();
    fixture.hub.inject(Fault::ListedPath {
        path: "../../x".into(),
    });
    fixture
        .fetch(&fixture.files, &["--dry-run"])
        .rejected("file-name-unsafe", "../../x");
    fixture
        .fetch(&fixture.files, &["--dry-run", "--offline"])
        .could_not_check("the network is not to be used");
    let run = fixture.workshop.run([
        "fetch",
        "acme/none@main",
        "--dry-run",
        "--endpoint",
        fixture.hub.endpoint(),
    ]);
    run.could_not_check("there is no such repository, or it is private");
    let run = fixture.workshop.run(
        [
            &["fetch", "acme/walk", "--dry-run"][..],
            &CHANNEL,
            &["--watch", "5m"],
        ]
        .concat(),
    );
    run.could_not_check("cannot be used with");
}

/// Paths below a directory, with sizes and times.
fn everything(below: &Path) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        let found = std::fs::symlink_metadata(&path).unwrap();
        all.push((path.clone(), found.len(), found.modified().unwrap()));
        if found.is_dir() {
            all.extend(everything(&path));
        }
    }
    all.sort();
    all
}
