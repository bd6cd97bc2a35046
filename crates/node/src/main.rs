//! The ROS 2 node of tensorgate: loads a signed policy, proves it, and publishes it to the
//! robot's controllers, who verify it again.
//!
//! `ros2 launch tensorgate tensorgate.launch.py policy:=… trust:=…`, or
//! `tensorgate_node --ros-args -p policy:=… -p trust:=…`. Topics, all below the node's name:
//! `manifest`, `fragments`, `status`; see the package `tensorgate_msgs`.
#![warn(missing_docs)]

mod action;
mod announce;
mod background;
mod borrowed;
mod diagnostics;
mod follow;
mod gate;
mod heartbeat;
mod hub;
mod lifecycle;
mod load;
mod loading;
mod news;
mod observer;
mod pace;
mod parameters;
mod places;
mod publish;
mod pull;
mod recheck;
mod requests;
mod rosout;
mod served;
mod stage;
mod start;
mod status;
mod transitions;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};

fn main() -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    let installed =
        [SIGINT, SIGTERM].map(|signal| signal_hook::flag::register(signal, Arc::clone(&stop)));
    let outcome = match installed.into_iter().find_map(Result::err) {
        Some(error) => Err(format!("no signal handler: {error}")),
        None => gate::run(&stop),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            r2r::log_fatal!("tensorgate", "{}", announce::ros_string(&message));
            ExitCode::from(2)
        }
    }
}
