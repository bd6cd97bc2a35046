//! Where `sign` puts a manifest, and what it leaves alone.

use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::support::{REVISION, Workshop};

#[test]
fn the_manifest_can_go_elsewhere() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.policy("walk");
    workshop.trust(1, &["release"]);
    workshop.sign(&["--out", "elsewhere.dsse.json"]).expect(0);
    assert!(!workshop.path("walk/policy.dsse.json").exists());
    workshop
        .verify(&[])
        .rejected("manifest-missing", "policy.dsse.json");
    workshop
        .verify(&["--manifest", "elsewhere.dsse.json"])
        .expect(0);
    workshop
        .sign(&["--out", "missing/x.json"])
        .could_not_check("No such file");
}

#[test]
fn nothing_but_the_manifest_is_left_behind() {
    let workshop = Workshop::signed();
    workshop.sign(&["--replace"]).expect(0);
    let drafts = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.starts_with('.').then_some(name)
    };
    let left: Vec<_> = std::fs::read_dir(workshop.path(""))
        .unwrap()
        .filter_map(drafts)
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let mut names: Vec<_> = std::fs::read_dir(workshop.path("walk"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "README.md",
            "config.json",
            "model.safetensors",
            "policy.dsse.json"
        ]
    );
}

#[test]
fn nothing_but_a_manifest_is_overwritten() {
    let workshop = Workshop::signed();
    workshop.write("notes.txt", "mine");
    workshop.write("walk/policy.dsse.json", "no manifest");
    for file in ["release.key.pem", "notes.txt", "walk/policy.dsse.json"] {
        let before = workshop.read(file);
        for options in [&["--out", file][..], &["--out", file, "--replace"]] {
            let run = workshop.sign(options);
            run.could_not_check("is there and is no manifest; nothing was touched");
            run.says("\nhint: ");
            assert_eq!(workshop.read(file), before);
        }
    }
    workshop
        .sign(&["--out", "/dev/null", "--replace"])
        .could_not_check("not a regular file");
}

#[test]
fn a_manifest_is_not_put_among_the_files_that_it_signs() {
    let workshop = Workshop::signed();
    workshop.write("walk/deep/vocab.json", "{}");
    for file in [
        "walk/config.json",
        "walk/new.json",
        "walk/deep/policy.dsse.json",
    ] {
        let before = std::fs::read(workshop.path(file)).ok();
        for options in [&["--out", file][..], &["--out", file, "--replace"]] {
            workshop
                .sign(options)
                .could_not_check("is in the directory that is signed");
            assert_eq!(std::fs::read(workshop.path(file)).ok(), before);
        }
    }
    workshop
        .sign(&["--out", "walk/../walk/policy.dsse.json", "--replace"])
        .expect(0);
}

#[test]
fn a_download_is_signed_elsewhere() {
    let workshop = Workshop::signed();
    workshop.remove("walk/policy.dsse.json");
    // As `fetch` leaves it.
    let download = format!("store/quarantine/model/acme/walk/{REVISION}");
    workshop.write(&format!("{download}.lock"), "");
    std::fs::rename(workshop.path("walk"), workshop.path(&download)).unwrap();
    symlink(&download, workshop.path("walk")).unwrap();
    for options in [&[][..], &["--out", "walk/policy.dsse.json"]] {
        let run = workshop.sign(options);
        run.could_not_check("is a download: what is put there, `fetch` removes");
        run.says("hint: give --out FILE");
        assert!(!workshop.path("walk/policy.dsse.json").exists());
    }
    workshop.sign(&["--out", "walk.dsse.json"]).expect(0);
    workshop.verify(&["--manifest", "walk.dsse.json"]).expect(0);
}

#[test]
fn no_signature_is_lost_when_many_sign_at_once() {
    let workshop = Workshop::signed();
    let keys: Vec<String> = (0..8).map(|n| format!("key-{n}")).collect();
    for key in &keys {
        workshop.keygen(key);
    }
    std::thread::scope(|scope| {
        let workshop = &workshop;
        let sign = |key: &String| {
            let key = key.clone();
            scope.spawn(move || workshop.sign_as(&key, &[]).expect(0).status)
        };
        let signers: Vec<_> = keys.iter().map(sign).collect();
        // Whoever looks meanwhile finds no stranger in the directory.
        while signers.iter().any(|signer| !signer.is_finished()) {
            workshop.verify(&[]).expect(0);
        }
        for signer in signers {
            signer.join().unwrap();
        }
    });
    let envelope: Value = serde_json::from_slice(&workshop.read("walk/policy.dsse.json")).unwrap();
    assert_eq!(envelope["signatures"].as_array().unwrap().len(), 9);
    let mut all: Vec<_> = keys.iter().map(String::as_str).collect();
    all.push("release");
    workshop.trust(9, &all);
    workshop.verify(&[]).expect(0);
}
