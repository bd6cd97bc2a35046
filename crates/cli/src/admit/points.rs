//! What is agreed to or not, with the bytes as they are: a finding that the rules let pass, a field, a
//! licence, a type, a size. An answer says what was seen, and nobody can give one to what was not.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use safetensors::Dtype;
use tensorgate_verify::{Asked, FileEntry, Rejected};

use crate::declarations::Accept;
use crate::facts::{Card, Facts, Member, Odd, Terms};
use crate::failure::Failure;
use crate::text::{shorten, thousands, total};

/// How a card is said to state no licence.
const NONE_STATED: &str = "none stated";
/// Findings that a person may be asked about, one by one.
const FINDINGS: usize = 256;
/// Bytes of a type, as of any text in a manifest.
const TYPE: usize = 1_024;
/// Characters of a field with its value that go into a question; longer ones are shown before it.
const QUESTION: usize = 200;

/// One thing to agree to, whole.
#[derive(Clone, Debug)]
pub(super) enum Point {
    Finding(Rejected),
    /// A field of a configuration that no known type has, and what stands there.
    Field(Member),
    Licence(String),
    PolicyType(String),
    Dtype(Dtype),
    Bytes(u64),
}

impl Point {
    /// Everything of a policy, in the order in which it is asked.
    ///
    /// # Errors
    /// There is more of something than can be shown: nobody could know what is agreed to.
    pub(super) fn of(
        asked: &Asked,
        facts: &Facts,
        policy_type: &str,
    ) -> Result<Vec<Self>, Failure> {
        let mut points = findings(&asked.notices)?;
        points.extend(fields(&facts.odd)?);
        points.extend(licences(&facts.card)?);
        points.push(self::policy_type(policy_type)?);
        points.extend(dtypes(&asked.files).into_iter().map(Self::Dtype));
        points.push(Self::Bytes(total(asked.files.iter().map(|file| file.size))));
        Ok(points)
    }

    /// Whether a person is asked for it alone; the last question is about all others.
    pub(super) const fn is_asked_alone(&self) -> bool {
        matches!(self, Self::Finding(_) | Self::Field(_) | Self::Licence(_))
    }

    /// What is too long for its question.
    pub(super) fn long(&self) -> Option<String> {
        match self {
            Self::Field(member) => Some(member.to_string()).filter(|text| text.len() > QUESTION),
            _ => None,
        }
    }

    /// Whether it was agreed to before.
    pub(super) fn is_accepted(&self, accept: &Accept) -> bool {
        match self {
            Self::Finding(found) => accept.findings.contains(&found.to_string()),
            Self::Field(member) => accept.fields.contains(member),
            Self::Licence(licence) => accept.licenses.contains(licence),
            Self::PolicyType(policy_type) => accept.policy_types.contains(policy_type),
            Self::Dtype(dtype) => accept.dtypes.contains(dtype),
            Self::Bytes(bytes) => accept.max_bytes.is_some_and(|most| *bytes <= most),
        }
    }

    /// Agrees to it, for the next time.
    pub(super) fn accept(&self, accept: &mut Accept) {
        if self.is_accepted(accept) {
            return;
        }
        match self {
            Self::Finding(found) => accept.findings.push(found.to_string()),
            Self::Field(member) => accept.fields.push(member.clone()),
            Self::Licence(licence) => accept.licenses.push(licence.clone()),
            Self::PolicyType(policy_type) => accept.policy_types.push(policy_type.clone()),
            Self::Dtype(dtype) => accept.dtypes.push(*dtype),
            Self::Bytes(bytes) => accept.max_bytes = Some(*bytes),
        }
    }

