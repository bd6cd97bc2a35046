//! The one place that prints: prose on standard error, data and JSON on standard output.
//!
//! It never uses `println!` and its kin, which panic when their reader is gone.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Map, Value, json};
use tensorgate_verify::{Rejected, Rejection};

use crate::args::Usage;
use crate::failure::{Failure, Finding, Trouble};
use crate::paint::Paint;
use crate::text::{ascii, plain};

const REJECTED: u8 = 1;
const ERROR: u8 = 2;
const COULD_NOT_CHECK: &str = "could-not-check";
/// The version of `schema/tensorgate.schema.json`, which says what every object has.
const SCHEMA: u64 = 1;

/// How the outcome is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    command: &'static str,
}

/// What a command that succeeded has to tell.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// `verified`, `passed`, `fetched`, `done`; nothing where nothing was judged.
    pub(crate) verdict: Option<&'static str>,
    /// What it is about.
    pub(crate) subject: String,
    /// For people, a line each.
    pub(crate) prose: Vec<String>,
    /// What the user may pipe on.
    pub(crate) data: String,
    /// What is worth knowing beside the verdict.
    pub(crate) notices: Vec<String>,
    /// What was found and let pass by the rules.
    pub(crate) waived: Vec<Rejected>,
    /// What the verdict rests on.
    pub(crate) evidence: Value,
    /// Further fields of the JSON object.
    pub(crate) more: Map<String, Value>,
    /// That it ends in an error all the same.
    pub(crate) trouble: Option<Trouble>,
}

impl Output {
    pub(crate) const fn new(json: bool, command: &'static str) -> Self {
        Self { json, command }
    }

    /// Whether a program reads it.
    pub(crate) const fn json(self) -> bool {
        self.json
    }

    /// Tells one outcome of many: no exit status says it again.
    pub(crate) fn tell(self, outcome: Result<Report, Failure>) {
        self.finish(outcome);
    }

    /// Tells the outcome; the exit status says it again.
    pub(crate) fn finish(self, outcome: Result<Report, Failure>) -> ExitCode {
        if self.json {
            let (object, status) = outcome_json(outcome);
            return print_json(object, Some(self.command), status);
        }
        match outcome {
            Ok(report) => print_report(&report),
            Err(Failure::Rejected(all)) => print_rejected(&all),
            Err(Failure::Error(trouble)) => print_error(&trouble),
        }
    }
}

impl Report {
    const fn status(&self) -> u8 {
        match self.trouble {
            Some(_) => ERROR,
            None => 0,
        }
    }
}

/// Tells how the command is used: help and version are asked for, anything else is wrong usage.
pub(crate) fn usage(usage: &Usage) -> ExitCode {
    let asked_for = !usage.error.use_stderr();
    if !usage.json {
        // Colours are clap's.
        let printed = usage.error.print().and_then(|()| io::stdout().flush());
        return match asked_for {
            true => written(printed, 0),
            false => ExitCode::from(ERROR),
        };
    }
    if asked_for {
        return print_json(json!({ "help": usage.error.to_string() }), None, 0);
    }
    let trouble = Trouble {
        subject: String::new(),
        detail: usage.error.to_string().trim_end().to_owned(),
        hint: Some("see `tensorgate --help`".to_owned()),
    };
    print_json(error_json("usage", &trouble), None, ERROR)
}

fn print_report(report: &Report) -> ExitCode {
    for line in &report.prose {
        say(line);
    }
    for notice in notices(report) {
        say(&format!("note: {notice}"));
    }
    let status = write_data(&report.data, report.status());
    if let Some(trouble) = &report.trouble {
        print_error(trouble);
    }
    status
}

/// A line for each thing worth knowing beside the verdict.
fn notices(report: &Report) -> Vec<String> {
    let waived = report.waived.iter().map(Rejected::to_string);
    report.notices.iter().cloned().chain(waived).collect()
}

fn print_rejected(all: &[Finding]) -> ExitCode {
    for finding in all {
        let Finding {
            rejection,
            subject,
            detail,
            ..
        } = finding;
        say(&format!("rejected: {rejection}: {subject:?}: {detail}"));
    }
    let mut told = Vec::new();
    for hint in all.iter().map(Finding::hint) {
        if !told.contains(&hint) {
            say(&format!("hint: {hint}"));
            told.push(hint);
        }
    }
    ExitCode::from(REJECTED)
}

