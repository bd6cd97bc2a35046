//! The envelope: DSSE v1 around an in-toto statement.
//!
//! <https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>. The signature covers the
//! received bytes of the payload and its type; the payload is not parsed here, and nowhere before
//! a signature was found good.

use std::fmt;
use std::io;
use std::marker::PhantomData;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::json;
use crate::statement::{self, Predicate};
use crate::{KeyHolder, Limits, Manifest, PublicKey, Rejection, Revocations, Sha256};

/// The payload type of in-toto statements.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// An envelope around a statement about `P`, parsed and *not* verified: nobody vouches yet for
/// what is inside.
///
/// ```
/// use tensorgate_verify::{Limits, SignedManifest, SigningKey};
/// # mod setup { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/policy.rs")); }
/// # use setup::{Example, open};
/// # let example = Example::new()?;
/// let limits = Limits::default();
/// let mut signed = SignedManifest::parse(&example.signed.to_bytes(), &limits)?;
/// let name = signed.digest();
///
/// // A second signer looks at what is there, and signs the very same bytes.
/// assert_eq!(signed.untrusted(&limits)?.repo.id.as_str(), "acme/walk");
/// signed.add_signature(&SigningKey::from_seed(&[8; 32]), &limits)?;
/// assert_eq!(signed.digest(), name);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Signed<P> {
    /// The envelope as it came.
    bytes: Vec<u8>,
    payload: Vec<u8>,
    signatures: Vec<EnvelopeSignature>,
    predicate: PhantomData<P>,
}

/// The envelope of a policy's manifest: `policy.dsse.json`.
pub type SignedManifest = Signed<Manifest>;
/// The envelope of a list of revocations: `revocations.dsse.json`.
pub type SignedRevocations = Signed<Revocations>;

#[derive(Clone, Debug)]
struct EnvelopeSignature {
    /// A hint by the signer; trust comes from the keys alone.
    key_hint: Option<String>,
    bytes: [u8; 64],
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    #[serde(deserialize_with = "json::at_most::<MOST, _, _>")]
    signatures: Vec<WireSignature>,
}

/// Signatures that are read at the most, before any limit of the caller's: memory is taken for no
/// more, whatever the list claims.
const MOST: usize = 1024;

#[derive(Serialize, Deserialize)]
struct WireSignature {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    sig: String,
}

impl<P: Predicate> Signed<P> {
    /// Reads an envelope; proves nothing.
    ///
    /// # Errors
    /// `manifest-too-large`, `manifest-malformed`, `manifest-unknown-field`,
    /// `json-duplicate-key`, `payload-type-unsupported`.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self> {
        if u64::try_from(bytes.len()).is_ok_and(|len| len > limits.manifest_bytes) {
            let detail = format!(
                "{} bytes, at most {} are read",
                bytes.len(),
                limits.manifest_bytes
            );
            return Err(Error::rejected(
                Rejection::ManifestTooLarge,
                "envelope",
                detail,
            ));
        }
        let envelope: Envelope =
            json::from_slice(bytes).map_err(|error| error.of_manifest("envelope"))?;
        if envelope.payload_type != PAYLOAD_TYPE {
            let detail = format!("{:?}, expected {PAYLOAD_TYPE:?}", envelope.payload_type);
            return Err(Error::rejected(
                Rejection::PayloadTypeUnsupported,
                "payloadType",
                detail,
            ));
        }
        if envelope.signatures.len() > limits.signatures {
            let detail = format!("more than {} signatures", limits.signatures);
            return Err(malformed("signatures", detail));
        }
        let payload = STANDARD
            .decode(&envelope.payload)
            .map_err(|e| malformed("payload", e))?;
        let signatures = envelope
            .signatures
            .into_iter()
            .map(EnvelopeSignature::decode);
        Ok(Self {
            bytes: bytes.to_vec(),
            payload,
            signatures: signatures.collect::<Result<_>>()?,
            predicate: PhantomData,
        })
    }

    /// Signs a new statement.
    ///
    /// # Errors
    /// What the statement or the envelope would be refused for when they are verified; what keeps the
    /// signer from signing.
    pub fn sign(predicate: &P, signer: &dyn KeyHolder, limits: &Limits) -> Result<Self> {
        let payload = predicate.to_payload(limits)?;
        let mut signed = Self {
            bytes: Vec::new(),
            payload,
            signatures: Vec::new(),
            predicate: PhantomData,
        };
        signed.add_signature(signer, limits)?;
        Ok(signed)
    }

    /// Adds a signature over the payload that is there, byte for byte; a key's older signature
    /// gives way.
    ///
    /// # Errors
    /// `manifest-too-large`, `manifest-malformed` (too many signatures); [`Error::Io`] where the signer
    /// fails, or gives what is no signature of its key. Nothing is changed then.
    pub fn add_signature(&mut self, signer: &dyn KeyHolder, limits: &Limits) -> Result<()> {
        let public = signer.public();
        let message = pae(&self.payload);
        let bytes = signer.sign(&message);
        let bytes = bytes.map_err(|error| Error::io("signature", error))?;
        if !public.verifies(&message, &bytes) {
            let detail = format!("what came is no signature of the key {}", public.id());
            let error = io::Error::new(io::ErrorKind::InvalidData, detail);
            return Err(Error::io("signature", error));
        }
        let mut signatures = self.signatures.clone();
        signatures.retain(|signature| !public.verifies(&message, &signature.bytes));
        let key_hint = Some(public.id().to_string());
        signatures.push(EnvelopeSignature { key_hint, bytes });
        // Nobody is given an envelope that its readers would refuse.
        *self = Self::parse(&encode(&self.payload, &signatures)?, limits)?;
        Ok(())
    }

    /// What the payload says, *unverified*: for showing, and for comparing with what one would sign.
    ///
    /// # Errors
    /// Those of a statement that cannot be read.
    pub fn untrusted(&self, limits: &Limits) -> Result<P> {
        statement::from_payload(&self.payload, limits)
    }

    /// SHA-256 of the payload: the name of the statement, whoever signed it.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&self.payload)
    }

    /// The envelope, as it came or was made.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// Whether this key made a good signature here. Whose signatures count, and how many must, a
    /// [`TrustPolicy`](crate::TrustPolicy) says.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.has_signature_of(key, &self.message())
    }

    /// How many signatures are in the envelope, good or bad.
    pub(crate) fn signature_count(&self) -> usize {
        self.signatures.len()
    }

    /// What every signature here is over.
    pub(crate) fn message(&self) -> Vec<u8> {
        pae(&self.payload)
    }

    /// Whether `key` made a good signature over `message` here, however often it signed and
    /// whatever the hints say.
    pub(crate) fn has_signature_of(&self, key: &PublicKey, message: &[u8]) -> bool {
        let good = |signature: &EnvelopeSignature| key.verifies(message, &signature.bytes);
        self.signatures.iter().any(good)
    }
}