    /// The line of `[accept]` that agrees to it.
    pub(super) fn toml(&self) -> String {
        let text = |text: String| toml::Value::from(text).to_string();
        match self {
            Self::Finding(found) => format!("findings = [{}]", text(found.to_string())),
            Self::Field(member) => format!("fields = [{}]", text(member.to_string())),
            Self::Licence(licence) => format!("licenses = [{}]", text(licence.clone())),
            Self::PolicyType(policy_type) => {
                format!("policy_types = [{}]", text(policy_type.clone()))
            }
            Self::Dtype(dtype) => format!("dtypes = [\"{dtype}\"]"),
            Self::Bytes(bytes) => format!("max_bytes = {bytes}"),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finding(found) => write!(f, "found: {found}"),
            Self::Field(member) => {
                let words = shorten(&member.to_string(), QUESTION);
                write!(f, "no known type has the field {words}")
            }
            Self::Licence(licence) if licence == NONE_STATED => {
                f.write_str("the card states no licence")
            }
            Self::Licence(licence) => write!(f, "the card states the licence {licence:?}"),
            Self::PolicyType(policy_type) => write!(f, "the policy's type is {policy_type:?}"),
            Self::Dtype(dtype) => write!(f, "tensors are {dtype}"),
            Self::Bytes(bytes) => write!(f, "the files have {} bytes", thousands(*bytes)),
        }
    }
}

fn findings(notices: &[Rejected]) -> Result<Vec<Point>, Failure> {
    // Where a text was cut, or what was found only counted, this says so.
    let is_cut = |found: &&Rejected| found.subject.contains('…') || found.detail.contains('…');
    if notices.len() > FINDINGS {
        let detail = format!(
            "{} findings deserve a word, and nobody is asked about more than {FINDINGS}",
            thousands(notices.len() as u64)
        );
        return Err(unshown("findings", &detail, ALL_FINDINGS));
    }
    if let Some(found) = notices.iter().find(is_cut) {
        let detail = format!("it is too long to be shown whole: {found}");
        return Err(unshown(&found.subject, &detail, ALL_FINDINGS));
    }
    Ok(notices.iter().cloned().map(Point::Finding).collect())
}

fn fields(odd: &[Odd]) -> Result<Vec<Point>, Failure> {
    let point = |odd: &Odd| match odd.member() {
        Some(member) => Ok(Point::Field(member)),
        None => {
            let (field, value) = (shorten(&odd.field, QUESTION), shorten(&odd.value, QUESTION));
            let detail = format!(
                "fields that no known type has are more than can be shown whole: {field:?}: {value}"
            );
            Err(unshown(&odd.field, &detail, LESS_IN_CONFIG))
        }
    };
    odd.iter().map(point).collect()
}

fn licences(card: &Card) -> Result<Vec<Point>, Failure> {
    match &card.terms {
        Terms::Unstated => Ok(vec![Point::Licence(NONE_STATED.to_owned())]),
        Terms::Stated(licences) => Ok(licences.iter().cloned().map(Point::Licence).collect()),
        Terms::Unreadable => {
            let detail = "the card states a licence, in a form that is not read here";
            Err(unshown("README.md", detail, PLAIN_LICENCE))
        }
    }
}

fn policy_type(policy_type: &str) -> Result<Point, Failure> {
    if policy_type.len() <= TYPE {
        return Ok(Point::PolicyType(policy_type.to_owned()));
    }
    let bytes = thousands(policy_type.len() as u64);
    let detail = format!("the policy's type has {bytes} bytes, and a manifest takes {TYPE}");
    Err(unshown("config.json#/type", &detail, "give --policy-type"))
}

const ALL_FINDINGS: &str = "let the trust policy deny them: each is then a rejection of its own";
const LESS_IN_CONFIG: &str =
    "ask its author to keep in config.json what a loader reads, and the rest elsewhere";
const PLAIN_LICENCE: &str = "look into README.md: one entry `license`, a text or a list of texts, in front matter between two lines `---`";

fn unshown(subject: &str, detail: &str, hint: &str) -> Failure {
    let detail = format!("{detail}; nothing was signed");
    Failure::about(Path::new(subject), detail).hint(hint)
}

/// The element types of all tensors.
fn dtypes(files: &[FileEntry]) -> BTreeSet<Dtype> {
    let tensors = files.iter().filter_map(|file| file.tensors.as_ref());
    tensors.flatten().map(|tensor| tensor.dtype).collect()
}
