//! Files that are written beside a verdict; one that could not be written down is an error, and is said
//! all the same.
//!
//! What an earlier run wrote there is gone before anything is judged, so that no file speaks for a run
//! that came to no verdict. Whatever else has such a name stays as it is.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::args::Command;
use crate::disk;
use crate::failure::Failure;
use crate::html::PAGE;
use crate::output::Report;
use crate::sarif::FINDINGS;
use crate::vsa::SUMMARY;

/// What a file is, told by its first bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// What messages call it.
    pub(crate) what: &'static str,
    /// How each begins, and nothing else does.
    pub(crate) head: fn() -> String,
}

/// Removes what an earlier run wrote to the files that this command is to write.
///
/// # Errors
/// One of them could not be written, as far as that can be known before. The others are gone all the
/// same.
pub(crate) fn begin(command: &Command) -> Result<(), Failure> {
    let (files, judged) = asked(command);
    let mut outcome = Ok(());
    for (form, file) in files {
        if let Some(file) = file {
            // Whatever the others came to.
            let cleared = clear(form, file, &judged);
            outcome = outcome.and(cleared);
        }
    }
    outcome
}

/// The files that a command is to write beside its verdict, and the directories that it judges.
fn asked(command: &Command) -> ([(Form, Option<&Path>); 3], Vec<&Path>) {
    let (page, findings, summary, judged) = match command {
        Command::Admit(args) => (args.html.file(), None, None, Vec::new()),
        Command::Audit(args) => {
            let judged = vec![Path::new(&args.target)];
            (args.html.file(), args.sarif.file(), None, judged)
        }
        Command::Diff(args) => {
            let judged = vec![Path::new(&args.a), Path::new(&args.b)];
            (args.html.file(), None, None, judged)
        }
        Command::Verify(args) => {
            let judged = vec![args.dir.as_path()];
            let summary = args.summary.wanted().map(|(file, _)| file);
            (args.html.file(), args.sarif.file(), summary, judged)
        }
        _ => (None, None, None, Vec::new()),
    };
    let files = [(PAGE, page), (FINDINGS, findings), (SUMMARY, summary)];
    (files, judged)
}

fn clear(form: Form, file: &Path, judged: &[&Path]) -> Result<(), Failure> {
    refuse_inside(file, judged)?;
    let cleared = disk::withdraw(file, (form.head)().as_bytes());
    cleared.map_err(|error| cannot(form.what, file, &error))
}

/// A policy's directory holds what is signed, and nothing else: one more file, and it is rejected.
fn refuse_inside(file: &Path, judged: &[&Path]) -> Result<(), Failure> {
    // What is not there is said where it is opened.
    let Ok(parent) = disk::parent(file).canonicalize() else {
        return Ok(());
    };
    let real = |dir: &&&Path| dir.canonicalize().is_ok_and(|dir| parent.starts_with(dir));
    match judged.iter().find(real) {
        None => Ok(()),
        Some(dir) => {
            let detail = format!("{file:?} would be one of the files of {dir:?}, which are judged");
            Err(Failure::about(file, detail).hint("name a file outside of the policy's directory"))
        }
    }
}

/// Puts `bytes` in place as a whole and gives the outcome back.
pub(crate) fn write(
    form: Form,
    file: &Path,
    bytes: &[u8],
    outcome: Result<Report, Failure>,
) -> Result<Report, Failure> {
    match disk::put(file, (form.head)().as_bytes(), bytes) {
        Ok(()) => outcome,
        Err(error) => Err(failed(cannot(form.what, file, &error), outcome)),
    }
}

/// That a file could not be written, and what to do where something else has its name.
pub(crate) fn cannot(what: &str, file: &Path, error: &io::Error) -> Failure {
    let failure = Failure::io(&format!("write {what}"), file, error);
    match error.kind() {
        ErrorKind::AlreadyExists => {
            failure.hint("it was not touched: name another file, or move that one away")
        }
        _ => failure,
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
        // No verdict, or one that could not be written down either: it says so itself.
        Err(Failure::Error(trouble)) => return failure.note(&trouble.detail),
    };
    failure.note(&format!("the verdict is: {verdict}"))
}
