//! `verify --vsa FILE`: the verdict as a Verification Summary Attestation, for whoever trusts this
//! machine to verify.
//!
//! <https://slsa.dev/spec/v1.1/verification_summary>, in a DSSE envelope. It is another predicate type
//! than a manifest's, and nothing here reads one: no summary lets a policy pass.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};
use tensorgate_verify::{
    Evidence, KeyHolder, Manifest, PAYLOAD_TYPE, RepoType, RevocationEvidence, Sha256,
    SignedManifest, SigningKey, TrustPolicy, pae,
};

use crate::args::reports::Summary;
use crate::beside::{self, Form};
use crate::failure::Failure;
use crate::keys;
use crate::output::Report;
use crate::text::now_in_seconds;

/// How a statement begins: an earlier summary is known by it.
const START: &str = r#"{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/verification_summary/v1","#;
/// What is to be believed if this is believed; a consumer ties it to the keys of its machines.
const VERIFIER: &str = "urn:tensorgate:verify:v1";
/// What PASSED stands for: signatures by the trust policy's threshold, every byte, the content's
/// rules, no rollback and no revocation. None of SLSA's tracks says that: those are about how an
/// artifact was built, of which nothing is known here. Levels of others may not begin with `SLSA_`.
const LEVEL: &str = "TENSORGATE_POLICY_VERIFIED";

pub(crate) const SUMMARY: Form = Form {
    what: "the summary",
    head: || {
        // Whole groups of three: their base64 does not depend on what follows.
        let whole = START.len() / 3 * 3;
        let start = STANDARD_NO_PAD.encode(&START[..whole]);
        format!("{{\n  \"payload\": \"{start}")
    },
};

/// What is known of a verification by the time that it ends.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    trust_policy: Option<Sha256>,
    /// The envelope, as it was read.
    envelope: Option<Vec<u8>>,
    /// What it says, once its signatures counted.
    manifest: Option<(Manifest, Sha256)>,
    /// The list of revocations that it was judged by.
    revocations: Option<(Sha256, Sha256)>,
}

impl Seen {
    pub(crate) fn trust(&mut self, trust: &TrustPolicy) {
        self.trust_policy = Some(trust.digest());
    }

    pub(crate) fn signed(&mut self, signed: &SignedManifest) {
        self.envelope = Some(signed.to_bytes());
    }

    pub(crate) fn revocations(&mut self, evidence: &RevocationEvidence) {
        self.revocations = Some((evidence.list, Sha256::of(evidence.envelope())));
    }

    pub(crate) fn authenticated(&mut self, manifest: &Manifest, evidence: &Evidence) {
        self.manifest = Some((manifest.clone(), evidence.manifest));
    }

    /// What the summary is about: the files, once it is proven that somebody trusted listed them. Of a
    /// manifest that proved nothing only its own bytes are known: whatever it names may be genuine
    /// elsewhere, and nobody may have that called FAILED.
    fn subject(&self, envelope: &[u8]) -> Value {
        match &self.manifest {
            Some((manifest, _)) => {
                let files = manifest.files.iter();
                files
                    .map(|file| json!({ "name": file.path, "digest": { "sha256": file.sha256 } }))
                    .collect()
            }
            None => json!([{
                "name": tensorgate_verify::MANIFEST_FILE,
                "digest": { "sha256": Sha256::of(envelope) },
            }]),
        }
    }

    /// Where a consumer would fetch it from.
    fn resource(&self, envelope: &[u8]) -> String {
        match &self.manifest {
            Some((manifest, _)) => {
                let repo = &manifest.repo;
                let kind = match repo.repo_type {
                    RepoType::Dataset => "datasets/",
                    _ => "",
                };
                let (id, revision) = (&repo.id, &repo.revision);
                format!("https://huggingface.co/{kind}{id}/tree/{revision}")
            }
            None => format!("urn:tensorgate:envelope:sha256:{}", Sha256::of(envelope)),
        }
    }

    fn inputs(&self, envelope: &[u8]) -> Vec<Value> {
        let name = match &self.manifest {
            Some((_, digest)) => format!("urn:tensorgate:manifest:sha256:{digest}"),
            None => format!("urn:tensorgate:envelope:sha256:{}", Sha256::of(envelope)),
        };
        let input =
            |uri: String, digest: Sha256| json!({ "uri": uri, "digest": { "sha256": digest } });
        let mut inputs = vec![input(name, Sha256::of(envelope))];
        inputs.extend(self.revocations.map(|(list, digest)| {
            input(format!("urn:tensorgate:revocations:sha256:{list}"), digest)
        }));
        inputs
    }

