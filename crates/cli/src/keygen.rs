//! `tensorgate keygen`: a pair of keys.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Map, json};
use tensorgate_verify::SigningKey;

use crate::args::Keygen;
use crate::disk;
use crate::failure::Failure;
use crate::keys;
use crate::output::Report;

pub(crate) fn run(args: &Keygen) -> Result<Report, Failure> {
    let private = PathBuf::from(format!("{}.key.pem", args.out));
    let public = PathBuf::from(format!("{}.pub.pem", args.out));
    let name = key_name(&args.out)?;
    let passphrase = args
        .passphrase_file
        .as_deref()
        .map(keys::passphrase)
        .transpose()?;
    let key = keys::generate().map_err(|error| {
        Failure::about(
            &private,
            format!("the system gave no random numbers: {error}"),
        )
    })?;
    write_pair(
        &key,
        passphrase.as_ref().map(|p| p.as_slice()),
        &private,
        &public,
    )?;
    Ok(report(&key, name, &private, &public))
}

/// The key's name in a trust policy: the last part of NAME.
fn key_name(out: &str) -> Result<&str, Failure> {
    match out.rsplit('/').next() {
        Some(name) if !["", ".", ".."].contains(&name) => Ok(name),
        _ => {
            let failure = Failure::about(Path::new(out), format!("{out:?} names no file"));
            Err(failure
                .hint("--out release-2026 makes release-2026.key.pem and release-2026.pub.pem"))
        }
    }
}

fn write_pair(
    key: &SigningKey,
    passphrase: Option<&[u8]>,
    private: &Path,
    public: &Path,
) -> Result<(), Failure> {
    let private_pem = keys::to_pem(key, passphrase).map_err(|why| Failure::about(private, why))?;
    let public_pem = key
        .public_pem()
        .map_err(|error| Failure::about(public, error))?;
    let create = |path: &Path, mode, text: &str| {
        disk::create(path, mode, text.as_bytes()).map_err(|error| {
            let failure = Failure::io("create", path, &error);
            match error.kind() {
                ErrorKind::AlreadyExists => {
                    failure.hint("keys are never overwritten: choose another --out")
                }
                _ => failure,
            }
        })
    };
    create(private, 0o600, &private_pem)?;
    create(public, 0o644, &public_pem).inspect_err(|_| {
        // Half a pair is of no use; this process made the file a moment ago.
        std::fs::remove_file(private).ok();
    })?;
    disk::sync_parent(private).map_err(|error| Failure::io("write", private, &error))
}

fn report(key: &SigningKey, name: &str, private: &Path, public: &Path) -> Report {
    let id = key.public().id().to_string();
    // A JSON string is also a TOML string.
    let toml_string = |text: &str| serde_json::Value::from(text).to_string();
    let public_name = format!("{name}.pub.pem");
    let more = json!({ "key": id, "private_key_file": private, "public_key_file": public });
    Report {
        verdict: Some("done"),
        subject: name.to_owned(),
        prose: vec![
            format!("made {private:?}, which signs: keep it secret"),
            format!("made {public:?}, which verifies: give it to the robots"),
            format!("key id {id}"),
            "for trust.toml beside the public key, after a line such as `threshold = 1`:"
                .to_owned(),
        ],
        data: format!(
            "[[keys]]\nname = {}\npublic_key_file = {}\n",
            toml_string(name),
            toml_string(&public_name)
        ),
        more: more.as_object().cloned().unwrap_or_else(Map::new),
        ..Report::default()
    }
}
