//! ed25519 keys in the forms that openssl makes: PEM, RFC 8410.

use std::fmt;
use std::io;

use ed25519_dalek::pkcs8::spki::{DecodePublicKey, EncodePublicKey};
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::der::pem::LineEnding};
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::KeyId;

/// A public key that can prove something: decoded, and not of low order.
#[derive(Clone, Eq, PartialEq)]
pub struct PublicKey {
    key: VerifyingKey,
    id: KeyId,
}

/// A private key. It is wiped when dropped and never shown.
///
/// ```
/// use tensorgate_verify::{PublicKey, SigningKey};
///
/// let key = SigningKey::from_seed(&[7; 32]); // a real one comes from `tensorgate keygen`
/// let public = PublicKey::from_pem(&key.public_pem()?)?;
/// assert_eq!(public.id(), key.public().id());
/// # Ok::<(), tensorgate_verify::NotAKey>(())
/// ```
pub struct SigningKey(ed25519_dalek::SigningKey);

/// Who signs: a private key, or whoever keeps one and does not hand it out, as an agent or a token.
///
/// It need not be believed: what it returns is verified before anybody is given it.
///
/// ```
/// use std::io;
/// use tensorgate_verify::{KeyHolder, PublicKey, SigningKey};
///
/// /// A key that wants a person's word for each signature.
/// struct Confirmed<F>(SigningKey, F);
///
/// impl<F: Fn(&[u8]) -> bool> KeyHolder for Confirmed<F> {
///     fn public(&self) -> PublicKey {
///         self.0.public()
///     }
///
///     fn sign(&self, message: &[u8]) -> io::Result<[u8; 64]> {
///         match (self.1)(message) {
///             true => KeyHolder::sign(&self.0, message),
///             false => Err(io::Error::new(io::ErrorKind::PermissionDenied, "declined")),
///         }
///     }
/// }
/// # use tensorgate_verify::{Limits, Revocations, Signed};
/// # let (issued, expires) = ("2026-01-01T00:00:00Z".parse()?, "2026-02-01T00:00:00Z".parse()?);
/// let list = Revocations::new(1, (issued, expires), Vec::new());
/// let key = || SigningKey::from_seed(&[7; 32]); // a real one comes from `tensorgate keygen`
/// let limits = Limits::default();
///
/// let declines = Confirmed(key(), |_: &[u8]| false);
/// assert!(Signed::sign(&list, &declines, &limits).is_err());
/// let agrees = Confirmed(key(), |_: &[u8]| true);
/// assert!(Signed::sign(&list, &agrees, &limits)?.is_signed_by(&key().public()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait KeyHolder {
    /// The public half of the key that signs.
    fn public(&self) -> PublicKey;

    /// The ed25519 signature over `message` (RFC 8032, neither prehashed nor with a context).
    ///
    /// # Errors
    /// It cannot, or does not want to.
    fn sign(&self, message: &[u8]) -> io::Result<[u8; 64]>;
}

/// The text is not a key that is accepted here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotAKey(Box<str>);

/// DER of an ed25519 SubjectPublicKeyInfo up to the 32 bytes of the key (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in PEM, as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// Not PEM, not ed25519, not a point of the curve, or a key of low order, under which
    /// anybody could sign.
    pub fn from_pem(pem: &str) -> Result<Self, NotAKey> {
        let key = VerifyingKey::from_public_key_pem(pem).map_err(|error| {
            NotAKey(format!("not an ed25519 public key in PEM: {error}").into())
        })?;
        Self::unless_weak(key)
    }

    /// Reads the 32 bytes of RFC 8032, as OpenSSH has them in its public keys.
    ///
    /// # Errors
    /// Not a point of the curve, or a key of low order, under which anybody could sign.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, NotAKey> {
        let key = VerifyingKey::from_bytes(bytes)
            .map_err(|error| NotAKey(format!("not an ed25519 public key: {error}").into()))?;
        Self::unless_weak(key)
    }

    fn unless_weak(key: VerifyingKey) -> Result<Self, NotAKey> {
        if key.is_weak() {
            return Err(NotAKey(
                "a key of low order, under which anybody could sign".into(),
            ));
        }
        Ok(Self::new(key))
    }

    /// SHA-256 of the SubjectPublicKeyInfo DER.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The 32 bytes of RFC 8032.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// The SubjectPublicKeyInfo in PEM, as [`from_pem`](Self::from_pem) reads it.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn to_pem(&self) -> Result<String, NotAKey> {
        let pem = self.key.to_public_key_pem(LineEnding::LF);
        pem.map_err(|error| NotAKey(error.to_string().into()))
    }

    /// Checks by RFC 8032 without cofactor and without small-order points: one meaning everywhere.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key
            .verify_strict(message, &Signature::from_bytes(signature))
            .is_ok()
    }

    fn new(key: VerifyingKey) -> Self {
        let digest = Sha256::new()
            .chain_update(SPKI_PREFIX)
            .chain_update(key.as_bytes())
            .finalize();
        Self {
            key,
            id: KeyId::from_bytes(digest.into()),
        }
    }
}

impl SigningKey {
    /// A key from 32 bytes of a cryptographic random source.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Reads an unencrypted PKCS#8 key in PEM, as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// Not PEM, encrypted, or not ed25519.
    pub fn from_pem(pem: &str) -> Result<Self, NotAKey> {
        ed25519_dalek::SigningKey::from_pkcs8_pem(pem)
            .map(Self)
            .map_err(|error| NotAKey(format!("not an ed25519 private key in PEM: {error}").into()))
    }

    /// Reads PKCS#8 DER, for callers that decrypt a key themselves.
    ///
    /// # Errors
    /// Not PKCS#8 or not ed25519.
    pub fn from_der(der: &[u8]) -> Result<Self, NotAKey> {
        ed25519_dalek::SigningKey::from_pkcs8_der(der)
            .map(Self)
            .map_err(|error| NotAKey(format!("not an ed25519 private key: {error}").into()))
    }

    /// The key as PKCS#8 DER, in memory that is wiped when dropped.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn to_der(&self) -> Result<ed25519_dalek::pkcs8::SecretDocument, NotAKey> {
        self.0
            .to_pkcs8_der()
            .map_err(|error| NotAKey(error.to_string().into()))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey::new(self.0.verifying_key())
    }

    /// The public half as SubjectPublicKeyInfo in PEM.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn public_pem(&self) -> Result<String, NotAKey> {
        self.public().to_pem()
    }
}

impl KeyHolder for SigningKey {
    fn public(&self) -> PublicKey {
        Self::public(self)
    }

    fn sign(&self, message: &[u8]) -> io::Result<[u8; 64]> {
        Ok(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.public().id)
    }
}

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotAKey {}
