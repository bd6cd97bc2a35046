//! Puts a case before the gate.

use std::error::Error;
use std::fmt;
use std::io;

use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tensorgate_verify::*;

use crate::case::Case;
use crate::tree;

/// What a case expects, or what was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// A rejection's code, `accept` or `could-not-check`.
    pub(crate) outcome: String,
    /// What the first rejection is about.
    pub(crate) subject: String,
    /// Codes of the other rejections.
    pub(crate) also: Vec<String>,
    /// Codes of what was let pass with a word.
    pub(crate) notices: Vec<String>,
    /// For people; of an expectation, a part of it.
    pub(crate) message: String,
}

impl Case {
    /// What its head expects.
    pub(crate) fn expectation(&self) -> Verdict {
        let list = |key| {
            self.head(key)
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect()
        };
        Verdict {
            outcome: self.head("expect").unwrap().to_owned(),
            subject: self.head("subject").unwrap_or_default().to_owned(),
            also: list("also"),
            notices: list("notice"),
            message: self.head("error").unwrap_or_default().to_owned(),
        }
    }
}

type Found = Result<Vec<Rejected>, Box<dyn Error>>;

/// The verdict on a case.
pub(crate) fn verdict(case: &Case) -> Verdict {
    let found = match case.kind() {
        "header" => header(case),
        "envelope" | "trust" => signed(case),
        "policy" => policy(case),
        kind => panic!("{kind} is no kind of case"),
    };
    match found {
        Ok(notices) => Verdict {
            outcome: "accept".into(),
            notices: codes(&notices),
            ..Verdict::default()
        },
        Err(error) => Verdict::of(&*error),
    }
}

/// The header by itself, then the file as the weights of a policy.
fn header(case: &Case) -> Found {
    let rules = rules(case);
    let bytes = case.body();
    Header::parse(bytes, bytes.len().try_into()?, &rules.limits)?;
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("model.safetensors"), bytes)?;
    Ok(Survey::new(&rules).run(&open(&folder)?)?.notices)
}

fn open(folder: &TempDir) -> io::Result<Directory> {
    Ok(Directory::new(std::fs::File::open(folder.path())?.into()))
}

/// A directory: the whole way where there is a manifest, else what a signer would see.
fn policy(case: &Case) -> Found {
    let folder = tree::make(case);
    if case.file("trust.toml").is_some() {
        return verified(case, &folder);
    }
    let (rules, externals) = (rules(case), list::<External>(case, "externals.json"));
    let reviewed_code = list::<ReviewedCode>(case, "reviewed_code.json");
    let survey = Survey::new(&rules)
        .with_externals(&externals)
        .with_reviewed_code(&reviewed_code);
    let surveyed = survey.of(repo_type(case)).run(&open(&folder)?)?;
    // What a verifier refuses in the list itself is refused to the signer as well.
    let repo = Repo::model(
        "acme/walk".parse()?,
        "0123456789abcdef0123456789abcdef01234567".parse()?,
    );
    let span = (
        "2026-11-01T00:00:00Z".parse()?,
        "2027-11-01T00:00:00Z".parse()?,
    );
    let mut manifest = Manifest::new(repo, 1, span, About::of_type("act"), surveyed.files);
    manifest.repo.repo_type = repo_type(case);
    manifest.to_payload(&rules.limits)?;
    Ok(surveyed.notices)
}

fn verified(case: &Case, folder: &TempDir) -> Found {
    let trust = trust(case)?;
    let proof = match case.head("proof") {
        Some("whole") => Proof::Whole,
        _ => Proof::Tensors,
    };
    let manifest = authenticate(case, &trust)?;
    let policy = manifest.open(&open(folder)?, proof, trust.rules())?;
    Ok(policy.notices().to_vec())
}

/// What a signer declares beside the files, as a manifest has it.
fn list<T: DeserializeOwned>(case: &Case, name: &str) -> Vec<T> {
    case.file(name)
        .map(|json| serde_json::from_slice(json).unwrap())
        .unwrap_or_default()
}

fn repo_type(case: &Case) -> RepoType {
    match case.head("repo-type") {
        Some("dataset") => RepoType::Dataset,
        _ => RepoType::Model,
    }
}

/// Of what is signed: whose signature counts for it, and for what.
fn signed(case: &Case) -> Found {
    let manifest = authenticate(case, &trust(case)?)?;
    Ok(manifest.evidence().notices.clone())
}

