//! What `sign` vouches for, and what it will not.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::support::{REVISION, Workshop, safetensors_of};
use crate::told::SIGN;

#[test]
fn what_is_signed_verifies() {
    let workshop = Workshop::signed();
    let object = workshop.sign(&["--json", "--sequence", "6", "--replace", "--robot", "go2"]);
    let object = object.json();
    assert_eq!(object["verdict"], "done");
    assert_eq!(object["written"], "walk/policy.dsse.json");
    assert_eq!(object["added_signature"], false);
    assert_eq!(object["evidence"]["policy"]["type"], "mlp");
    assert_eq!(object["evidence"]["policy"]["robot"], "go2");
    assert_eq!(object["evidence"]["files"], 3);
    let verified = workshop.verify(&["--json"]).json();
    assert_eq!(
        verified["evidence"]["manifest"],
        object["evidence"]["manifest"]
    );
}

#[test]
fn nothing_is_signed_that_would_be_refused() {
    let pickle: &[u8] = b"\x80\x04\x95\x0a\0\0\0\0\0\0\0\x8c\x02os\x94.";
    let duplicate = r#"{"type": "act", "type": "other"}"#;
    let overlap = safetensors_of(
        r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
        &[0; 12],
    );
    let cases: [(&str, &[u8], &str, &str); 10] = [
        (
            "model.safetensors",
            pickle,
            "format-pickle",
            "model.safetensors",
        ),
        (
            "model.safetensors",
            b"PK\x03\x04....",
            "format-archive",
            "model.safetensors",
        ),
        (
            "model.safetensors",
            &overlap,
            "tensor-offsets-invalid",
            "model.safetensors#b",
        ),
        (
            "config.json",
            duplicate.as_bytes(),
            "json-duplicate-key",
            "config.json",
        ),
        ("config.json", b"{", "json-malformed", "config.json"),
        ("run.py", b"import os\n", "code-unreviewed", "run.py"),
        ("libx.so", b"\x7fELF", "format-executable", "libx.so"),
        ("notes.xyz", b"?", "file-kind-forbidden", "notes.xyz"),
        ("Config.json", b"{}", "file-name-collision", "config.json"),
        ("a\nb.json", b"{}", "file-name-unsafe", "a\nb.json"),
    ];
    for (file, bytes, code, subject) in cases {
        let workshop = Workshop::new();
        workshop.keygen("release");
        workshop.policy("walk");
        workshop.write(&format!("walk/{file}"), bytes);
        workshop.sign(&[]).rejected(code, subject);
        assert!(!workshop.path("walk/policy.dsse.json").exists(), "{code}");
    }
}

#[test]
fn every_rejection_is_listed() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.policy("walk");
    workshop.write("walk/run.py", "import os\n");
    workshop.write("walk/config.json", "{");
    symlink("README.md", workshop.path("walk/LICENSE")).unwrap();
    let object = workshop.sign(&["--json"]);
    object.expect(1);
    let object = object.json();
    let all = object["rejections"].as_array().unwrap();
    let mut codes: Vec<_> = all
        .iter()
        .map(|one| one["code"].as_str().unwrap())
        .collect();
    codes.sort_unstable();
    assert_eq!(
        codes,
        ["code-unreviewed", "file-not-regular", "json-malformed"]
    );
    assert_eq!(
        (&object["code"], &object["subject"]),
        (&all[0]["code"], &all[0]["subject"])
    );
}

#[test]
fn an_equal_manifest_gets_one_more_signature() {
    let workshop = Workshop::signed();
    workshop.keygen("second");
    workshop.trust(2, &["release", "second"]);
    workshop
        .verify(&[])
        .rejected("threshold-not-met", "signatures");
    let before: Value = serde_json::from_slice(&workshop.read("walk/policy.dsse.json")).unwrap();
    // The clock goes on; what was issued stays.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let object = workshop.sign_as("second", &["--json"]).json();
    assert_eq!(object["added_signature"], true);
    let after: Value = serde_json::from_slice(&workshop.read("walk/policy.dsse.json")).unwrap();
    assert_eq!(before["payload"], after["payload"]);
    assert_eq!(after["signatures"].as_array().unwrap().len(), 2);
    workshop.verify(&[]).expect(0).says("\"second\"");
    // The same key again adds nothing, and says so.
    workshop
        .sign_as("second", &[])
        .expect(0)
        .says("this key had signed before, nothing was added to \"walk/policy.dsse.json\"");
    let again = workshop.sign_as("release", &["--json"]).json();
    assert_eq!(again["added_signature"], false);
    assert_eq!(
        serde_json::from_slice::<Value>(&workshop.read("walk/policy.dsse.json")).unwrap(),
        after
    );
}

