//! Files that are written beside a verdict: a verdict that could not be written down is an error, and
//! is said all the same.

use std::path::Path;

use crate::disk;
use crate::failure::Failure;
use crate::output::Report;

/// Puts `bytes` in place as a whole and gives the outcome back.
pub(crate) fn write(
    what: &str,
    file: &Path,
    bytes: &[u8],
    outcome: Result<Report, Failure>,
) -> Result<Report, Failure> {
    match disk::put(file, bytes) {
        Ok(()) => outcome,
        Err(error) => Err(failed(
            Failure::io(&format!("write {what}"), file, &error),
            outcome,
        )),
    }
}

/// The failure, and what the verdict is without it.
pub(crate) fn failed(failure: Failure, outcome: Result<Report, Failure>) -> Failure {
    let verdict = match outcome {
        Ok(report) => match report.verdict {
            Some(verdict) => verdict.to_owned(),
            // A comparison is no verdict.
            None => return failure,
        },
        Err(Failure::Rejected(all)) => match all.first() {
            Some(first) => format!("rejected: {}: {:?}", first.rejection, first.subject),
            None => "rejected".to_owned(),
        },
        Err(Failure::Error(trouble)) => format!("none: {}", trouble.detail),
    };
    failure.note(&format!("the verdict is: {verdict}"))
}
