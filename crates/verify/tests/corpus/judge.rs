//! Puts a case before the gate.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use tensorgate_verify::*;

use crate::case::Case;

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

type Found = Result<Vec<Rejected>, Box<dyn Error>>;

/// The verdict on a case.
pub(crate) fn verdict(case: &Case) -> Verdict {
    let found = match case.kind() {
        "header" => header(case),
        "envelope" | "trust" => authenticate(case).map(|_| Vec::new()),
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
    survey(folder.path(), &rules)
}

fn survey(folder: &Path, rules: &Rules) -> Found {
    let directory = Directory::new(std::fs::File::open(folder)?.into());
    Ok(Survey::new(rules).run(&directory)?.notices)
}

/// What is signed, before a trust policy and what is known beside it.
fn authenticate(case: &Case) -> Result<Verified<Manifest>, Box<dyn Error>> {
    let trust = trust(case)?;
    let envelope = case.file("policy.dsse.json").unwrap();
    let signed = SignedManifest::parse(envelope, trust.limits())?;
    let now = case.head("now").unwrap_or("2026-11-23T12:00:00Z");
    let mut context = Context::new(now.parse()?);
    let repo = case.head("repo").map(str::parse).transpose()?;
    let revision = case.head("revision").map(str::parse).transpose()?;
    let memory = case.head("accepted").map(Memory::of);
    (context.repo, context.revision) = (repo.as_ref(), revision.as_ref());
    context.history = memory.as_ref().map(|memory| memory as &dyn History);
    if case.head("repo-type") == Some("dataset") {
        context.repo_type = RepoType::Dataset;
    }
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

/// `SEQUENCE DIGEST` of the release known before; `never`, `lost`.
#[derive(Debug)]
enum Memory {
    Of(Accepted),
    Never,
    Lost,
}

impl Memory {
    fn of(text: &str) -> Self {
        match text.split_once(' ') {
            Some((sequence, digest)) => Self::Of(Accepted::new(
                sequence.parse().unwrap(),
                digest.parse().unwrap(),
            )),
            None if text == "never" => Self::Never,
            None => Self::Lost,
        }
    }
}

impl History for Memory {
    fn last_accepted(&self, _: RepoType, _: &RepoId) -> io::Result<Option<Accepted>> {
        match self {
            Self::Of(accepted) => Ok(Some(*accepted)),
            Self::Never => Ok(None),
            Self::Lost => Err(io::Error::other("lost")),
        }
    }
}

/// The default rules, but for what the case's head says: a line of `[content]`, one of `[limits]`.
fn rules(case: &Case) -> Rules {
    let mut rules = Rules::default();
    if let Some(line) = case.head("content") {
        rules.content = toml::from_str(line).unwrap();
    }
    match case.head("limits").and_then(|line| line.split_once(" = ")) {
        None => {}
        Some(("tensors", most)) => rules.limits.tensors = most.parse().unwrap(),
        Some(other) => panic!("{other:?} is no limit that a case may set"),
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
