//! `verify --vsa`: what a server is told that trusts this machine to verify, and that it convinces no
//! robot.

use std::process::Command;

use serde_json::{Value, json};
use tensorgate_testhub::python;

use crate::oms;
use crate::support::{REVISION, Run, Workshop};

/// With a key of the machine's own.
fn workshop() -> Workshop {
    let workshop = Workshop::signed();
    workshop.keygen("robot");
    workshop
}

fn verify(workshop: &Workshop, options: &[&str]) -> Run {
    let usual = ["--vsa", "vsa.json", "--vsa-key", "robot.key.pem"];
    workshop.verify(&[&usual, options].concat())
}

/// The statement, once openssl has found the signature over the pre-authentication encoding good.
#[track_caller]
fn statement(workshop: &Workshop) -> Value {
    let envelope: Value = serde_json::from_slice(&workshop.read("vsa.json")).unwrap();
    let (kind, keyid) = (
        &envelope["payloadType"],
        &envelope["signatures"][0]["keyid"],
    );
    assert_eq!(kind, "application/vnd.in-toto+json");
    let base64 = |text: &Value, to: &str| {
        workshop.write("base64", text.as_str().unwrap());
        workshop.openssl(&["base64", "-d", "-A", "-in", "base64", "-out", to]);
    };
    base64(&envelope["payload"], "payload");
    base64(&envelope["signatures"][0]["sig"], "sig");
    let payload = workshop.read("payload");
    let head = format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len());
    workshop.write("pae", [head.as_bytes(), &payload].concat());
    let said = workshop.openssl(&[
        "pkeyutl",
        "-verify",
        "-rawin",
        "-pubin",
        "-inkey",
        "robot.pub.pem",
        "-in",
        "pae",
        "-sigfile",
        "sig",
    ]);
    assert!(said.contains("Signature Verified Successfully"), "{said}");
    workshop.openssl(&[
        "pkey",
        "-pubin",
        "-in",
        "robot.pub.pem",
        "-outform",
        "DER",
        "-out",
        "der",
    ]);
    let id = workshop.openssl(&["dgst", "-sha256", "-r", "der"]);
    assert_eq!(keyid.as_str().unwrap(), &id[..64]);
    serde_json::from_slice(&payload).unwrap()
}

fn sha256(workshop: &Workshop, name: &str) -> String {
    workshop.openssl(&["dgst", "-sha256", "-r", name])[..64].to_owned()
}

