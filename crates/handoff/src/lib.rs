//! Hands a verified policy to controllers on the same machine: not its bytes, but its pages.
//!
//! A gate seals the policy once, in memfds that nobody can change, and passes these through a Unix
//! socket (`SCM_RIGHTS`, unix(7)). However many controllers map them, the weights are in memory
//! once. Each end asks the kernel who the other one is, and the controller believes nothing: it
//! authenticates the envelope with its own trust policy, reads the seals back, and proves the bytes.
//!
//! ```text
//! gate: Verified<Policy> ─Offer::seal─▶ Offer ─Server::offer─▶ (socket) ─receive─▶ Handed, untrusted
//!                                                                                    │ .envelope()
//!                                          SignedManifest::parse ─▶ TrustPolicy::authenticate
//!                                                                                    │ .prove(manifest)
//!                                                                             Verified<Policy>
//! ```
//!
//! # Version 1 of the protocol
//! The client connects (`SOCK_SEQPACKET`) and sends nothing. The server sends packets of 72 bytes,
//! each with at most one descriptor: *hello* (digest of the manifest, session, epoch, number of
//! weights files) with the envelope; *small* with all files that are not safetensors, one after the
//! other in the manifest's order; *weights* once for each safetensors file, in that order; *end*. Or
//! a *refusal*. Every descriptor is a memfd that is sealed against writing, growing, shrinking and
//! further seals; its size is what the signed manifest says.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod error;
mod handed;
mod line;
mod offer;
mod packet;
mod peers;
mod place;
mod server;

pub use error::{HandoffError, Refusal};
pub use handed::{Handed, receive};
pub use offer::{MAX_WEIGHTS, Offer};
pub use peers::{NotPeers, Peers};
pub use server::{Event, Server};

/// Drawn at random when a gate starts.
pub type Session = [u8; 16];
