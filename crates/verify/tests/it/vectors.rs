//! The test vectors of `docs/vectors`, which a generator in Python wrote and a verifier in Python,
//! written from `docs/formats` alone, judges as well.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use tensorgate_verify::*;

use crate::support::{directory, key, repo, survey, trust, validity};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors")
}

fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(vectors().join(path)).unwrap()).unwrap()
}

/// A case: its directory, and what it says.
struct Case {
    folder: PathBuf,
    head: Value,
}

/// What was accepted before.
#[derive(Debug, Default)]
struct Past {
    accepted: Vec<(RepoId, Accepted)>,
    floor: Option<jiff::Timestamp>,
}

impl Case {
    fn named(name: &str) -> Self {
        let head = json(format!("cases/{name}/case.json"));
        let folder = vectors().join("cases").join(name);
        Self { folder, head }
    }

    fn all() -> Vec<Self> {
        let entries = fs::read_dir(vectors().join("cases")).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort_unstable();
        let named = |name: &std::ffi::OsString| Self::named(name.to_str().unwrap());
        names.iter().map(named).collect()
    }

    fn text<T: std::str::FromStr<Err: std::fmt::Debug>>(&self, key: &str) -> Option<T> {
        Some(self.head.get(key)?.as_str().unwrap().parse().unwrap())
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.join(name)).ok()
    }

    /// What is remembered where the cases that it comes after were accepted.
    fn past(&self) -> Option<Past> {
        let mut past = Past::default();
        for name in self.head.get("after")?.as_array().unwrap() {
            past.record(
                Self::named(name.as_str().unwrap())
                    .open(None)
                    .unwrap()
                    .evidence(),
            );
        }
        Some(past)
    }

    fn open(&self, past: Option<&Past>) -> Result<Verified<Policy>> {
        let text = String::from_utf8(self.read("trust.toml").unwrap()).unwrap();
        let trust = TrustPolicy::parse(&text, |_| panic!("keys are inline")).unwrap();
        let (repo, revision) = (self.text("repo"), self.text("revision"));
        let mut context = Context::new(self.text("now").unwrap());
        (context.repo, context.revision) = (repo.as_ref(), revision.as_ref());
        context.history = past.map(|past| past as &dyn History);
        let list = self.read("revocations.dsse.json").map(|bytes| {
            let signed = SignedRevocations::parse(&bytes, trust.limits())?;
            trust.authenticate_revocations(&signed, &context)
        });
        let list = list.transpose()?;
        context.revocations = list.as_ref();
        let envelope = self.read("policy/policy.dsse.json").unwrap();
        let signed = SignedManifest::parse(&envelope, trust.limits())?;
        let policy = directory(&self.folder.join("policy"));
        let manifest = trust.authenticate(&signed, &context)?;
        manifest.open(&policy, Proof::Tensors, trust.rules())
    }

    fn verdict(&self) -> Value {
        match self.open(self.past().as_ref()) {
            Ok(_) => serde_json::json!({"verdict": "verified"}),
            Err(Error::Rejected(found)) => {
                let first = found.first();
                let (code, subject) = (first.rejection.code(), &first.subject);
                serde_json::json!({"verdict": "rejected", "code": code, "subject": subject})
            }
            Err(error) => panic!("{:?}: {error}", self.folder),
        }
    }
}

impl Past {
    fn record(&mut self, evidence: &Evidence) {
        let accepted = Accepted::new(evidence.sequence, evidence.manifest);
        self.accepted.push((evidence.repo.clone(), accepted));
        self.floor = self.floor.max(Some(evidence.issued.min(evidence.now)));
    }
}

impl History for Past {
    fn last_accepted(&self, _: RepoType, repo: &RepoId) -> io::Result<Option<Accepted>> {
        let mut all = self.accepted.iter();
        Ok(all
            .find(|(of, _)| of == repo)
            .map(|(_, accepted)| *accepted))
    }

    fn clock_floor(&self) -> io::Result<Option<jiff::Timestamp>> {
        Ok(self.floor)
    }

    fn is_revoked(&self, _: &Sha256) -> io::Result<bool> {
        Ok(false)
    }
}

#[test]
fn every_case_is_judged_as_it_says() {
    let mut codes = std::collections::BTreeSet::new();
    let cases = Case::all();
    for case in &cases {
        let expected = &case.head["expect"];
        codes.extend(expected.get("code").and_then(Value::as_str));
        // That there is no manifest is for whoever looks for one to say: the command's own test.
        if expected["code"] != "manifest-missing" {
            assert_eq!(case.verdict(), *expected, "{:?}", case.folder);
        }
    }
    assert!(cases.len() > 50 && codes.len() > 30, "{codes:?}");
}

#[test]
fn what_is_signed_is_signed_here_byte_for_byte() {
    let vector = json("dsse.json");
    let text = |field: &str| vector[field].as_str().unwrap().to_owned();
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(hex(&pae(text("payload").as_bytes())), text("pae"));
    let signer = key(1);
    assert_eq!(text("seed"), hex(&[1; 32]));
    assert_eq!(signer.public().id().to_string(), text("keyid"));
    let pem = fs::read_to_string(vectors().join("keys/release.pub.pem")).unwrap();
    assert_eq!(signer.public_pem().unwrap(), pem);
    let private = fs::read_to_string(vectors().join("keys/release.test-key.pem")).unwrap();
    assert_eq!(
        SigningKey::from_pem(&private).unwrap().public(),
        signer.public()
    );

    let limits = Limits::default();
    let good = Case::named("good").read("policy/policy.dsse.json").unwrap();
    let manifest = SignedManifest::parse(&good, &limits)
        .unwrap()
        .untrusted(&limits)
        .unwrap();
    let payload = manifest.to_payload(&limits).unwrap();
    assert_eq!(String::from_utf8(payload).unwrap(), text("payload"));
    let signed = SignedManifest::sign(&manifest, &signer, &limits).unwrap();
    assert_eq!(signed.to_bytes(), good);
    assert_eq!(signed.digest().to_string(), text("manifest"));
}

#[test]
fn fragments_have_these_values() {
    for vector in json("fragments.json").as_array().unwrap() {
        let number = |field: &str| vector[field].as_u64().unwrap();
        let data: Vec<u8> = (0..=250).cycle().take(number("length") as usize).collect();
        let folder = tempfile::tempdir().unwrap();
        let view = TensorView::new(Dtype::U8, vec![data.len()], &data).unwrap();
        let weights = safetensors::serialize([("a", view)], None).unwrap();
        fs::write(folder.path().join("model.safetensors"), weights).unwrap();
        let files = survey(folder.path()).unwrap();
        let manifest = Manifest::new(repo(), 1, validity(), About::of_type("t"), files);
        assert_eq!(
            manifest.files[0].tensors.as_ref().unwrap()[0]
                .blake3
                .to_string(),
            vector["blake3"]
        );
        let signed = crate::support::sign(&manifest, &[1]);
        let manifest = trust(1, &[1])
            .authenticate(&signed, &crate::support::context())
            .unwrap();
        let policy = manifest.open(&directory(folder.path()), Proof::Tensors, &Rules::default());
        let policy = policy.unwrap();
        let size = FragmentSize::new(number("fragment_size") as u32).unwrap();
        let digests = Cut::new(policy.manifest(), size).digests(&policy);
        let values: Vec<String> = digests.iter().map(ToString::to_string).collect();
        assert_eq!(
            serde_json::json!(values),
            vector["values"],
            "{}",
            data.len()
        );
    }
}
