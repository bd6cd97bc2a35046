//! What the tests share: a gate that announces signed policies, and a controller that trusts it.

use std::fs;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tensorgate_client::*;
use tensorgate_verify::{
    About, Context, Cut, Directory, FragmentSize, Limits, Manifest, Policy, Proof, Rejection, Repo,
    RepoType, Rules, SignedManifest, SigningKey, Survey, TrustPolicy, Verified,
};

pub(crate) const REPO: &str = "acme/walk";
pub(crate) const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
pub(crate) const LEASE: Duration = Duration::from_millis(300);

/// The gate's side: one signed policy, cut into fragments of 64 KiB.
pub(crate) struct Gate {
    pub(crate) policy: Verified<Policy>,
    pub(crate) cut: Cut,
    pub(crate) session: Session,
    pub(crate) epoch: u64,
}

impl Gate {
    /// Release `sequence` of `acme/walk`, whose weights depend on it, signed by `key(1)`.
    pub(crate) fn new(sequence: u64) -> Self {
        Self::signed_by(1, REPO, sequence)
    }

    pub(crate) fn signed_by(seed: u8, repo: &str, sequence: u64) -> Self {
        let weights = Some(weights(sequence as f32));
        Self::with_weights(seed, (RepoType::Model, repo), sequence, weights)
    }

    /// Of 25 MB.
    pub(crate) fn large(sequence: u64) -> Self {
        let data = vec![7; 25_000_000];
        let view = TensorView::new(Dtype::U8, vec![data.len()], &data).unwrap();
        let weights = safetensors::serialize([("large", view)], None).unwrap();
        Self::with_weights(1, (RepoType::Model, REPO), sequence, Some(weights))
    }

    /// A policy of a configuration alone.
    pub(crate) fn without_weights() -> Self {
        Self::with_weights(1, (RepoType::Model, REPO), 5, None)
    }

    /// What its signer calls a data set, with a configuration that no audit judged.
    pub(crate) fn of_a_data_set(sequence: u64) -> Self {
        Self::with_weights(1, (RepoType::Dataset, REPO), sequence, None)
    }

