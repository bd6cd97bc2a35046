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
//! - With a manifest, what another release has brought is taken from the store, and read there.
//! - The token goes to the endpoint's origin, unless a redirect led elsewhere before. A listing does
//!   not leave it.
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
//! # What a Hub may say
//! - Every answer of the endpoint that names a commit (`X-Repo-Commit`) names the one that was asked
//!   for. `ETag`, `X-Linked-*`, `X-Xet-Hash` and `Content-Disposition` are not read.
//! - A directory with an id is rebuilt as git hashes it: what was hidden in it, added to it or
//!   changed is noticed before anything is fetched. Of the root no listing has an id, and mirrors
//!   may leave directories out: a manifest says what belongs to a policy.
//! - A redirect is one `Location` without name and password, of 8,000 bytes at most, from https to
//!   https, and no nearer to this machine than the endpoint is: from an endpoint on the internet none
//!   leads into the robot's network. Names are judged by the addresses they stand for, the endpoint's
//!   own included once it was found on the internet, and only those are connected to. Behind a proxy,
//!   which looks names up itself, addresses that are written out are judged, and the rest is the
//!   proxy's to refuse.
//! - `Retry-After` and `RateLimit` are obeyed, up to a limit, and a little longer than asked: what
//!   one request is told to wait, all wait.
//! - An error of a CDN is a CDN's, whatever it says it means.
//!
//! # Transport
//! Bodies come from `/resolve/` by plain HTTP/1.1, which the Hub serves for what it stores as xet,
//! too. Neither `hf-hub` nor `hf-xet` takes part, so there is no telemetry, and no service but the
//! Hub and its CDN is asked: what is needed here is one client, one rule for every redirect and for
//! the token, and every byte counted as it comes. Where a Hub has a file for Xet clients alone,
//! [`Reason::XetOnly`] says so. All of this was shown with servers on loopback; that the public
//! Hub's CDN gives each file whole is its promise.
//!
//! # Environment
//! [`Config::from_env`] reads what users of `huggingface_hub` set: `HF_ENDPOINT`, `HF_TOKEN`,
//! `HF_TOKEN_PATH`, `HF_HOME`, `HF_HUB_DISABLE_IMPLICIT_TOKEN`, and `HF_HUB_OFFLINE` or
//! `TRANSFORMERS_OFFLINE`. These two hold for every request:
//!
//! - Proxies: `HTTP_PROXY`, `HTTPS_PROXY`, or `ALL_PROXY` in place of either, but for the hosts of
//!   `NO_PROXY`, and never to an endpoint on this machine. A proxy sees what an `http` endpoint sees;
//!   to `https` it is a tunnel. One that cannot be used is an error: nothing goes around it.
//! - Root certificates: `SSL_CERT_FILE` (a file in PEM) and `SSL_CERT_DIR` (directories of them) stand
//!   in place of the system's, as for OpenSSL and Python. A site that has both a mirror of its own
//!   and the public CDN names a file with both.
//!
//! Without [`Config::from_env`], the roots are the system's, for which these two variables count as
//! well; [`Cache::default_location`] reads where `huggingface_hub` has its cache. Nothing is written
//! outside the store.
//!
//! # Memory
//! Fetching takes less than 64 MiB, whatever the sizes. Proving does not: a [`Gate`] holds the whole
//! policy in sealed memory while it is proven and kept.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod cache;
mod config;
mod error;
mod fetch;
mod http;
mod hub;
mod limits;
mod listing;
mod progress;
mod release;
mod target;
mod transfer;

pub use cache::{Cache, import};
pub use config::endpoint::Endpoint;
pub use config::proxies::Proxies;
pub use config::roots::Roots;
pub use config::token::Token;
pub use config::{Config, ConfigError};
pub use error::FetchError;
pub use fetch::hash::GitId;
pub use fetch::plan::{Have, Plan, Planned, plan};
pub use fetch::{Fetched, Request, fetch, pin};
pub use http::refused::{Reason, Refused};
pub use hub::{Hub, Repository};
pub use limits::FetchLimits;
pub use listing::{Content, ListedFile, Listing};
pub use progress::{Progress, Silent};
pub use release::channel::Channel;
pub use release::gate::{AdmitError, Admitted, Expected, Gate};
pub use release::watch::{Pace, Round, Watch};
pub use target::{At, Target};