/// What is signed, before a trust policy and what is known beside it.
fn authenticate(case: &Case, trust: &TrustPolicy) -> Result<Verified<Manifest>, Box<dyn Error>> {
    let now = case.head("now").unwrap_or("2026-11-23T12:00:00Z");
    let mut context = Context::new(now.parse()?);
    let repo = case.head("repo").map(str::parse).transpose()?;
    let revision = case.head("revision").map(str::parse).transpose()?;
    let memory = Memory::of(case);
    (context.repo, context.revision) = (repo.as_ref(), revision.as_ref());
    context.history = memory.as_ref().map(|memory| memory as &dyn History);
    context.repo_type = repo_type(case);
    let list = case.file("revocations.dsse.json").map(|envelope| {
        let list = SignedRevocations::parse(envelope, trust.limits())?;
        trust.authenticate_revocations(&list, &context)
    });
    let list = list.transpose()?;
    context.revocations = list.as_ref();
    let envelope = case.file("policy.dsse.json").unwrap();
    let signed = SignedManifest::parse(envelope, trust.limits())?;
    Ok(trust.authenticate(&signed, &context)?)
}

/// The case's trust policy; key files are files of the case.
fn trust(case: &Case) -> Result<TrustPolicy, TrustPolicyError> {
    let text = str::from_utf8(case.file("trust.toml").unwrap()).unwrap();
    TrustPolicy::parse(text, |name| {
        let pem = case.file(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(String::from_utf8(pem.to_vec()).unwrap())
    })
}

/// What a robot remembers.
#[derive(Debug)]
struct Memory {
    /// `accepted: SEQUENCE DIGEST`, the release known before; or `lost`.
    accepted: Option<String>,
    /// `floor: INSTANT`, one that has certainly passed.
    floor: Option<String>,
}

impl Memory {
    fn of(case: &Case) -> Option<Self> {
        let [accepted, floor] = ["accepted", "floor"].map(|key| case.head(key).map(str::to_owned));
        (accepted.is_some() || floor.is_some()).then_some(Self { accepted, floor })
    }
}

impl History for Memory {
    fn last_accepted(&self, _: RepoType, _: &RepoId) -> io::Result<Option<Accepted>> {
        let accepted = |text: &String| {
            let (sequence, digest) = text.split_once(' ').ok_or(io::ErrorKind::InvalidData)?;
            Ok(Accepted::new(
                sequence.parse().unwrap(),
                digest.parse().unwrap(),
            ))
        };
        self.accepted.as_ref().map(accepted).transpose()
    }

    fn clock_floor(&self) -> io::Result<Option<jiff::Timestamp>> {
        Ok(self.floor.as_ref().map(|floor| floor.parse().unwrap()))
    }

    fn is_revoked(&self, _: &Sha256) -> io::Result<bool> {
        Ok(false)
    }
}

/// The default rules, but for what the case's head says: a line of `[content]`, one of `[limits]`.
fn rules(case: &Case) -> Rules {
    let mut rules = Rules::default();
    if let Some(line) = case.head("content") {
        rules.content = toml::from_str(line).unwrap();
    }
    if let Some(line) = case.head("limits") {
        rules.limits = toml::from_str(line).unwrap();
    }
    rules
}

impl Verdict {
    fn of(error: &(dyn Error + 'static)) -> Self {
        let message = error.to_string();
        let Some(tensorgate_verify::Error::Rejected(all)) = error.downcast_ref() else {
            return Self {
                outcome: "could-not-check".into(),
                message,
                ..Self::default()
            };
        };
        let (first, mut also) = (all.first().rejection.code(), codes(all.iter()));
        also.retain(|code| code != first);
        Self {
            outcome: first.into(),
            subject: all.first().subject.to_string(),
            also,
            message,
            ..Self::default()
        }
    }

    /// A case need not name a subject or a message.
    pub(crate) fn agrees_with(&self, expected: &Self) -> bool {
        self.outcome == expected.outcome
            && self.also == expected.also
            && self.notices == expected.notices
            && (expected.subject.is_empty() || self.subject == expected.subject)
            && self.message.contains(&expected.message)
    }
}

/// The codes, each once, in alphabetical order.
fn codes<'a>(rejections: impl IntoIterator<Item = &'a Rejected>) -> Vec<String> {
    let mut codes: Vec<String> = rejections
        .into_iter()
        .map(|found| found.rejection.code().into())
        .collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            outcome,
            subject,
            also,
            notices,
            message,
        } = self;
        write!(
            f,
            "{outcome} of {subject:?}, also {also:?}, notices {notices:?} ({message})"
        )
    }
}