#[test]
fn a_different_manifest_stays_unless_it_is_to_be_replaced() {
    let workshop = Workshop::signed();
    let before = workshop.read("walk/policy.dsse.json");
    let changes: [(&[&str], &str); 4] = [
        (&["--sequence", "6"], "(sequence)"),
        (&["--repo", "acme/run"], "(repo or revision)"),
        (&["--expires", "2098-01-01T00:00:00Z"], "(expires)"),
        (
            &["--policy-type", "act", "--sequence", "6"],
            "(sequence, policy type or robot)",
        ),
    ];
    for (options, what) in changes {
        workshop.sign(options).could_not_check(what);
        assert_eq!(workshop.read("walk/policy.dsse.json"), before);
    }
    workshop.write("walk/README.md", "# changed\n");
    workshop.sign(&[]).could_not_check("(files)");
    assert_eq!(workshop.read("walk/policy.dsse.json"), before);
    workshop.sign(&["--replace"]).expect(0);
    workshop.verify(&["--state", "fresh"]).expect(0);
}

#[test]
fn what_verify_would_refuse_is_not_signed() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.policy("walk");
    workshop
        .sign(&["--expires", "2020-01-01T00:00:00Z"])
        .rejected("manifest-expired", "expires");
    assert!(!workshop.path("walk/policy.dsse.json").exists());
}

#[test]
fn an_equal_manifest_that_does_not_count_yet_is_not_signed() {
    let workshop = Workshop::signed();
    let mut envelope: Value =
        serde_json::from_slice(&workshop.read("walk/policy.dsse.json")).unwrap();
    workshop.write("b64", envelope["payload"].as_str().unwrap());
    workshop.openssl(&["base64", "-d", "-A", "-in", "b64", "-out", "payload"]);
    let mut payload: Value = serde_json::from_slice(&workshop.read("payload")).unwrap();
    payload["predicate"]["issued"] = "2098-01-01T00:00:00Z".into();
    workshop.write("payload", payload.to_string());
    envelope["payload"] = workshop
        .openssl(&["base64", "-A", "-in", "payload"])
        .trim()
        .into();
    workshop.write("walk/policy.dsse.json", envelope.to_string());
    workshop
        .sign(&[])
        .rejected("manifest-not-yet-valid", "issued");
    assert_eq!(
        workshop.read("walk/policy.dsse.json"),
        envelope.to_string().as_bytes()
    );
}

#[test]
fn a_private_key_that_others_can_read_is_not_used() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.policy("walk");
    for mode in [0o640, 0o604, 0o660, 0o644] {
        workshop.chmod("release.key.pem", mode);
        let run = workshop.sign(&[]);
        run.could_not_check(&format!(
            "others than its owner may open \"release.key.pem\" (mode {mode:04o})"
        ));
        run.says("hint: chmod 600 \"release.key.pem\"");
    }
    assert!(!workshop.path("walk/policy.dsse.json").exists());
}

#[test]
fn what_is_no_key_is_named() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    workshop.openssl(&[
        "genpkey",
        "-algorithm",
        "ed25519",
        "-out",
        "release.key.pem",
    ]);
    workshop.openssl(&["genpkey", "-algorithm", "x25519", "-out", "x25519.key.pem"]);
    workshop.openssl(&[
        "pkey",
        "-in",
        "release.key.pem",
        "-pubout",
        "-out",
        "public.key.pem",
    ]);
    workshop.write("text.key.pem", "hello");
    workshop.write("empty.key.pem", "");
    workshop.write("binary.key.pem", [0xff; 9]);
    for key in ["x25519", "public", "text", "empty", "binary"] {
        workshop.chmod(&format!("{key}.key.pem"), 0o600);
    }
    for (key, why) in [
        ("x25519", "not an ed25519 private key"),
        ("public", "is a public key, which cannot sign"),
        ("text", "no private key in PEM"),
        ("empty", "no private key in PEM"),
        ("binary", "valid UTF-8"),
        ("missing", "No such file"),
    ] {
        workshop.sign_as(key, &[]).could_not_check(why);
    }
    // That others may read it is as it should be.
    workshop.chmod("public.key.pem", 0o644);
    let run = workshop.sign_as("public", &[]);
    run.could_not_check("is a public key, which cannot sign");
    run.says("hint: give the private one");
    fs::create_dir(workshop.path("dir.key.pem")).unwrap();
    workshop
        .sign_as("dir", &[])
        .could_not_check("not a regular file");
}

#[test]
fn the_type_comes_from_the_configuration_or_the_user() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.policy("walk");
    for config in [r#"{"n": 1}"#, r#"{"type": 7}"#, r#"{"type": ""}"#] {
        workshop.write("walk/config.json", config);
        let run = workshop.sign(&[]);
        run.could_not_check("does not say what type");
        run.says("hint: give --policy-type");
    }
    let object = workshop.sign(&["--policy-type", "mlp", "--json"]).json();
    assert_eq!(object["evidence"]["policy"]["type"], "mlp");
}

