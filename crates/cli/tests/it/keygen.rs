//! Keys, and openssl's opinion of them.

use std::os::unix::fs::PermissionsExt;

use crate::support::Workshop;

#[test]
fn openssl_signs_and_verifies_with_the_pair() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.write("message", "a message");
    workshop.openssl(&[
        "pkeyutl",
        "-sign",
        "-rawin",
        "-inkey",
        "release.key.pem",
        "-in",
        "message",
        "-out",
        "signature",
    ]);
    workshop.openssl(&[
        "pkeyutl",
        "-verify",
        "-rawin",
        "-pubin",
        "-inkey",
        "release.pub.pem",
        "-in",
        "message",
        "-sigfile",
        "signature",
    ]);
    let text = workshop.openssl(&["pkey", "-in", "release.key.pem", "-pubout"]);
    assert_eq!(text.as_bytes(), workshop.read("release.pub.pem"));
}

#[test]
fn openssl_reads_an_encrypted_key() {
    let workshop = encrypted();
    let pem = String::from_utf8(workshop.read("release.key.pem")).unwrap();
    assert!(
        pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
        "{pem}"
    );
    let public = workshop.openssl(&[
        "pkey",
        "-in",
        "release.key.pem",
        "-passin",
        "pass:correct horse",
        "-pubout",
    ]);
    assert_eq!(public.as_bytes(), workshop.read("release.pub.pem"));
    let parsed = workshop.openssl(&["asn1parse", "-in", "release.key.pem"]);
    assert!(
        parsed.contains(":scrypt") && parsed.contains(":aes-256-cbc"),
        "{parsed}"
    );
}

#[test]
fn an_encrypted_key_signs_with_its_passphrase_only() {
    let workshop = encrypted();
    workshop.policy("walk");
    workshop.trust(1, &["release"]);
    workshop.sign(&[]).could_not_check("it is encrypted");
    workshop.secret("wrong", "battery staple\n");
    workshop
        .sign(&["--passphrase-file", "wrong"])
        .could_not_check("wrong passphrase");
    workshop.secret("empty", "\ncorrect horse\n");
    workshop
        .sign(&["--passphrase-file", "empty"])
        .could_not_check("is empty");
    workshop
        .sign(&["--passphrase-file", "passphrase"])
        .expect(0);
    workshop.verify(&[]).expect(0);
}

#[test]
fn keys_made_by_openssl_are_taken() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    workshop.openssl(&["genpkey", "-algorithm", "ed25519", "-out", "plain.key.pem"]);
    workshop.openssl(&[
        "genpkey",
        "-algorithm",
        "ed25519",
        "-aes-256-cbc",
        "-pass",
        "pass:correct horse",
        "-out",
        "pbkdf2.key.pem",
    ]);
    workshop.openssl(&[
        "pkcs8",
        "-topk8",
        "-scrypt",
        "-in",
        "plain.key.pem",
        "-passout",
        "pass:correct horse",
        "-out",
        "scrypt.key.pem",
    ]);
    workshop.secret("passphrase", "correct horse");
    for key in ["plain", "pbkdf2", "scrypt"] {
        let file = format!("{key}.key.pem");
        workshop.chmod(&file, 0o600);
        let public = format!("{key}.pub.pem");
        workshop.openssl(&[
            "pkey",
            "-in",
            &file,
            "-passin",
            "pass:correct horse",
            "-pubout",
            "-out",
            &public,
        ]);
        workshop.trust(1, &[key]);
        let options: &[&str] = match key {
            "plain" => &[],
            _ => &["--passphrase-file", "passphrase"],
        };
        workshop.sign_as(key, options).expect(0);
        workshop
            .verify(&[])
            .expect(0)
            .says(&format!("signed by  {key:?}"));
    }
}

#[test]
fn the_private_key_is_its_owners_alone() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    let mode = |name| {
        let stat = std::fs::metadata(workshop.path(name)).unwrap();
        stat.permissions().mode() & 0o777
    };
    assert_eq!(mode("release.key.pem"), 0o600);
    assert_eq!(mode("release.pub.pem") & 0o022, 0);
}

#[test]
fn nothing_is_overwritten() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    let before = (
        workshop.read("release.key.pem"),
        workshop.read("release.pub.pem"),
    );
    workshop
        .run(["keygen", "--out", "release"])
        .could_not_check("could not create \"release.key.pem\": File exists");
    // Half a pair is not made either.
    workshop.write("half.pub.pem", "mine");
    workshop
        .run(["keygen", "--out", "half"])
        .could_not_check("could not create \"half.pub.pem\": File exists");
    assert!(!workshop.path("half.key.pem").exists());
    assert_eq!(workshop.read("half.pub.pem"), b"mine");
    let after = (
        workshop.read("release.key.pem"),
        workshop.read("release.pub.pem"),
    );
    assert_eq!(before, after);
}

#[test]
fn the_printed_lines_are_a_trust_policy() {
    let workshop = Workshop::new();
    let run = workshop.run(["keygen", "--out", "release"]);
    workshop.policy("walk");
    workshop.sign(&[]).expect(0);
    workshop.write("trust.toml", format!("threshold = 1\n{}", run.stdout));
    workshop.chmod("trust.toml", 0o644);
    let verified = workshop.verify(&["--json"]).json();
    let key = &verified["evidence"]["signers"][0]["key"];
    run.says(&format!("key id {}", key.as_str().unwrap()));
    // The id is what openssl and sha256 make of the key.
    workshop.openssl(&[
        "pkey",
        "-pubin",
        "-in",
        "release.pub.pem",
        "-outform",
        "DER",
        "-out",
        "der",
    ]);
    let digest = workshop.openssl(&["dgst", "-sha256", "-r", "der"]);
    assert!(digest.starts_with(key.as_str().unwrap()), "{digest}");
}

#[test]
fn json_names_the_files_and_no_secret() {
    let workshop = Workshop::new();
    let object = workshop.run(["keygen", "--out", "keys/release", "--json"]);
    object.expect(2);
    std::fs::create_dir(workshop.path("keys")).unwrap();
    let object = workshop
        .run(["keygen", "--out", "keys/release", "--json"])
        .json();
    assert_eq!(object["verdict"], "done");
    assert_eq!(object["private_key_file"], "keys/release.key.pem");
    assert_eq!(object["public_key_file"], "keys/release.pub.pem");
    assert_eq!(object["key"].as_str().unwrap().len(), 64);
    let secret = String::from_utf8(workshop.read("keys/release.key.pem")).unwrap();
    assert!(!object.to_string().contains(secret.lines().nth(1).unwrap()));
}

#[test]
fn a_name_is_needed() {
    let workshop = Workshop::new();
    for name in ["", "keys/", ".", "..", "keys/.."] {
        workshop
            .run(["keygen", "--out", name])
            .could_not_check("names no file");
    }
}

#[test]
fn two_keys_differ() {
    let workshop = Workshop::new();
    workshop.keygen("one");
    workshop.keygen("two");
    assert_ne!(workshop.read("one.pub.pem"), workshop.read("two.pub.pem"));
}

fn encrypted() -> Workshop {
    let workshop = Workshop::new();
    workshop.secret("passphrase", "correct horse\nnot this line\n");
    workshop
        .run([
            "keygen",
            "--out",
            "release",
            "--passphrase-file",
            "passphrase",
        ])
        .expect(0);
    workshop
}
