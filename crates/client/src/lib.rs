//! A controller's side of the gate: receives a policy in fragments, verifies it again, swaps it in
//! whole, and says at any moment whether it may still be acted on.
//!
//! ROS topics are an untrusted transport: anybody on the robot's network can publish on them. So a
//! [`Receiver`] takes nothing for a policy but what keys signed that the controller itself trusts.
//! Heartbeats are not signed: forged ones can stop a robot, and can keep it on a verified policy
//! after the gate is gone; where that matters, use an authenticated transport, such as SROS 2. What
//! was revoked stays so. A receiver knows no ROS, no network, no thread and no clock: messages and
//! time are arguments.
//!
//! ```text
//!           announce             proven              heartbeat           none in time, or "withdrawn"
//! NoPolicy ──────────▶ Receiving ──────▶ Verified ───────────▶ Active ────────────────────▶ Stale
//!     ▲     given up     │                │    │               │   ▲                         │ │
//!     └──────────────────┘                │    │ "withdrawn"   │   └─── heartbeats resume ───┘ │
//!                                         │    └───────────────┼─────────▶ Stale               │
//!                                         └──── "revoked" ─────┴─────▶ Revoked ◀───────────────┘
//! ```
//! Beside a running policy a new one is received and proven without touching it; one assignment
//! puts the new one in its place, where it takes over what is left of the lease, so that a robot
//! does not stumble over a swap. (*Verified* is a state of its own since an announcement can be a
//! replay: without a word from a gate there is nothing to drive on.)
//!
//! # From messages to a policy
//! ```
//! use std::time::Instant;
//! use tensorgate_client::{Announcement, Expectations, Fragment, Receiver, State, Status};
//! use tensorgate_verify::TrustPolicy;
//!
//! /// What a controller does with the messages of `~/manifest`, `~/fragments` and `~/status`.
//! fn run(
//!     trust: TrustPolicy,
//!     announcement: Announcement,
//!     fragments: &[Fragment<'_>],
//!     heartbeat: &Status,
//! ) -> tensorgate_client::Result<()> {
//!     let mut receiver = Receiver::new(trust, Expectations::default());
//!     receiver.announce(announcement, jiff::Timestamp::now(), Instant::now())?;
//!     for fragment in fragments {
//!         if let Some(policy) = receiver.fragment(fragment, jiff::Timestamp::now(), Instant::now())? {
//!             println!("{} tensors verified", policy.tensor_files().flat_map(|f| f.tensors()).count());
//!         }
//!     }
//!     receiver.status(heartbeat, Instant::now());
//!     match receiver.state(Instant::now()) {
//!         State::Active => println!("drive"),
//!         _ => println!("stop"),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Fragments that do not come by themselves
//! ```
//! use std::time::Instant;
//! use tensorgate_client::{Fragment, Pull, Receiver};
//!
//! /// Some ten times a second. `ask` calls `~/get_fragments`; a node would not wait here, but call
//! /// `fragment` and `pulled` when the answer comes.
//! fn pull(receiver: &mut Receiver, ask: impl Fn(&Pull) -> Vec<(u32, Vec<u8>)>) -> tensorgate_client::Result<()> {
//!     while let Some(pull) = receiver.pull(Instant::now())? {
//!         for (index, data) in &ask(&pull) {
//!             let fragment = Fragment { session: pull.session, epoch: pull.epoch, index: *index, data };
//!             receiver.fragment(&fragment, jiff::Timestamp::now(), Instant::now())?;
//!         }
//!         receiver.pulled(&pull, Instant::now());
//!     }
//!     Ok(()) // nothing is due
//! }
//! ```
//!
//! # Proofs beside the control loop
//! To prove gigabytes takes time. [`Receiver::begin`], [`accept`](Receiver::accept) and
//! [`take_over`](Receiver::take_over) leave that to the caller: [`Candidate::prove`] may run on
//! another thread, and [`Receiver::settle`] takes what came of it.
//!
//! # Beside the gate, on one machine
//! Its socket saves the fragments: what is handed over are the pages that the gate holds.
//! ```
//! use std::{path::Path, time::{Duration, Instant}};
//! use tensorgate_client::Receiver;
//! use tensorgate_handoff::Peers;
//! use tensorgate_verify::Limits;
//!
//! type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
//!
//! /// `limits` are those of the trust policy that the receiver was made with.
//! fn take_over(receiver: &mut Receiver, socket: &Path, limits: &Limits) -> Result<()> {
//!     let gate = Peers::default(); // this user, or root
//!     let handed = tensorgate_handoff::receive(socket, &gate, limits, Duration::from_secs(2))?;
//!     receiver.take_handed(handed, jiff::Timestamp::now(), Instant::now())?;
//!     Ok(()) // Verified: the next heartbeat makes it Active
//! }
//! ```
#![forbid(unsafe_code)]

mod error;
mod force;
mod history;
mod incoming;
mod judge;
mod lease;
mod message;
mod proof;
mod pull;
mod receiver;
mod state;

pub use error::{Error, Result};
pub use lease::MAX_LEASE;
pub use message::{Announcement, Fragment, Session, Status};
pub use proof::{Candidate, Proven};
pub use pull::{PATIENCE, Pull};
pub use receiver::{DEFAULT_MAX_BYTES, Expectations, Receiver, Refusals};
pub use state::{Snapshot, State};
pub use tensorgate_verify::Memory;
