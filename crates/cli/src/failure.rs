//! Why there is no verdict to be glad of: rejected, or could not check.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

use tensorgate_hub::{AdmitError, ConfigError, FetchError};
use tensorgate_store::StoreError;
use tensorgate_verify::{Error, Rejection, Rejections};

use crate::hints;

/// What ends a command without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Checked and refused: exit status 1.
    Rejected(Vec<Finding>),
    /// Could not check, or wrong usage: exit status 2.
    Error(Trouble),
}

/// One refusal.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) rejection: Rejection,
    pub(crate) subject: String,
    pub(crate) detail: String,
    hint: Option<String>,
}

/// What stood in the way of a check.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// What it is about: a file, a directory, a URL.
    pub(crate) subject: String,
    /// What happened, in full.
    pub(crate) detail: String,
    /// What to do.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// Something that was not a verdict, about `path`.
    pub(crate) fn about(path: &Path, detail: impl fmt::Display) -> Self {
        Self::Error(Trouble {
            subject: path.display().to_string(),
            detail: detail.to_string(),
            hint: None,
        })
    }

    /// An operation on `path` that the system refused.
    pub(crate) fn io(action: &str, path: &Path, source: &io::Error) -> Self {
        Self::about(path, format!("could not {action} {path:?}: {source}"))
    }

    /// A rejection that this command finds itself.
    pub(crate) fn rejected(rejection: Rejection, subject: &str, detail: impl fmt::Display) -> Self {
        let finding = Finding::new(rejection, subject.to_owned(), detail.to_string());
        Self::Rejected(vec![finding])
    }

    /// The same with what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = Some(hint.into());
        match &mut self {
            Self::Error(trouble) => trouble.hint = hint,
            Self::Rejected(all) => {
                if let Some(first) = all.first_mut() {
                    first.hint = hint;
                }
            }
        }
        self
    }

    /// The same with what to do about some of the findings.
    pub(crate) fn hint_where(mut self, about: impl Fn(&Finding) -> bool, hint: &str) -> Self {
        if let Self::Rejected(all) = &mut self {
            for finding in all.iter_mut().filter(|finding| about(finding)) {
                finding.hint = Some(hint.to_owned());
            }
        }
        self
    }

    /// The same with what follows from it.
    pub(crate) fn note(mut self, what: &str) -> Self {
        if let Self::Error(trouble) = &mut self {
            trouble.detail = format!("{}; {what}", trouble.detail);
        }
        self
    }

    /// What happened and what to do, as one that speaks of it among other things needs them.
    pub(crate) fn told(&self) -> (String, Option<String>) {
        match self {
            Self::Error(trouble) => (trouble.detail.clone(), trouble.hint.clone()),
            Self::Rejected(all) => {
                let told = |found: &Finding| format!("{}: {}", found.rejection, found.detail);
                let told: Vec<String> = all.iter().map(told).collect();
                let hint = all.first().map(|first| first.hint().to_owned());
                (told.join("; "), hint)
            }
        }
    }

    /// The same, where nothing better is known.
    pub(crate) fn or_hint(mut self, hint: &str) -> Self {
        if let Self::Error(trouble) = &mut self {
            trouble.hint.get_or_insert_with(|| hint.to_owned());
        }
        self
    }
}

impl Finding {
    pub(crate) const fn new(rejection: Rejection, subject: String, detail: String) -> Self {
        let hint = None;
        Self {
            rejection,
            subject,
            detail,
            hint,
        }
    }

    /// The same with what to do about it.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> &str {
        let of_its_kind = hints::of(self.rejection);
        self.hint.as_deref().unwrap_or(of_its_kind)
    }
}

