//! The set of files is exactly the manifest's, and each is what was signed.

use std::fs;
use std::os::unix::fs::{FileExt, symlink};

use crate::support::*;
use tensorgate_verify::*;

#[test]
fn an_honest_directory_becomes_a_policy() {
    let policy = Fixture::new().open().unwrap();
    assert_eq!(policy.files().len(), 4);
    assert_eq!(
        policy.file("config.json").unwrap().bytes(),
        CONFIG.as_bytes()
    );
    let weight = policy.tensor("actor.weight").unwrap();
    assert_eq!(weight.shape(), [6]);
    assert_eq!(weight.data()[4..8], 1.0_f32.to_le_bytes());
    assert!(
        policy.tensor("gripper.mean").is_none(),
        "statistics are not weights"
    );
    let statistics = policy
        .tensor_files()
        .find(|f| f.kind() == Kind::ProcessorState)
        .unwrap();
    assert_eq!(statistics.tensor("gripper.mean").unwrap().shape(), [12]);
}

#[test]
fn the_manifest_may_lie_beside_the_files() {
    let fixture = Fixture::new();
    fs::write(fixture.path(MANIFEST_FILE), fixture.signed().to_bytes()).unwrap();
    assert!(fixture.open().is_ok());
}

#[test]
fn each_flipped_byte_is_found_and_named() {
    let fixture = Fixture::new();
    let path = fixture.path("model.safetensors");
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let len = file.metadata().unwrap().len();
    for at in [0, 7, 8, 20, len / 2, len - 1] {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        assert_eq!(fixture.refusal(), Rejection::DigestMismatch, "byte {at}");
        file.write_all_at(&byte, at).unwrap();
    }
    assert!(fixture.open().is_ok());
}

#[test]
fn files_that_are_not_as_signed_are_refused() {
    let cases: &[(&str, &dyn Fn(&Fixture), Rejection)] = &[
        (
            "missing",
            &|f| fs::remove_file(f.path("config.json")).unwrap(),
            Rejection::FileMissing,
        ),
        (
            "unexpected",
            &|f| fs::write(f.path("extra.json"), "{}").unwrap(),
            Rejection::FileUnexpected,
        ),
        (
            "dotfile",
            &|f| fs::write(f.path(".hidden"), "").unwrap(),
            Rejection::FileUnexpected,
        ),
        (
            "below",
            &|f| {
                fs::create_dir_all(f.path("a/b")).unwrap();
                fs::write(f.path("a/b/c.json"), "{}").unwrap();
            },
            Rejection::FileUnexpected,
        ),
        (
            "git",
            &|f| fs::create_dir(f.path(".git")).unwrap(),
            Rejection::FileNameUnsafe,
        ),
        (
            "control character",
            &|f| fs::write(f.path("a\u{1b}[2J"), "").unwrap(),
            Rejection::FileNameUnsafe,
        ),
        (
            "longer",
            &|f| fs::write(f.path("config.json"), format!("{CONFIG} ")).unwrap(),
            Rejection::SizeMismatch,
        ),
        (
            "changed",
            &|f| fs::write(f.path("config.json"), CONFIG.replace('2', "9")).unwrap(),
            Rejection::DigestMismatch,
        ),
        (
            "link beside its target",
            &|f| {
                fs::rename(f.path("config.json"), f.path("target.json")).unwrap();
                symlink("target.json", f.path("config.json")).unwrap();
            },
            Rejection::FileNotRegular,
        ),
        (
            "fifo",
            &|f| {
                let path = f.path("config.json");
                fs::remove_file(&path).unwrap();
                assert!(
                    std::process::Command::new("mkfifo")
                        .arg(path)
                        .status()
                        .unwrap()
                        .success()
                );
            },
            Rejection::FileNotRegular,
        ),
        (
            "socket",
            &|f| {
                let socket = std::os::unix::net::UnixListener::bind(f.path("s")).unwrap();
                drop(socket);
            },
            Rejection::FileNotRegular,
        ),
        (
            "deep",
            &|f| fs::create_dir_all(f.path(&"d/".repeat(20))).unwrap(),
            Rejection::FileNameUnsafe,
        ),
    ];
    for (name, tamper, expected) in cases {
        let fixture = Fixture::new();
        tamper(&fixture);
        assert_eq!(fixture.refusal(), *expected, "{name}");
    }
}

