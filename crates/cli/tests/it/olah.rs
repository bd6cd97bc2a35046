//! The command against a mirror that people run, in place of the Hub of the tests.

use tensorgate_testhub::Mirrored;

use crate::support::{EXPIRES, Run, Workshop};

#[test]
fn a_signed_policy_comes_from_a_mirror_and_then_from_the_store() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.trust(1, &["release"]);
    workshop.policy("walk");
    let files = || {
        let paths = ["README.md", "config.json", "model.safetensors"];
        paths.map(|path| (path, workshop.read(&format!("walk/{path}"))))
    };
    let mut mirrored = Mirrored::model("acme/walk", &files());
    let commit = mirrored.commit().to_owned();
    workshop.sign(&["--revision", &commit]).expect(0);
    // olah has no word for a file that is not there, so both files of a channel are.
    let id = "0".repeat(40);
    let revoke = [
        "trust",
        "revoke",
        "revocations.dsse.json",
        "--key",
        "release.key.pem",
    ];
    let why = [
        "--expires",
        EXPIRES,
        "--revision",
        &id,
        "--reason",
        "stumbles",
    ];
    workshop.run(revoke.iter().chain(&why)).expect(0);
    mirrored.commit_files(&[
        ("policy.dsse.json", workshop.read("walk/policy.dsse.json")),
        (
            "revocations.dsse.json",
            workshop.read("revocations.dsse.json"),
        ),
    ]);
    let fetch = |options: &[&str]| {
        let target = format!("acme/walk@{commit}");
        let usual = ["fetch", &target, "--endpoint", mirrored.endpoint()];
        let signed = ["--manifest", "acme/walk@main", "--trust", "trust.toml"];
        let all = usual.iter().chain(&signed).chain(options);
        Run::of(workshop.command().args(all))
    };
    let run = fetch(&[]);
    run.expect(0)
        .says("verified: ")
        .says("signed by  \"release\", key ");
    let kept = run.stdout.trim_end();
    assert!(kept.starts_with(workshop.path("store/policies").to_str().unwrap()));
    let object = fetch(&["--json"]).json();
    assert_eq!(object["path"], kept);
    assert_eq!(
        (&object["from_store"], &object["bytes_received"]),
        (&true.into(), &0.into())
    );
}

#[test]
fn what_a_mirror_changed_is_digest_mismatch() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    let weights = workshop.read("walk/model.safetensors");
    let mirrored = Mirrored::model("acme/bent", &[("model.safetensors", weights.clone())]);
    let mut bent = weights.clone();
    *bent.last_mut().unwrap() ^= 1;
    std::fs::write(mirrored.object(&weights), bent).unwrap();
    let target = format!("acme/bent@{}", mirrored.commit());
    workshop
        .run(["fetch", &target, "--endpoint", mirrored.endpoint()])
        .rejected("digest-mismatch", "model.safetensors");
}
