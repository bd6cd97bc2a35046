//! Every way to tamper with a policy that we could think of, and the word for each.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use crate::support::{REVISION, Workshop, safetensors_of, weights};

#[test]
fn a_signed_policy_is_verified() {
    let workshop = Workshop::signed();
    for options in [
        &[][..],
        &["--full"],
        &["--repo", "acme/walk", "--revision", REVISION],
    ] {
        let run = workshop.verify(options);
        run.expect(0).says("verified: \"walk\"\n");
        run.says(&format!("acme/walk@{REVISION}\n"));
        run.says("sequence   5\n")
            .says("signed by  \"release\", key ");
        run.says("3 files, ");
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn the_evidence_is_in_the_json() {
    let workshop = Workshop::signed();
    let object = workshop.verify(&["--json"]).json();
    assert_eq!(object["verdict"], "verified");
    assert_eq!(object["subject"], "walk");
    for absent in ["code", "hint"] {
        assert_eq!(object[absent], serde_json::Value::Null);
    }
    assert_eq!(object["rejections"], serde_json::json!([]));
    assert_eq!(object["waived"], serde_json::json!([]));
    let evidence = &object["evidence"];
    assert_eq!(evidence["repo"]["type"], "model");
    assert_eq!(evidence["repo"]["id"], "acme/walk");
    assert_eq!(evidence["repo"]["revision"], REVISION);
    assert_eq!(evidence["sequence"], 5);
    assert_eq!(evidence["signers"][0]["name"], "release");
    for digest in ["manifest", "trust_policy"] {
        assert_eq!(evidence[digest].as_str().unwrap().len(), 64);
    }
    assert_eq!(evidence["files"], 3);
    assert_eq!(evidence["bytes"], weights().len() + 15 + 7);
    assert_eq!(evidence["now_given"], false);
    assert!(evidence["seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn every_tampering_has_its_word() {
    let end = weights().len() - 1;
    let pickle: &[u8] = b"\x80\x04\x95\x0a\0\0\0\0\0\0\0\x8c\x02os\x94.";
    type Tampering<'a> = (&'a str, &'a str, &'a dyn Fn(&Workshop));
    let cases: [Tampering<'_>; 24] = [
        ("digest-mismatch", "model.safetensors#gain", &|w| {
            w.flip("walk/model.safetensors", end)
        }),
        ("digest-mismatch", "model.safetensors", &|w| {
            w.flip("walk/model.safetensors", 9)
        }),
        ("digest-mismatch", "README.md", &|w| {
            w.flip("walk/README.md", 0)
        }),
        ("digest-mismatch", "config.json", &|w| {
            w.write("walk/config.json", r#"{"type": "sac"}"#)
        }),
        ("size-mismatch", "config.json", &|w| {
            w.write("walk/config.json", r#"{"type":"act","type":"x"}"#)
        }),
        ("size-mismatch", "model.safetensors", &|w| {
            w.write("walk/model.safetensors", pickle)
        }),
        ("size-mismatch", "model.safetensors", &|w| {
            w.write("walk/model.safetensors", "")
        }),
        ("size-mismatch", "README.md", &|w| {
            w.write("walk/README.md", "# walk\n\n")
        }),
        ("digest-mismatch", "model.safetensors", &|w| {
            let padded = [pickle, &vec![b'.'; weights().len() - pickle.len()]].concat();
            w.write("walk/model.safetensors", padded);
        }),
        ("file-missing", "model.safetensors", &|w| {
            w.remove("walk/model.safetensors")
        }),
        ("file-unexpected", "LICENSE", &|w| {
            w.write("walk/LICENSE", "")
        }),
        ("file-unexpected", "deep/config.json", &|w| {
            w.write("walk/deep/config.json", "{}")
        }),
        ("file-unexpected", ".gitattributes", &|w| {
            w.write("walk/.gitattributes", "")
        }),
        ("file-unexpected", "Config.json", &|w| {
            w.write("walk/Config.json", "{}")
        }),
        ("file-name-unsafe", ".git", &|w| {
            fs::create_dir(w.path("walk/.git")).unwrap()
        }),
        ("file-name-unsafe", "a\tb", &|w| w.write("walk/a\tb", "")),
        ("file-not-regular", "config.json", &|w| {
            fs::rename(w.path("walk/config.json"), w.path("config.json")).unwrap();
            symlink("../config.json", w.path("walk/config.json")).unwrap();
        }),
        ("file-not-regular", "LICENSE", &|w| {
            symlink("/etc/passwd", w.path("walk/LICENSE")).unwrap()
        }),
        ("file-not-regular", "README.md", &|w| {
            w.remove("walk/README.md");
            w.fifo("walk/README.md");
        }),
        ("file-not-regular", "deep", &|w| {
            symlink("..", w.path("walk/deep")).unwrap()
        }),
        ("file-not-regular", "socket", &|w| {
            drop(UnixListener::bind(w.path("walk/socket")).unwrap())
        }),
        ("file-not-regular", "policy.dsse.json", &|w| {
            // Not even read: what it leads to would be `manifest-malformed`.
            w.remove("walk/policy.dsse.json");
            symlink("../trust.toml", w.path("walk/policy.dsse.json")).unwrap();
        }),
        ("file-not-regular", "policy.dsse.json", &|w| {
            w.remove("walk/policy.dsse.json");
            w.fifo("walk/policy.dsse.json");
        }),
        ("manifest-missing", "policy.dsse.json", &|w| {
            w.remove("walk/policy.dsse.json")
        }),
    ];
    for (code, subject, tamper) in cases {
        let workshop = Workshop::signed();
        tamper(&workshop);
        workshop.verify(&[]).rejected(code, subject);
        let object = workshop.verify(&["--json"]);
        object.expect(1);
        let object = object.json();
        assert_eq!(
            (&object["code"], &object["subject"]),
            (&code.into(), &subject.into())
        );
    }
}

#[test]
fn swapped_files_are_not_the_signed_ones() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.policy("walk");
    let (a, b) = ("walk/a/model.safetensors", "walk/b/model.safetensors");
    let of = |name: &str, byte| {
        let header = format!(r#"{{"{name}":{{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}}}"#);
        safetensors_of(&header, &[byte; 8])
    };
    workshop.write(a, of("left", 0));
    workshop.write(b, of("side", 7));
    workshop.trust(1, &["release"]);
    workshop.sign(&[]).expect(0);
    workshop.verify(&[]).expect(0);
    fs::rename(workshop.path(a), workshop.path("c")).unwrap();
    fs::rename(workshop.path(b), workshop.path(a)).unwrap();
    fs::rename(workshop.path("c"), workshop.path(b)).unwrap();
    let run = workshop.verify(&[]);
    run.rejected("digest-mismatch", "a/model.safetensors");
    run.says("rejected: digest-mismatch: \"b/model.safetensors\"");
}

#[test]
fn every_rejection_is_listed_and_the_hint_once() {
    let workshop = Workshop::signed();
    workshop.write("walk/LICENSE", "");
    workshop.write("walk/NOTICE", "");
    workshop.flip("walk/README.md", 0);
    workshop.remove("walk/config.json");
    let object = workshop.verify(&["--json"]);
    object.expect(1);
    let object = object.json();
    let all: Vec<_> = object["rejections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["code"].as_str().unwrap(),
                one["subject"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("file-unexpected", "LICENSE"),
        ("file-unexpected", "NOTICE"),
        ("digest-mismatch", "README.md"),
        ("file-missing", "config.json"),
    ];
    assert_eq!(all, expected);
    assert_eq!(object["verdict"], "rejected");
    assert!(object["rejections"][0]["detail"].is_string() && object["hint"].is_string());
    let run = workshop.verify(&[]);
    assert_eq!(
        run.stderr.matches("hint: only what was signed").count(),
        1,
        "{run:#?}"
    );
}

#[test]
fn a_changed_manifest_has_no_good_signature() {
    let workshop = Workshop::signed();
    let text = String::from_utf8(workshop.read("walk/policy.dsse.json")).unwrap();
    let mut envelope: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut payload = envelope["payload"].as_str().unwrap().to_owned();
    let middle = payload.len() / 2;
    let other = if payload[middle..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    payload.replace_range(middle..=middle, other);
    envelope["payload"] = payload.into();
    workshop.write("walk/policy.dsse.json", envelope.to_string());
    assert_ne!(envelope.to_string(), text);
    workshop
        .verify(&[])
        .rejected("signature-invalid", "signatures");
    for (bytes, code) in [
        ("{}", "manifest-malformed"),
        ("", "manifest-malformed"),
        (
            r#"{"payloadType":"text/plain","payload":"","signatures":[]}"#,
            "payload-type-unsupported",
        ),
        (r#"{"payload":"","payload":""}"#, "json-duplicate-key"),
    ] {
        workshop.write("walk/policy.dsse.json", bytes);
        let run = workshop.verify(&[]);
        run.expect(1).says(&format!("rejected: {code}: "));
    }
    workshop.write("walk/policy.dsse.json", vec![b' '; (32 << 20) + 1]);
    workshop
        .verify(&[])
        .rejected("manifest-too-large", "envelope");
}

#[test]
fn what_was_asked_for_is_what_must_be_there() {
    let workshop = Workshop::signed();
    workshop
        .verify(&["--repo", "acme/run"])
        .rejected("repo-mismatch", "repo");
    let other = "f".repeat(40);
    workshop
        .verify(&["--revision", &other])
        .rejected("revision-mismatch", "revision");
    for (option, value) in [
        ("--revision", "main"),
        ("--revision", &REVISION[..12]),
        ("--repo", "walk"),
    ] {
        workshop
            .verify(&[option, value])
            .could_not_check("invalid value");
    }
}

#[test]
fn time_decides() {
    let workshop = Workshop::signed();
    workshop
        .verify(&["--now", "2099-01-01T00:00:00Z"])
        .rejected("manifest-expired", "expires");
    workshop
        .verify(&["--now", "2020-01-01T00:00:00Z"])
        .rejected("manifest-not-yet-valid", "issued");
    let run = workshop.verify(&["--now", "2098-12-31T23:59:59Z", "--json"]);
    let object = run.expect(0).json();
    assert_eq!(object["evidence"]["now_given"], true);
    assert_eq!(object["evidence"]["now"], "2098-12-31T23:59:59Z");
    assert!(object["notices"][0].as_str().unwrap().contains("--now"));
    workshop
        .verify(&["--now", "tomorrow"])
        .could_not_check("an instant has date, time and zone");
}

#[test]
fn what_is_not_there_cannot_be_checked() {
    let workshop = Workshop::signed();
    let verify = |dir: &str, trust: &str| workshop.run(["verify", dir, "--trust", trust]);
    verify("missing", "trust.toml").could_not_check("could not open the directory \"missing\"");
    verify("trust.toml", "trust.toml").could_not_check("Not a directory");
    verify("walk", "missing.toml").could_not_check("No such file");
    verify("walk", "walk").could_not_check("not a regular file");
    verify("walk", "/dev/null").could_not_check("not a regular file");
    workshop
        .verify(&["--manifest", "missing.json"])
        .could_not_check("could not read the manifest \"missing.json\"");
    workshop
        .verify(&["--manifest", "walk"])
        .could_not_check("not a regular file");
}

#[test]
fn a_manifest_can_lie_elsewhere() {
    let workshop = Workshop::signed();
    fs::rename(
        workshop.path("walk/policy.dsse.json"),
        workshop.path("m.json"),
    )
    .unwrap();
    workshop.verify(&["--manifest", "m.json"]).expect(0);
    workshop.flip("walk/README.md", 0);
    workshop
        .verify(&["--manifest", "m.json"])
        .rejected("digest-mismatch", "README.md");
}

#[test]
fn a_link_to_the_directory_is_the_users_own() {
    let workshop = Workshop::signed();
    symlink("walk", workshop.path("current")).unwrap();
    workshop
        .run(["verify", "current", "--trust", "trust.toml"])
        .expect(0);
}
