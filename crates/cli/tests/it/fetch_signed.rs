//! What was signed comes from a Hub into the store, and nothing else does.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::fixture::Fixture;

#[test]
fn what_was_signed_is_verified_and_kept() {
    let fixture = Fixture::new();
    let run = fixture.fetch_signed(&[]);
    run.expect(0)
        .says("verified: ")
        .says("signed by  \"release\", key ");
    run.says("left out   run.exe: not in the manifest");
    let path = Path::new(run.stdout.trim_end());
    assert!(
        path.starts_with(fixture.workshop.path("store/policies")),
        "{path:?}"
    );
    fixture
        .workshop
        .run([
            "verify".as_ref(),
            path.as_os_str(),
            "--trust".as_ref(),
            "trust.toml".as_ref(),
        ])
        .expect(0);
    let quarantine = format!("store/quarantine/model/acme/walk/{}", fixture.files);
    let download = fixture.workshop.path(&quarantine).join("model.safetensors");
    let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
    assert_eq!(
        inode(&download),
        inode(&path.join("model.safetensors")),
        "on the disk once"
    );
    let object = fixture.fetch_signed(&["--json"]).json();
    assert_eq!(object["verdict"], "verified");
    assert_eq!(object["path"], path.to_str().unwrap());
    let manifest = object["evidence"]["manifest"].as_str().unwrap();
    assert_eq!(path.file_name().unwrap(), manifest);
    assert_eq!(object["evidence"]["signers"][0]["name"], "release");
    assert_eq!(object["evidence"]["revision"], Value::Null);
    assert_eq!(object["evidence"]["repo"]["revision"], fixture.files);
}

#[test]
fn the_manifest_may_lie_on_this_machine() {
    let fixture = Fixture::new();
    let options = [
        "--manifest",
        "walk/policy.dsse.json",
        "--trust",
        "trust.toml",
    ];
    fixture
        .fetch(&fixture.files, &options)
        .expect(0)
        .says("verified: ");
    fixture
        .fetch(&fixture.files, &[&options[..], &["--offline"]].concat())
        .expect(0);
}

#[test]
fn only_what_was_asked_for_is_signed_for() {
    let fixture = Fixture::new();
    let options = [
        "--manifest",
        "walk/policy.dsse.json",
        "--trust",
        "trust.toml",
    ];
    // The manifest is of the first commit.
    let run = fixture.fetch(&fixture.signed, &options);
    run.rejected("revision-mismatch", "revision");
    let command = "`tensorgate fetch acme/walk`, without @";
    run.says(command);
    let object = fixture.fetch(&fixture.signed, &[&options[..], &["--json"]].concat());
    let hint = object.json()["hint"].clone();
    assert!(hint.as_str().unwrap().contains(command), "{hint}");
    fixture.workshop.keygen("other");
    fixture.workshop.trust(1, &["other"]);
    fixture
        .fetch(&fixture.files, &options)
        .rejected("signature-invalid", "signatures");
    assert_eq!(fixture.hub.requests().len(), 0);
}

#[test]
fn an_older_release_is_not_fetched_again() {
    let fixture = Fixture::new();
    fixture.fetch_signed(&[]).expect(0);
    let older = ["--sequence", "4", "--revision", &fixture.files, "--replace"];
    fixture.workshop.sign(&older).expect(0);
    let options = [
        "--manifest",
        "walk/policy.dsse.json",
        "--trust",
        "trust.toml",
    ];
    fixture
        .fetch(&fixture.files, &options)
        .rejected("manifest-rollback", "sequence");
    // `verify` has the same memory.
    fixture
        .workshop
        .verify(&[])
        .rejected("manifest-rollback", "sequence");
}

#[test]
fn a_manifest_needs_somebody_to_trust() {
    let fixture = Fixture::new();
    fixture
        .fetch(&fixture.files, &["--manifest", "walk/policy.dsse.json"])
        .could_not_check("--trust <FILE>");
    fixture
        .fetch(&fixture.files, &["--trust", "trust.toml"])
        .could_not_check("--manifest <FILE|REPO@REV>");
}

