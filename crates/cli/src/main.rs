//! `tensorgate`: the gate between the Hugging Face Hub and a robot, as a command.
//!
//! Exit status 0: verified, passed, fetched or done; 1: rejected; 2: could not check, or wrong usage.
#![forbid(unsafe_code)]

mod admit;
mod agent;
mod args;
mod audit;
mod beside;
mod claims;
mod completions;
mod declarations;
mod diff;
mod disk;
mod doctor;
mod dry_run;
mod environment;
mod facts;
mod failure;
mod fetch;
mod header;
mod hints;
mod html;
mod inspect;
mod keygen;
mod keys;
mod listing;
mod man;
mod memory;
mod oms;
mod openssh;
mod output;
mod paint;
mod progress;
mod release;
mod sarif;
mod sign;
mod signals;
mod stop;
mod store;
mod target;
mod terminal;
mod text;
mod trust;
mod verify;
mod vsa;
mod watch;

use std::path::Path;
use std::process::ExitCode;

use args::Command;
use args::operator::{Store, Trust};
use failure::Failure;
use output::{Output, Report};

fn main() -> ExitCode {
    match args::parse() {
        Ok(cli) => {
            let output = Output::new(cli.json, cli.command.name());
            let ready = beside::begin(&cli.command).and_then(|()| start_threads());
            if let Err(failure) = ready {
                return output.finish(Err(failure));
            }
            if let Command::Fetch(args) = &cli.command
                && let Some(interval) = args.watch
            {
                return watch::run(args, interval, output);
            }
            let outcome = run(&cli.command, cli.json);
            output.finish(outcome)
        }
        Err(usage) => output::usage(&usage),
    }
}

/// All that hash work on these; rayon panics where it would start them and cannot.
fn start_threads() -> Result<(), Failure> {
    let started = rayon::ThreadPoolBuilder::new().build_global();
    started.map_err(|error| {
        Failure::about(
            Path::new("threads"),
            format!("could not start threads: {error}"),
        )
    })
}

fn run(command: &Command, json: bool) -> Result<Report, Failure> {
    match command {
        Command::Admit(args) => admit::run(args, json),
        Command::Audit(args) => audit::run(args, json),
        Command::Completions(args) => completions::run(args),
        Command::Diff(args) => diff::run(args, json),
        Command::Doctor(args) => doctor::run(args),
        Command::Fetch(args) => fetch::run(args, json),
        Command::Inspect(args) => inspect::run(args),
        Command::Keygen(args) => keygen::run(args),
        Command::Man(args) => man::run(args, json),
        Command::Sign(args) => sign::run(args, json),
        Command::Store(Store::Check(args)) => store::check::run(args, json),
        Command::Store(Store::Gc(args)) => store::gc::run(args, json),
        Command::Store(Store::ImportHfCache(args)) => store::import::run(args, json),
        Command::Store(Store::Init(args)) => store::init(args, json),
        Command::Store(Store::Ls(args)) => store::ls(args),
        Command::Store(Store::ResetState(args)) => store::reset_state(args, json),
        Command::Store(Store::Unrevoke(args)) => store::unrevoke(args, json),
        Command::Trust(Trust::AddKey(args)) => trust::add_key::run(args, json),
        Command::Trust(Trust::Check(args)) => trust::check::run(args),
        Command::Trust(Trust::Revoke(args)) => trust::revoke::run(args, json),
        Command::Trust(Trust::Show(args)) => trust::show::run(args),
        Command::Verify(args) => verify::run(args, json),
    }
}
