//! `tensorgate doctor`: what is the matter with this machine, and what to do about it.
//!
//! Each part looks at one thing and returns its lines. What they see is gathered first, so that a test
//! can show them any machine.

mod check;
mod clock;
mod hub;
mod lease;
mod memory;
mod ros;
mod store;
mod trust;

use std::path::Path;

use serde_json::json;

use crate::args::help::Doctor;
use crate::environment::Environment;
use crate::failure::{Failure, Trouble};
use crate::output::Report;
use crate::paint::{Paint, Tone};
use crate::text::{line, now_in_seconds};
use check::{Check, Status};

pub(crate) fn run(args: &Doctor) -> Result<Report, Failure> {
    let (environment, now) = (Environment::of_process(), now_in_seconds());
    let trusted = trust::look(args.trust.as_deref(), now);
    let stored = store::look(args.store.as_deref(), trusted.policy.as_ref(), now);
    let mut checks = ros::checks(&environment);
    checks.extend(trusted.checks);
    checks.extend(stored.checks);
    checks.extend(clock::checks(&clock::Facts::of_machine(
        now,
        stored.clock_floor,
    )));
    checks.extend(memory::checks(&memory::Facts::of_machine(stored.largest)));
    checks.push(lease::check(stored.store.as_ref()));
    checks.push(memory::handoff());
    let known = stored.repositories.first();
    checks.extend(hub::checks(args, &environment, known)?);
    Ok(report(&checks))
}

fn report(checks: &[Check]) -> Report {
    let paint = Paint::of_stdout();
    let mut data: String = checks.iter().map(|check| lines(check, paint)).collect();
    let number = |status| checks.iter().filter(|check| check.status == status).count();
    let (failed, warned) = (number(Status::Fail), number(Status::Warn));
    data.push_str(&format!(
        "{} ok, {warned} warn, {failed} fail, {} skipped\n",
        number(Status::Ok),
        number(Status::Skipped)
    ));
    let more = json!({ "checks": checks });
    Report {
        verdict: Some("done"),
        subject: "this machine".to_owned(),
        data,
        more: more.as_object().cloned().unwrap_or_default(),
        trouble: trouble(checks, failed),
        ..Report::default()
    }
}

fn trouble(checks: &[Check], failed: usize) -> Option<Trouble> {
    let first = checks.iter().find(|check| check.status == Status::Fail)?;
    let detail = match failed {
        1 => format!("{} failed: {}", first.name, first.detail),
        n => format!("{n} checks failed, first {}: {}", first.name, first.detail),
    };
    let Failure::Error(trouble) = Failure::about(Path::new(first.name), detail) else {
        return None;
    };
    Some(Trouble {
        hint: first.hint.clone(),
        ..trouble
    })
}

/// A line for what was seen, and one for what to do.
fn lines(check: &Check, paint: Paint) -> String {
    let Check {
        name,
        status,
        detail,
        hint,
    } = check;
    let (word, tone) = match status {
        Status::Ok => ("ok     ", Tone::Good),
        Status::Warn => ("warn   ", Tone::Doubt),
        Status::Fail => ("fail   ", Tone::Bad),
        Status::Skipped => ("skipped", Tone::Quiet),
    };
    let word = paint.word(tone, word);
    let mut text = format!("{word}  {name:<18}  {}\n", line(detail));
    if let Some(hint) = hint {
        let word = paint.word(Tone::Quiet, "hint:");
        text.push_str(&format!("{:29}{word} {}\n", "", line(hint)));
    }
    text
}
