//! Whose OMS signatures count: keys and roots that the operator chose, never what a bundle brings.

use std::fmt;

use tensorgate_verify::KeyId;

use crate::{EcPublicKey, RootCertificate};

/// One whose signature counts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Anchor {
    /// The holder of this key (method `key`).
    Key(EcPublicKey),
    /// Whoever this root certifies for signing code (method `certificate`).
    Root(RootCertificate),
}

/// Who signed: a key that was found good under an anchor.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Signer {
    /// The key that made the signature.
    pub key: KeyId,
    /// Of a certificate, its subject.
    pub subject: Option<String>,
    /// Of a certificate, the keys that certified it, up to the root's.
    pub issuers: Vec<KeyId>,
}

/// The text is not a key or certificate that is accepted here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotAnAnchor(Box<str>);

impl Anchor {
    /// A public key: SubjectPublicKeyInfo in PEM.
    ///
    /// # Errors
    /// Not PEM, or not a key on P-256, P-384 or P-521.
    pub fn public_key(pem: &str) -> Result<Self, NotAnAnchor> {
        EcPublicKey::from_pem(pem).map(Self::Key)
    }

    /// A certification authority's certificate in PEM.
    ///
    /// # Errors
    /// Not PEM, not an X.509 v3 certificate, or not one of an authority.
    pub fn root_certificate(pem: &str) -> Result<Self, NotAnAnchor> {
        RootCertificate::from_pem(pem).map(Self::Root)
    }
}

impl NotAnAnchor {
    pub(crate) fn new(why: impl Into<Box<str>>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for NotAnAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotAnAnchor {}
