//! Updates from a branch: only what is signed is believed, and it names the commit of everything else.

use std::fs;
use std::path::Path;

use serde_json::json;
use tensorgate_testhub::{Fault, Place, Port, Repository};

use crate::stage::{CHANNEL, Stage};
use crate::support::EXPIRES;

#[test]
fn the_manifest_at_a_branch_names_the_commit_of_everything_else() {
    let stage = Stage::new();
    let files = stage.release(2);
    let announced = stage.publish();
    let run = stage.follow(&[]);
    run.expect(0)
        .says(&format!(
            "note: resolved main to {announced}, which has the manifest\n"
        ))
        .says(&format!("verified: \"acme/walk@{files}\"\n"))
        .says("sequence   2\n");
    let path = Path::new(run.stdout.trim_end());
    assert!(
        path.starts_with(stage.workshop.path("store/policies")),
        "{path:?}"
    );
    assert_eq!(fs::read(path.join("README.md")).unwrap(), b"# walk 2\n");
    // The branch gave the manifest, and nothing else.
    let of_branch: Vec<_> = stage
        .asked()
        .into_iter()
        .filter(|at| at.contains(&announced))
        .collect();
    let place = format!("/acme/walk/resolve/{announced}");
    assert_eq!(
        of_branch,
        [
            format!("{place}/revocations.dsse.json"),
            format!("{place}/policy.dsse.json")
        ]
    );
}

#[test]
fn what_is_accepted_and_whole_costs_three_requests() {
    let stage = Stage::new();
    stage.follow(&[]).expect(0);
    stage.asked();
    let object = stage.follow(&["--json"]).expect(0).json();
    assert_eq!(
        (&object["verdict"], &object["new"]),
        (&json!("verified"), &json!(false))
    );
    assert_eq!(
        (&object["asked"], &object["from_store"]),
        (&json!("acme/walk"), &json!(true))
    );
    assert_eq!(stage.asked().len(), 3);
    stage.follow(&[]).expect(0).says(", up to date\n");
    // Without the download: what was admitted is enough.
    fs::remove_dir_all(stage.workshop.path("store/quarantine")).unwrap();
    stage.asked();
    stage.follow(&[]).expect(0).says(", up to date\n");
    assert_eq!(stage.asked().len(), 3);
}

/// Of three files: what the branch is, the list, the manifest, the listing, and each file.
#[test]
fn a_cold_start_costs_no_more_than_twice_the_files_and_three_requests() {
    for with_list in [false, true] {
        let stage = Stage::new();
        if with_list {
            stage.revoke(&["--revision", &"0".repeat(40)]);
            stage.publish();
        }
        stage.asked();
        stage.follow(&[]).expect(0).says("verified: ");
        let asked = stage.hub.requests_at(Port::Hub).len();
        assert!(asked <= 2 * 3 + 3, "{asked}");
        assert_eq!(asked, 3 + 1 + 3, "{:?}", stage.asked());
        let options = [
            "--manifest",
            "walk/policy.dsse.json",
            "--trust",
            "trust.toml",
        ];
        // The manifest is a file, and what it names is in the store.
        stage.asked();
        let run = stage.fetch("acme/walk", &options);
        run.expect(0).says(", up to date");
        assert_eq!(stage.asked(), [""; 0]);
    }
}

#[test]
fn what_was_damaged_in_the_store_is_fetched_again() {
    let stage = Stage::new();
    let run = stage.follow(&[]);
    let path = Path::new(run.expect(0).stdout.trim_end());
    let weights = path.join("model.safetensors");
    let genuine = fs::read(&weights).unwrap();
    let mut damaged = genuine.clone();
    damaged[300] ^= 1;
    stage.workshop.chmod(weights.to_str().unwrap(), 0o644);
    fs::write(&weights, damaged).unwrap();
    let run = stage.follow(&[]);
    run.expect(0)
        .says("is damaged, it is made again: digest-mismatch");
    assert_eq!(fs::read(&weights).unwrap(), genuine);
    assert!(!run.stderr.contains("up to date"), "{run:?}");
}

