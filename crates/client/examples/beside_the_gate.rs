//! A controller beside the gate: takes its pages through the socket, and says what it has then.
//!
//! ```console
//! $ cargo run --example beside_the_gate -- /run/tensorgate/gate /etc/tensorgate/trust.toml
//! active: acme/walk, manifest 90a3e224…, 2 tensors, 67108864 bytes of weights
//! ```
#![expect(clippy::print_stdout, reason = "a command")]

use std::env::args_os;
use std::error::Error;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tensorgate_client::{Expectations, Receiver};
use tensorgate_handoff::{Peers, receive};
use tensorgate_verify::TrustPolicy;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = args_os().skip(1).map(PathBuf::from);
    let (Some(socket), Some(trust)) = (args.next(), args.next()) else {
        return Err("usage: beside_the_gate SOCKET TRUST".into());
    };
    let trust = TrustPolicy::open(File::open(".")?, &trust)?;
    // This user's gate, or root's.
    let patience = Duration::from_secs(5);
    let handed = receive(&socket, &Peers::default(), trust.limits(), patience)?;
    let mut receiver = Receiver::new(trust, Expectations::default());
    receiver.take_handed(handed, Timestamp::now(), Instant::now())?;
    let state = receiver.state(Instant::now());
    let policy = receiver.policy().ok_or("the policy is held already")?;
    let tensors = policy.tensor_files().flat_map(|file| file.tensors());
    let sizes: Vec<usize> = tensors.map(|(_, view)| view.data().len()).collect();
    println!(
        "{state}: {}, manifest {}, {} tensors, {} bytes of weights",
        policy.evidence().repo,
        policy.evidence().manifest,
        sizes.len(),
        sizes.iter().sum::<usize>()
    );
    Ok(())
}
