//! Fetches the files of a policy from a Hugging Face Hub, or a mirror of one, into quarantine.
//!
//! A Hub is not trusted:
//!
//! - A download is of one commit. A branch or tag is looked up once, shown, and pinned.
//! - Names come from a listing whose every path was checked, never from a header. One unsafe name
//!   refuses the whole listing.
//! - Every byte is hashed while it arrives: plain files must have the git id of the commit's tree,
//!   LFS files the sha256 of a pointer that has it. With a manifest, they must be what was signed.
//! - A body is cut off at its listed size. Nothing gets its name before it is complete and right.
//! - What came before a cut is kept, and believed for nothing: a later attempt reads it again, asks
//!   for the rest, and judges the whole.
//! - The token goes to the endpoint's origin. A listing does not leave it.
//!
//! What is refused is [`FetchError::Rejected`]; every other error means that it could not be had.
//! Nothing that comes out of here is trusted: see `tensorgate_verify`.
//!
//! ```no_run
//! use tensorgate_hub::{Config, Hub, Request, Silent, fetch};
//! use tensorgate_store::Store;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::open(Store::default_location()?)?;
//! let hub = Hub::unless_offline(&Config::from_env()?)?;
//! let target = "acme/walk@0123456789abcdef0123456789abcdef01234567".parse()?;
//! let fetched = fetch(&store, hub.as_ref(), Request::new(&target), &Silent).await?;
//! println!("{} files in {}", fetched.files.len(), fetched.path.display());
//! # Ok(())
//! # }
//! ```
//!
//! # Updates
//! A [`Gate`] takes a signed manifest to a policy in the store; a [`Channel`] is a branch that says
//! which manifest is the newest; a [`Watch`] asks it again and again, at a [`Pace`] that a fleet can
//! keep. Nothing is believed of the branch but what is signed, and what was accepted stays in the
//! store whatever it says.
//!
//! ```no_run
//! use tensorgate_hub::{Channel, Config, Expected, Gate, Hub, Pace, Round, Silent, Watch};
//! # use tensorgate_verify::{RepoType, TrustPolicy};
//! # async fn example(trust: TrustPolicy) -> Result<(), Box<dyn std::error::Error>> {
//! # let store = tensorgate_store::Store::open("store")?;
//! # let hub = Hub::new(&Config::from_env()?)?;
//! let expected = Expected::of(RepoType::Model, "acme/walk".parse()?);
//! let mut watch = Watch::new(Channel::new("acme/walk@main".parse()?, expected));
//! let mut pace = Pace::new(std::time::Duration::from_secs(300));
//! loop {
//!     let gate = Gate::new(&store, Some(&hub), &trust, jiff::Timestamp::now(), &Silent);
//!     let round = watch.round(&gate).await;
//!     if let Ok(Round::Admitted(release)) = &round {
//!         println!("{}", release.directory.path().display());
//!     }
//!     tokio::time::sleep(pace.after(round.as_ref().err())).await;
//! }
//! # }
//! ```
//!
//! # Transport
//! Bodies come from `/resolve/` by plain HTTP, which the Hub serves for what it stores as xet,
//! too. Neither `hf-hub` nor `hf-xet` takes part: what is needed here is one client, one rule for
//! every redirect and for the token, and every byte counted as it comes.
//!
//! # Environment
//! [`Config::from_env`] reads what users of `huggingface_hub` set. The HTTP client goes through
//! the proxies of `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, except to an endpoint
//! on loopback: a proxy sees what an `http` endpoint sees. Nothing else here reads the
//! environment, and nothing is written outside the store.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod channel;
mod choice;
mod config;
mod deadline;
mod error;
mod fetch;
mod gate;
mod hash;
mod hub;
mod limits;
mod listing;
mod part;
mod plan;
mod progress;
mod range;
mod refused;
mod retry;
mod slices;
mod target;
mod token;
mod transfer;
mod transport;
mod wanted;
mod watch;

pub use channel::Channel;
pub use config::{Config, ConfigError, Endpoint};
pub use error::FetchError;
pub use fetch::{Fetched, Request, fetch};
pub use gate::{AdmitError, Admitted, Expected, Gate};
pub use hash::GitId;
pub use hub::{Hub, Repository};
pub use limits::FetchLimits;
pub use listing::{Content, ListedFile, Listing};
pub use plan::{Have, Plan, Planned, plan};
pub use progress::{Progress, Silent};
pub use refused::{Reason, Refused};
pub use target::{At, Target};
pub use token::Token;
pub use watch::{Pace, Round, Watch};