#[test]
fn a_verified_policy_passed() {
    let workshop = workshop();
    let run = verify(&workshop, &[]);
    run.expect(0).says("  summary    \"vsa.json\", key ");
    let evidence = workshop.verify(&["--json"]).json()["evidence"].clone();
    let manifest = evidence["manifest"].as_str().unwrap();
    let trust = sha256(&workshop, "trust.toml");
    let statement = statement(&workshop);
    let file = |name: &str| json!({ "name": name, "digest": { "sha256": sha256(&workshop, &format!("walk/{name}")) } });
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(
        statement["predicateType"],
        "https://slsa.dev/verification_summary/v1"
    );
    let files = [
        file("README.md"),
        file("config.json"),
        file("model.safetensors"),
    ];
    assert_eq!(statement["subject"], json!(files));
    let mut predicate = statement["predicate"].clone();
    assert!(
        predicate["timeVerified"]
            .take()
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
    let expected = json!({
        "verifier": {
            "id": "urn:tensorgate:verify:v1",
            "version": { "tensorgate": env!("CARGO_PKG_VERSION") },
        },
        "timeVerified": null,
        "resourceUri": format!("https://huggingface.co/acme/walk/tree/{REVISION}"),
        "policy": {
            "uri": format!("urn:tensorgate:trust-policy:sha256:{trust}"),
            "digest": { "sha256": trust },
        },
        "inputAttestations": [{
            "uri": format!("urn:tensorgate:manifest:sha256:{manifest}"),
            "digest": { "sha256": sha256(&workshop, "walk/policy.dsse.json") },
        }],
        "verificationResult": "PASSED",
        "verifiedLevels": ["TENSORGATE_POLICY_VERIFIED"],
        "slsaVersion": "1.1",
    });
    assert_eq!(predicate, expected);
}

#[test]
fn consumers_of_in_toto_read_it() {
    let workshop = workshop();
    let read = || {
        let mut command = Command::new(python("in_toto_attestation"));
        command
            .args([
                concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/vsa.py"),
                "vsa.json",
                "robot.pub.pem",
            ])
            .current_dir(workshop.path(""));
        Run::of(&mut command)
    };
    let says = |result: &str| format!("https://slsa.dev/verification_summary/v1 {result}\n");
    verify(&workshop, &[]).expect(0);
    assert_eq!(
        read().expect(0).stdout,
        says("PASSED TENSORGATE_POLICY_VERIFIED")
    );
    workshop.flip("walk/README.md", 0);
    verify(&workshop, &[]).expect(1);
    assert_eq!(read().expect(0).stdout, says("FAILED FAILED"));
    let text = String::from_utf8(workshop.read("vsa.json")).unwrap();
    let mut envelope: Value = serde_json::from_str(&text).unwrap();
    let payload = envelope["payload"].as_str().unwrap().replacen('A', "B", 1);
    envelope["payload"] = payload.into();
    workshop.write("vsa.json", envelope.to_string());
    read().expect(1).says("VerificationError");
}

#[test]
fn files_that_are_not_the_signed_ones_failed() {
    let workshop = workshop();
    workshop.flip("walk/README.md", 0);
    verify(&workshop, &[]).rejected("digest-mismatch", "README.md");
    let statement = statement(&workshop);
    let predicate = &statement["predicate"];
    assert_eq!(predicate["verificationResult"], "FAILED");
    assert_eq!(predicate["verifiedLevels"], json!(["FAILED"]));
    assert_eq!(statement["subject"][0]["name"], "README.md");
    assert_ne!(
        statement["subject"][0]["digest"]["sha256"],
        sha256(&workshop, "walk/README.md")
    );
}

/// Else anybody could have somebody else's genuine files called FAILED, by naming them.
#[test]
fn a_manifest_that_proves_nothing_is_all_that_failed() {
    let workshop = workshop();
    workshop.keygen("other");
    workshop.trust(1, &["other"]);
    verify(&workshop, &[]).rejected("signature-invalid", "signatures");
    let statement = statement(&workshop);
    let envelope = sha256(&workshop, "walk/policy.dsse.json");
    let subject = json!([{ "name": "policy.dsse.json", "digest": { "sha256": envelope } }]);
    assert_eq!(statement["subject"], subject);
    let predicate = &statement["predicate"];
    assert_eq!(predicate["verificationResult"], "FAILED");
    assert_eq!(
        predicate["resourceUri"],
        format!("urn:tensorgate:envelope:sha256:{envelope}")
    );
    assert!(
        !statement.to_string().contains("acme/walk"),
        "{statement:#}"
    );
}

#[test]
fn a_list_of_revocations_is_one_of_the_inputs() {
    let workshop = workshop();
    let manifest = workshop.verify(&["--json"]).json()["evidence"]["manifest"].clone();
    let revoke = [
        "trust",
        "revoke",
        "list.json",
        "--key",
        "release.key.pem",
        "--expires",
        "2099-01-01T00:00:00Z",
    ];
    let what = [
        "--manifest",
        manifest.as_str().unwrap(),
        "--reason",
        "falls",
    ];
    workshop.run(revoke.iter().chain(&what)).expect(0);
    verify(&workshop, &["--revocations", "list.json"]).rejected("manifest-revoked", "manifest");
    let inputs = statement(&workshop)["predicate"]["inputAttestations"].clone();
    assert_eq!(
        inputs[1]["digest"]["sha256"],
        sha256(&workshop, "list.json")
    );
}

#[test]
fn what_was_not_verified_has_no_summary() {
    let workshop = workshop();
    workshop.remove("walk/policy.dsse.json");
    let run = verify(&workshop, &[]);
    run.rejected("manifest-missing", "policy.dsse.json");
    run.says("; no summary was written, since no manifest was verified\n");
    let run = workshop.run([
        "verify",
        "missing",
        "--trust",
        "trust.toml",
        "--vsa",
        "vsa.json",
        "--vsa-key",
        "robot.key.pem",
    ]);
    run.could_not_check("; no summary was written, since no manifest was verified\n");
    assert!(!workshop.path("vsa.json").exists());
}

/// A bundle is other, weaker evidence, of which no summary speaks: nor does an earlier one.
#[test]
fn what_a_bundle_verified_has_no_summary() {
    let (passed, bundles) = (workshop(), oms::workshop());
    verify(&passed, &[]).expect(0);
    bundles.write("vsa.json", passed.read("vsa.json"));
    bundles.keygen("robot");
    verify(&bundles, &["--repo", "acme/walk"])
        .expect(0)
        .says("note: no summary was written, since no manifest was verified\n");
    assert!(!bundles.path("vsa.json").exists());
}

#[test]
fn no_summary_is_a_manifest_and_no_manifest_a_summary() {
    let workshop = workshop();
    verify(&workshop, &[]).expect(0);
    // Even where the robot's key counts, and whatever it is called.
    workshop.trust(1, &["release", "robot"]);
    std::fs::copy(
        workshop.path("vsa.json"),
        workshop.path("walk/policy.dsse.json"),
    )
    .unwrap();
    workshop
        .verify(&[])
        .rejected("predicate-type-unsupported", "predicateType");
    let run = workshop.run(["inspect", "walk/policy.dsse.json"]);
    run.expect(1).says("rejected: predicate-type-unsupported");
    workshop
        .verify(&["--revocations", "vsa.json"])
        .rejected("predicate-type-unsupported", "predicateType");
}

#[test]
fn a_key_by_which_policies_are_accepted_signs_no_summary() {
    let workshop = workshop();
    let verify = |key: &str| workshop.verify(&["--vsa", "vsa.json", "--vsa-key", key]);
    let run = verify("release.key.pem");
    run.could_not_check(
        "the trust policy accepts policies by the key of --vsa-key, as \"release\"",
    );
    run.says("hint: a summary is signed by a key of its own: `tensorgate keygen` makes one\n");
    verify("robot.pub.pem").could_not_check("is a public key, which cannot sign");
    workshop.chmod("robot.key.pem", 0o644);
    verify("robot.key.pem").could_not_check("others than its owner may open");
    assert!(!workshop.path("vsa.json").exists() && !workshop.path("store").exists());
    for options in [
        &["--vsa", "vsa.json"][..],
        &["--vsa-key", "robot.key.pem"],
        &[
            "--vsa",
            "vsa.json",
            "--vsa-key",
            "robot.key.pem",
            "--now",
            "2030-01-01T00:00:00Z",
        ],
    ] {
        workshop.verify(options).expect(2);
    }
}
