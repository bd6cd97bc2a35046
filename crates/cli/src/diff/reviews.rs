//! Code against its review, as far as a manifest of either side claims one.

use serde_json::{Value, json};
use tensorgate_verify::{Kind, ReviewedCode, Sha256};

use super::files::{Folder, Version};
use crate::text::table;

/// The reviews that are claimed, and what became of each code file since.
pub(super) struct Reviews {
    claimed: Vec<ReviewedCode>,
    judged: Vec<Judged>,
}

/// One code file on one side.
struct Judged {
    file: String,
    side: &'static str,
    outcome: Outcome,
}

enum Outcome {
    AsReviewed { reviewer: String },
    ChangedSince { reviewer: String },
    NotReviewed,
}

impl Reviews {
    /// Whoever reviewed the file in A has something to say on its version in B, and the reverse.
    pub(super) fn of(a: &Folder, b: &Folder) -> Self {
        let manifests = [&b.manifest, &a.manifest];
        let manifests = manifests
            .into_iter()
            .filter_map(|manifest| manifest.as_ref().ok());
        let claimed = manifests.flat_map(|manifest| manifest.reviewed_code.iter().cloned());
        Self {
            claimed: claimed.collect(),
            judged: Vec::new(),
        }
    }

    /// Compares a code file with what was reviewed; where no review is claimed at all, there is
    /// nothing to say.
    pub(super) fn judge(&mut self, file: &str, a: Option<&Version>, b: Option<&Version>) {
        if self.claimed.is_empty() {
            return;
        }
        for (side, version) in [("A", a), ("B", b)] {
            let code = version.filter(|version| version.kind == Some(Kind::ReviewedCode));
            if let Some(sha256) = code.and_then(|version| version.sha256) {
                self.judged.push(Judged {
                    file: file.to_owned(),
                    side,
                    outcome: self.outcome(file, sha256),
                });
            }
        }
    }

    fn outcome(&self, file: &str, sha256: Sha256) -> Outcome {
        let of_file = || {
            self.claimed
                .iter()
                .filter(|code| code.path.as_str() == file)
        };
        let reviewer = |code: &ReviewedCode| code.reviewer.clone();
        let same = of_file().find(|code| code.sha256 == sha256).map(reviewer);
        match (same, of_file().next().map(reviewer)) {
            (Some(reviewer), _) => Outcome::AsReviewed { reviewer },
            (None, Some(reviewer)) => Outcome::ChangedSince { reviewer },
            (None, None) => Outcome::NotReviewed,
        }
    }

    pub(super) fn text(&self) -> String {
        if self.judged.is_empty() {
            return String::new();
        }
        let heading = ["code", "in", "review, as the manifests claim it"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        let row = |judged: &Judged| {
            let outcome = match &judged.outcome {
                Outcome::AsReviewed { reviewer } => format!("as reviewed by {reviewer:?}"),
                Outcome::ChangedSince { reviewer } => {
                    format!("changed since review by {reviewer:?}")
                }
                Outcome::NotReviewed => "not reviewed".to_owned(),
            };
            vec![judged.file.clone(), judged.side.to_owned(), outcome]
        };
        rows.extend(self.judged.iter().map(row));
        format!("\n{}", table(&rows, &[]))
    }

    pub(super) fn json(&self) -> Value {
        let entry = |judged: &Judged| {
            let (outcome, reviewer) = match &judged.outcome {
                Outcome::AsReviewed { reviewer } => ("as-reviewed", Some(reviewer)),
                Outcome::ChangedSince { reviewer } => ("changed-since-review", Some(reviewer)),
                Outcome::NotReviewed => ("not-reviewed", None),
            };
            json!({
                "path": judged.file,
                "side": judged.side.to_lowercase(),
                "review": outcome,
                "reviewer": reviewer,
            })
        };
        self.judged.iter().map(entry).collect()
    }
}
