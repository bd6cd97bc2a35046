//! The reference implementation, unmodified: what it signs is verified here, what is signed here
//! it verifies, and both refuse the same changes.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};
use tensorgate_oms::{Anchor, EcSigningKey, sign};
use tensorgate_testhub::python;
use tensorgate_verify::{Limits, Rejection, Result, Rules, Survey};

use crate::certificate::{Ask, ROOT, rsa, soon};
use crate::support::*;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/reference.py");

/// Runs the jobs in one process; of each, why it failed, if it did.
fn reference(jobs: &[Value]) -> Vec<Option<String>> {
    static INTERPRETER: LazyLock<PathBuf> = LazyLock::new(|| python("model_signing"));
    let mut command = Command::new(&*INTERPRETER);
    let command = command.arg(SCRIPT).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(json!(jobs).to_string().as_bytes()).unwrap();
    drop(stdin);
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    assert!(status.success());
    serde_json::from_slice(&stdout).unwrap()
}

/// One thing that happens to a policy after it was signed, and what is said of it here.
struct Change {
    what: &'static str,
    make: fn(&Policy),
    refusal: Option<(Rejection, &'static str)>,
}

const CHANGES: [Change; 6] = [
    Change {
        what: "nothing",
        make: |_| {},
        refusal: None,
    },
    Change {
        what: "another configuration",
        make: |policy| policy.write("config.json", br#"{"type": "MLP"}"#),
        refusal: Some((Rejection::DigestMismatch, "config.json")),
    },
    Change {
        what: "another weight",
        make: |policy| {
            let mut bytes = policy.read("model.safetensors");
            let at = bytes.len() - 4;
            bytes[at] ^= 1;
            policy.write("model.safetensors", &bytes);
        },
        refusal: Some((Rejection::DigestMismatch, "model.safetensors")),
    },
    Change {
        what: "a file more",
        make: |policy| policy.write("LICENSE", b"text"),
        refusal: Some((Rejection::FileUnexpected, "LICENSE")),
    },
    Change {
        what: "a file fewer",
        make: |policy| policy.remove("notes/README.md"),
        refusal: Some((Rejection::FileMissing, "notes/README.md")),
    },
    Change {
        what: "a file under another name",
        make: |policy| {
            policy.write("NOTICE", &policy.read("notes/README.md"));
            policy.remove("notes/README.md");
        },
        refusal: Some((Rejection::FileUnexpected, "NOTICE")),
    },
];

/// A policy whose order by components is another than that by characters.
fn policy() -> Policy {
    let policy = Policy::new();
    policy.write("notes/README.md", b"# Walk\n");
    policy.write("notes-2.md", b"# Walk more\n");
    policy
}

/// A job about a policy, its bundle inside it.
fn job(what: &str, policy: &Policy, key: &Key, more: &Value) -> Value {
    std::fs::write(policy.beside("key"), key.private_pem()).unwrap();
    std::fs::write(policy.beside("pub"), key.public_pem()).unwrap();
    let mut job = json!({
        "do": what,
        "model": policy.dir(),
        "signature": policy.dir().join("model.sig"),
        "private_key": policy.beside("key"),
        "public_key": policy.beside("pub"),
    });
    let fields = more.as_object().unwrap().clone();
    job.as_object_mut().unwrap().extend(fields);
    job
}

/// The bundle in a policy, verified here.
fn verify(policy: &Policy, anchor: Anchor) -> Result<Vec<&'static str>> {
    let bundle = policy.read("model.sig");
    let statement = authenticate_bytes(&bundle, &[anchor], soon())?;
    Ok(policy.open(&statement)?.remarks)
}

/// A bundle about [`policy`], whose key it is, and with what options the tool is called.
struct Case {
    bundle: Vec<u8>,
    key: Key,
    options: Value,
}

/// Both verdicts about every bundle after each change must be those of the table.
fn agree(cases: &[Case]) {
    let table: Vec<(&Case, &Change, Policy)> = cases
        .iter()
        .flat_map(|case| CHANGES.iter().map(move |change| (case, change)))
        .map(|(case, change)| {
            let policy = policy();
            policy.write("model.sig", &case.bundle);
            (change.make)(&policy);
            (case, change, policy)
        })
        .collect();
    let jobs = table
        .iter()
        .map(|(case, _, policy)| job("verify", policy, &case.key, &case.options));
    let theirs = reference(&jobs.collect::<Vec<_>>());
    for ((case, change, policy), theirs) in table.iter().zip(theirs) {
        let ours = verify(policy, case.key.anchor());
        let what = format!("{} {}: {ours:?}, {theirs:?}", change.what, case.options);
        assert_eq!(theirs.is_some(), change.refusal.is_some(), "{what}");
        match change.refusal {
            Some((code, subject)) => refused(ours, code, subject),
            None => assert!(ours.is_ok(), "{what}"),
        }
    }
}

#[test]
fn what_it_signs_is_verified_here_and_after_a_change_by_neither() {
    const ORDER: &str = "the resources are not in the order that the specification asks for";
    const FLOAT: &str = "`shard_size` is not written as an integer";
    const NAME: &str = "`algorithm` names the size of the shards, too";
    let cases = [
        (Key::p256(7), json!({}), &[ORDER][..]),
        (Key::p384(7), json!({}), &[ORDER]),
        (Key::p521(7), json!({}), &[ORDER]),
        (Key::p256(7), json!({"hash": "blake3"}), &[ORDER]),
        (Key::p256(7), json!({"hash": "blake2"}), &[ORDER]),
        (
            Key::p256(7),
            json!({"shard_size": 100}),
            &[FLOAT, NAME, ORDER],
        ),
    ];
    let cases = cases.map(|(key, options, remarks)| (policy(), key, options, remarks));
    let jobs = cases
        .iter()
        .map(|(policy, key, options, _)| job("sign", policy, key, options));
    assert_eq!(reference(&jobs.collect::<Vec<_>>()), [const { None }; 6]);
    let cases = cases.map(|(policy, key, options, remarks)| {
        let found = verify(&policy, key.anchor()).unwrap();
        assert_eq!(found, remarks, "{options}");
        Case {
            bundle: policy.read("model.sig"),
            key,
            options,
        }
    });
    agree(&cases);
}

#[test]
fn what_is_signed_here_it_verifies_and_after_a_change_neither_does() {
    let key = Key::p256(7);
    agree(&[Case {
        bundle: signed_here(&policy(), &key),
        key,
        options: json!({}),
    }]);
}

/// A bundle of ours about a policy.
fn signed_here(policy: &Policy, key: &Key) -> Vec<u8> {
    let (rules, limits) = (Rules::default(), Limits::default());
    let survey = Survey::new(&rules).beside(&["model.sig"]);
    let files = survey.run(&policy.directory()).unwrap().files;
    let secret = EcSigningKey::from_pem(&key.private_pem()).unwrap();
    sign(&files, "walk", &["model.sig"], &secret, &limits).unwrap()
}

#[test]
fn files_of_git_are_signed_here_and_it_verifies_them_when_told() {
    let (policy, key) = (policy(), Key::p256(7));
    policy.write(".gitattributes", b"*.safetensors filter=lfs\n");
    policy.write("model.sig", &signed_here(&policy, &key));
    verify(&policy, key.anchor()).unwrap();
    let told = json!({"ignore_git_paths": false});
    assert_eq!(reference(&[job("verify", &policy, &key, &told)]), [None]);
}

#[test]
fn another_key_verifies_for_neither() {
    let (policy, key) = (policy(), Key::p256(8));
    policy.write("model.sig", &signed_here(&policy, &Key::p256(7)));
    let theirs = reference(&[job("verify", &policy, &key, &json!({}))]);
    assert!(theirs[0].is_some());
    let ours = verify(&policy, key.anchor());
    refused(ours, Rejection::OmsSignatureInvalid, "signatures");
}

#[test]
fn a_model_that_is_one_file_is_verified_here() {
    let (policy, key) = (Policy::new(), Key::p256(7));
    policy.remove("config.json");
    let file = policy.dir().join("model.safetensors");
    let told = reference(&[job("sign", &policy, &key, &json!({"model": file}))]);
    assert_eq!(told, [None]);
    let remarks = verify(&policy, key.anchor()).unwrap();
    assert_eq!(remarks, ["the name of the one file was not signed"]);
}

#[test]
fn what_is_signed_with_a_certificate_verifies_for_both() {
    let made = rsa();
    let policy = &made.0;
    let file = |name: &str| policy.beside(name);
    made.root("other", Ask::of("root", "rsa:3072", ROOT));
    let job = |what: &str, root: &str| {
        json!({
            "do": what,
            "model": policy.dir(),
            "signature": policy.dir().join("model.sig"),
            "private_key": file("signer.key"),
            "certificate": file("signer.pem"),
            "chain": [file("between.pem"), file("root.pem")],
            "root": file(root),
        })
    };
    let jobs = [
        job("sign", ""),
        job("verify", "root.pem"),
        job("verify", "other.pem"),
    ];
    let theirs = reference(&jobs);
    assert_eq!(theirs[..2], [None, None]);
    assert!(theirs[2].is_some());
    verify(policy, made.anchor("root")).unwrap();
    let ours = verify(policy, made.anchor("other"));
    refused(ours, Rejection::OmsSignatureInvalid, "signatures");
}
