//! Fetches the files of a policy from a Hugging Face Hub, or a mirror of one, into quarantine.
//!
//! A Hub is not trusted. `hf-hub` brings bytes; names, sizes, digests, redirects, tokens and
//! timeouts are decided here:
//!
//! - A download is of one commit. A branch or tag is looked up once, shown, and pinned.
//! - Names come from a listing whose every path was checked, never from a header. One unsafe name
//!   refuses the whole listing.
//! - Every byte is hashed while it arrives: plain files must have the git id of the commit's tree,
//!   LFS files the sha256 of a pointer that has it. With a manifest, they must be what was signed.
//! - A body is cut off at its listed size. Nothing gets its name before it is complete and right.
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
//! # Environment
//! [`Config::from_env`] reads what users of `huggingface_hub` set; nothing else here reads the
//! environment. Where a Hub hands a body to its xet transport, that transport reads variables of
//! its own and reports statistics to its server unless the process was started with
//! [`XET_ENVIRONMENT`]. A process cannot safely set variables for itself, so whoever starts it
//! must.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod config;
mod error;
mod fetch;
mod hash;
mod hub;
mod listing;
mod progress;
mod refused;
mod retry;
mod target;
mod transfer;

pub use config::{Config, ConfigError, Endpoint, FetchLimits, Token};
pub use error::FetchError;
pub use fetch::{Fetched, Request, fetch};
pub use hash::GitId;
pub use hub::{Hub, Repository};
pub use listing::{Content, ListedFile, Listing};
pub use progress::{Progress, Silent};
pub use refused::{Reason, Refused};
pub use target::{At, Target};

/// Variables to start a process with, so that the xet transport of `hf-hub` reports nothing.
pub const XET_ENVIRONMENT: [(&str, &str); 1] = [("HF_XET_TELEMETRY_ENABLED", "0")];
