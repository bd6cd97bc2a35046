//! What the content of a policy may be: `[content]` and `[limits]` of a trust policy.

use std::collections::BTreeSet;
use std::fmt;

use safetensors::Dtype;
use serde::Deserialize;

use crate::error::Findings;
use crate::{Kind, Limits, Rejection};

/// The rules under which bytes are read and content is judged.
///
/// The default is what a robot should have: everything that is not known is refused. A trust
/// policy may narrow it, waive two findings (NaN in weights, constant statistics), and let reviewed
/// code pass.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Rules {
    /// How much of anything is read.
    pub limits: Limits,
    /// What may be in it.
    pub content: ContentRules,
}

/// What may be in a policy: the section `[content]`.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ContentRules {
    /// Kinds of files that may occur; absent: every kind.
    pub kinds: Option<BTreeSet<Kind>>,
    /// Element types that tensors may have; absent: every type of the format.
    #[serde(deserialize_with = "dtypes")]
    pub dtypes: Option<Vec<Dtype>>,
    /// NaN or infinity in weights.
    pub non_finite: Severity,
    /// Statistics of a dimension that never changed: std = 0, or min = max.
    pub constant_statistics: Severity,
    /// Whether code that a reviewer vouches for in the signed manifest may pass to the disk.
    pub reviewed_code: Code,
}

/// What a trust policy says of a finding.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Refuse the policy.
    Deny,
    /// Let it pass, and say so in the evidence.
    Warn,
}

/// What a trust policy says of reviewed code.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Code {
    /// No code passes, whoever reviewed it.
    Deny,
    /// Code passes byte-identical to what was reviewed.
    Allow,
}

impl Default for ContentRules {
    fn default() -> Self {
        Self {
            kinds: None,
            dtypes: None,
            non_finite: Severity::Deny,
            constant_statistics: Severity::Warn,
            reviewed_code: Code::Deny,
        }
    }
}

impl ContentRules {
    /// Refuses the tensor that is called `subject` for its element type.
    pub(crate) fn judge_dtype(
        &self,
        subject: fmt::Arguments<'_>,
        dtype: Dtype,
        findings: &mut Findings,
    ) {
        let listed = |allowed: &Vec<Dtype>| allowed.contains(&dtype);
        if !self.dtypes.as_ref().is_none_or(listed) {
            let detail = format!("the trust policy lets no {dtype} pass");
            findings.reject(Rejection::TensorDtypeForbidden, subject, detail);
        }
    }

    /// Whether files of this kind may occur.
    pub(crate) fn allows_kind(&self, kind: Kind) -> bool {
        self.kinds
            .as_ref()
            .is_none_or(|allowed| allowed.contains(&kind))
    }
}

/// Names as safetensors spells them.
fn dtypes<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Dtype>>, D::Error> {
    Vec::deserialize(deserializer).map(Some)
}