fn print_error(trouble: &Trouble) -> ExitCode {
    say(&format!("error: {}", trouble.detail));
    if let Some(hint) = &trouble.hint {
        say(&format!("hint: {hint}"));
    }
    ExitCode::from(ERROR)
}

fn outcome_json(outcome: Result<Report, Failure>) -> (Value, u8) {
    match outcome {
        Ok(report) => {
            let status = report.status();
            (report_json(report), status)
        }
        Err(Failure::Rejected(all)) => (rejected_json(&all), REJECTED),
        Err(Failure::Error(trouble)) => (error_json(COULD_NOT_CHECK, &trouble), ERROR),
    }
}

fn report_json(report: Report) -> Value {
    let notices = notices(&report);
    let mut object = report.more;
    if let Some(trouble) = &report.trouble {
        let error = error_json(COULD_NOT_CHECK, trouble);
        object.extend(error.as_object().cloned().unwrap_or_default());
        return object.into();
    }
    if let Some(verdict) = report.verdict {
        object.insert("verdict".into(), verdict.into());
        object.insert("code".into(), Value::Null);
        object.insert("subject".into(), report.subject.into());
        object.insert("hint".into(), Value::Null);
        object.insert("evidence".into(), report.evidence);
        object.insert("rejections".into(), json!([]));
        object.insert("notices".into(), notices.into());
        let waived = report.waived.iter();
        let waived = waived.map(|found| entry_json(found.rejection, &found.subject, &found.detail));
        object.insert("waived".into(), waived.collect());
    }
    object.into()
}

fn rejected_json(all: &[Finding]) -> Value {
    let entry = |found: &Finding| {
        let mut entry = entry_json(found.rejection, &found.subject, &found.detail);
        entry["hint"] = found.hint().into();
        entry
    };
    let first = all.first();
    json!({
        "verdict": "rejected",
        "code": first.map(|finding| finding.rejection.code()),
        "subject": first.map(|finding| &finding.subject),
        "detail": first.map(|finding| &finding.detail),
        "hint": first.map(Finding::hint),
        "evidence": null,
        "rejections": all.iter().map(entry).collect::<Vec<_>>(),
    })
}

fn entry_json(rejection: Rejection, subject: &str, detail: &str) -> Value {
    json!({ "code": rejection.code(), "subject": subject, "detail": detail })
}

fn error_json(code: &str, trouble: &Trouble) -> Value {
    json!({
        "verdict": "error",
        "code": code,
        "subject": trouble.subject,
        "detail": trouble.detail,
        "hint": trouble.hint,
        "evidence": null,
        "rejections": [],
    })
}

fn print_json(mut object: Value, command: Option<&str>, status: u8) -> ExitCode {
    object["schema"] = SCHEMA.into();
    object["command"] = command.into();
    write_data(&format!("{}\n", ascii(&object.to_string())), status)
}

/// Writes to standard output.
fn write_data(data: &str, status: u8) -> ExitCode {
    let mut stdout = io::stdout().lock();
    let done = stdout.write_all(data.as_bytes());
    written(done.and_then(|()| stdout.flush()), status)
}

/// A reader that has had enough is no error; a full disk is.
fn written(done: io::Result<()>, status: u8) -> ExitCode {
    match done {
        Ok(()) => ExitCode::from(status),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(status),
        Err(error) => {
            say(&format!(
                "error: could not write to standard output: {error}"
            ));
            ExitCode::from(ERROR)
        }
    }
}

/// Says, where nobody waits for JSON, that this process waits for another.
pub(crate) fn say_waiting(json: bool, lock: &Path) {
    if !json {
        say(&format!(
            "note: another process has {lock:?}; waiting for it"
        ));
    }
}

/// One line on standard error; if that is gone, so is the line, and the exit status remains.
pub(crate) fn say(line: &str) {
    let line = Paint::of_stderr().line(&plain(line));
    writeln!(io::stderr(), "{line}").ok();
}
