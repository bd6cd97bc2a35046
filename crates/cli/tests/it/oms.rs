//! `tensorgate verify --oms`: the weaker evidence, where the trust policy allows it.

use std::fs::File;

use tensorgate_oms::{EcSigningKey, sign};
use tensorgate_verify::{Directory, Limits, Rules, Survey};

use crate::support::Workshop;

/// The policy `walk` with a bundle inside, by a key that counts for `acme/*`.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.policy("walk");
    workshop.openssl(&[
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        "ec.key",
    ]);
    workshop.openssl(&["ec", "-in", "ec.key", "-pubout", "-out", "ec.pub"]);
    let key = String::from_utf8(workshop.read("ec.key")).unwrap();
    let key = EcSigningKey::from_pem(&key).unwrap();
    let (rules, limits) = (Rules::default(), Limits::default());
    let directory = Directory::new(File::open(workshop.path("walk")).unwrap().into());
    let files = Survey::new(&rules).run(&directory).unwrap().files;
    let bundle = sign(&files, "walk", &["model.sig"], &key, &limits).unwrap();
    workshop.write("walk/model.sig", bundle);
    trust(&workshop, "");
    workshop
}

fn trust(workshop: &Workshop, more: &str) {
    workshop.trust(1, &["release"]);
    let text = String::from_utf8(workshop.read("trust.toml")).unwrap();
    let oms = "[[oms]]\nrepos = [\"acme/*\"]\npublic_key_file = \"ec.pub\"\n";
    workshop.write("trust.toml", format!("{text}{oms}{more}"));
}

const OMS: [&str; 4] = ["--oms", "walk/model.sig", "--repo", "acme/walk"];

#[test]
fn a_bundle_is_verified_and_what_it_does_not_promise_is_said() {
    let workshop = workshop();
    let run = workshop.verify(&OMS);
    run.expect(0);
    assert!(run.stderr.contains("by OpenSSF Model Signing"), "{run:#?}");
    assert!(
        run.stderr.contains("weaker than a manifest: no expiry"),
        "{run:#?}"
    );
    let told = workshop
        .verify(&[&OMS[..], &["--json"]].concat())
        .expect(0)
        .json();
    assert_eq!(told["verdict"], "verified");
    assert_eq!(told["evidence"]["method"], "oms");
    assert_eq!(told["evidence"]["signers"].as_array().unwrap().len(), 1);
    assert!(told["evidence"]["not_promised"].as_array().unwrap().len() > 5);
}

#[test]
fn a_bundle_may_lie_elsewhere() {
    let workshop = workshop();
    workshop.write("elsewhere.sig", workshop.read("walk/model.sig"));
    let elsewhere = ["--oms", "elsewhere.sig", "--repo", "acme/walk"];
    workshop
        .verify(&elsewhere)
        .rejected("file-kind-forbidden", "model.sig");
    workshop.remove("walk/model.sig");
    workshop.verify(&elsewhere).expect(0);
}

#[test]
fn changes_are_rejected() {
    let workshop = workshop();
    workshop.write("walk/README.md", "# run\n");
    workshop
        .verify(&OMS)
        .rejected("digest-mismatch", "README.md");
    workshop.remove("walk/README.md");
    workshop.verify(&OMS).rejected("file-missing", "README.md");
}

#[test]
fn only_where_the_trust_policy_allows_it() {
    let workshop = workshop();
    let other = ["--oms", "walk/model.sig", "--repo", "other/walk"];
    workshop
        .verify(&other)
        .rejected("oms-unsupported", "other/walk");
    workshop.verify(&OMS[..2]).expect(2);
    workshop
        .verify(&[&OMS[..], &["--manifest", "x"]].concat())
        .expect(2);
    workshop.trust(1, &["release"]);
    workshop
        .verify(&OMS)
        .rejected("oms-unsupported", "acme/walk");
}

#[test]
fn another_key_is_rejected() {
    let workshop = workshop();
    workshop.openssl(&[
        "ecparam",
        "-name",
        "secp384r1",
        "-genkey",
        "-noout",
        "-out",
        "ec.key",
    ]);
    workshop.openssl(&["ec", "-in", "ec.key", "-pubout", "-out", "ec.pub"]);
    workshop
        .verify(&OMS)
        .rejected("oms-signature-invalid", "signatures");
}

#[test]
fn an_unreadable_key_is_no_verdict() {
    let workshop = workshop();
    workshop.write("ec.pub", "-----BEGIN PUBLIC KEY-----\n");
    workshop.verify(&OMS).could_not_check("the trust policy");
}

#[test]
fn what_was_called_back_is_rejected() {
    let workshop = workshop();
    let told = workshop.verify(&[&OMS[..], &["--json"]].concat()).json();
    let evidence = &told["evidence"];
    for (field, value, code, subject) in [
        (
            "key",
            &evidence["signers"][0]["key"],
            "key-revoked",
            "signatures",
        ),
        (
            "manifest",
            &evidence["statement"],
            "manifest-revoked",
            "manifest",
        ),
    ] {
        trust(
            &workshop,
            &format!("[[revoked]]\n{field} = {value}\nreason = 'lost'\n"),
        );
        workshop.verify(&OMS).rejected(code, subject);
    }
}
