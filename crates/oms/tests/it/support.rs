//! Policies, keys, statements and bundles to try.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use p256::ecdsa::signature::Signer;
use p256::pkcs8::{EncodePrivateKey, EncodePublicKey};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tensorgate_oms::{Anchor, Attested, Bundle, EcPublicKey, Statement};
use tensorgate_verify::{Directory, Limits, Rejection, Result, Rules, Survey, pae};

/// A policy in a directory of its own, with room beside it.
pub(crate) struct Policy {
    folder: TempDir,
}

impl Policy {
    pub(crate) fn new() -> Self {
        let policy = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(policy.dir()).unwrap();
        policy.write("config.json", br#"{"type": "mlp"}"#);
        policy.write("model.safetensors", &weights());
        policy
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().join("walk")
    }

    /// A path beside the policy.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.dir().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir().join(name)).unwrap()
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.dir().join(name)).unwrap();
    }

    pub(crate) fn directory(&self) -> Directory {
        Directory::new(fs::File::open(self.dir()).unwrap().into())
    }

    pub(crate) fn open(&self, statement: &Statement) -> Result<Attested> {
        let rules = Rules::default();
        statement.open(
            &self.directory(),
            Survey::new(&rules).beside(&["model.sig"]),
        )
    }

    /// `openssl`, beside the policy; it must succeed.
    pub(crate) fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' '));
        let output = command.current_dir(self.folder.path()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {told}");
    }

    pub(crate) fn text(&self, name: &str) -> String {
        text(&self.beside(name))
    }
}

pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// 300 floats: enough for a file of several shards.
pub(crate) fn weights() -> Vec<u8> {
    let data: Vec<u8> = (0..300_u16)
        .flat_map(|n| f32::from(n).to_le_bytes())
        .collect();
    let view = TensorView::new(Dtype::F32, vec![300], &data).unwrap();
    safetensors::serialize([("gain", view)], None).unwrap()
}

pub(crate) fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

/// A key on each curve of OMS, from a number.
pub(crate) enum Key {
    P256(p256::SecretKey),
    P384(p384::SecretKey),
    P521(p521::SecretKey),
}

impl Key {
    pub(crate) fn p256(number: u8) -> Self {
        Self::P256(p256::SecretKey::from_slice(&[number; 32]).unwrap())
    }

    pub(crate) fn p384(number: u8) -> Self {
        Self::P384(p384::SecretKey::from_slice(&[number; 48]).unwrap())
    }

    pub(crate) fn p521(number: u8) -> Self {
        let mut bytes = [number; 66];
        bytes[0] = 0;
        Self::P521(p521::SecretKey::from_slice(&bytes).unwrap())
    }

    pub(crate) fn private_pem(&self) -> String {
        let pem = match self {
            Self::P256(key) => key.to_pkcs8_pem(Default::default()),
            Self::P384(key) => key.to_pkcs8_pem(Default::default()),
            Self::P521(key) => key.to_pkcs8_pem(Default::default()),
        };
        pem.unwrap().to_string()
    }

    pub(crate) fn public_pem(&self) -> String {
        let pem = match self {
            Self::P256(key) => key.public_key().to_public_key_pem(Default::default()),
            Self::P384(key) => key.public_key().to_public_key_pem(Default::default()),
            Self::P521(key) => key.public_key().to_public_key_pem(Default::default()),
        };
        pem.unwrap()
    }

    pub(crate) fn public(&self) -> EcPublicKey {
        EcPublicKey::from_pem(&self.public_pem()).unwrap()
    }

    pub(crate) fn anchor(&self) -> Anchor {
        Anchor::Key(self.public())
    }

    /// DER, with the hash of the curve.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(key) => {
                let signature: p256::ecdsa::DerSignature =
                    p256::ecdsa::SigningKey::from(key).sign(message);
                signature.as_bytes().to_vec()
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::DerSignature =
                    p384::ecdsa::SigningKey::from(key).sign(message);
                signature.as_bytes().to_vec()
            }
            Self::P521(key) => {
                let signature: p521::ecdsa::DerSignature =
                    p521::ecdsa::SigningKey::from(key).sign(message);
                signature.as_bytes().to_vec()
            }
        }
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}

/// A resource as a statement lists it.
pub(crate) fn resource(name: &str, digest: &str) -> Value {
    json!({"name": name, "algorithm": "sha256", "digest": digest})
}

/// Both files of [`Policy::new`].
pub(crate) fn resources(policy: &Policy) -> Vec<Value> {
    ["config.json", "model.safetensors"]
        .map(|name| resource(name, &sha256(&policy.read(name))))
        .to_vec()
}

/// A statement of OMS about these resources, with the root digest that they have.
pub(crate) fn statement(resources: &[Value]) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "walk", "digest": {"sha256": root(resources)}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": false},
            "resources": resources,
        },
    })
}

pub(crate) fn root(resources: &[Value]) -> String {
    let digests = resources
        .iter()
        .flat_map(|one| base16ct::lower::decode_vec(one["digest"].as_str().unwrap()).unwrap());
    sha256(&digests.collect::<Vec<u8>>())
}

/// A bundle by this key, as the reference tool lays it out.
pub(crate) fn bundle(payload: &[u8], key: &Key) -> Value {
    json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "publicKey": {"hint": key.public().hint()},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": STANDARD.encode(payload),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": STANDARD.encode(key.sign(&pae(payload))), "keyid": ""}],
        },
    })
}

pub(crate) fn authenticate(bundle: &Value, anchors: &[Anchor]) -> Result<Statement> {
    authenticate_bytes(bundle.to_string().as_bytes(), anchors, now())
}

pub(crate) fn authenticate_bytes(
    bundle: &[u8],
    anchors: &[Anchor],
    now: Timestamp,
) -> Result<Statement> {
    let limits = Limits::default();
    Bundle::parse(bundle, &limits)?.authenticate(anchors, now, &limits)
}

/// A signed statement, read by one who trusts the key.
pub(crate) fn signed(statement: &Value) -> Result<Statement> {
    signed_bytes(statement.to_string().as_bytes())
}

pub(crate) fn signed_bytes(payload: &[u8]) -> Result<Statement> {
    let key = Key::p256(7);
    authenticate(&bundle(payload, &key), &[key.anchor()])
}

/// Refused for exactly this, about exactly this.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T>, code: Rejection, subject: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.rejection(), Some(code), "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!("{code}: {subject:?}: ")), "{text}");
}