    fn with_weights(
        seed: u8,
        (repo_type, repo): (RepoType, &str),
        sequence: u64,
        weights: Option<Vec<u8>>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), r#"{"type": "mlp"}"#).unwrap();
        if let Some(weights) = weights {
            fs::write(folder.path().join("model.safetensors"), weights).unwrap();
        }
        let open = || Directory::new(OwnedFd::from(fs::File::open(folder.path()).unwrap()));
        let limits = Limits::default();
        let rules = Rules::default();
        let surveyed = Survey::new(&rules).of(repo_type).run(&open()).unwrap();
        let mut repo = Repo::model(repo.parse().unwrap(), REVISION.parse().unwrap());
        repo.repo_type = repo_type;
        let validity = (
            instant("2026-11-01T00:00:00Z"),
            instant("2027-11-01T00:00:00Z"),
        );
        let manifest = Manifest::new(
            repo,
            sequence,
            validity,
            About::of_type("mlp"),
            surveyed.files,
        );
        let signed = SignedManifest::sign(&manifest, &key(seed), &limits).unwrap();
        let manifest = trust(seed)
            .authenticate(&signed, &Context::new(now()))
            .unwrap();
        let policy = manifest
            .open(&open(), Proof::Tensors, &Rules::default())
            .unwrap();
        let cut = Cut::new(policy.manifest(), FragmentSize::new(64 << 10).unwrap());
        Self {
            policy,
            cut,
            session: [1; 16],
            epoch: 1,
        }
    }

    pub(crate) fn at(self, session: u8, epoch: u64) -> Self {
        Self {
            session: [session; 16],
            epoch,
            ..self
        }
    }

    pub(crate) fn cut_into(self, fragment_size: u32) -> Self {
        let size = FragmentSize::new(fragment_size).unwrap();
        let cut = Cut::new(self.policy.manifest(), size);
        Self { cut, ..self }
    }

    pub(crate) fn announcement(&self) -> Announcement {
        let head = |file: &tensorgate_verify::File| {
            let len = file
                .header()
                .map_or_else(|| file.bytes().len(), |header| header.len as usize);
            (file.path().to_string(), file.bytes()[..len].to_vec())
        };
        let digests = self.cut.digests(&self.policy);
        Announcement {
            session: self.session,
            epoch: self.epoch,
            envelope: self.policy.evidence().envelope().to_vec(),
            files: self.policy.files().iter().map(head).collect(),
            fragment_size: self.cut.size().bytes(),
            fragment_count: digests.len() as u32,
            delivery: Announcement::LATCHED,
            fragment_digests: digests
                .iter()
                .flat_map(|digest| *digest.as_bytes())
                .collect(),
        }
    }

    /// Its announcement, as anybody can send it again: session and epoch are not signed.
    pub(crate) fn replay(&self, session: u8, epoch: u64) -> Announcement {
        Announcement {
            session: [session; 16],
            epoch,
            ..self.announcement()
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.cut.spans().len()
    }

    pub(crate) fn fragment(&self, index: usize) -> Fragment<'_> {
        let data = self
            .cut
            .bytes(&self.policy, &self.cut.spans()[index])
            .unwrap();
        Fragment {
            session: self.session,
            epoch: self.epoch,
            index: index as u32,
            data,
        }
    }

    pub(crate) fn status(&self, sequence: u64, state: u8) -> Status {
        Status {
            session: self.session,
            epoch: self.epoch,
            sequence,
            state,
            manifest_digest: *self.policy.evidence().manifest.as_bytes(),
            lease: LEASE,
        }
    }

    pub(crate) fn heartbeat(&self, sequence: u64) -> Status {
        self.status(sequence, Status::READY)
    }

    /// Sends the announcement, every fragment in order, and the first heartbeat.
    pub(crate) fn send(&self, receiver: &mut Receiver, at: Instant) -> Arc<Verified<Policy>> {
        let policy = self.deliver(receiver, at);
        receiver.status(&self.heartbeat(0), at);
        policy
    }

    /// Sends the announcement and every fragment in order.
    pub(crate) fn deliver(&self, receiver: &mut Receiver, at: Instant) -> Arc<Verified<Policy>> {
        let announced = receiver.announce(self.announcement(), now(), at);
        assert!(announced.unwrap().is_none());
        self.complete(receiver, at)
    }

    /// Sends every fragment in order.
    pub(crate) fn complete(&self, receiver: &mut Receiver, at: Instant) -> Arc<Verified<Policy>> {
        let arrived = |index| receiver.fragment(&self.fragment(index), now(), at).unwrap();
        let policies: Vec<_> = (0..self.count()).filter_map(arrived).collect();
        let [policy] = policies.try_into().unwrap();
        policy
    }
}

pub(crate) fn receiver() -> Receiver {
    let repo = Some(REPO.parse().unwrap());
    Receiver::new(
        trust(1),
        Expectations {
            repo,
            revision: None,
        },
    )
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub(crate) fn trust(seed: u8) -> TrustPolicy {
    let pem = key(seed).public_pem().unwrap();
    let text = format!("threshold = 1\n[[keys]]\nname = 'acme'\npublic_key = '''{pem}'''\n");
    TrustPolicy::parse(&text, |_| panic!("the key is inline")).unwrap()
}

pub(crate) fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn now() -> Timestamp {
    instant("2026-11-23T12:00:00Z")
}

/// All bytes of a policy, file after file.
pub(crate) fn bytes(policy: &Policy) -> Vec<Vec<u8>> {
    policy
        .files()
        .iter()
        .map(|file| file.bytes().to_vec())
        .collect()
}

#[track_caller]
pub(crate) fn refusal<T>(result: Result<T>) -> Rejection {
    match result {
        Ok(_) => panic!("nothing was refused"),
        Err(error) => error
            .rejection()
            .unwrap_or_else(|| panic!("no verdict: {error}")),
    }
}

/// Two tensors of several fragments, the last of which is short, and two of one.
fn weights(seed: f32) -> Vec<u8> {
    let lengths = [
        ("a.bias", 7),
        ("a.weight", 50_000),
        ("b.bias", 16 << 10),
        ("b.weight", 33_000),
    ];
    let value = |i: usize| (seed + i as f32).to_le_bytes();
    let data = lengths.map(|(name, len)| (name, (0..len).flat_map(value).collect::<Vec<u8>>()));
    let views = data.iter().map(|(name, bytes)| {
        (
            *name,
            TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes).unwrap(),
        )
    });
    safetensors::serialize(views, None).unwrap()
}