#[test]
fn declarations_are_signed_with_the_files() {
    let workshop = Workshop::signed();
    let code = "def step(x):\n    return x\n";
    workshop.write("walk/step.py", code);
    let sha256 = workshop.openssl(&["dgst", "-sha256", "-r", "walk/step.py"]);
    let review = format!(
        "[[reviewed_code]]\npath = 'step.py'\nsha256 = '{}'\nreviewer = 'R'\nnote = 'pure'\n",
        &sha256[..64]
    );
    workshop.write("declared.toml", &review);
    let options = ["--externals", "declared.toml", "--replace", "--json"];
    let object = workshop.sign(&options).expect(0).json();
    assert_eq!(object["evidence"]["reviewed_code"], 1);
    let inspect = workshop.run(["inspect", "walk/policy.dsse.json"]);
    let line = "  declares   0 externals, 1 review of code\n";
    assert!(inspect.expect(0).stdout.contains(line), "{inspect:#?}");
    // The same again is an equal manifest, to which others add their signatures.
    workshop.keygen("second");
    let object = workshop.sign_as("second", &["--externals", "declared.toml", "--json"]);
    assert_eq!(object.expect(0).json()["added_signature"], true);
    workshop.write("declared.toml", review.replace("pure", "pure, again"));
    workshop
        .sign_as("second", &["--externals", "declared.toml"])
        .could_not_check("(reviewed code)");
}

#[test]
fn declarations_that_others_may_write_are_not_signed() {
    let workshop = Workshop::signed();
    workshop.write("declared.toml", "");
    workshop.chmod("declared.toml", 0o664);
    let before = workshop.read("walk/policy.dsse.json");
    let run = workshop.sign(&["--externals", "declared.toml", "--replace"]);
    run.could_not_check(
        "the declarations \"declared.toml\" cannot be used: it may be written by its group",
    );
    run.says("hint: read it first, somebody may have changed it; then `chmod go-w`\n");
    assert_eq!(workshop.read("walk/policy.dsse.json"), before);
    // An audit signs nothing: in a checkout, a group may write to all of it.
    let audit = workshop.run(["audit", "walk", "--externals", "declared.toml"]);
    audit.expect(0);
}

#[test]
fn a_data_set_is_signed_and_verified_as_one() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.trust(1, &["release"]);
    workshop.write("walk/meta/info.json", "{}");
    workshop.write("walk/data/episode.parquet", "PAR1....PAR1");
    let options = ["--repo-type", "dataset", "--policy-type", "episodes"];
    let run = workshop.sign(&options);
    run.expect(0)
        .says(&format!("  repo       datasets/acme/walk@{REVISION}\n"));
    workshop.verify(&[]).expect(0).says("datasets/acme/walk@");
    workshop
        .verify(&["--repo", "acme/walk"])
        .rejected("repo-mismatch", "repo");
    workshop
        .verify(&["--repo", "acme/walk", "--repo-type", "dataset"])
        .expect(0);
}

#[test]
fn openssl_checks_the_signature() {
    let workshop = Workshop::signed();
    let envelope: Value = serde_json::from_slice(&workshop.read("walk/policy.dsse.json")).unwrap();
    workshop.write("payload.b64", envelope["payload"].as_str().unwrap());
    workshop.write(
        "sig.b64",
        envelope["signatures"][0]["sig"].as_str().unwrap(),
    );
    workshop.openssl(&[
        "base64",
        "-d",
        "-A",
        "-in",
        "payload.b64",
        "-out",
        "payload",
    ]);
    workshop.openssl(&["base64", "-d", "-A", "-in", "sig.b64", "-out", "sig"]);
    let payload = workshop.read("payload");
    // DSSE's pre-authentication encoding, written out.
    let head = format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len());
    workshop.write("pae", [head.as_bytes(), &payload].concat());
    workshop.openssl(&[
        "pkeyutl",
        "-verify",
        "-rawin",
        "-pubin",
        "-inkey",
        "release.pub.pem",
        "-in",
        "pae",
        "-sigfile",
        "sig",
    ]);
    let text = String::from_utf8(payload).unwrap();
    assert!(text.contains(REVISION));
}

#[test]
fn whoever_signs_where_a_gate_runs_is_told_what_it_waits_for() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.policy("walk");
    let mut command = workshop.command();
    command.args(SIGN.split(' '));
    let directory = fs::File::open(workshop.path("walk")).unwrap();
    Workshop::while_locked(&directory, &mut command, || {})
        .expect(0)
        .says("note: another process has \"walk\"; waiting for it\nhint: somebody signs there, or a gate runs from it; with --out FILE no gate is waited for\n");
}