#[test]
fn all_rejections_of_a_run_are_reported() {
    let fixture = Fixture::new();
    fs::write(fixture.path("extra.py"), "import os").unwrap();
    fs::remove_file(fixture.path("config.json")).unwrap();
    let Err(Error::Rejected(all)) = fixture.open() else {
        panic!("rejected")
    };
    let codes: Vec<_> = all
        .iter()
        .map(|rejected| rejected.rejection.code())
        .collect();
    assert_eq!(codes, ["file-unexpected", "file-missing"]);
}

#[test]
fn whole_file_digests_are_checked_when_asked_for() {
    // Header and tensors are as signed; only the whole-file digest in the manifest is another's.
    let fixture = Fixture::new();
    let mut manifest = fixture.manifest.clone();
    manifest.files[1].blake3 = Blake3::of(b"another file");
    let open = |proof| {
        let verified = trust(1, &[1])
            .authenticate(&sign(&manifest, &[1]), &context())
            .unwrap();
        verified.open(&directory(fixture.folder.path()), proof, &Rules::default())
    };
    assert!(open(Proof::Tensors).is_ok());
    assert_eq!(refusal(open(Proof::Whole)), Rejection::DigestMismatch);
}

#[test]
fn verified_bytes_outlive_their_file() {
    let fixture = Fixture::new();
    let policy = fixture.open().unwrap();
    let before = policy.file("model.safetensors").unwrap().bytes().to_vec();
    fs::write(fixture.path("model.safetensors"), "gone").unwrap();
    assert_eq!(policy.file("model.safetensors").unwrap().bytes(), before);
}

#[test]
fn what_a_signer_would_vouch_for_is_checked_first() {
    let cases: &[(&str, &[u8], Rejection)] = &[
        (
            "model.safetensors",
            b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
            Rejection::FormatPickle,
        ),
        (
            "model.safetensors",
            b"PK\x03\x04\0\0\0\0archive/data.pkl",
            Rejection::FormatArchive,
        ),
        (
            "model.safetensors",
            b"version https://git-lfs.github.com/spec/v1\n",
            Rejection::FormatUnknown,
        ),
        (
            "model.safetensors",
            b"\x10\0\0\0",
            Rejection::HeaderTooShort,
        ),
        (
            "pytorch_model.bin",
            b"\x80\x02}q\0.",
            Rejection::FormatPickle,
        ),
        ("run.sh", b"#!/bin/sh\n", Rejection::FormatExecutable),
        (
            "policy.onnx",
            b"\x08\x07\x12\x07pytorch",
            Rejection::FormatUnknown,
        ),
        ("modeling.py", b"import os\n", Rejection::CodeUnreviewed),
        (
            "config.json",
            b"{\"type\": \"a\", \"type\": \"b\"}",
            Rejection::JsonDuplicateKey,
        ),
        ("config.json", b"{\"type\": NaN}", Rejection::JsonMalformed),
        ("README.md", b"\x7fELF\x02\x01", Rejection::FormatExecutable),
        ("README.md", b"a\0b", Rejection::FormatUnknown),
        ("LICENSE", b"\x1b[2J", Rejection::FormatUnknown),
        (
            "tokenizer.json",
            b"{\"a\": \"\x1b\"}",
            Rejection::JsonMalformed,
        ),
        ("merges.txt", b"\xff\xfe", Rejection::FormatUnknown),
        ("config.json", b"[1]", Rejection::JsonMalformed),
        ("a b\n.md", b"# Card", Rejection::FileNameUnsafe),
    ];
    for (name, bytes, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), bytes).unwrap();
        let found = refusal(survey(folder.path()));
        assert_eq!(found, *expected, "{name}");
    }
}

