//! What `inspect` shows, and that it vouches for nothing.

use std::os::unix::fs::symlink;

use crate::support::{Workshop, safetensors_of, weights};

#[test]
fn tensors_are_a_table() {
    let workshop = Workshop::new();
    workshop.write("model.safetensors", weights());
    let run = workshop.run(["inspect", "model.safetensors"]);
    run.expect(0).says("untrusted: nothing below was verified");
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(lines[0], "tensor  dtype  shape     bytes");
    assert_eq!(lines[1], "bias    F32    [2]           8");
    assert_eq!(lines[2], "gain    F32    [30, 40]  4,800");
    assert!(run.stdout.contains("  \"format\": \"pt\"\n"));
    assert!(run.stdout.contains("2 tensors, 1,202 elements, "));
}

#[test]
fn the_same_as_json_without_a_verdict() {
    let workshop = Workshop::new();
    workshop.write("model.safetensors", weights());
    let object = workshop
        .run(["inspect", "model.safetensors", "--json"])
        .json();
    assert!(object.get("verdict").is_none());
    assert_eq!(object["untrusted"], true);
    assert_eq!(object["metadata"]["format"], "pt");
    assert_eq!(object["elements"], 1202);
    let gain = &object["tensors"][1];
    assert_eq!(
        (&gain["name"], &gain["dtype"]),
        (&"gain".into(), &"F32".into())
    );
    assert_eq!(gain["shape"], serde_json::json!([30, 40]));
    assert_eq!((&gain["begin"], &gain["end"]), (&8.into(), &4808.into()));
}

#[test]
fn a_directory_is_shown_as_it_is() {
    let workshop = Workshop::signed();
    workshop.write("walk/deep/vocab.json", "{}");
    workshop.write("walk/weights.pt", "?");
    workshop.write("walk/model-00001-of-00002.safetensors", "?");
    symlink("README.md", workshop.path("walk/LICENSE")).unwrap();
    let run = workshop.run(["inspect", "walk"]);
    run.expect(0).says("untrusted");
    for line in [
        "model.safetensors                 weights",
        "deep/vocab.json                   tokenizer",
        "no file of a policy has this name",
        "header-too-short: fewer than 8 bytes",
        "not a regular file",
        "  repo       acme/walk@",
    ] {
        assert!(run.stdout.contains(line), "{line}\n{}", run.stdout);
    }
    let object = workshop.run(["inspect", "walk", "--json"]).json();
    assert_eq!(object["manifest"]["sequence"], 5);
    assert_eq!(object["files"].as_array().unwrap().len(), 8);
}

#[test]
fn a_manifest_is_shown_as_claims() {
    let workshop = Workshop::signed();
    let run = workshop.run(["inspect", "walk/policy.dsse.json"]);
    run.expect(0).says("untrusted");
    assert!(
        run.stdout
            .contains("which `tensorgate verify` would have to prove")
    );
    assert!(run.stdout.contains("  files      3 files, "));
    let inspect = |file: &str| workshop.run(["inspect", file]);
    inspect("walk/config.json").could_not_check("is no manifest");
    workshop.write("walk/policy.dsse.json", "{}");
    inspect("walk/policy.dsse.json").rejected("manifest-malformed", "envelope");
}

#[test]
fn what_cannot_be_read_strictly_is_rejected() {
    let workshop = Workshop::new();
    let huge = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    workshop.write("huge.safetensors", huge);
    workshop.write("short.safetensors", "");
    workshop.write("twice.safetensors", safetensors_of(
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#,
        &[0],
    ));
    let inspect = |file: &str| workshop.run(["inspect", file]);
    inspect("huge.safetensors").rejected("header-too-large", "huge.safetensors");
    inspect("short.safetensors").rejected("header-too-short", "short.safetensors");
    inspect("twice.safetensors").rejected("json-duplicate-key", "a");
    inspect("missing").could_not_check("No such file");
    workshop.keygen("release");
    workshop.trust(1, &["release"]);
    for file in ["trust.toml", "release.key.pem", "release.pub.pem"] {
        let run = inspect(file);
        run.could_not_check("is neither a safetensors file nor a manifest");
        run.says("hint: `inspect` shows safetensors files, manifests and directories");
    }
    inspect("/dev/null").could_not_check("not a regular file");
}

#[test]
fn text_from_a_file_cannot_move_the_cursor() {
    let workshop = Workshop::new();
    let header = r#"{"__metadata__":{"note":"\u001b[2J\u202e"},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    workshop.write("model.safetensors", safetensors_of(header, &[0]));
    workshop.write("walk/\u{1b}[31m.json", "{}");
    for path in ["model.safetensors", "walk"] {
        let run = workshop.run(["inspect", path]);
        let all = format!("{}{}", run.expect(0).stdout, run.stderr);
        assert!(!all.contains(['\u{1b}', '\u{202e}']), "{all:?}");
    }
}

#[test]
fn json_is_plain_ascii() {
    let workshop = Workshop::new();
    let header = r#"{"__metadata__":{"note":"\u007f\u202e\u009b\u00e9\ud83d\ude00"},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    workshop.write("model.safetensors", safetensors_of(header, &[0]));
    let run = workshop.run(["inspect", "model.safetensors", "--json"]);
    assert_eq!(run.json()["metadata"]["note"], "\u{7f}\u{202e}\u{9b}é😀");
    let line = run.stdout.trim_end();
    assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{line}");
    let run = workshop.run(["inspect", "mi\u{202e}ssing", "--json"]);
    assert!(run.expect(2).stdout.is_ascii(), "{run:?}");
}

#[test]
fn sizes_that_do_not_add_up_are_no_trouble() {
    // tmpfs has files as large as the system can count.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    for name in ["a.json", "b.json", "c.json"] {
        let file = std::fs::File::create(folder.path().join(name)).unwrap();
        file.set_len(7 << 60).unwrap();
    }
    let workshop = Workshop::new();
    let path = folder.path().to_str().unwrap();
    let object = workshop.run(["inspect", path, "--json"]);
    assert_eq!(object.expect(0).json()["bytes"], u64::MAX);
    workshop.run(["inspect", path]).expect(0);
}
