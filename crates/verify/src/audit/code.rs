//! Code passes byte-identical to what a person reviewed, or not at all. It is never run here.

use super::{Audit, Document};
use crate::error::Findings;
use crate::survey::Undecided;
use crate::{Code, Kind, Rejection};

/// Judges every file of code, and every review of a file that is not there.
pub(super) fn judge(audit: &Audit<'_>, findings: &mut Findings) {
    for document in audit.of_kind(Kind::ReviewedCode) {
        judge_file(document, audit, findings);
    }
    for review in audit.declared.reviewed_code {
        let there = audit
            .of_kind(Kind::ReviewedCode)
            .any(|document| *document.path == review.path);
        if !there {
            let detail = "reviewed, and no file of code is there";
            findings.reject(Rejection::FileMissing, &review.path, detail);
        }
    }
}

fn judge_file(document: &Document<'_>, audit: &Audit<'_>, findings: &mut Findings) {
    let path = document.path;
    if audit.rules.reviewed_code == Code::Deny {
        let detail = "the trust policy lets no code pass, whoever reviewed it";
        return findings.reject(Rejection::CodeUnreviewed, path, detail);
    }
    let mut reviews = audit
        .declared
        .reviewed_code
        .iter()
        .filter(|review| review.path == *path)
        .peekable();
    let undecided = || Undecided::Code {
        path: path.clone(),
        sha256: document.sha256,
    };
    if reviews.peek().is_none() {
        if findings.leave_open(undecided) {
            return;
        }
        let detail = "nobody reviewed this code";
        return findings.reject(Rejection::CodeUnreviewed, path, detail);
    }
    if let Some(review) = reviews.find(|review| review.sha256 != document.sha256) {
        let detail = format!(
            "sha256 {}, but {} was reviewed by {:?}",
            document.sha256, review.sha256, review.reviewer
        );
        findings.reject(Rejection::CodeChanged, path, detail);
    }
}