#[test]
fn text_has_page_ends_and_vocabularies_have_odd_characters() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("LICENSE"), "Terms\n\x0cMore\n").unwrap();
    fs::write(
        folder.path().join("tokenizer.json"),
        "{\"\u{92}\": \"\u{7f}\"}",
    )
    .unwrap();
    assert_eq!(survey(folder.path()).unwrap().len(), 2);
}

#[test]
fn a_tensor_is_in_one_file_of_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name, tensors| fs::write(folder.path().join(name), weights(tensors)).unwrap();
    write("model.safetensors", &[("same", 3)]);
    write("adapter_model.safetensors", &[("other", 3), ("same", 4)]);
    let files = survey(folder.path()).unwrap();
    let manifest = Manifest::new(repo(), 1, validity(), About::of_type("t"), files);
    let refused = refusal(SignedManifest::sign(&manifest, &key(1), &Limits::default()));
    assert_eq!(refused, Rejection::ManifestMalformed);
}

#[test]
fn a_bad_header_costs_no_memory() {
    // 60 GiB, of which nothing is on the disk: copied, they would be more than this machine has.
    let folder = tempfile::tempdir().unwrap();
    let file = fs::File::create(folder.path().join("model.safetensors")).unwrap();
    file.write_all_at(&[0xff; 8], 0).unwrap();
    file.set_len(60 << 30).unwrap();
    let found = refusal(survey(folder.path()));
    assert_eq!(found, Rejection::HeaderTooLarge);
}

#[test]
fn tensors_are_found_by_name() {
    let fixture = Fixture::new();
    let policy = fixture.open().unwrap();
    let file = policy.file("model.safetensors").unwrap();
    for (name, view) in file.tensors() {
        assert_eq!(
            file.tensor(name).unwrap().data().as_ptr(),
            view.data().as_ptr()
        );
    }
    assert!(
        file.tensor("actor").is_none() && file.tensor("").is_none() && file.tensor("z").is_none()
    );
}

#[test]
fn twins_and_empty_directories_are_not_signed() {
    let folder = tempfile::tempdir().unwrap();
    let survey = || refusal(survey(folder.path()));
    assert_eq!(survey(), Rejection::FileMissing);
    fs::write(folder.path().join("README.md"), "a").unwrap();
    fs::write(folder.path().join("readme.md"), "b").unwrap();
    assert_eq!(survey(), Rejection::FileNameCollision);
}

#[test]
fn benign_headers_may_begin_like_a_pickle() {
    let mut header = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#.to_vec();
    header.resize(640, b' ');
    let file = [&640_u64.to_le_bytes()[..], &header, &[0; 4]].concat();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("model.safetensors"), file).unwrap();
    assert_eq!(survey(folder.path()).unwrap().len(), 1);
}

#[test]
fn names_mean_the_same_on_every_file_system() {
    for name in [
        "NUL",
        "con.json",
        "aux .md",
        "Com1.safetensors",
        "tokenizer/LPT9",
        "CONIN$",
        ".GIT/config",
        "GIT~1/config.json",
        "a.",
        "a ",
        "a:b",
        "a\\b",
        "caf\u{e9}.md",
        "\u{ff23}ON",
        "..",
    ] {
        let error = name.parse::<FilePath>().unwrap_err();
        assert_eq!(error.rejection(), Some(Rejection::FileNameUnsafe), "{name}");
    }
    for name in [
        "console.md",
        "com.json",
        "com10.json",
        "null.json",
        "lpt.md",
        "git~2",
    ] {
        assert!(name.parse::<FilePath>().is_ok(), "{name}");
    }
}