#[test]
fn the_manifest_may_lie_at_a_later_commit() {
    let fixture = Fixture::new();
    let main = ["--manifest", "acme/walk@main", "--trust", "trust.toml"];
    let run = fixture.fetch("main", &main);
    run.rejected("revision-mismatch", "revision");
    run.says("`tensorgate fetch acme/walk`, without @");
    fixture.fetch(&fixture.files, &main).expect(0);
}

#[test]
fn a_file_that_is_named_like_a_place_on_a_hub_is_told() {
    let fixture = Fixture::new();
    let workshop = &fixture.workshop;
    let manifest = workshop.read("walk/policy.dsse.json");
    workshop.write("acme/walk@main", &manifest);
    let options = ["--manifest", "acme/walk@main", "--trust", "trust.toml"];
    let run = fixture.fetch(&fixture.files, &options);
    run.expect(0);
    run.says("note: the manifest is the file \"acme/walk@main\" here, not one on a Hub");
    // What cannot be a repository is a file that is missing.
    let options = ["--manifest", "no@where/m.json", "--trust", "trust.toml"];
    fixture
        .fetch(&fixture.files, &options)
        .could_not_check("could not read the manifest \"no@where/m.json\": No such file");
}

#[test]
fn a_release_that_a_newer_one_overtakes_is_not_verified() {
    let fixture = Fixture::new();
    fixture.fetch_signed(&[]).expect(0);
    fixture
        .workshop
        .overtaken(&mut fetch_again(&fixture))
        .rejected("manifest-rollback", "sequence");
}

fn fetch_again(fixture: &Fixture) -> Command {
    let mut command = fixture.workshop.command();
    let target = format!("acme/walk@{}", fixture.files);
    let manifest = ["--manifest", "walk/policy.dsse.json"];
    command.args(["fetch", &target, "--endpoint", fixture.hub.endpoint()]);
    command.args(manifest).args(["--trust", "trust.toml"]);
    command
}

#[test]
fn what_cannot_be_shared_is_verified_and_remembered_all_the_same() {
    let fixture = Fixture::new();
    fixture.fetch_signed(&[]).expect(0);
    let workshop = &fixture.workshop;
    workshop.remove("store/state/index.json");
    workshop.remove("store/state/rollback/model--acme--walk.json");
    std::fs::remove_dir_all(workshop.path("store/policies")).unwrap();
    let drafts = format!("store/quarantine/model/acme/walk/{}.part", fixture.files);
    let in_the_way = || {
        for object in std::fs::read_dir(workshop.path("store/objects")).unwrap() {
            let name = object.unwrap().file_name();
            std::fs::create_dir(workshop.path(&drafts).join(name)).unwrap();
        }
    };
    let run = workshop.meanwhile(&mut fetch_again(&fixture), in_the_way);
    run.expect(0).says("verified: ");
    run.says("note: first release remembered in ");
    run.says("note: it lies on the disk twice: could not link ");
    workshop.read("store/state/rollback/model--acme--walk.json");
}

#[test]
fn the_first_release_at_a_place_is_told() {
    let fixture = Fixture::new();
    fixture
        .fetch_signed(&[])
        .expect(0)
        .says("note: first release remembered in ");
    let again = fixture.fetch_signed(&["--json"]).json();
    assert_eq!(again["notices"], serde_json::json!([]));
}

#[test]
fn what_was_revoked_on_this_machine_is_not_fetched() {
    let fixture = Fixture::new();
    let place = fixture.fetch_signed(&[]).expect(0).stdout.clone();
    let digest = place.trim_end().rsplit('/').next().unwrap();
    let state = tensorgate_store::State::open(fixture.workshop.path("store/state")).unwrap();
    state
        .revoke(&digest.parse().unwrap(), "falls on stairs")
        .unwrap();
    fixture
        .fetch_signed(&[])
        .rejected("manifest-revoked", "manifest");
    fixture
        .workshop
        .run(["store", "unrevoke", digest])
        .expect(0);
    fixture.fetch_signed(&[]).expect(0);
}
