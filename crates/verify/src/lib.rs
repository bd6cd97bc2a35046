//! Proves that a robot's policy is, byte for byte, what somebody you trust signed.
//!
//! Bytes and open handles go in, [`Verified<T>`] comes out. This crate knows no network, no async
//! runtime and no ROS. No verdict depends on a clock, a path or the environment: time, limits, state
//! and handles are arguments. Only `memory` asks the kernel how much memory is left, and how long a
//! writer is held back.
//!
//! ```text
//! envelope bytes ─SignedManifest::parse─▶ SignedManifest ─TrustPolicy::authenticate─▶ Verified<Manifest>
//!                                                                                      │ .claim(path)
//! open file ─────Untrusted::new─────────▶ Untrusted ──────────Claim::check───────────▶ Verified<File>
//!                                                    all files of one manifest ──────▶ Verified<Policy>
//! ```
//!
//! # From signing to reading
//! ```
//! use tensorgate_verify::*;
//! # use std::{fs, os::fd::OwnedFd};
//! # fn tensors() -> Vec<u8> {
//! #     let data: Vec<u8> = [0.5_f32, -1.0].iter().flat_map(|x| x.to_le_bytes()).collect();
//! #     let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2], &data).unwrap();
//! #     safetensors::serialize([("gain", view)], None).unwrap()
//! # }
//! # let folder = tempfile::tempdir()?;
//! # fs::write(folder.path().join("config.json"), br#"{"type": "mlp"}"#)?;
//! # fs::write(folder.path().join("model.safetensors"), tensors())?;
//! let rules = Rules::default();
//! let directory = Directory::new(OwnedFd::from(fs::File::open(folder.path())?));
//!
//! // A publisher describes the files and signs the description.
//! let key = SigningKey::from_seed(&[7; 32]); // a real one comes from `tensorgate keygen`
//! let repo = Repo::model("acme/walk".parse()?, "0123456789abcdef0123456789abcdef01234567".parse()?);
//! let (issued, expires) = ("2026-11-01T00:00:00Z".parse()?, "2027-11-01T00:00:00Z".parse()?);
//! let files = Survey::new(&rules).run(&directory)?.files;
//! let manifest = Manifest::new(repo, 1, (issued, expires), About::of_type("mlp"), files);
//! let envelope = SignedManifest::sign(&manifest, &key, &rules.limits)?.to_bytes();
//!
//! // A robot trusts that key, and no other.
//! let text = format!("threshold = 1\n[[keys]]\nname = 'acme'\npublic_key = '''{}'''", key.public_pem()?);
//! let trust = TrustPolicy::parse(&text, |_| unreachable!("the key is inline"))?;
//! let signed = SignedManifest::parse(&envelope, &rules.limits)?;
//! let context = Context::new("2026-11-23T12:00:00Z".parse()?);
//! let policy = trust.authenticate(&signed, &context)?.open(&directory, Proof::Tensors, trust.rules())?;
//! assert_eq!(policy.tensor("gain").unwrap().shape(), [2]);
//!
//! // One byte more, and there is no policy.
//! fs::write(folder.path().join("config.json"), br#"{"type": "mlp!"}"#)?;
//! let error = trust.authenticate(&signed, &context)?.open(&directory, Proof::Tensors, trust.rules()).unwrap_err();
//! assert_eq!(error.rejection(), Some(Rejection::SizeMismatch));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unreachable
)]

mod assembly;
mod audit;
mod claim;
mod content;
mod context;
mod cut;
mod demand;
mod digest;
mod directory;
mod dsse;
mod error;
mod file;
mod files;
mod format;
mod header;
mod header_json;
pub mod json;
mod key;
mod limits;
mod manifest;
mod manifest_rules;
mod memory;
mod names;
mod once;
mod policy;
mod polyglot;
mod rejection;
mod revocation;
mod rules;
mod scan;
mod scope;
mod statement;
mod survey;
mod trust;
mod trust_error;
mod trust_file;
mod trust_text;
mod trusted;
mod verified;
mod vouched;

// The public interface, in the order of the flow above.
pub use context::{Accepted, Context, History, Memory};
pub use dsse::{PAYLOAD_TYPE, Signed, SignedManifest, SignedRevocations, pae};
pub use manifest::{
    About, Decision, External, ExternalFile, FileEntry, Manifest, Repo, ReviewedCode, TensorEntry,
};
pub use revocation::{Revocation, Revocations, Revoked};
pub use scope::{NotARepoGlob, RepoGlob};
pub use statement::Predicate;
pub use trust::TrustPolicy;
pub use trust_error::TrustPolicyError;
pub use trust_file::own_text;
pub use trusted::{OmsAnchor, OmsTrust, TrustedKey};
pub use verified::{Evidence, RevocationEvidence, Signer, Verified};

pub use assembly::Assembly;
pub use claim::{Claim, Proof, Untrusted};
pub use cut::{Cut, FragmentSize, Span};
pub use demand::OnDemand;
pub use directory::Directory;
pub use file::File;
pub use header::{Header, Tensor};
pub use memory::{
    Guarded, Hold, Holding, LeaseEvent, LeaseHolder, LeaseOutcome, LeaseSignal, Sealed, Unguarded,
    trim_heap,
};
pub use policy::Policy;
pub use survey::{Asked, Survey, Surveyed, Undecided};
pub use vouched::Vouched;

pub use content::{Kind, MANIFEST_FILE};
pub use digest::{Blake3, KeyId, NotHex, Sha256};
pub use error::{Error, Findings, Rejected, Rejections, Result};
pub use json::untrusted_json;
pub use key::{KeyHolder, NotAKey, PublicKey, SigningKey};
pub use limits::Limits;
pub use names::{FilePath, NotARepoId, RepoId, RepoType, Revision};
pub use rejection::Rejection;
pub use rules::{Code, ContentRules, Rules, Severity};
