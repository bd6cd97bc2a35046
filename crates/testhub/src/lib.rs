//! A Hugging Face Hub on loopback, for tests and the demo: honest by
//! default, and hostile in exactly the way that is asked for.
//!
//! It serves [`Repository`]s with real git ids: blobs, trees and commits are
//! hashed as git hashes them and LFS files enter the tree as their pointer
//! text, so a commit id binds every byte, and a client that checks has
//! something to check. A file is LFS if it is larger than [`LFS_THRESHOLD`] or
//! its extension is one of [`LFS_EXTENSIONS`]. Unmodified `hf-hub` and
//! `huggingface_hub` download from it; LFS bodies come from a second port,
//! the "CDN", behind a signed URL.
//!
//! ```
//! use tensorgate_testhub::{Fault, Repository, TestHub};
//!
//! let walk = Repository::new("robots/walk")?
//!     .commit_files([("config.json", "{}"), ("model.safetensors", "weights")])?
//!     .branch("v1")?
//!     .commit_files([("config.json", "{ }"), ("model.safetensors", "weights")])?;
//! let [_v1, main] = walk.commits().try_into().unwrap();
//! assert_eq!(main.len(), 40);
//!
//! let hub = TestHub::start()?;
//! hub.serve(walk);
//! hub.inject(Fault::ByteFlipped { path: "model.safetensors".into(), at: 3 });
//! // ... point a client at hub.endpoint(), then ask what it did:
//! assert!(hub.requests().is_empty());
//! # Ok::<(), tensorgate_testhub::Error>(())
//! ```
//!
//! It knows `/api/{models,datasets}/OWNER/NAME` with `revision`, `tree` (paged
//! by `Link`), `paths-info` and `refs`, and `resolve` for `GET` and `HEAD`
//! with ranges. It names a xet hash only as a [`Fault`], so clients stay on HTTP. `expand`
//! is taken and adds nothing.
#![forbid(unsafe_code)]

mod api;
mod body;
mod commit;
mod connection;
mod error;
mod fault;
mod git;
mod listing;
mod log;
mod noise;
mod olah;
mod program;
mod refusal;
mod repository;
mod resolve;
mod server;
mod wire;

pub use commit::{LFS_EXTENSIONS, LFS_THRESHOLD};
pub use error::Error;
pub use fault::{Fault, Place};
pub use git::{COMMIT_AUTHOR, COMMIT_TIME, ObjectId, lfs_pointer};
pub use log::{Port, Request};
pub use noise::Noise;
pub use olah::Mirrored;
pub use program::{git, huggingface_hub, python};
pub use repository::Repository;
pub use resolve::CDN_SIGNATURE;
pub use server::{Builder, TestHub};
pub use wire::{Flaw, Wire};
