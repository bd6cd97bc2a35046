//! Two ways to fail, never mixed up: *checked and refused*, or *could not check*.

use std::fmt;
use std::io;

use crate::survey::Undecided;
use crate::{Rejection, Severity};

/// Why there is no verified value.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// It could not be checked: an operation on a handle failed. Nothing is known about the bytes.
    Io {
        /// The file or step that failed.
        subject: Box<str>,
        /// What the system said.
        source: io::Error,
    },
    /// It was checked and refused.
    Rejected(Rejections),
}

/// One refusal: which rule, about what, and the facts.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Rejected {
    /// The rule that refused.
    pub rejection: Rejection,
    /// The file, tensor or field that was refused, as found (quote it before showing it).
    pub subject: Box<str>,
    /// What was expected and what was found.
    pub detail: Box<str>,
}

/// All refusals of one check; at least one, the first decides.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejections {
    first: Rejected,
    more: Vec<Rejected>,
}

/// The result of every check in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The rejection that decides, or `None` where it could not be checked.
    pub fn rejection(&self) -> Option<Rejection> {
        match self {
            Self::Io { .. } => None,
            Self::Rejected(all) => Some(all.first().rejection),
        }
    }

    pub(crate) fn io(subject: impl fmt::Display, source: impl Into<io::Error>) -> Self {
        Self::Io {
            subject: subject.to_string().into(),
            source: source.into(),
        }
    }

    /// The same error about something with a name of its own.
    pub(crate) fn about(self, subject: impl fmt::Display) -> Self {
        match self {
            Self::Io { source, .. } => Self::io(subject, source),
            Self::Rejected(found) => {
                Self::rejected(found.first.rejection, subject, found.first.detail)
            }
        }
    }

    /// The same refusals about a part of something: `whole` goes before each subject.
    pub(crate) fn within(mut self, whole: &str) -> Self {
        if let Self::Rejected(Rejections { first, more }) = &mut self {
            for found in std::iter::once(first).chain(more) {
                found.subject = short(&format_args!("{whole}{}", found.subject));
            }
        }
        self
    }

    /// A refusal that another crate of the gate finds; it can make nothing verified.
    pub fn rejected(
        rejection: Rejection,
        subject: impl fmt::Display,
        detail: impl fmt::Display,
    ) -> Self {
        Self::from(Rejected::new(rejection, subject, detail))
    }
}

impl Rejected {
    /// A refusal in words short enough for a log, whatever an attacker put into them.
    pub(crate) fn new(
        rejection: Rejection,
        subject: impl fmt::Display,
        detail: impl fmt::Display,
    ) -> Self {
        let (subject, detail) = (short(&subject), short(&detail));
        Self {
            rejection,
            subject,
            detail,
        }
    }
}

/// At most 512 bytes and an ellipsis.
fn short(text: &impl fmt::Display) -> Box<str> {
    let text = text.to_string();
    // `str::floor_char_boundary` is newer than our oldest compiler.
    match (0..=512).rev().find_map(|end| text.get(..end)) {
        Some(start) if start.len() < text.len() => format!("{start}…").into(),
        _ => text.into(),
    }
}

impl Rejections {
    /// The refusal that decides the outcome.
    pub fn first(&self) -> &Rejected {
        &self.first
    }

    /// Every refusal, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Rejected> {
        std::iter::once(&self.first).chain(&self.more)
    }
}

/// Collects the refusals of independent checks; an I/O error ends the collecting.
///
/// Of an attacker's million refusals, the first thousand are kept and the others counted: one is
/// enough to refuse, and they shall not fill memory, logs and messages.
#[derive(Debug, Default)]
pub struct Findings {
    refused: List,
    waived: List,
    /// What the signer has yet to decide, where that is asked for; else it is refused.
    undecided: Option<Vec<Undecided>>,
}

#[derive(Debug, Default)]
struct List {
    kept: Vec<Rejected>,
    unlisted: u64,
}

/// Findings of one kind that are kept: each takes up to 1 KiB.
const LISTED: usize = 1_000;

