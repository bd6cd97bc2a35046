//! What is agreed to or not, with the bytes as they are: a finding that the rules let pass, a licence,
//! a type, a size.

use std::collections::BTreeSet;
use std::fmt;

use safetensors::Dtype;
use tensorgate_verify::{FileEntry, Rejected};

use crate::declarations::Accept;
use crate::facts::Facts;
use crate::text::{shorten, thousands, total};

/// How a card is said to state no licence.
pub(super) const NONE_STATED: &str = "none stated";

/// Characters of a policy's own words in one question: longer ones would push the rest off the screen.
const WORDS: usize = 200;

/// A policy's own words in a question, and how many characters more there are.
pub(super) fn words(text: &str) -> String {
    format!("{:?}", shorten(text, WORDS))
}

/// One thing to agree to.
#[derive(Clone, Debug)]
pub(super) enum Point {
    Finding(Rejected),
    Licence(String),
    /// A field of a configuration that no known type has, and what stands there.
    Field(String, String),
    PolicyType(String),
    Dtype(Dtype),
    Bytes(u64),
}

impl Point {
    /// Everything of a policy, in the order in which it is asked.
    pub(super) fn of(
        notices: &[Rejected],
        facts: &Facts,
        policy_type: &str,
        files: &[FileEntry],
    ) -> Vec<Self> {
        let mut licences = facts.card.license.clone();
        if licences.is_empty() {
            licences.push(NONE_STATED.to_owned());
        }
        let findings = notices.iter().cloned().map(Self::Finding);
        let licences = licences.into_iter().map(Self::Licence);
        let odd = facts.odd.iter();
        let fields = odd.map(|odd| Self::Field(odd.field.clone(), odd.value.clone()));
        let dtypes = dtypes(files).into_iter().map(Self::Dtype);
        let bytes = total(files.iter().map(|file| file.size));
        findings
            .chain(fields)
            .chain(licences)
            .chain([Self::PolicyType(policy_type.to_owned())])
            .chain(dtypes)
            .chain([Self::Bytes(bytes)])
            .collect()
    }

    /// Whether a person is asked for it alone; the last question is about all others.
    pub(super) const fn is_asked_alone(&self) -> bool {
        matches!(self, Self::Finding(_) | Self::Field(..) | Self::Licence(_))
    }

    /// Whether it was agreed to before.
    pub(super) fn is_accepted(&self, accept: &Accept) -> bool {
        match self {
            Self::Finding(found) => accept
                .findings
                .iter()
                .any(|code| code == found.rejection.code()),
            Self::Field(field, _) => accept.fields.contains(field),
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
            Self::Finding(found) => accept.findings.push(found.rejection.code().to_owned()),
            Self::Field(field, _) => accept.fields.push(field.clone()),
            Self::Licence(licence) => accept.licenses.push(licence.clone()),
            Self::PolicyType(policy_type) => accept.policy_types.push(policy_type.clone()),
            Self::Dtype(dtype) => accept.dtypes.push(*dtype),
            Self::Bytes(bytes) => accept.max_bytes = Some(*bytes),
        }
    }

    /// The line of `[accept]` that agrees to it.
    pub(super) fn toml(&self) -> String {
        let text = |text: &str| toml::Value::from(text).to_string();
        match self {
            Self::Finding(found) => format!("findings = [{}]", text(found.rejection.code())),
            Self::Field(field, _) => format!("fields = [{}]", text(field)),
            Self::Licence(licence) => format!("licenses = [{}]", text(licence)),
            Self::PolicyType(policy_type) => format!("policy_types = [{}]", text(policy_type)),
            Self::Dtype(dtype) => format!("dtypes = [\"{dtype}\"]"),
            Self::Bytes(bytes) => format!("max_bytes = {bytes}"),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finding(found) => write!(f, "found: {found}"),
            Self::Field(field, value) => {
                write!(f, "no known type has the field {}: {value}", words(field))
            }
            Self::Licence(licence) if licence == NONE_STATED => {
                f.write_str("the card states no licence")
            }
            Self::Licence(licence) => write!(f, "the card states the licence {licence:?}"),
            Self::PolicyType(policy_type) => {
                write!(f, "the policy's type is {}", words(policy_type))
            }
            Self::Dtype(dtype) => write!(f, "tensors are {dtype}"),
            Self::Bytes(bytes) => write!(f, "the files have {} bytes", thousands(*bytes)),
        }
    }
}

/// The element types of all tensors.
fn dtypes(files: &[FileEntry]) -> BTreeSet<Dtype> {
    let tensors = files.iter().filter_map(|file| file.tensors.as_ref());
    tensors.flatten().map(|tensor| tensor.dtype).collect()
}
