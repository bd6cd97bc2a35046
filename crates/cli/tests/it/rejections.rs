//! Every refusal in the words of the command: the attack corpus, and what it does not have, word for
//! word in `tests/cmd/rejections.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tensorgate_verify::Rejection;

use crate::case::{Case, What};
use crate::support::{Run, Workshop};
use crate::tree;

const TOLD: &str = "tests/cmd/rejections.md";
/// Keys that anybody may know, on P-256: what the command says names them.
const SIGNER: &str = "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEINUD6Vgn0ajOvpe+xHRJ+cjUq3FfzYirmlvxZij+VCuYoAoGCCqGSM49
AwEHoUQDQgAE6d5A5fmONn9DqXZo5d0p4SX9fEjSB3LlkCr5Ex6k7Vpn7bUfdUMb
1CRhuMWK63owwZT7d9xkeGwiN2KE7sJhmw==
-----END EC PRIVATE KEY-----
";
const OTHER: &str = "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIFAuc07ZrlXSl+cP18BgR/Be/SwSxXW5uUgr9Flz9YlgoAoGCCqGSM49
AwEHoUQDQgAE7uecwuwViCimHQmCpUPxTyPHgFUhd97+cHqbeV5KeaPSBOIYc7bQ
qJ90GNCm+gSNMTJaWF4ECrn44vOcSUaU3g==
-----END EC PRIVATE KEY-----
";
const HEAD: &str = "\
What the command says of each rejection: the first attack of the corpus that the code answers, and
what to do. Written by `TRYCMD=overwrite cargo test -p tensorgate --test it rejections`.
";

/// A policy before the command, and what it says.
struct Told {
    arguments: String,
    run: Run,
}

/// Fixed keys, a fixed instant, and the corpus's own files: so each word is the same everywhere.
#[test]
fn each_rejection_is_told_with_its_hint_word_for_word() {
    let mut told = BTreeMap::new();
    for case in Case::all() {
        let code = case.head("expect").unwrap().to_owned();
        if !told.contains_key(&code)
            && let Some(tried) = of(&case, &code)
        {
            told.insert(code, (case.name.clone(), tried));
        }
    }
    for (code, name, tried) in elsewhere() {
        told.insert(code.to_owned(), (name.to_owned(), tried));
    }
    let without: Vec<_> = Rejection::ALL
        .iter()
        .map(|code| code.code())
        .filter(|code| !told.contains_key(*code))
        .collect();
    assert_eq!(without, [""; 0], "no run of the command tells these");
    let mut text = HEAD.to_owned();
    for rejection in Rejection::ALL {
        let (name, Told { arguments, run }) = &told[rejection.code()];
        text.push_str(&format!(
            "\n`{name}`\n```console\n$ tensorgate {arguments}\n{}```\n",
            run.stderr
        ));
        assert!(run.stderr.contains("\nhint: "), "{name}: {run:#?}");
    }
    compare(&text);
}

