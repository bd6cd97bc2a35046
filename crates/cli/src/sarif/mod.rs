//! `--sarif FILE`: what was found, as code scanning of CI systems reads it.
//!
//! SARIF 2.1.0, <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>. Whatever a policy
//! brings goes into text that viewers show as it stands (`text`, never `markdown`) and into URIs whose
//! every unusual byte is percent-encoded.

mod place;
mod pointer;

use std::path::Path;

use serde_json::{Value, json};
use tensorgate_verify::{Rejected, Rejection};

use crate::beside::{self, Form};
use crate::failure::{Failure, Finding};
use crate::hints;
use crate::output::Report;
use crate::text::ascii;

/// How a log begins: an earlier one is known by it.
const START: &str = r#"{"$schema":"https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json","version":"2.1.0","properties":{"writer":"tensorgate"},"#;

pub(crate) const FINDINGS: Form = Form {
    what: "the findings",
    head: || START.to_owned(),
};

/// Writes the findings, if they are wanted, and gives the outcome back. `directory` is where the
/// policy lies, if it was found.
pub(crate) fn write(
    file: Option<&Path>,
    directory: Option<&Path>,
    outcome: Result<Report, Failure>,
) -> Result<Report, Failure> {
    let Some(file) = file else {
        return outcome;
    };
    let run = ascii(&run(directory, &outcome).to_string());
    let text = format!("{START}\"runs\":[{run}]}}\n");
    beside::write(FINDINGS, file, text.as_bytes(), outcome)
}

fn run(directory: Option<&Path>, outcome: &Result<Report, Failure>) -> Value {
    let results = match outcome {
        Ok(report) => report
            .waived
            .iter()
            .map(|found| waived(found, directory))
            .collect(),
        Err(Failure::Rejected(all)) => all.iter().map(|found| refused(found, directory)).collect(),
        Err(Failure::Error(_)) => Vec::new(),
    };
    json!({
        "tool": { "driver": driver() },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": { place::BASE: { "description": { "text": "The policy's directory." } } },
        "invocations": [invocation(outcome)],
        "results": Value::Array(results),
    })
}

fn driver() -> Value {
    json!({
        "name": "tensorgate",
        "version": env!("CARGO_PKG_VERSION"),
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "informationUri": env!("CARGO_PKG_REPOSITORY"),
        "rules": Rejection::ALL.iter().map(|rejection| rule(*rejection)).collect::<Vec<_>>(),
    })
}

fn rule(rejection: Rejection) -> Value {
    json!({
        "id": rejection.code(),
        "shortDescription": { "text": rejection.meaning() },
        "help": { "text": sentence(hints::of(rejection)) },
        "defaultConfiguration": { "level": "error" },
    })
}

/// That nothing could be checked is no result, and no success.
fn invocation(outcome: &Result<Report, Failure>) -> Value {
    let (status, told) = match outcome {
        Ok(_) => (0, None),
        Err(Failure::Rejected(_)) => (1, None),
        Err(Failure::Error(trouble)) => (2, Some(&trouble.detail)),
    };
    let told: Vec<Value> = told
        .iter()
        .map(|detail| json!({ "level": "error", "message": { "text": linkless(detail) } }))
        .collect();
    json!({
        "executionSuccessful": status != 2,
        "exitCode": status,
        "toolExecutionNotifications": told,
    })
}

fn refused(found: &Finding, directory: Option<&Path>) -> Value {
    let text = format!("{}. {}", found.detail, sentence(found.hint()));
    result("error", (found.rejection, &found.subject), &text, directory)
}

fn waived(found: &Rejected, directory: Option<&Path>) -> Value {
    let text = format!("{}. The rules let this pass.", found.detail);
    result(
        "warning",
        (found.rejection, &found.subject),
        &text,
        directory,
    )
}

fn result(
    level: &str,
    (rejection, subject): (Rejection, &str),
    text: &str,
    directory: Option<&Path>,
) -> Value {
    json!({
        "ruleId": rejection.code(),
        "ruleIndex": Rejection::ALL.iter().position(|one| *one == rejection),
        "level": level,
        "message": { "text": linkless(text) },
        "locations": [place::location(subject, directory)],
    })
}

/// Viewers make `[words](address)` a link, in `text` as well (section 3.11.6): a policy's words lead nowhere.
fn linkless(text: &str) -> String {
    text.replace("](", "] (")
}

/// Hints are told without capital and full stop.
fn sentence(hint: &str) -> String {
    let mut letters = hint.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => String::new(),
    }
}
