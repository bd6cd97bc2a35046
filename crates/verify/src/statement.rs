//! The manifest as a statement: in-toto Statement v1 with a predicate of our own.
//!
//! <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::json;
use crate::manifest_rules::malformed;
use crate::{FileEntry, FilePath, Limits, Manifest, Rejection, Sha256};

/// `_type` of an in-toto Statement v1.
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// `predicateType` of a policy's manifest.
pub const PREDICATE_TYPE: &str = "urn:tensorgate:policy:v1";

#[derive(Serialize, Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Manifest,
}

#[derive(Serialize, Deserialize)]
struct Subject {
    name: FilePath,
    digest: SubjectDigest,
}

#[derive(Serialize, Deserialize)]
struct SubjectDigest {
    sha256: Sha256,
}

/// Just enough of a statement to see whether it is one of ours.
#[derive(Deserialize)]
struct StatementKind {
    #[serde(rename = "_type")]
    statement_type: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

impl Manifest {
    /// The statement as bytes to sign.
    ///
    /// # Errors
    /// `manifest-malformed` and the like where a verifier would refuse the result.
    pub fn to_payload(&self, limits: &Limits) -> Result<Vec<u8>> {
        let subject = |file: &FileEntry| Subject {
            name: file.path.clone(),
            digest: SubjectDigest {
                sha256: file.sha256,
            },
        };
        let statement = Statement {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: self.files.iter().map(subject).collect(),
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: self.clone(),
        };
        let payload =
            serde_json::to_vec(&statement).map_err(|error| malformed("statement", error))?;
        Self::from_payload(&payload, limits)?;
        Ok(payload)
    }

    /// Reads a statement whose signature was checked.
    pub(crate) fn from_payload(payload: &[u8], limits: &Limits) -> Result<Self> {
        refuse_other_statements(payload)?;
        let statement: Statement =
            json::from_slice(payload).map_err(|error| error.of_manifest("statement"))?;
        let manifest = statement.predicate;
        manifest.refuse_disorder(limits)?;
        let subjects = statement
            .subject
            .iter()
            .map(|s| (&s.name, &s.digest.sha256));
        if !subjects.eq(manifest.files.iter().map(|f| (&f.path, &f.sha256))) {
            return Err(malformed("subject", "`subject` and `files` differ"));
        }
        Ok(manifest)
    }
}

/// `predicate-type-unsupported` where the statement is well-formed but not one of ours.
fn refuse_other_statements(payload: &[u8]) -> Result<()> {
    json::refuse_ambiguity(payload).map_err(|error| error.of_manifest("statement"))?;
    let Ok(kind) = serde_json::from_slice::<StatementKind>(payload) else {
        return Err(malformed("statement", "no `_type` and `predicateType`"));
    };
    if kind.statement_type != STATEMENT_TYPE || kind.predicate_type != PREDICATE_TYPE {
        let detail = format!(
            "{:?} of {:?}, expected {PREDICATE_TYPE:?}",
            kind.predicate_type, kind.statement_type
        );
        return Err(Error::rejected(
            Rejection::PredicateTypeUnsupported,
            "predicateType",
            detail,
        ));
    }
    Ok(())
}