impl EnvelopeSignature {
    fn decode(wire: WireSignature) -> Result<Self> {
        let bytes = STANDARD
            .decode(&wire.sig)
            .map_err(|error| malformed("sig", error))?;
        let bytes = bytes
            .try_into()
            .map_err(|_| malformed("sig", "an ed25519 signature has 64 bytes"))?;
        Ok(Self {
            key_hint: wire.keyid,
            bytes,
        })
    }
}

fn encode(payload: &[u8], signatures: &[EnvelopeSignature]) -> Result<Vec<u8>> {
    let wire = |signature: &EnvelopeSignature| WireSignature {
        keyid: signature.key_hint.clone(),
        sig: STANDARD.encode(signature.bytes),
    };
    let envelope = Envelope {
        payload_type: PAYLOAD_TYPE.to_owned(),
        payload: STANDARD.encode(payload),
        signatures: signatures.iter().map(wire).collect(),
    };
    let mut bytes =
        serde_json::to_vec_pretty(&envelope).map_err(|error| malformed("envelope", error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// DSSE's pre-authentication encoding, which binds the payload's type and length: what is signed.
///
/// ```
/// let message = tensorgate_verify::pae(b"{}");
/// assert_eq!(message, b"DSSEv1 28 application/vnd.in-toto+json 2 {}");
/// ```
pub fn pae(payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {PAYLOAD_TYPE} {} ",
        PAYLOAD_TYPE.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

fn malformed(subject: &str, detail: impl fmt::Display) -> Error {
    Error::rejected(Rejection::ManifestMalformed, subject, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyId, SigningKey};

    /// The example of the DSSE specification, section "Testing".
    #[test]
    fn pae_is_the_specified_encoding() {
        let text = String::from_utf8(pae(b"hello world")).unwrap();
        assert_eq!(
            text,
            "DSSEv1 28 application/vnd.in-toto+json 11 hello world"
        );
    }

    #[test]
    fn the_key_id_is_that_of_the_der() {
        let key = SigningKey::from_seed(&[7; 32]);
        let pem = key.public_pem().unwrap();
        let body: String = pem
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let der = STANDARD.decode(body).unwrap();
        assert_eq!(key.public().id().to_string(), Sha256::of(&der).to_string());
        assert_eq!(
            KeyId::from_bytes(*Sha256::of(&der).as_bytes()),
            key.public().id()
        );
    }
}
