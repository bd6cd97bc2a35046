//! `tensorgate completions`: what a shell offers at the Tab key.

use clap::CommandFactory as _;
use serde_json::json;

use crate::args::Cli;
use crate::args::help::Completions;
use crate::failure::Failure;
use crate::output::Report;

pub(crate) fn run(args: &Completions) -> Result<Report, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tensorgate", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let more = json!({ "script": script });
    Ok(Report {
        verdict: Some("done"),
        subject: args.shell.to_string(),
        data: script,
        more: more.as_object().cloned().unwrap_or_default(),
        ..Report::default()
    })
}
