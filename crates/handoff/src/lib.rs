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
//! # The gate
//! ```
//! use std::path::Path;
//! use tensorgate_handoff::{HandoffError, Offer, Peers, Server};
//! use tensorgate_verify::{Policy, Verified};
//!
//! fn serve(socket: &Path, policy: &Verified<Policy>) -> Result<Server, Box<dyn std::error::Error>> {
//!     // Whoever runs as this user, or root. The socket goes when the server is dropped.
//!     let server = Server::start(socket, Peers::default(), |event| eprintln!("{event}"))?;
//!     let (session, epoch) = ([7; 16], 1); // those of the announcement
//!     server.offer(Offer::seal(policy, session, epoch)?);
//!     Ok(server)
//! }
//! ```
//!
//! # A controller
//! How much it proves itself is its choice, and shows in the type.
//! ```
//! use std::path::Path;
//! use std::time::Duration;
//! use tensorgate_handoff::{Peers, receive};
//! use tensorgate_verify::{Context, OnDemand, Policy, Proof, SignedManifest, TrustPolicy, Verified};
//!
//! type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
//!
//! /// Every byte is proven before there is a policy.
//! fn all(socket: &Path, trust: &TrustPolicy, context: &Context<'_>) -> Result<Verified<Policy>> {
//!     let handed = receive(socket, &Peers::default(), trust.limits(), Duration::from_secs(2))?;
//!     let signed = SignedManifest::parse(handed.envelope(), trust.limits())?;
//!     let manifest = trust.authenticate(&signed, context)?;
//!     manifest.require_policy()?;
//!     let holds = handed.into_holds(&manifest)?;
//!     Ok(manifest.open_holds(holds, Proof::Tensors, trust.rules())?)
//! }
//!
//! /// Each tensor is proven when it is asked for: ready at once, whatever the size.
//! fn on_demand(socket: &Path, trust: &TrustPolicy, context: &Context<'_>) -> Result<OnDemand> {
//!     # let handed = receive(socket, &Peers::default(), trust.limits(), Duration::from_secs(2))?;
//!     # let signed = SignedManifest::parse(handed.envelope(), trust.limits())?;
//!     # let manifest = trust.authenticate(&signed, context)?;
//!     # manifest.require_policy()?;
//!     // … as above, and then
//!     let holds = handed.into_holds(&manifest)?;
//!     Ok(manifest.open_holds_on_demand(holds, trust.rules())?)
//! }
//! ```
//! [`dangerously_trust_sender`](tensorgate_verify::Verified::dangerously_trust_sender) takes the
//! gate's word for the weights, and returns a type of which nothing verified can be made.
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
mod well_known;

pub use error::{HandoffError, Refusal};
pub use handed::{Handed, receive};
pub use offer::{MAX_WEIGHTS, Offer};
pub use peers::{NotPeers, Peers};
pub use server::{Event, Server};
pub use well_known::{find, make_directory_of, well_known};

/// Drawn at random when a gate starts.
pub type Session = [u8; 16];
