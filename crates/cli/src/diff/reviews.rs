//! Code against its review, as far as a manifest of either side claims one.

use tensorgate_verify::{Kind, ReviewedCode, Sha256};

use super::comparison::{Judged, Review};
use super::files::{Folder, Version};

/// The reviews that are claimed, and what became of each code file since.
pub(super) struct Reviews {
    claimed: Vec<ReviewedCode>,
    pub(super) judged: Vec<Judged>,
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
                    review: self.review(file, sha256),
                });
            }
        }
    }

    fn review(&self, file: &str, sha256: Sha256) -> Review {
        let of_file = || {
            self.claimed
                .iter()
                .filter(|code| code.path.as_str() == file)
        };
        let reviewer = |code: &ReviewedCode| code.reviewer.clone();
        let same = of_file().find(|code| code.sha256 == sha256).map(reviewer);
        match (same, of_file().next().map(reviewer)) {
            (Some(reviewer), _) => Review::AsReviewed { reviewer },
            (None, Some(reviewer)) => Review::ChangedSince { reviewer },
            (None, None) => Review::NotReviewed,
        }
    }
}
