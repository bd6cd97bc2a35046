//! Public keys of OMS: ECDSA on P-256, P-384 and P-521, and on no other curve.

use std::fmt;

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use sha2::{Digest, Sha256, Sha384, Sha512};
use tensorgate_verify::KeyId;
use x509_cert::spki::der::Document;
use x509_cert::spki::der::pem::LineEnding;
use x509_cert::spki::{DecodePublicKey, EncodePublicKey};

use crate::NotAnAnchor;

/// A public key on one of the three curves, and its names.
#[derive(Clone, Eq, PartialEq)]
pub struct EcPublicKey {
    point: Point,
    /// The SubjectPublicKeyInfo as canonical PEM text: what OMS hashes and, before 1.1.0, embeds.
    pem: String,
    id: KeyId,
}

#[derive(Clone, Eq, PartialEq)]
enum Point {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
}

impl EcPublicKey {
    /// Reads a SubjectPublicKeyInfo in PEM, as `openssl ec -pubout` writes it.
    ///
    /// # Errors
    /// Not PEM, another algorithm or curve, or not a point of the curve.
    pub fn from_pem(pem: &str) -> Result<Self, NotAnAnchor> {
        let not = |error| NotAnAnchor::new(format!("not a public key in PEM: {error}"));
        let (label, der) = Document::from_pem(pem).map_err(not)?;
        match label {
            "PUBLIC KEY" => Self::from_der(der.as_bytes()),
            other => Err(NotAnAnchor::new(format!("{other:?} is no PUBLIC KEY"))),
        }
    }

    pub(crate) fn from_der(der: &[u8]) -> Result<Self, NotAnAnchor> {
        let point = if let Ok(key) = DecodePublicKey::from_public_key_der(der) {
            Point::P256(key)
        } else if let Ok(key) = DecodePublicKey::from_public_key_der(der) {
            Point::P384(key)
        } else if let Ok(key) = DecodePublicKey::from_public_key_der(der) {
            Point::P521(key)
        } else {
            let what = "not a key on P-256, P-384 or P-521, which are all that OMS knows";
            return Err(NotAnAnchor::new(what));
        };
        let not = |error| NotAnAnchor::new(format!("the key cannot be written: {error}"));
        let der = point.to_der().map_err(not)?;
        let id = Sha256::digest(der.as_bytes()).into();
        let pem = der.to_pem("PUBLIC KEY", LineEnding::LF);
        Ok(Self {
            point,
            pem: pem.map_err(|error| not(error.into()))?,
            id: KeyId::from_bytes(id),
        })
    }

    /// SHA-256 of the SubjectPublicKeyInfo DER, as every key is named in a trust policy.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// How an OMS bundle names the key: SHA-256 of the canonical PEM *text*, not of the DER.
    pub fn hint(&self) -> String {
        base16ct::lower::encode_string(&Sha256::digest(&self.pem))
    }

    /// The SubjectPublicKeyInfo as canonical PEM text.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// `PublicKeyDetails` of Sigstore's protobufs, which bundles before 1.1.0 carry.
    pub(crate) const fn details(&self) -> &'static str {
        match self.point {
            Point::P256(_) => "PKIX_ECDSA_P256_SHA_256",
            Point::P384(_) => "PKIX_ECDSA_P384_SHA_384",
            Point::P521(_) => "PKIX_ECDSA_P521_SHA_512",
        }
    }

    /// Whether this key made the DER signature, with the hash that OMS ties to the curve.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.point {
            Point::P256(_) => self.verifies_hash(&Sha256::digest(message), signature),
            Point::P384(_) => self.verifies_hash(&Sha384::digest(message), signature),
            Point::P521(_) => self.verifies_hash(&Sha512::digest(message), signature),
        }
    }

    /// Whether this key made the DER signature of what has this hash.
    pub(crate) fn verifies_hash(&self, hash: &[u8], signature: &[u8]) -> bool {
        match &self.point {
            Point::P256(key) => p256::ecdsa::DerSignature::try_from(signature)
                .is_ok_and(|signature| key.verify_prehash(hash, &signature).is_ok()),
            Point::P384(key) => p384::ecdsa::DerSignature::try_from(signature)
                .is_ok_and(|signature| key.verify_prehash(hash, &signature).is_ok()),
            Point::P521(key) => p521::ecdsa::DerSignature::try_from(signature)
                .is_ok_and(|signature| key.verify_prehash(hash, &signature).is_ok()),
        }
    }
}

impl Point {
    fn to_der(&self) -> Result<Document, x509_cert::spki::Error> {
        match self {
            Self::P256(key) => key.to_public_key_der(),
            Self::P384(key) => key.to_public_key_der(),
            Self::P521(key) => key.to_public_key_der(),
        }
    }
}

impl fmt::Debug for EcPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EcPublicKey({})", self.id)
    }
}