fn compare(text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(TOLD);
    if std::env::var_os("TRYCMD").is_some_and(|value| value == "overwrite") {
        fs::write(&file, text).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let differ = kept.lines().zip(text.lines()).find(|(a, b)| a != b);
    assert!(kept == text, "{TOLD} has another word: {differ:#?}");
}

/// The case before the command, if that refuses it for this code first.
fn of(case: &Case, code: &str) -> Option<Told> {
    if ["accept", "could-not-check"].contains(&code) {
        return None;
    }
    let workshop = Workshop::new();
    lay_out(case, &workshop);
    let told = match case.file("trust.toml") {
        Some(_) => verify(case, &workshop),
        None => audit(case, &workshop),
    };
    let first = format!("rejected: {code}: ");
    let is_it = told.run.status == 1 && told.run.stderr.starts_with(&first);
    is_it.then_some(told)
}

fn lay_out(case: &Case, workshop: &Workshop) {
    if case.kind() == "header" {
        workshop.write("policy/model.safetensors", case.body());
        return;
    }
    let policy = tree::make(case).keep();
    fs::rename(policy, workshop.path("policy")).unwrap();
    for (path, what) in case.below("") {
        let (Some(path), What::File(bytes)) = (path.to_str(), what) else {
            continue;
        };
        if !path.is_empty() && !path.starts_with("policy/") {
            workshop.write(path, bytes);
            workshop.chmod(path, 0o644);
        }
    }
}

fn verify(case: &Case, workshop: &Workshop) -> Told {
    let now = case.head("now").unwrap_or("2026-11-23T12:00:00Z");
    let mut arguments = format!("verify policy --trust trust.toml --now {now} --state state");
    let envelope = case.file("policy.dsse.json");
    if envelope.is_some() {
        arguments.push_str(" --manifest policy.dsse.json");
    }
    if case.file("revocations.dsse.json").is_some() {
        arguments.push_str(" --revocations revocations.dsse.json");
    }
    for option in ["repo", "repo-type", "revision"] {
        if let Some(value) = case.head(option) {
            arguments.push_str(&format!(" --{option} {value}"));
        }
    }
    if case.head("proof") == Some("whole") {
        arguments.push_str(" --full");
    }
    if let Some((sequence, digest)) = case.head("accepted").and_then(|text| text.split_once(' ')) {
        remember(workshop, sequence, digest);
    }
    let run = workshop.run(arguments.split(' '));
    Told { arguments, run }
}

/// A release that was accepted before.
fn remember(workshop: &Workshop, sequence: &str, digest: &str) {
    let record = format!(
        r#"{{"type":"model","repo":"acme/walk","sequence":{sequence},"manifest":"{digest}"}}"#
    );
    workshop.write("state/rollback/model--acme--walk.json", record);
    workshop.write("state/index.json", r#"{"repos":["model--acme--walk"]}"#);
    workshop.chmod("state", 0o700);
    workshop.chmod("state/rollback", 0o700);
}

fn audit(case: &Case, workshop: &Workshop) -> Told {
    let mut arguments = "audit policy".to_owned();
    if case.head("content").is_some() || case.head("limits").is_some() {
        workshop.keygen("release");
        workshop.trust(1, &["release"]);
        let mut trust = String::from_utf8(workshop.read("trust.toml")).unwrap();
        for table in ["content", "limits"] {
            let line = case.head(table).unwrap_or_default();
            trust.push_str(&format!("[{table}]\n{line}\n"));
        }
        workshop.write("trust.toml", trust);
        arguments.push_str(" --trust trust.toml");
    }
    let run = workshop.run(arguments.split(' '));
    Told { arguments, run }
}

/// What only the command itself finds, or another crate.
fn elsewhere() -> Vec<(&'static str, &'static str, Told)> {
    let workshop = Workshop::signed();
    workshop.remove("walk/policy.dsse.json");
    let run = |arguments: &str| Told {
        arguments: arguments.to_owned(),
        run: workshop.run(arguments.split(' ')),
    };
    let verify = "verify walk --trust trust.toml";
    let missing = ("manifest-missing", "nobody signed", run(verify));
    workshop.secret("ec.key.pem", SIGNER);
    workshop
        .run(["sign", "walk", "--format", "oms", "--key", "ec.key.pem"])
        .expect(0);
    let oms = format!("{verify} --oms walk/model.sig --repo acme/walk");
    let unsupported = ("oms-unsupported", "no [[oms]] for it", run(&oms));
    workshop.secret("other.key.pem", OTHER);
    workshop.openssl(&[
        "ec",
        "-in",
        "other.key.pem",
        "-pubout",
        "-out",
        "other.pub.pem",
    ]);
    let trust = String::from_utf8(workshop.read("trust.toml")).unwrap();
    workshop.write(
        "trust.toml",
        format!("{trust}[[oms]]\nrepos = [\"acme/walk\"]\npublic_key_file = \"other.pub.pem\"\n"),
    );
    let invalid = ("oms-signature-invalid", "another key's bundle", run(&oms));
    let short = (
        "revision-not-pinned",
        "a commit in short",
        run("fetch acme/walk@0123456"),
    );
    vec![missing, unsupported, invalid, short]
}