impl From<&Rejections> for Failure {
    fn from(all: &Rejections) -> Self {
        let finding = |rejected: &tensorgate_verify::Rejected| Finding {
            rejection: rejected.rejection,
            subject: rejected.subject.to_string(),
            detail: rejected.detail.to_string(),
            hint: None,
        };
        Self::Rejected(all.iter().map(finding).collect())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Rejected(all) => all.into(),
            Error::Io { subject, source } if &**subject == "signature" => {
                let detail = format!("could not sign: {source}; nothing was signed");
                let hint = "`ssh-add -L` lists the keys that the agent has";
                Self::about(Path::new("signature"), detail).hint(hint)
            }
            Error::Io { subject, source } => match store_error(source) {
                Some(error) => error.into(),
                None => Self::Error(Trouble {
                    subject: subject.to_string(),
                    detail: error.to_string(),
                    // The one thing that a proof demands and does not find.
                    hint: (source.kind() == ErrorKind::NotFound && &**subject == "rollback state")
                        .then(|| "make the store ready, once: `tensorgate store init`".to_owned()),
                }),
            },
            other => Self::Error(Trouble {
                subject: String::new(),
                detail: other.to_string(),
                hint: None,
            }),
        }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        match &error {
            FetchError::Rejected {
                rejection,
                subject,
                detail,
            } => Self::rejected(*rejection, subject, detail),
            FetchError::Store(error) => error.into(),
            other => Self::Error(Trouble {
                subject: subject_of_fetch(other),
                detail: other.to_string(),
                hint: other.hint().map(str::to_owned),
            }),
        }
    }
}

impl From<AdmitError> for Failure {
    fn from(error: AdmitError) -> Self {
        match error {
            AdmitError::Check(error) => error.into(),
            AdmitError::Store(error) => error.into(),
            AdmitError::Fetch(error) => error.into(),
            other => Self::Error(Trouble {
                subject: String::new(),
                detail: other.to_string(),
                hint: None,
            }),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let endpoint = matches!(error, ConfigError::Endpoint { .. });
        let failure = Self::from(FetchError::from(error));
        match endpoint {
            true => failure.or_hint("an address is written in full: https://huggingface.co"),
            false => failure,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        (&error).into()
    }
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        if let StoreError::Superseded { .. } = error {
            return Self::rejected(Rejection::ManifestRollback, "sequence", error);
        }
        Self::Error(Trouble {
            subject: subject_of_store(error),
            detail: error.to_string(),
            hint: hint_of_store(error).map(str::to_owned),
        })
    }
}

/// The memory against rollback speaks through an I/O error.
fn store_error(source: &io::Error) -> Option<&StoreError> {
    source.get_ref()?.downcast_ref()
}

fn subject_of_fetch(error: &FetchError) -> String {
    match error {
        FetchError::Refused(refused) => refused.url.to_string(),
        FetchError::NotTrusted { url, .. }
        | FetchError::Unreachable { url, .. }
        | FetchError::TimedOut { url, .. }
        | FetchError::Malformed { url, .. } => url.to_string(),
        FetchError::TooLarge { what, .. } => what.to_string(),
        FetchError::Offline { target, .. } => target.to_string(),
        FetchError::Cache { path, .. } => path.display().to_string(),
        FetchError::NoDigest { path } => path.to_string(),
        FetchError::NotATarget { text } => text.to_string(),
        _ => String::new(),
    }
}

fn subject_of_store(error: &StoreError) -> String {
    match error {
        StoreError::Io { path, .. }
        | StoreError::NotPrivate { path, .. }
        | StoreError::State { path, .. }
        | StoreError::NoSpace { path, .. }
        | StoreError::Quota { path, .. }
        | StoreError::QuotaUnreadable { path, .. }
        | StoreError::Foreign { path, .. } => path.display().to_string(),
        _ => String::new(),
    }
}

/// Where the command knows more than the store what there is to do.
fn hint_of_store(error: &StoreError) -> Option<&'static str> {
    match error {
        StoreError::Io { source, .. }
            if matches!(
                source.kind(),
                ErrorKind::AlreadyExists | ErrorKind::NotADirectory
            ) =>
        {
            Some("something that is no directory has this name: give another")
        }
        StoreError::State { .. } => Some(
            "restore it from a backup, or move the whole state away: then older releases are accepted again",
        ),
        other => other.hint(),
    }
}