    /// The statement; none where no manifest or no trust policy could be read, so that there was
    /// nothing to verify.
    fn statement(&self, passed: bool, now: Timestamp) -> Option<String> {
        let (envelope, trust_policy) = (self.envelope.as_deref()?, self.trust_policy?);
        let (result, level) = match passed {
            true => ("PASSED", LEVEL),
            false => ("FAILED", "FAILED"),
        };
        let predicate = json!({
            "verifier": {
                "id": VERIFIER,
                "version": { "tensorgate": env!("CARGO_PKG_VERSION") },
            },
            "timeVerified": now,
            "resourceUri": self.resource(envelope),
            "policy": {
                "uri": format!("urn:tensorgate:trust-policy:sha256:{trust_policy}"),
                "digest": { "sha256": trust_policy },
            },
            "inputAttestations": self.inputs(envelope),
            "verificationResult": result,
            "verifiedLevels": [level],
            "slsaVersion": "1.1",
        });
        let subject = self.subject(envelope);
        Some(format!(
            r#"{START}"subject":{subject},"predicate":{predicate}}}"#
        ))
    }
}

/// Where a summary goes, and the key that signs it.
pub(crate) struct Writer<'a> {
    file: &'a Path,
    key: SigningKey,
}

impl<'a> Writer<'a> {
    /// Reads the key before anything is verified, if a summary is wanted.
    pub(crate) fn of(args: &'a Summary) -> Result<Option<Self>, Failure> {
        let open = |(file, key): (&'a Path, &Path)| {
            let key = keys::load(key, None)?;
            Ok(Self { file, key })
        };
        args.wanted().map(open).transpose()
    }

    /// A machine that verifies must not hold a key by which it would be convinced.
    pub(crate) fn refuse_signers(&self, trust: &TrustPolicy) -> Result<(), Failure> {
        let id = self.key.public().id();
        match trust.keys().iter().find(|key| key.id() == id) {
            None => Ok(()),
            Some(key) => {
                let detail = format!(
                    "the trust policy accepts policies by the key of --vsa-key, as {:?}",
                    key.name
                );
                let hint = "a summary is signed by a key of its own: `tensorgate keygen` makes one";
                Err(Failure::about(self.file, detail).hint(hint))
            }
        }
    }

    /// Writes the summary and gives the outcome back.
    pub(crate) fn write(
        &self,
        seen: &Seen,
        outcome: Result<Report, Failure>,
    ) -> Result<Report, Failure> {
        let statement = match &outcome {
            Ok(_) => seen.statement(true, now_in_seconds()),
            Err(Failure::Rejected(_)) => seen.statement(false, now_in_seconds()),
            Err(Failure::Error(_)) => None,
        };
        let Some(statement) = statement else {
            return Self::none(outcome);
        };
        match self.sign(&statement) {
            Ok(envelope) => {
                let bytes = format!("{envelope:#}\n");
                let outcome = outcome.map(|report| self.told(report));
                beside::write(SUMMARY, self.file, bytes.as_bytes(), outcome)
            }
            Err(failure) => Err(beside::failed(failure, outcome)),
        }
    }

    /// No summary is none that passed; whoever asked for one hears of it.
    fn none(outcome: Result<Report, Failure>) -> Result<Report, Failure> {
        const NONE: &str = "no summary was written, since no manifest was verified";
        match outcome {
            Ok(mut report) => {
                report.notices.push(NONE.to_owned());
                Ok(report)
            }
            Err(Failure::Rejected(mut all)) => {
                if let Some(first) = all.first_mut() {
                    first.detail = format!("{}; {NONE}", first.detail);
                }
                Err(Failure::Rejected(all))
            }
            Err(error) => Err(error.note(NONE)),
        }
    }

    fn told(&self, mut report: Report) -> Report {
        let (file, id) = (self.file, self.key.public().id());
        report
            .prose
            .push(format!("  summary    {file:?}, key {id}"));
        report
    }

    fn sign(&self, payload: &str) -> Result<Value, Failure> {
        let signature = self.key.sign(&pae(payload.as_bytes()));
        let signature =
            signature.map_err(|error| Failure::io("sign the summary", self.file, &error))?;
        Ok(json!({
            "payloadType": PAYLOAD_TYPE,
            "payload": STANDARD.encode(payload),
            "signatures": [{
                "keyid": self.key.public().id().to_string(),
                "sig": STANDARD.encode(signature),
            }],
        }))
    }
}