#[test]
fn an_older_release_on_the_branch_changes_nothing() {
    let stage = Stage::new();
    stage.release(2);
    let accepted = stage.follow(&[]).expect(0).stdout.clone();
    // Whoever controls the branch moves it back to what was signed before.
    stage.release(1);
    stage.asked();
    stage.follow(&[]).rejected("manifest-rollback", "sequence");
    assert_eq!(stage.asked().len(), 3);
    let object = stage.follow(&["--json"]).expect(1).json();
    assert_eq!(object["code"], "manifest-rollback");
    assert_eq!(stage.policies(), [accepted.trim_end()]);
}

#[test]
fn a_manifest_of_another_repository_decides_nothing() {
    let stage = Stage::new();
    let run = stage.fetch("acme/run", &CHANNEL);
    run.rejected("repo-mismatch", "repo");
    let run = stage.fetch(
        "acme/walk",
        &[&CHANNEL[..], &["--repo-type", "dataset"]].concat(),
    );
    run.rejected("repo-mismatch", "repo");
    assert!(stage.policies().is_empty());
}

#[test]
fn the_channel_may_be_a_repository_of_the_operators_own() {
    let stage = Stage::new();
    let ours = Repository::new("fleet/releases").unwrap();
    let manifest = stage.workshop.read("walk/policy.dsse.json");
    let ours = ours.commit_files([("policy.dsse.json", manifest)]).unwrap();
    stage.hub.serve(ours);
    let options = ["--manifest", "fleet/releases@main", "--trust", "trust.toml"];
    stage
        .fetch("acme/walk", &options)
        .expect(0)
        .says("verified: \"acme/walk@");
}

#[test]
fn a_manifest_in_a_file_names_the_commit_as_well() {
    let stage = Stage::new();
    let files = stage.release(2);
    let options = [
        "--manifest",
        "walk/policy.dsse.json",
        "--trust",
        "trust.toml",
    ];
    let run = stage.fetch("acme/walk", &options);
    run.expect(0)
        .says(&format!("verified: \"acme/walk@{files}\""));
    // The pinned policy is in the store: nothing is asked.
    stage.asked();
    stage
        .fetch("acme/walk", &options)
        .expect(0)
        .says(", up to date");
    stage
        .fetch("acme/walk", &[&options[..], &["--offline"]].concat())
        .expect(0);
    assert_eq!(stage.asked().len(), 0);
}

#[test]
fn what_is_called_back_beside_the_manifest_counts_before_it() {
    let stage = Stage::new();
    stage.follow(&[]).expect(0);
    stage.revoke(&["--manifest", &stage.manifest()]);
    stage.publish();
    let run = stage.follow(&[]);
    run.rejected("manifest-revoked", "manifest");
    run.says("note: list 1 of revocations counts from now on; entries: 1\n");
    // It is remembered: without the list on the branch, without the branch.
    stage.workshop.remove("revocations.dsse.json");
    stage.publish();
    stage.follow(&[]).rejected("manifest-revoked", "manifest");
    stage
        .workshop
        .verify(&[])
        .rejected("manifest-revoked", "manifest");
    stage.release(2);
    stage.follow(&[]).expect(0);
}

#[test]
fn a_list_counts_where_the_manifest_was_taken_away() {
    let stage = Stage::new();
    stage.follow(&[]).expect(0);
    stage.revoke(&["--manifest", &stage.manifest()]);
    stage.commit(&[("revocations.dsse.json", "revocations.dsse.json")]);
    let run = stage.follow(&[]);
    run.could_not_check("no such file");
    run.says("counts from now on")
        .says("hint: --manifest FILE takes one from here");
    stage
        .workshop
        .verify(&[])
        .rejected("manifest-revoked", "manifest");
}

#[test]
fn the_same_list_is_told_and_an_older_one_is_passed_over() {
    let stage = Stage::new();
    stage.revoke(&["--revoked-key", &"0".repeat(64)]);
    let first = stage.workshop.read("revocations.dsse.json");
    stage.publish();
    stage
        .follow(&[])
        .expect(0)
        .says("note: list 1 of revocations counts");
    stage
        .follow(&[])
        .expect(0)
        .says("note: list 1 of revocations is the one that is kept here\n");
    stage.revoke(&["--manifest", &stage.manifest()]);
    stage.publish();
    stage.follow(&[]).rejected("manifest-revoked", "manifest");
    // The older list comes back, and with it nothing that the newer one called back.
    stage.workshop.write("revocations.dsse.json", first);
    stage.publish();
    let run = stage.follow(&[]);
    run.rejected("manifest-revoked", "manifest");
    run.says("older than the one kept here, which counts\n");
}

