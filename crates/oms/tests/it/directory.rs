//! A directory beside what was signed.

use blake2::{Blake2b512, Digest};
use serde_json::{Value, json};
use tensorgate_oms::{EcSigningKey, NOT_PROMISED, Statement, sign};
use tensorgate_verify::{Blake3, Limits, Rejection, Rules, Survey};

use crate::support::*;

/// A policy and the statement about it, as somebody trusted signed it.
fn good() -> (Policy, Statement) {
    let policy = Policy::new();
    let statement = signed(&statement(&resources(&policy))).unwrap();
    (policy, statement)
}

#[test]
fn a_directory_is_what_was_signed() {
    let (policy, statement) = good();
    policy.write("model.sig", b"the bundle itself");
    let attested = policy.open(&statement).unwrap();
    let paths: Vec<_> = attested
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(paths, ["config.json", "model.safetensors"]);
    assert_eq!(attested.signers, statement.signers());
    assert_eq!(attested.statement, statement.digest());
    assert!(!NOT_PROMISED.is_empty());
}

#[test]
fn changed_bytes_are_refused() {
    let (policy, statement) = good();
    policy.write("config.json", br#"{"type": "MLP"}"#);
    refused(
        policy.open(&statement),
        Rejection::DigestMismatch,
        "config.json",
    );
}

#[test]
fn a_file_that_was_not_signed_is_refused_those_of_git_too() {
    for name in [".gitattributes", "LICENSE", "assets/NOTICE", "model.sig.md"] {
        let policy = Policy::new();
        let mut text = statement(&resources(&policy));
        text["predicate"]["serialization"]["ignore_paths"] = json!([name]);
        let statement = signed(&text).unwrap();
        policy.write(name, b"text");
        refused(policy.open(&statement), Rejection::FileUnexpected, name);
    }
}

#[test]
fn a_file_of_git_passes_if_it_was_signed() {
    let policy = Policy::new();
    policy.write(".gitattributes", b"*.safetensors filter=lfs\n");
    let mut list = resources(&policy);
    list.insert(
        0,
        resource(".gitattributes", &sha256(&policy.read(".gitattributes"))),
    );
    policy.open(&signed(&statement(&list)).unwrap()).unwrap();
}

#[test]
fn a_file_that_is_not_there_is_refused() {
    let (policy, statement) = good();
    policy.remove("config.json");
    refused(
        policy.open(&statement),
        Rejection::FileMissing,
        "config.json",
    );
}

#[test]
fn every_difference_is_reported() {
    let (policy, statement) = good();
    policy.remove("config.json");
    policy.write("LICENSE", b"text");
    let error = policy.open(&statement).unwrap_err();
    assert!(error.to_string().contains("(and 1 more)"), "{error}");
}

#[test]
fn links_are_refused_whatever_the_signer_allowed() {
    let policy = Policy::new();
    let mut text = statement(&resources(&policy));
    text["predicate"]["serialization"]["allow_symlinks"] = json!(true);
    let statement = signed(&text).unwrap();
    std::fs::rename(
        policy.dir().join("config.json"),
        policy.beside("config.json"),
    )
    .unwrap();
    std::os::unix::fs::symlink("../config.json", policy.dir().join("config.json")).unwrap();
    refused(
        policy.open(&statement),
        Rejection::FileNotRegular,
        "config.json",
    );
}

/// The layout of the Hub's cache: names under `snapshots`, links into `blobs`. A copy that follows
/// the links verifies; the cache itself, which anybody may rewrite, does not.
#[test]
fn a_cache_of_links_is_copied_first() {
    let (policy, statement) = good();
    let blobs = policy.beside("blobs");
    std::fs::rename(policy.dir(), &blobs).unwrap();
    std::fs::create_dir(policy.dir()).unwrap();
    for name in ["config.json", "model.safetensors"] {
        let link = policy.dir().join(name);
        std::os::unix::fs::symlink(format!("../blobs/{name}"), link).unwrap();
    }
    let error = policy.open(&statement).unwrap_err();
    assert_eq!(error.rejection(), Some(Rejection::FileNotRegular));
    let copied = std::process::Command::new("cp")
        .arg("-RL")
        .args([policy.dir(), policy.beside("copy")])
        .status();
    assert!(copied.unwrap().success());
    std::fs::remove_dir_all(policy.dir()).unwrap();
    std::fs::rename(policy.beside("copy"), policy.dir()).unwrap();
    policy.open(&statement).unwrap();
}

#[test]
fn a_signature_does_not_excuse_content() {
    let policy = Policy::new();
    policy.write("config.json", b"\x80\x04\x95 a pickle");
    let statement = signed(&statement(&resources(&policy))).unwrap();
    refused(
        policy.open(&statement),
        Rejection::FormatPickle,
        "config.json",
    );
}

/// What a hash makes of bytes, in hex.
type Hash = fn(&[u8]) -> String;

const HASHES: [(&str, Hash); 3] = [
    ("sha256", sha256),
    ("blake3", |bytes| Blake3::of(bytes).to_string()),
    ("blake2b", |bytes| {
        base16ct::lower::encode_string(&Blake2b512::digest(bytes))
    }),
];

#[test]
fn files_and_shards_are_compared_by_each_hash() {
    for (name, hash) in HASHES {
        for shard in [None, Some(100)] {
            let policy = Policy::new();
            let statement = signed(&described(&policy, name, hash, shard)).unwrap();
            policy.open(&statement).unwrap();
            policy.write("config.json", br#"{"type": "MLP"}"#);
            refused(
                policy.open(&statement),
                Rejection::DigestMismatch,
                "config.json",
            );
        }
    }
}

/// The statement about a policy with this hash, by files or by shards.
fn described(policy: &Policy, name: &str, hash: Hash, shard: Option<usize>) -> Value {
    let mut list = Vec::new();
    for file in ["config.json", "model.safetensors"] {
        let bytes = policy.read(file);
        let mut start = 0;
        for part in bytes.chunks(shard.unwrap_or(bytes.len())) {
            let end = start + part.len();
            let title = match shard {
                Some(_) => format!("{file}:{start}:{end}"),
                None => file.to_owned(),
            };
            list.push(json!({"name": title, "algorithm": name, "digest": hash(part)}));
            start = end;
        }
    }
    let mut statement = statement(&list);
    let serialization = &mut statement["predicate"]["serialization"];
    serialization["hash_type"] = json!(name);
    if let Some(size) = shard {
        serialization["method"] = json!("shards");
        serialization["shard_size"] = json!(size);
    }
    statement
}

#[test]
fn shards_fix_the_length_and_empty_files_are_no_exception() {
    let policy = Policy::new();
    let statement = signed(&described(&policy, "sha256", sha256, Some(100))).unwrap();
    policy.write("LICENSE", b"");
    refused(
        policy.open(&statement),
        Rejection::FileUnexpected,
        "LICENSE",
    );
    policy.remove("LICENSE");
    policy.write("config.json", br#"{"type": "mlp"} "#);
    refused(
        policy.open(&statement),
        Rejection::SizeMismatch,
        "config.json",
    );
}

#[test]
fn one_file_signed_without_its_name_is_the_only_one() {
    let policy = Policy::new();
    policy.remove("config.json");
    let list = [resource(".", &sha256(&policy.read("model.safetensors")))];
    let statement = signed(&statement(&list)).unwrap();
    let remarks = policy.open(&statement).unwrap().remarks;
    assert_eq!(remarks, ["the name of the one file was not signed"]);

    policy.write("config.json", br#"{"type": "mlp"}"#);
    refused(
        policy.open(&statement),
        Rejection::FileUnexpected,
        "config.json",
    );
}

#[test]
fn what_is_signed_here_is_verified_here() {
    let policy = Policy::new();
    let key = Key::p256(7);
    let secret = EcSigningKey::from_pem(&key.private_pem()).unwrap();
    let (rules, limits) = (Rules::default(), Limits::default());
    let surveyed = Survey::new(&rules).run(&policy.directory()).unwrap();
    let bytes = sign(&surveyed.files, "walk", &["model.sig"], &secret, &limits).unwrap();
    let statement = authenticate_bytes(&bytes, &[key.anchor()], now()).unwrap();
    policy.write("model.sig", &bytes);
    assert_eq!(policy.open(&statement).unwrap().files, surveyed.files);
    assert_eq!(secret.public(), &key.public());
    // Nobody is given what a reader would refuse.
    refused(
        sign(&[], "walk", &[], &secret, &limits),
        Rejection::ManifestMalformed,
        "resources",
    );
}
