//! OpenSSF Model Signing v1.0: proves that a directory's files are those that somebody trusted
//! signed, and says how much less that is than a policy's own manifest proves.
//!
//! ```text
//! bundle bytes ─Bundle::parse─▶ Bundle ─authenticate(anchors, now)─▶ Statement ─open(directory)─▶ Attested
//! ```
//!
//! Keys and roots are the operator's ([`Anchor`]); what a bundle brings is only compared with
//! them. The signature is checked before one byte of the statement is read. Methods `key` (P-256,
//! P-384, P-521) and `certificate` are accepted, `sigstore` is not.
//!
//! # Why this is a crate of its own
//! What proves a policy stays small enough to review: X.509, RSA and three more curves are not in
//! the tree of `tensorgate-verify`. And an OMS signature promises less ([`NOT_PROMISED`]), so it
//! must never be taken for a manifest's: [`Attested`] is another type, and only the other crate
//! can make a `Verified<Policy>`.
//!
//! ```compile_fail,E0308
//! fn publish(_: &tensorgate_verify::Verified<tensorgate_verify::Policy>) {}
//! fn with(attested: &tensorgate_oms::Attested) {
//!     publish(attested); // other evidence, other type
//! }
//! ```
//!
//! # From signing to comparing
//! ```
//! use tensorgate_oms::{Anchor, Bundle, EcSigningKey, sign};
//! use tensorgate_verify::{Directory, Rejection, Rules, Survey};
//! # use p256::pkcs8::{EncodePrivateKey, EncodePublicKey};
//! # let folder = tempfile::tempdir()?;
//! # let secret = p256::SecretKey::from_slice(&[7; 32])?;
//! # let private_pem = secret.to_pkcs8_pem(Default::default())?;
//! # let public_pem = secret.public_key().to_public_key_pem(Default::default())?;
//! std::fs::write(folder.path().join("config.json"), br#"{"type": "mlp"}"#)?;
//! let directory = Directory::new(std::fs::File::open(folder.path())?.into());
//! let rules = Rules::default();
//! let survey = Survey::new(&rules).beside(&["model.sig"]);
//!
//! // A publisher signs what a survey found.
//! let key = EcSigningKey::from_pem(&private_pem)?; // from `openssl ecparam -genkey -name prime256v1`
//! let files = survey.run(&directory)?.files;
//! let bundle = sign(&files, "walk", &["model.sig"], &key, &rules.limits)?;
//!
//! // A robot trusts that key, and no other.
//! let trusted = [Anchor::public_key(&public_pem)?];
//! let now = "2026-11-23T12:00:00Z".parse()?;
//! let statement = Bundle::parse(&bundle, &rules.limits)?.authenticate(&trusted, now, &rules.limits)?;
//! assert_eq!(statement.open(&directory, survey)?.files, files);
//!
//! // One byte more, and nobody signed it.
//! std::fs::write(folder.path().join("config.json"), br#"{"type": "mlp!"}"#)?;
//! let error = statement.open(&directory, survey).unwrap_err();
//! assert_eq!(error.rejection(), Some(Rejection::DigestMismatch));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unreachable
)]

mod anchor;
mod attested;
mod bundle;
mod certificate;
mod chain;
mod key;
mod resources;
mod sign;
mod statement;

// The public interface, in the order of the flow above.
pub use attested::Attested;
pub use bundle::Bundle;
pub use statement::Statement;

pub use anchor::{Anchor, NotAnAnchor, Signer};
pub use chain::RootCertificate;
pub use key::EcPublicKey;
pub use sign::{EcSigningKey, sign};

/// The usual name of a bundle, in the directory that it is about.
pub const BUNDLE_FILE: &str = "model.sig";

/// What an OMS signature does not promise, and a policy's manifest does; for reports.
pub const NOT_PROMISED: &[&str] = &[
    "no expiry: a signature with a bare key counts for ever",
    "no sequence: an old model that was correctly signed passes (rollback, freeze)",
    "no repository and no commit: another model by the same signer passes (wrong target)",
    "no threshold: one key is enough, and a stolen one, too",
    "no policy type and no robot that it is for",
    "no sizes and no digests of tensors: a part cannot be proven alone",
    "no list of reviewed code, and no word about what loading would pull in",
    "nothing about the bytes that are loaded later: they are not held",
];
