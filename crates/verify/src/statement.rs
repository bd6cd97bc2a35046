//! What is signed, as a statement: in-toto Statement v1 with a predicate of our own.
//!
//! <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::json;
use crate::manifest_rules::malformed;
use crate::{Limits, Rejection};

/// `_type` of an in-toto Statement v1.
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// What a statement can be about.
///
/// Sealed: what counts as signed is this crate's to say.
pub trait Predicate: Clone + Serialize + DeserializeOwned + sealed::Sealed {
    /// `predicateType`, which keeps a signature over one meaning from being taken for another.
    const TYPE: &'static str;

    /// The statement as bytes to sign.
    ///
    /// # Errors
    /// `manifest-malformed` and the like where a verifier would refuse the result.
    fn to_payload(&self, limits: &Limits) -> Result<Vec<u8>> {
        let statement = Statement {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: self.subjects(),
            predicate_type: Self::TYPE.to_owned(),
            predicate: self.clone(),
        };
        let payload =
            serde_json::to_vec(&statement).map_err(|error| malformed("statement", error))?;
        from_payload::<Self>(&payload, limits)?;
        Ok(payload)
    }
}

pub(crate) mod sealed {
    use super::{Limits, Result, Subject};

    /// What the statement around a predicate needs of it.
    #[expect(unnameable_types, reason = "the sealed half of `Predicate`")]
    pub trait Sealed {
        /// `subject` as it follows from the predicate: the same facts, for readers of in-toto.
        fn subjects(&self) -> Vec<Subject>;

        /// Order, uniqueness and bounds that make the rest of the code simple.
        fn refuse_disorder(&self, limits: &Limits) -> Result<()>;
    }
}

#[derive(Serialize, Deserialize)]
struct Statement<P> {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: P,
}

/// One artifact that a statement is about: a name, and digests by algorithm.
#[expect(
    unnameable_types,
    reason = "only the sealed half of `Predicate` speaks of it"
)]
#[derive(Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

impl Subject {
    pub(crate) fn new(name: impl ToString, algorithm: &str, digest: impl ToString) -> Self {
        Self {
            name: name.to_string(),
            digest: BTreeMap::from([(algorithm.to_owned(), digest.to_string())]),
        }
    }
}

/// Just enough of a statement to see whether it is one of ours.
#[derive(Deserialize)]
struct StatementKind {
    #[serde(rename = "_type")]
    statement_type: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

/// Reads a statement whose signature was checked.
pub(crate) fn from_payload<P: Predicate>(payload: &[u8], limits: &Limits) -> Result<P> {
    let statement: Statement<P> = match json::as_written(payload) {
        Some(statement) => statement,
        None => from_foreign_layout(payload)?,
    };
    refuse_other(
        &statement.statement_type,
        &statement.predicate_type,
        P::TYPE,
    )?;
    statement.predicate.refuse_disorder(limits)?;
    if statement.subject != statement.predicate.subjects() {
        return Err(malformed("subject", "`subject` and the predicate differ"));
    }
    Ok(statement.predicate)
}

/// A statement that others wrote, or none of ours: says why.
fn from_foreign_layout<P: Predicate>(payload: &[u8]) -> Result<Statement<P>> {
    json::refuse_ambiguity(payload).map_err(|error| error.of_manifest("statement"))?;
    let Ok(kind) = serde_json::from_slice::<StatementKind>(payload) else {
        return Err(malformed("statement", "no `_type` and `predicateType`"));
    };
    refuse_other(&kind.statement_type, &kind.predicate_type, P::TYPE)?;
    json::from_slice(payload).map_err(|error| error.of_manifest("statement"))
}

/// `predicate-type-unsupported` where the statement is well-formed but not of this type.
fn refuse_other(statement_type: &str, predicate_type: &str, expected: &str) -> Result<()> {
    if statement_type == STATEMENT_TYPE && predicate_type == expected {
        return Ok(());
    }
    let detail = format!("{predicate_type:?} of {statement_type:?}, expected {expected:?}");
    let rejection = Rejection::PredicateTypeUnsupported;
    Err(Error::rejected(rejection, "predicateType", detail))
}
