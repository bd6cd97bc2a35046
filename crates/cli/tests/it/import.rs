//! A cache that other tools filled, without any network.

use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::fixture::Fixture;
use crate::support::Run;

/// A cache with the snapshot that the fixture's manifest is of, as `hf download` of single files
/// leaves it; the Hub stays unasked.
fn cached(fixture: &Fixture) {
    let folder = "hub/models--acme--walk";
    for (path, blob) in [
        ("config.json", id(fixture, "config.json")),
        ("README.md", id(fixture, "README.md")),
        ("model.safetensors", sha256(fixture)),
    ] {
        let bytes = fixture.workshop.read(&format!("walk/{path}"));
        let workshop = &fixture.workshop;
        workshop.write(&format!("{folder}/blobs/{blob}"), bytes);
        let snapshot = format!("{folder}/snapshots/{}", fixture.files);
        std::fs::create_dir_all(workshop.path(&snapshot)).unwrap();
        let link = workshop.path(format!("{snapshot}/{path}"));
        symlink(format!("../../blobs/{blob}"), link).unwrap();
    }
    fixture
        .workshop
        .write(&format!("{folder}/refs/main"), &fixture.files);
}

fn id(fixture: &Fixture, path: &str) -> String {
    let bytes = fixture.workshop.read(&format!("walk/{path}"));
    tensorgate_testhub::ObjectId::of_blob(&bytes).to_string()
}

fn sha256(fixture: &Fixture) -> String {
    let bytes = fixture.workshop.read("walk/model.safetensors");
    tensorgate_verify::Sha256::of(&bytes).to_string()
}

fn import(fixture: &Fixture, target: &str, options: &[&str]) -> Run {
    let usual = ["store", "import-hf-cache", target, "--cache", "hub"];
    fixture.workshop.run(usual.iter().chain(options))
}

const SIGNED: [&str; 4] = [
    "--manifest",
    "walk/policy.dsse.json",
    "--trust",
    "trust.toml",
];

#[test]
fn what_is_in_a_cache_comes_into_quarantine_and_is_found_there() {
    let fixture = Fixture::new();
    cached(&fixture);
    let run = import(&fixture, "acme/walk@main", &[]);
    run.expect(0).says(&format!(
        "note: acme/walk@main is commit {} in the cache",
        fixture.files
    ));
    run.says("fetched: ").says(", untrusted");
    run.says("note: the cache these files came from does not say whether the commit has more");
    let path = run.stdout.trim_end().to_owned();
    assert!(path.ends_with(&format!("quarantine/model/acme/walk/{}", fixture.files)));
    let object = fixture
        .fetch(&fixture.files, &["--offline", "--json"])
        .json();
    assert_eq!(object["path"], path);
    assert_eq!(
        (&object["from_store"], &object["perhaps_more"]),
        (&true.into(), &true.into())
    );
    assert_eq!(fixture.hub.requests(), []);
}

#[test]
fn what_was_signed_is_verified_and_kept_without_a_network() {
    let fixture = Fixture::new();
    cached(&fixture);
    let run = import(&fixture, "acme/walk@main", &SIGNED);
    run.expect(0)
        .says("verified: ")
        .says("signed by  \"release\", key ");
    run.says("note: first release remembered in ");
    let kept = run.stdout.trim_end().to_owned();
    assert!(kept.starts_with(fixture.workshop.path("store/policies").to_str().unwrap()));
    fixture
        .workshop
        .run(["verify", &kept, "--trust", "trust.toml"])
        .expect(0);
    let object = import(
        &fixture,
        "acme/walk@main",
        &[&SIGNED[..], &["--json"]].concat(),
    )
    .json();
    assert_eq!(object["verdict"], "verified");
    assert_eq!(object["path"], kept);
    assert_eq!(object["asked"], "acme/walk@main");
    assert_eq!(object["revision"], fixture.files);
    assert_eq!(object["from_store"], true);
    assert_eq!(
        object["evidence"]["signers"][0]["name"],
        Value::from("release")
    );
    // The robot that fetches it now asks nobody.
    let fetched = fixture.fetch(&fixture.files, &SIGNED);
    assert_eq!(fetched.expect(0).stdout.trim_end(), kept);
    assert_eq!(fixture.hub.requests(), []);
}

#[test]
fn a_tampered_blob_is_digest_mismatch_whoever_vouches() {
    let fixture = Fixture::new();
    cached(&fixture);
    let blob = format!("hub/models--acme--walk/blobs/{}", sha256(&fixture));
    fixture.workshop.flip(&blob, 1000);
    for options in [&SIGNED[..], &[]] {
        let run = import(&fixture, "acme/walk@main", options);
        run.rejected("digest-mismatch", "model.safetensors");
    }
    assert!(!fixture.workshop.path("store/state/index.json").exists());
}

#[test]
fn a_manifest_of_another_commit_is_revision_mismatch() {
    let fixture = Fixture::new();
    cached(&fixture);
    let other = format!("acme/walk@{}", fixture.signed);
    import(&fixture, &other, &SIGNED).rejected("revision-mismatch", "revision");
}

#[test]
fn where_the_cache_is_can_be_in_the_environment() {
    let fixture = Fixture::new();
    cached(&fixture);
    let command = || {
        let mut command = fixture.workshop.command();
        command.args(["store", "import-hf-cache", "acme/walk@main"]);
        command
    };
    Run::of(&mut command()).could_not_check(".cache/huggingface/hub");
    Run::of(command().env("HF_HUB_CACHE", fixture.workshop.path("hub"))).expect(0);
    Run::of(command().env("HF_HOME", fixture.workshop.path(""))).expect(0);
}

#[test]
fn what_cannot_be_imported_is_said_with_what_to_do() {
    let fixture = Fixture::new();
    cached(&fixture);
    let run = import(&fixture, "acme/run@main", &[]);
    run.could_not_check("refs/main\" cannot be imported from: it is not there");
    run.says("hint: `hf cache ls`");
    let link = format!(
        "hub/models--acme--walk/snapshots/{}/README.md",
        fixture.files
    );
    fixture.workshop.remove(&link);
    fixture.workshop.write(&link, "# walk\n");
    let run = import(&fixture, "acme/walk@main", &[]);
    run.could_not_check("nothing in the cache says what the bytes of \"README.md\" should be");
    run.says("hint: give --manifest FILE");
    import(&fixture, "acme/walk@main", &SIGNED).expect(0);
    let run = import(
        &fixture,
        "acme/walk@main",
        &["--manifest", "walk/policy.dsse.json"],
    );
    run.could_not_check("--trust <FILE>");
}
