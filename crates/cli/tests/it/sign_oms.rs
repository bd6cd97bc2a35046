//! What `sign --format oms` vouches for, and who can read it.

use std::process::Command;

use serde_json::Value;
use tensorgate_testhub::python;

use crate::oms::{OMS, ec_key, unsigned, workshop};
use crate::support::{Run, Workshop};

fn sign(workshop: &Workshop, options: &[&str]) -> Run {
    let usual = ["sign", "walk", "--format", "oms"];
    let key = ["--key", "ec.key.pem"];
    let key = key.iter().filter(|_| !options.contains(&"--key"));
    workshop.run(usual.iter().chain(key).chain(options))
}

/// The reference implementation's own command, on the bundle in the directory.
fn reference(workshop: &Workshop, options: &[&str]) -> Run {
    let mut command = Command::new(python("model_signing"));
    command
        .args(["-m", "model_signing", "verify", "key", "walk"])
        .args(["--signature", "walk/model.sig", "--public_key", "ec.pub"])
        .args(options)
        .current_dir(workshop.path(""));
    Run::of(&mut command)
}

#[test]
fn the_reference_implementation_verifies_what_is_signed() {
    let workshop = unsigned();
    workshop.write("walk/.gitattributes", "*.safetensors filter=lfs\n");
    sign(&workshop, &[])
        .expect(0)
        .says("signed: \"walk/model.sig\", by OpenSSF Model Signing\n")
        .says("  model      \"walk\", as the signer calls it\n")
        .says("note: .gitattributes is signed, too")
        .says("note: weaker than a manifest: no expiry");
    workshop.verify(&OMS).expect(0);
    let all = ["--no-ignore-git-paths"];
    reference(&workshop, &all).expect(0);
    workshop.flip("walk/README.md", 0);
    reference(&workshop, &all).expect(1);
    workshop
        .verify(&OMS)
        .rejected("digest-mismatch", "README.md");
}

#[test]
fn without_files_of_git_it_needs_no_option() {
    let workshop = workshop();
    reference(&workshop, &[]).expect(0);
}

#[test]
fn what_is_told_is_what_a_verifier_finds() {
    let workshop = unsigned();
    let signed = sign(&workshop, &["--json"]).expect(0).json();
    assert_eq!(signed["verdict"], "done");
    assert_eq!(signed["written"], "walk/model.sig");
    let verified = workshop.verify(&[&OMS[..], &["--json"]].concat()).json();
    for field in ["method", "signers", "statement", "name", "files", "bytes"] {
        assert_ne!(signed["evidence"][field], Value::Null, "{field}");
        assert_eq!(signed["evidence"][field], verified["evidence"][field]);
    }
}

#[test]
fn nothing_is_signed_that_would_be_refused() {
    let cases = [
        ("model.safetensors", "\u{80}", "header-too-short"),
        ("config.json", "{", "json-malformed"),
        ("notes.xyz", "?", "file-kind-forbidden"),
        ("run.py", "import os\n", "code-unreviewed"),
        ("policy.dsse.json", "{}", "file-kind-forbidden"),
    ];
    for (file, text, code) in cases {
        let workshop = unsigned();
        workshop.write(&format!("walk/{file}"), text);
        sign(&workshop, &[]).rejected(code, file);
        assert!(!workshop.path("walk/model.sig").exists(), "{code}");
    }
}

#[test]
fn the_hint_says_what_a_bundle_cannot_do() {
    let workshop = unsigned();
    workshop.write("walk/run.py", "import os\n");
    workshop.write("walk/policy.dsse.json", "{}");
    sign(&workshop, &[])
        .says("hint: OMS has no place for a declaration")
        .says("hint: the directory has a manifest, which proves more");
}

#[test]
fn a_manifest_suffers_no_bundle_beside_it() {
    let workshop = workshop();
    let run = workshop.sign(&[]);
    run.rejected("file-kind-forbidden", "model.sig");
    run.says("hint: a manifest has no other proof beside it: move model.sig away");
    assert!(!workshop.path("walk/policy.dsse.json").exists());
}

#[test]
fn a_data_set_is_signed_and_verified_as_one() {
    let workshop = unsigned();
    workshop.write("walk/data/episode.parquet", "PAR1....PAR1");
    sign(&workshop, &[]).rejected("file-kind-forbidden", "data/episode.parquet");
    workshop.remove("walk/model.safetensors");
    let dataset = ["--repo-type", "dataset"];
    sign(&workshop, &dataset).expect(0);
    workshop
        .verify(&OMS)
        .rejected("file-kind-forbidden", "data/episode.parquet");
    workshop.verify(&[&OMS[..], &dataset].concat()).expect(0);
    reference(&workshop, &[]).expect(0);
}

#[test]
fn nothing_is_overwritten() {
    let workshop = workshop();
    workshop.write("walk/README.md", "# run\n");
    let before = workshop.read("walk/model.sig");
    for options in [&[][..], &["--out", "ec.pub"], &["--out", "ec.key.pem"]] {
        sign(&workshop, options).could_not_check("is there; nothing was touched");
    }
    assert_eq!(workshop.read("walk/model.sig"), before);
}

#[test]
fn a_bundle_can_go_elsewhere_and_not_among_the_files() {
    let workshop = unsigned();
    for file in ["walk/other.sig", "walk/policy.dsse.json"] {
        let run = sign(&workshop, &["--out", file]);
        run.could_not_check("is in the directory that is signed");
        run.says("its place there is model.sig");
    }
    sign(&workshop, &["--out", "walk.sig"]).expect(0);
    assert!(!workshop.path("walk/model.sig").exists());
    workshop
        .verify(&["--oms", "walk.sig", "--repo", "acme/walk"])
        .expect(0);
}

#[test]
fn a_key_is_read_as_openssl_writes_it() {
    let workshop = unsigned();
    workshop.secret("passphrase", "open\n");
    let plain = ["pkcs8", "-topk8", "-in", "ec.key.pem"];
    workshop.openssl(&[&plain[..], &["-nocrypt", "-out", "plain.key.pem"]].concat());
    let encrypted = ["-passout", "file:passphrase", "-out", "locked.key.pem"];
    workshop.openssl(&[&plain[..], &encrypted].concat());
    workshop.chmod("plain.key.pem", 0o600);
    workshop.chmod("locked.key.pem", 0o600);
    sign(&workshop, &["--key", "locked.key.pem"]).could_not_check("it is encrypted");
    for options in [
        &["--key", "plain.key.pem"][..],
        &["--key", "locked.key.pem", "--passphrase-file", "passphrase"],
    ] {
        sign(&workshop, options).expect(0);
        workshop.verify(&OMS).expect(0);
        workshop.remove("walk/model.sig");
    }
}

#[test]
fn what_is_no_key_of_oms_is_named() {
    let workshop = unsigned();
    workshop.chmod("ec.key.pem", 0o640);
    sign(&workshop, &[]).could_not_check("others than its owner may open \"ec.key.pem\"");
    ec_key(&workshop, "secp384r1");
    workshop.chmod("ec.key.pem", 0o600);
    for key in ["ec.key.pem", "release.key.pem"] {
        let run = sign(&workshop, &["--key", key]);
        run.could_not_check("not a P-256 private key");
        run.says(
            "hint: a key on P-256, as `openssl ecparam -name prime256v1 -genkey -noout` makes",
        );
    }
    sign(&workshop, &["--key", "ec.pub"]).could_not_check("is a public key, which cannot sign");
    workshop
        .sign_as("ec", &[])
        .could_not_check("its PEM label is \"EC PRIVATE KEY\"");
    assert!(!workshop.path("walk/model.sig").exists());
}
