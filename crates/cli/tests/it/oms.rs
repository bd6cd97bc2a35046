//! `tensorgate verify` by a bundle: the weaker evidence, where the trust policy allows it.

use crate::support::{REVISION, Workshop};

/// The policy `walk` with a bundle inside, by a key that counts for `acme/*`.
pub(crate) fn workshop() -> Workshop {
    let workshop = unsigned();
    let sign = ["sign", "walk", "--format", "oms", "--key", "ec.key.pem"];
    workshop.run(sign).expect(0);
    workshop
}

/// The same before somebody signs it.
pub(crate) fn unsigned() -> Workshop {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.policy("walk");
    ec_key(&workshop, "prime256v1");
    trust(&workshop, "");
    workshop
}

/// The pair `ec.key.pem` and `ec.pub`, as openssl makes it.
pub(crate) fn ec_key(workshop: &Workshop, curve: &str) {
    let make = [
        "ecparam",
        "-name",
        curve,
        "-genkey",
        "-noout",
        "-out",
        "ec.key.pem",
    ];
    workshop.openssl(&make);
    workshop.openssl(&["ec", "-in", "ec.key.pem", "-pubout", "-out", "ec.pub"]);
}

fn trust(workshop: &Workshop, more: &str) {
    workshop.trust(1, &["release"]);
    let text = String::from_utf8(workshop.read("trust.toml")).unwrap();
    let oms = "[[oms]]\nrepos = [\"acme/*\"]\npublic_key_file = \"ec.pub\"\n";
    workshop.write("trust.toml", format!("{text}{oms}{more}"));
}

pub(crate) const OMS: [&str; 4] = ["--oms", "walk/model.sig", "--repo", "acme/walk"];

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
    ec_key(&workshop, "secp384r1");
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

const REPO: [&str; 2] = ["--repo", "acme/walk"];

#[test]
fn a_bundle_in_the_directory_decides_where_it_counts_and_there_is_no_manifest() {
    let workshop = workshop();
    let run = workshop.verify(&REPO);
    run.expect(0)
        .says("verified: \"walk\", by OpenSSF Model Signing\n")
        .says("note: there is no manifest: model.sig decided")
        .says("note: weaker than a manifest: no expiry");
    workshop.write("walk/README.md", "# run\n");
    workshop
        .verify(&REPO)
        .rejected("digest-mismatch", "README.md");
    // A manifest decides alone, and suffers no bundle.
    workshop.remove("walk/model.sig");
    workshop.sign(&["--out", "walk.dsse.json"]).expect(0);
    workshop.write("walk/model.sig", "{}");
    let elsewhere = ["--manifest", "walk.dsse.json"];
    workshop
        .verify(&[&REPO[..], &elsewhere].concat())
        .rejected("file-unexpected", "model.sig");
    workshop.write("walk/policy.dsse.json", workshop.read("walk.dsse.json"));
    workshop
        .verify(&REPO)
        .rejected("file-unexpected", "model.sig");
    workshop.write("walk/policy.dsse.json", "{}");
    workshop
        .verify(&REPO)
        .rejected("manifest-malformed", "envelope");
}

#[test]
fn a_bundle_that_does_not_count_is_no_manifest_and_the_hint_says_why() {
    let workshop = workshop();
    let commit = ["--repo", "acme/walk", "--revision", REVISION];
    for (options, why) in [
        (&[][..], "hint: give --repo ID"),
        (&["--repo", "other/walk"], "with repos = [\"other/walk\"]"),
        (&commit, "hint: model.sig proves no commit"),
    ] {
        let run = workshop.verify(options);
        run.rejected("manifest-missing", "policy.dsse.json");
        run.says(why);
    }
    workshop.write("link.sig", workshop.read("walk/model.sig"));
    workshop.remove("walk/model.sig");
    std::os::unix::fs::symlink("../link.sig", workshop.path("walk/model.sig")).unwrap();
    workshop
        .verify(&REPO)
        .rejected("file-not-regular", "model.sig");
}

#[test]
fn nobody_gains_by_taking_the_manifest_away() {
    let workshop = workshop();
    workshop.write("walk.sig", workshop.read("walk/model.sig"));
    workshop.remove("walk/model.sig");
    workshop.sign(&[]).expect(0);
    workshop.verify(&REPO).expect(0);
    workshop.remove("walk/policy.dsse.json");
    workshop.write("walk/model.sig", workshop.read("walk.sig"));
    let run = workshop.verify(&REPO);
    run.rejected("manifest-missing", "policy.dsse.json");
    run.says("hint: a manifest of this repository was accepted here before");
    workshop.verify(&OMS).expect(0);
    workshop
        .verify(&[&REPO[..], &["--state", "fresh"]].concat())
        .expect(0);
    // What was accepted and cannot be read is no leave to accept less.
    workshop.write("store/state/rollback/model--acme--walk.json", "{");
    workshop.verify(&REPO).expect(2);
}

#[test]
fn a_manifest_beside_the_bundle_is_the_stronger_proof() {
    let workshop = workshop();
    workshop.write("walk/policy.dsse.json", "{}");
    let run = workshop.verify(&OMS);
    run.rejected("file-kind-forbidden", "policy.dsse.json");
    run.says("hint: the directory has a manifest, which proves more");
}
