//! Writes bundles: method `key`, P-256, whole files, SHA-256, what every reader of OMS reads.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Signer;
use p256::pkcs8::{DecodePrivateKey, EncodePublicKey};
use p256::{SecretKey, ecdsa};
use serde_json::Map;
use sha2::{Digest, Sha256};
use tensorgate_verify::{FileEntry, Limits, PAYLOAD_TYPE, Result, pae};

use crate::bundle::{
    KeyHint, WireBundle, WireEnvelope, WireMaterial, WirePublicKey, WireSignature, malformed,
};
use crate::statement::{
    PREDICATE_TYPE, STATEMENT_TYPE, WireDigests, WirePredicate, WireResource, WireSerialization,
    WireStatement, WireSubject,
};
use crate::{Bundle, EcPublicKey, NotAnAnchor, Statement};

/// A private key on P-256. It is wiped when dropped and never shown.
pub struct EcSigningKey {
    secret: ecdsa::SigningKey,
    public: EcPublicKey,
}

impl EcSigningKey {
    /// Reads an unencrypted key in PEM: PKCS#8, or as `openssl ecparam -genkey` writes it.
    ///
    /// # Errors
    /// Not PEM, encrypted, or not on P-256.
    pub fn from_pem(pem: &str) -> Result<Self, NotAnAnchor> {
        let secret = SecretKey::from_pkcs8_pem(pem).or_else(|_| SecretKey::from_sec1_pem(pem));
        let not = |error| NotAnAnchor::new(format!("not a P-256 private key in PEM: {error}"));
        Self::new(&secret.map_err(not)?)
    }

    /// Reads DER, PKCS#8 or SEC 1, for callers that decrypt a key themselves.
    ///
    /// # Errors
    /// Neither, or not on P-256.
    pub fn from_der(der: &[u8]) -> Result<Self, NotAnAnchor> {
        let secret = SecretKey::from_pkcs8_der(der).or_else(|_| SecretKey::from_sec1_der(der));
        let not = |error| NotAnAnchor::new(format!("not a P-256 private key: {error}"));
        Self::new(&secret.map_err(not)?)
    }

    /// The public half.
    pub const fn public(&self) -> &EcPublicKey {
        &self.public
    }

    fn new(secret: &SecretKey) -> Result<Self, NotAnAnchor> {
        let der = secret.public_key().to_public_key_der();
        let not = |error| NotAnAnchor::new(format!("the public key cannot be written: {error}"));
        Ok(Self {
            public: EcPublicKey::from_der(der.map_err(not)?.as_bytes())?,
            secret: secret.into(),
        })
    }
}

/// Signs files that a survey described: the bytes of a bundle.
///
/// `name` is what the model is called, and `beside` are the names that the survey left out: the
/// bundle's own, where it will lie in the directory. Every other file is in the list, those of git
/// too, which other readers must be told (`--no-ignore-git-paths` of the reference tool).
///
/// # Errors
/// What the bundle would be refused for when it is verified.
pub fn sign(
    files: &[FileEntry],
    name: &str,
    beside: &[&str],
    key: &EcSigningKey,
    limits: &Limits,
) -> Result<Vec<u8>> {
    let statement = statement(files, name, beside);
    let payload = serde_json::to_vec(&statement).map_err(|error| malformed("statement", error))?;
    let signature: ecdsa::DerSignature = key.secret.sign(&pae(&payload));
    let bytes = serde_json::to_vec(&bundle(&payload, signature.as_bytes(), key));
    let bytes = bytes.map_err(|error| malformed("bundle", error))?;
    // Nobody is given a bundle that its readers would refuse.
    Bundle::parse(&bytes, limits)?;
    Statement::parse(&payload, Vec::new(), limits)?;
    Ok(bytes)
}

fn statement(files: &[FileEntry], name: &str, beside: &[&str]) -> WireStatement {
    let mut files: Vec<&FileEntry> = files.iter().collect();
    files.sort_unstable_by_key(|entry| &entry.path);
    let mut root = Sha256::new();
    for entry in &files {
        root.update(entry.sha256.as_bytes());
    }
    let resource = |entry: &&FileEntry| WireResource {
        name: entry.path.to_string(),
        algorithm: "sha256".to_owned(),
        digest: entry.sha256.to_string(),
        ignored: Map::new(),
    };
    let ignored: Vec<String> = beside.iter().map(|&name| name.to_owned()).collect();
    WireStatement {
        statement_type: STATEMENT_TYPE.to_owned(),
        subject: vec![WireSubject {
            name: name.to_owned(),
            digest: WireDigests {
                sha256: tensorgate_verify::Sha256::from_bytes(root.finalize().into()),
                ignored: Map::new(),
            },
            ignored: Map::new(),
        }],
        predicate_type: PREDICATE_TYPE.to_owned(),
        predicate: WirePredicate {
            serialization: WireSerialization {
                method: "files".to_owned(),
                hash_type: "sha256".to_owned(),
                allow_symlinks: false,
                shard_size: None,
                ignore_paths: Some(ignored).filter(|names| !names.is_empty()),
            },
            resources: files.iter().map(resource).collect(),
        },
    }
}

fn bundle(payload: &[u8], signature: &[u8], key: &EcSigningKey) -> WireBundle {
    WireBundle {
        media_type: Bundle::MEDIA_TYPE.to_owned(),
        verification_material: WireMaterial {
            public_key: Some(WirePublicKey {
                hint: Some(key.public.hint()),
                ..WirePublicKey::default()
            }),
            x509_certificate_chain: None,
            tlog_entries: Some([]),
        },
        dsse_envelope: WireEnvelope {
            payload: STANDARD.encode(payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![WireSignature {
                sig: STANDARD.encode(signature),
                keyid: Some(KeyHint::Text(String::new())),
            }],
        },
    }
}

impl fmt::Debug for EcSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EcSigningKey(of {:?})", self.public)
    }
}
