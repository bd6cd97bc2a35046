//! `tensorgate-testhub`: serves directories as Hub repositories on 127.0.0.1
//! until SIGINT or SIGTERM.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tensorgate_testhub::{Fault, Repository, TestHub};

/// A Hugging Face Hub on loopback, for tests and demonstrations.
///
/// Prints one JSON line {"endpoint", "cdn", "commits"} when it answers, and
/// serves until SIGINT or SIGTERM.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// A directory becomes a commit of a repository; given again for the same
    /// repository, the next commit. `datasets/OWNER/NAME=DIR` is a dataset
    #[arg(long = "repo", value_name = "OWNER/NAME=DIR", value_parser = commit, required = true)]
    commits: Vec<(String, PathBuf)>,
    /// Port of API and resolver; 0 is a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Tamper with a file: flip:PATH[@BYTE], cut:PATH[@BYTES],
    /// stall:PATH[@BYTES] or surplus:PATH[@BYTES], each 1 unless given
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Fault>,
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the last resort; if it is gone, so is the message.
            writeln!(io::stderr(), "error: {error}").ok();
            ExitCode::from(2)
        }
    }
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    // Before the ready line: whoever reads it may send a signal at once.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let repositories = repositories(options.commits)?;
    let hub = TestHub::builder().port(options.port).start()?;
    let mut commits = BTreeMap::new();
    for (id, repository) in repositories {
        commits.insert(id, repository.commits());
        hub.serve(repository);
    }
    for fault in options.faults {
        hub.require_effect(&fault)?;
        hub.inject(fault);
    }
    let ready = serde_json::json!({
        "endpoint": hub.endpoint(),
        "cdn": hub.cdn(),
        "commits": commits,
    });
    let mut stdout = io::stdout();
    writeln!(stdout, "{ready}")?;
    stdout.flush()?;
    signals.forever().next();
    Ok(())
}

fn repositories(
    commits: Vec<(String, PathBuf)>,
) -> Result<BTreeMap<String, Repository>, tensorgate_testhub::Error> {
    let mut repositories = BTreeMap::new();
    for (id, dir) in commits {
        let repository = match repositories.remove(&id) {
            Some(repository) => repository,
            None => Repository::new(&id)?,
        };
        repositories.insert(id, repository.commit_dir(dir)?);
    }
    Ok(repositories)
}

fn commit(argument: &str) -> Result<(String, PathBuf), String> {
    match argument.split_once('=') {
        Some((id, dir)) if !dir.is_empty() => Ok((id.to_owned(), dir.into())),
        _ => Err("want OWNER/NAME=DIR".to_owned()),
    }
}