impl Findings {
    /// Keeps the value, or notes why there is none.
    ///
    /// # Errors
    /// It could not be checked.
    pub fn note<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Error::Rejected(found)) => {
                let all = std::iter::once(found.first).chain(found.more);
                all.for_each(|found| self.refused.add(|| found));
                Ok(None)
            }
            Err(could_not_check) => Err(could_not_check),
        }
    }

    /// Refuses, and goes on collecting.
    pub fn reject(
        &mut self,
        rejection: Rejection,
        subject: impl fmt::Display,
        detail: impl fmt::Display,
    ) {
        self.judge(Severity::Deny, rejection, subject, detail);
    }

    /// Keeps what a check refused.
    pub(crate) fn add(&mut self, checked: Result<(), Rejected>) {
        if let Err(found) = checked {
            self.refused.add(|| found);
        }
    }

    /// Refuses, or only notes it, as the trust policy says of this rule.
    pub(crate) fn judge(
        &mut self,
        verdict: Severity,
        rejection: Rejection,
        subject: impl fmt::Display,
        detail: impl fmt::Display,
    ) {
        let list = match verdict {
            Severity::Deny => &mut self.refused,
            Severity::Warn => &mut self.waived,
        };
        // Words are made for those only that are kept.
        list.add(|| Rejected::new(rejection, subject, detail));
    }

    /// The same, which lists what the signer has yet to decide and does not refuse it.
    pub(crate) fn asking() -> Self {
        Self {
            undecided: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// Whether undecided things are listed.
    pub(crate) const fn asks(&self) -> bool {
        self.undecided.is_some()
    }

    /// Lists what is undecided, if that is asked for and there is room; else it is to be refused.
    pub(crate) fn leave_open(&mut self, undecided: impl FnOnce() -> Undecided) -> bool {
        match &mut self.undecided {
            Some(list) if list.len() < LISTED => {
                list.push(undecided());
                true
            }
            _ => false,
        }
    }

    /// What was listed.
    pub(crate) fn take_undecided(&mut self) -> Vec<Undecided> {
        self.undecided.take().unwrap_or_default()
    }

    /// Whether no further refusal is kept.
    pub(crate) fn is_full(&self) -> bool {
        self.refused.kept.len() >= LISTED
    }

    /// The same after a last check. What was refused before counts more than that this one could not
    /// be made.
    pub(crate) fn conclude_with(mut self, last: Result<()>) -> Result<Vec<Rejected>> {
        match self.note(last) {
            Ok(_) => self.into_result(),
            Err(could_not_check) => self.into_result().and(Err(could_not_check)),
        }
    }

    /// What was found and let through, if nothing was refused.
    ///
    /// # Errors
    /// Every refusal, in the order in which they were found.
    pub fn into_result(self) -> Result<Vec<Rejected>> {
        self.into_verdict().map_err(Error::Rejected)
    }

    /// The same, where everything could be checked.
    pub(crate) fn into_verdict(self) -> Result<Vec<Rejected>, Rejections> {
        let mut found = self.refused.into_vec().into_iter();
        match found.next() {
            None => Ok(self.waived.into_vec()),
            Some(first) => Err(Rejections {
                first,
                more: found.collect(),
            }),
        }
    }
}

impl List {
    fn add(&mut self, found: impl FnOnce() -> Rejected) {
        if self.kept.len() < LISTED {
            self.kept.push(found());
        } else {
            self.unlisted = self.unlisted.saturating_add(1);
        }
    }

    /// What was kept; the last says how many were not.
    fn into_vec(mut self) -> Vec<Rejected> {
        if let Some(last) = self.kept.last_mut().filter(|_| self.unlisted > 0) {
            let detail = format!("{} (and {} more, not listed)", last.detail, self.unlisted);
            last.detail = detail.into();
        }
        self.kept
    }
}

impl From<Rejected> for Error {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(Rejections {
            first: rejected,
            more: Vec::new(),
        })
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}: {}", self.rejection, self.subject, self.detail)
    }
}

impl fmt::Display for Rejections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        match self.more.len() {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { subject, source } => write!(f, "could not check {subject:?}: {source}"),
            Self::Rejected(all) => write!(f, "rejected: {all}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Rejected(_) => None,
        }
    }
}