#[test]
fn another_list_of_the_same_number_is_refused() {
    let stage = Stage::new();
    stage.revoke(&["--revoked-key", &"0".repeat(64)]);
    stage.publish();
    stage.follow(&[]).expect(0);
    stage.workshop.remove("revocations.dsse.json");
    stage.revoke(&["--revoked-key", &"1".repeat(64)]);
    stage.publish();
    stage
        .follow(&[])
        .rejected("manifest-rollback", "revocations.sequence");
}

#[test]
fn a_list_that_is_not_good_refuses_what_lies_beside_it() {
    let stage = Stage::new();
    let accepted = stage.follow(&[]).expect(0).stdout.clone();
    stage.workshop.write("revocations.dsse.json", "{}");
    stage.publish();
    stage
        .follow(&[])
        .expect(1)
        .says("rejected: manifest-malformed: ");
    // Signed by somebody else.
    stage.workshop.keygen("other");
    stage.workshop.remove("revocations.dsse.json");
    let other = [
        "trust",
        "revoke",
        "revocations.dsse.json",
        "--key",
        "other.key.pem",
    ];
    let what = [
        "--expires",
        EXPIRES,
        "--reason",
        "mine",
        "--manifest",
        &stage.manifest(),
    ];
    stage.workshop.run(other.iter().chain(&what)).expect(0);
    stage.publish();
    stage
        .follow(&[])
        .rejected("signature-invalid", "revocations.signatures");
    // Larger than any list.
    let limit = 16 << 10;
    let trust = stage.workshop.read("trust.toml");
    let small = format!("\n[limits]\nmanifest_bytes = {limit}\n");
    stage
        .workshop
        .write("trust.toml", [trust.clone(), small.into()].concat());
    stage
        .workshop
        .write("revocations.dsse.json", vec![b' '; limit + 1]);
    stage.publish();
    stage
        .follow(&[])
        .could_not_check("bytes of \"revocations.dsse.json\": ");
    stage.workshop.write("trust.toml", trust);
    // What was accepted before is what it was, and the genuine channel goes on.
    stage.workshop.verify(&[]).expect(0);
    assert_eq!(stage.policies(), [accepted.trim_end()]);
    stage.workshop.remove("revocations.dsse.json");
    stage.release(2);
    stage.follow(&[]).expect(0);
}

#[test]
fn a_hub_that_cannot_serve_the_list_is_no_verdict() {
    let stage = Stage::new();
    stage.hub.inject(Fault::Status {
        place: Place::Resolve,
        status: 500,
    });
    stage.follow(&[]).could_not_check("revocations.dsse.json");
    assert!(stage.policies().is_empty());
}

#[test]
fn another_commit_than_the_signed_one_is_not_what_was_asked_for() {
    let stage = Stage::new();
    let announced = stage.publish();
    let run = stage.fetch(&format!("acme/walk@{announced}"), &CHANNEL);
    run.rejected("revision-mismatch", "revision");
    run.says("hint: what was signed is of another commit: `tensorgate fetch acme/walk`, without @");
}

#[test]
fn a_commit_of_the_manifest_is_a_past_with_no_list_of_its_own() {
    let stage = Stage::new();
    stage.revoke(&["--revoked-key", &"0".repeat(64)]);
    let announced = stage.publish();
    stage.asked();
    let place = format!("acme/walk@{announced}");
    let options = ["--manifest", &place, "--trust", "trust.toml"];
    stage.fetch("acme/walk", &options).expect(0);
    let asked = stage.asked();
    assert!(
        !asked.iter().any(|at| at.contains("revocations")),
        "{asked:?}"
    );
    assert!(
        !asked
            .iter()
            .any(|at| at.contains("/api/models/acme/walk/revision/")),
        "{asked:?}"
    );
}

#[test]
fn a_channel_cannot_be_asked_without_a_network() {
    let stage = Stage::new();
    let run = stage.follow(&["--offline"]);
    run.could_not_check("is on a Hub, and the network is not to be used");
    run.says("hint: give --manifest FILE");
    let run = stage.fetch(
        "acme/walk@main",
        &[
            "--manifest",
            "walk/policy.dsse.json",
            "--trust",
            "trust.toml",
            "--offline",
        ],
    );
    run.could_not_check("acme/walk@main is not complete in the store");
    assert_eq!(stage.asked().len(), 0);
}
