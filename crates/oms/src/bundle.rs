//! The bundle: a DSSE envelope, and by which method it was signed.
//!
//! <https://github.com/ossf/model-signing-spec/blob/main/spec/v1.0.md>, a Sigstore bundle v0.3
//! without Sigstore. What the bundle says of keys is compared with those that the operator trusts
//! and trusted nowhere.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::de::{Deserializer, IgnoredAny};
use serde::{Deserialize, Serialize};
use tensorgate_verify::json::{self, JsonError};
use tensorgate_verify::{Error, Limits, PAYLOAD_TYPE, Rejection, Result, pae};

use crate::chain::CHAIN;
use crate::{Anchor, EcPublicKey, RootCertificate, Signer, Statement};

/// The two spellings of a Sigstore bundle of version 0.3, the one that OMS is defined on.
const MEDIA_TYPES: [&str; 2] = [
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
];
/// Signatures that are read at the most, before any limit of the caller's.
const SIGNATURES: usize = 1024;

/// A bundle, parsed and *not* verified: nobody vouches yet for what is inside.
#[derive(Clone, Debug)]
pub struct Bundle {
    method: Method,
    payload: Vec<u8>,
    signatures: Vec<Vec<u8>>,
}

/// What the bundle brings for its verification; proves nothing.
#[derive(Clone, Debug)]
enum Method {
    Key(WirePublicKey),
    Certificate(Vec<Vec<u8>>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireBundle {
    pub(crate) media_type: String,
    pub(crate) verification_material: WireMaterial,
    pub(crate) dsse_envelope: WireEnvelope,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WireMaterial {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) public_key: Option<WirePublicKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) x509_certificate_chain: Option<WireChain>,
    /// Only Sigstore's own method has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tlog_entries: Option<[(); 0]>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WirePublicKey {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) raw_bytes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_details: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct WireChain {
    #[serde(deserialize_with = "json::at_most::<CHAIN, _, _>")]
    certificates: Vec<WireCertificate>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCertificate {
    raw_bytes: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireEnvelope {
    pub(crate) payload: String,
    pub(crate) payload_type: String,
    #[serde(deserialize_with = "json::at_most::<SIGNATURES, _, _>")]
    pub(crate) signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct WireSignature {
    pub(crate) sig: String,
    #[serde(
        default,
        deserialize_with = "even_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) keyid: Option<KeyHint>,
}

/// A text or `null`, and of no meaning in OMS.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum KeyHint {
    Text(String),
    Null(()),
}

fn even_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<KeyHint>, D::Error> {
    KeyHint::deserialize(deserializer).map(Some)
}

/// Just enough of a bundle to see whether it is one for us.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BundleKind {
    media_type: String,
    verification_material: Methods,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Methods {
    public_key: Option<IgnoredAny>,
    x509_certificate_chain: Option<IgnoredAny>,
    certificate: Option<IgnoredAny>,
    tlog_entries: Option<Vec<IgnoredAny>>,
}

impl Bundle {
    /// What [`sign`](crate::sign) writes, for callers that label files.
    pub const MEDIA_TYPE: &str = MEDIA_TYPES[0];

    /// Reads a bundle; proves nothing.
    ///
    /// # Errors
    /// `manifest-too-large`, `manifest-malformed`, `json-duplicate-key`, `oms-unsupported`,
    /// `payload-type-unsupported`.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self> {
        refuse_large(bytes, limits)?;
        refuse_other_bundles(bytes)?;
        let wire: WireBundle = read(bytes, "bundle")?;
        let envelope = wire.dsse_envelope;
        if envelope.payload_type != PAYLOAD_TYPE {
            let detail = format!("{:?}, expected {PAYLOAD_TYPE:?}", envelope.payload_type);
            let rejection = Rejection::PayloadTypeUnsupported;
            return Err(Error::rejected(rejection, "payloadType", detail));
        }
        if !(1..=limits.signatures).contains(&envelope.signatures.len()) {
            let detail = format!("no signatures, or more than {}", limits.signatures);
            return Err(malformed("signatures", detail));
        }
        let signatures = envelope.signatures.iter();
        let signatures = signatures.map(|signature| decode("sig", &signature.sig));
        Ok(Self {
            method: Method::of(wire.verification_material)?,
            payload: decode("payload", &envelope.payload)?,
            signatures: signatures.collect::<Result<_>>()?,
        })
    }

    /// Proves that the statement inside was signed by the holder of one of `anchors`, or by
    /// whom one of them certifies, and only then reads it.
    ///
    /// # Errors
    /// `oms-signature-invalid`, and where the statement was signed and is no good:
    /// `json-duplicate-key`, `manifest-malformed`, `oms-unsupported`, `predicate-type-unsupported`,
    /// `file-name-unsafe`.
    pub fn authenticate(
        &self,
        anchors: &[Anchor],
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Statement> {
        let (mut signers, mut faults) = (Vec::new(), Vec::new());
        for anchor in anchors {
            match self.signer(anchor, now) {
                Ok(signer) if signers.contains(&signer) => {}
                Ok(signer) => signers.push(signer),
                Err(fault) => faults.push(fault),
            }
        }
        if signers.is_empty() {
            let detail = match faults.is_empty() {
                true => "nobody is trusted".to_owned(),
                false => faults.join("; "),
            };
            let rejection = Rejection::OmsSignatureInvalid;
            return Err(Error::rejected(rejection, "signatures", detail));
        }
        Statement::parse(&self.payload, signers, limits)
    }

    fn signer(&self, anchor: &Anchor, now: Timestamp) -> Result<Signer, String> {
        match (&self.method, anchor) {
            (Method::Key(named), Anchor::Key(key)) => self.signer_by_key(named, key),
            (Method::Certificate(ders), Anchor::Root(root)) => {
                self.signer_by_certificate(ders, root, now)
            }
            (Method::Key(_), Anchor::Root(_)) => {
                Err("signed with a bare key; trusted is a root certificate".to_owned())
            }
            (Method::Certificate(_), Anchor::Key(_)) => {
                Err("signed with a certificate; trusted is a bare key".to_owned())
            }
        }
    }

    fn signer_by_key(&self, named: &WirePublicKey, key: &EcPublicKey) -> Result<Signer, String> {
        let (hint, pem) = (key.hint(), STANDARD.encode(key.pem()));
        for (found, expected) in [
            (&named.hint, hint.as_str()),
            (&named.raw_bytes, &pem),
            (&named.key_details, key.details()),
        ] {
            if found.as_deref().is_some_and(|found| found != expected) {
                let found = found.as_deref().unwrap_or_default();
                return Err(format!(
                    "the bundle names the key {found:?}, trusted is {expected:?}"
                ));
            }
        }
        self.refuse_unless_signed_by(key)?;
        Ok(Signer {
            key: key.id(),
            subject: None,
            issuers: Vec::new(),
        })
    }

    fn signer_by_certificate(
        &self,
        ders: &[Vec<u8>],
        root: &RootCertificate,
        now: Timestamp,
    ) -> Result<Signer, String> {
        let (key, signer) = root.certified(ders, now)?;
        self.refuse_unless_signed_by(&key)?;
        Ok(signer)
    }

    /// Any of the signatures will do, wherever it stands.
    fn refuse_unless_signed_by(&self, key: &EcPublicKey) -> Result<(), String> {
        let message = pae(&self.payload);
        let good = |signature: &Vec<u8>| key.verifies(&message, signature);
        match self.signatures.iter().any(good) {
            true => Ok(()),
            false => Err(format!("no signature by the key {}", key.id())),
        }
    }
}

impl Method {
    fn of(material: WireMaterial) -> Result<Self> {
        if let Some(key) = material.public_key {
            if key.hint.is_none() && key.raw_bytes.is_none() {
                return Err(malformed("publicKey", "neither `hint` nor `rawBytes`"));
            }
            return Ok(Self::Key(key));
        }
        let chain = material.x509_certificate_chain;
        let certificates = chain.map(|chain| chain.certificates).unwrap_or_default();
        if certificates.is_empty() {
            return Err(malformed("x509CertificateChain", "no certificate"));
        }
        let decoded = certificates.iter();
        let decoded = decoded.map(|certificate| decode("rawBytes", &certificate.raw_bytes));
        Ok(Self::Certificate(decoded.collect::<Result<_>>()?))
    }
}

fn refuse_large(bytes: &[u8], limits: &Limits) -> Result<()> {
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= limits.manifest_bytes) {
        return Ok(());
    }
    let most = limits.manifest_bytes;
    let detail = format!("{} bytes, at most {most} are read", bytes.len());
    Err(Error::rejected(
        Rejection::ManifestTooLarge,
        "bundle",
        detail,
    ))
}

/// Says in clear words what is a bundle, and none for us.
fn refuse_other_bundles(bytes: &[u8]) -> Result<()> {
    json::refuse_ambiguity(bytes).map_err(|error| refused(&error, "bundle"))?;
    let kind: BundleKind =
        serde_json::from_slice(bytes).map_err(|error| malformed("bundle", error))?;
    if !MEDIA_TYPES.contains(&kind.media_type.as_str()) {
        let detail = format!("{:?}, expected {:?}", kind.media_type, MEDIA_TYPES[0]);
        return Err(unsupported("mediaType", detail));
    }
    let methods = kind.verification_material;
    let found = [
        methods.public_key.is_some(),
        methods.x509_certificate_chain.is_some(),
        methods.certificate.is_some(),
    ];
    if found.iter().filter(|there| **there).count() != 1 {
        return Err(malformed("verificationMaterial", "not exactly one method"));
    }
    if methods.certificate.is_some() || methods.tlog_entries.is_some_and(|log| !log.is_empty()) {
        let detail = "signed by the method `sigstore`, which needs a transparency log; \
                      the methods `key` and `certificate` are accepted";
        return Err(unsupported("verificationMaterial", detail));
    }
    Ok(())
}

/// Reads one document in which nothing is ambiguous, unknown or spelled in another way.
pub(crate) fn read<T: serde::de::DeserializeOwned + Serialize>(
    bytes: &[u8],
    subject: &str,
) -> Result<T> {
    json::from_slice(bytes).map_err(|error| refused(&error, subject))
}

pub(crate) fn refused(error: &JsonError, subject: &str) -> Error {
    match error {
        JsonError::DuplicateKey(key) => Error::rejected(Rejection::JsonDuplicateKey, key, error),
        JsonError::UnknownField(path) => unsupported(path, error),
        _ => malformed(subject, error),
    }
}

pub(crate) fn malformed(subject: impl fmt::Display, detail: impl fmt::Display) -> Error {
    Error::rejected(Rejection::ManifestMalformed, subject, detail)
}

pub(crate) fn unsupported(subject: impl fmt::Display, detail: impl fmt::Display) -> Error {
    Error::rejected(Rejection::OmsUnsupported, subject, detail)
}

fn decode(subject: &str, text: &str) -> Result<Vec<u8>> {
    let decoded = STANDARD.decode(text);
    decoded.map_err(|error| malformed(subject, error))
}
