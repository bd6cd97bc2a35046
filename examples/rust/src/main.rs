//! A robot's controller: acts only on weights that it verified itself.
//!
//! It subscribes to a gate's topics, verifies and assembles the policy, and reports every change of
//! state until SIGINT. With `--observations IN --actions OUT` (bare little-endian float32) it
//! computes the actions as soon as the policy may be acted on, and ends.
//!
//! ROS parameter `gate` (default `/tensorgate`): the node whose topics to subscribe to.
#![forbid(unsafe_code)]

mod gate;
mod mlp;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use tensorgate_client::{Expectations, Receiver};
use tensorgate_verify::{Policy, RepoId, Revision, TrustPolicy};

use crate::gate::Gate;
use crate::mlp::Mlp;

/// Numbers in an observation of the Go2's policy.
const OBSERVATION: usize = 45;

/// A robot's controller: acts only on weights that it verified itself.
///
/// What follows `--ros-args` is for ROS: `-p gate:=/tensorgate` names the gate.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Whose signatures count.
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// The repository to expect.
    #[arg(long, value_name = "OWNER/NAME")]
    repo: Option<RepoId>,
    /// The commit to expect: 40 hexadecimal digits.
    #[arg(long, value_name = "COMMIT")]
    revision: Option<Revision>,
    /// Compute actions for these (float32, 45 to a row), then end.
    #[arg(long, value_name = "FILE", requires = "actions")]
    observations: Option<PathBuf>,
    /// Where the actions go (float32, 12 to a row).
    #[arg(long, value_name = "FILE", requires = "observations")]
    actions: Option<PathBuf>,
    /// Seconds to wait for a policy.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

fn main() -> ExitCode {
    let ours = std::env::args_os().take_while(|arg| arg != "--ros-args");
    match run(&Args::parse_from(ours)) {
        Ok(code) => code,
        Err(error) => {
            say(&error.to_string());
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let receiver = receiver(args)?;
    let node = r2r::Node::create(r2r::Context::create()?, "controller", "")?;
    let mut gate = Gate::new(node, receiver)?;
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let mut state = None;
    while !stop.load(Ordering::Relaxed) {
        gate.spin(Duration::from_millis(50))?;
        let (now, receiver) = (Instant::now(), &gate.receiver);
        if state.replace(receiver.state(now)) != Some(receiver.state(now)) {
            say(&format!("state: {}", receiver.state(now)));
        }
        if let (Some(policy), Some(observations), Some(actions)) =
            (receiver.active(now), &args.observations, &args.actions)
        {
            compute(policy, observations, actions)?;
            return Ok(ExitCode::SUCCESS);
        }
        let awaited = args.observations.is_some() || receiver.policy().is_none();
        if awaited && now > deadline {
            let (seconds, name) = (args.timeout, gate.name());
            say(&format!("no policy became active within {seconds} s"));
            say(&format!(
                "hint: is a gate running? see what it says on {name}/status"
            ));
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn receiver(args: &Args) -> Result<Receiver, Box<dyn Error>> {
    let trust = TrustPolicy::open(fs::File::open(".")?, &args.trust)
        .map_err(|error| format!("trust policy {:?}: {error}", args.trust))?;
    let expectations = Expectations {
        repo: args.repo.clone(),
        revision: args.revision.clone(),
    };
    Ok(Receiver::new(trust, expectations))
}

fn compute(policy: &Policy, observations: &Path, actions: &Path) -> Result<(), Box<dyn Error>> {
    let config = policy.file("config.json").ok_or("no config.json")?;
    let network = Mlp::new(config.bytes(), |name| policy.tensor(name))?;
    let observations = fs::read(observations)?;
    let (values, _) = observations.as_chunks();
    let values: Vec<f32> = values
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    let rows = values.chunks_exact(OBSERVATION);
    say(&format!("computed {} actions", rows.len()));
    let computed = rows.flat_map(|row| network.act(row));
    fs::write(
        actions,
        computed.flat_map(f32::to_le_bytes).collect::<Vec<u8>>(),
    )?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what the program is for")]
fn say(text: &str) {
    println!("{text}");
}
