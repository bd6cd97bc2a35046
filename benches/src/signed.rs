use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tensorgate_verify::{
    About, Context, Directory, Header, Hold, Holding, LeaseHolder, LeaseSignal, Limits,
    MANIFEST_FILE, Manifest, OnDemand, Policy, Proof, Repo, Rules, SignedManifest, SigningKey,
    Survey, TensorEntry, TrustPolicy, Verified,
};

use crate::Result;

/// A signed policy in a directory, and who trusts it.
#[derive(Debug)]
pub struct Signed {
    folder: PathBuf,
    envelope: Vec<u8>,
    trust: TrustPolicy,
    holder: LeaseHolder,
    /// Removed with the value, where nobody else has a use for it.
    _temporary: Option<TempDir>,
}

const WEIGHTS: &str = "model.safetensors";

impl Signed {
    /// A policy of `tensors` tensors of `bytes` bytes each, in a temporary directory at `place`:
    /// that of this machine may be where nothing can be guarded.
    ///
    /// # Errors
    /// The disk is full.
    pub fn new(place: &Path, dtype: Dtype, tensors: usize, bytes: usize) -> Result<Self> {
        let temporary = tempfile::tempdir_in(place)?;
        Self::write(temporary.path(), dtype, tensors, bytes)?;
        let signed = Self::at(temporary.path())?;
        Ok(Self {
            _temporary: Some(temporary),
            ..signed
        })
    }

    /// Writes such a policy to `FOLDER/policy`, and who trusts it to `FOLDER/trust.toml`.
    ///
    /// # Errors
    /// The disk is full.
    pub fn write(folder: &Path, dtype: Dtype, tensors: usize, bytes: usize) -> Result<()> {
        let policy = folder.join("policy");
        fs::create_dir(&policy)?;
        write_weights(&policy.join(WEIGHTS), dtype, tensors, bytes)?;
        let key = SigningKey::from_seed(&[1; 32]);
        let text = trust_toml(&key.public_pem()?, tensors);
        fs::write(folder.join("trust.toml"), &text)?;
        let trust = parse(&text)?;
        let files = Survey::new(trust.rules()).run(&directory(&policy)?)?.files;
        let repo = Repo::model("acme/bench".parse()?, "0".repeat(40).parse()?);
        let validity = (
            "2026-01-01T00:00:00Z".parse()?,
            "2099-01-01T00:00:00Z".parse()?,
        );
        let manifest = Manifest::new(repo, 1, validity, About::of_type("bench"), files);
        let signed = SignedManifest::sign(&manifest, &key, trust.limits())?;
        Ok(fs::write(policy.join(MANIFEST_FILE), signed.to_bytes())?)
    }

    /// The policy that was written to `folder`.
    ///
    /// # Errors
    /// None was.
    pub fn at(folder: &Path) -> Result<Self> {
        let policy = folder.join("policy");
        Ok(Self {
            envelope: fs::read(policy.join(MANIFEST_FILE))?,
            trust: parse(&fs::read_to_string(folder.join("trust.toml"))?)?,
            folder: policy,
            holder: LeaseHolder::start(LeaseSignal::default(), |_| ())?,
            _temporary: None,
        })
    }

    /// Bytes of the weights file.
    ///
    /// # Errors
    /// The file is gone.
    pub fn weights_bytes(&self) -> Result<u64> {
        Ok(fs::metadata(self.weights())?.len())
    }

    /// What the trust policy lets be read.
    pub fn limits(&self) -> &Limits {
        self.trust.limits()
    }

    pub(crate) fn rules(&self) -> &Rules {
        self.trust.rules()
    }

    /// Ours: signature, set of files, header and every tensor proven, held as the file itself under
    /// a lease.
    ///
    /// # Errors
    /// It is not what was signed, or no lease was to be had.
    pub fn open_guarded(&self) -> Result<Verified<Policy>> {
        let policy = self.open(directory(&self.folder)?.guarded_by(&self.holder))?;
        let file = policy.file(WEIGHTS).ok_or("no weights")?;
        match file.hold().holding() {
            Holding::Guarded => Ok(policy),
            other => Err(format!("not guarded: {other:?}").into()),
        }
    }

    /// The same, held as a copy in sealed memory.
    ///
    /// # Errors
    /// It is not what was signed.
    pub fn open_sealed(&self) -> Result<Verified<Policy>> {
        self.open(directory(&self.folder)?)
    }

    /// Of a policy whose weights nobody proved yet; held under a lease, as all that follow.
    ///
    /// # Errors
    /// It is not what was signed.
    pub fn open_on_demand(&self) -> Result<OnDemand> {
        let directory = directory(&self.folder)?.guarded_by(&self.holder);
        let rules = self.rules();
        Ok(self.manifest()?.open_on_demand(&directory, rules)?)
    }

    /// A policy that is held already, under proof that its manifest counts now.
    ///
    /// # Errors
    /// It is another one.
    pub fn reopen(&self, held: &Verified<Policy>) -> Result<Verified<Policy>> {
        let reopened = self.manifest()?.reopen(held, self.rules());
        reopened.ok_or_else(|| "another policy".into())
    }

    fn open(&self, directory: Directory) -> Result<Verified<Policy>> {
        let rules = self.rules();
        Ok(self.manifest()?.open(&directory, Proof::Tensors, rules)?)
    }

    /// What its signer says.
    ///
    /// # Errors
    /// It is not what was signed.
    pub fn manifest(&self) -> Result<Verified<Manifest>> {
        self.authenticate(&self.envelope)
    }

    pub(crate) fn authenticate(&self, envelope: &[u8]) -> Result<Verified<Manifest>> {
        let signed = SignedManifest::parse(envelope, self.trust.limits())?;
        let context = Context::new("2026-11-23T00:00:00Z".parse()?);
        Ok(self.trust.authenticate(&signed, &context)?)
    }

    /// A copy of the weights in memory.
    ///
    /// # Errors
    /// The file is gone.
    pub fn hold(&self) -> Result<Hold> {
        Ok(Hold::Owned(fs::read(self.weights())?.into()))
    }

    /// Ours, of bytes that are held: every tensor proven, its numbers and the whole audited.
    ///
    /// # Errors
    /// It is not what was signed.
    pub fn prove(&self, manifest: Verified<Manifest>, hold: Hold) -> Result<Verified<Policy>> {
        let rules = self.rules();
        let path = WEIGHTS.parse()?;
        let claim = manifest.claim(&path, rules).ok_or("not in the manifest")?;
        let file = claim.check_hold(hold, Proof::Tensors)?;
        Ok(manifest.into_policy(vec![file], rules)?)
    }

    /// What any proof costs: BLAKE3 of every tensor, on all cores; gives back what it was given.
    ///
    /// # Errors
    /// The manifest speaks of other bytes.
    pub fn hash(&self, manifest: Verified<Manifest>, hold: Hold) -> Result<(Hold, usize)> {
        let file = manifest.files.first().ok_or("no file")?;
        let header = Header::prefix_len(&hold, self.trust.limits())?;
        let digest = |tensor: &TensorEntry| {
            let (begin, end) = (header + tensor.begin, header + tensor.end);
            let bytes = hold.get(begin as usize..end as usize).unwrap_or_default();
            blake3::Hasher::new().update_rayon(bytes).finalize()
        };
        let tensors = file.tensors.as_deref().unwrap_or_default();
        let digests: Vec<_> = tensors.par_iter().map(digest).collect();
        Ok((hold, digests.len()))
    }

    /// The least that a proof could cost: BLAKE3 of the mapped file, on all cores.
    ///
    /// # Errors
    /// The file is gone.
    pub fn blake3(&self) -> Result<(Mmap, blake3::Hash)> {
        let map = self.map()?;
        let hash = blake3::Hasher::new().update_rayon(&map).finalize();
        Ok((map, hash))
    }

    /// The usual check: SHA-256 of the mapped file, compared with a known one; then the crate
    /// `safetensors` over the same mapping. A later write to the file would show through.
    ///
    /// # Errors
    /// The digest differs.
    pub fn open_sha256(&self, expected: &[u8; 32]) -> Result<Mmap> {
        let map = self.map()?;
        if Sha256::digest(&map).as_slice() != expected {
            return Err("another digest".into());
        }
        SafeTensors::deserialize(&map)?;
        Ok(map)
    }

    /// What [`open_sha256`](Self::open_sha256) expects.
    ///
    /// # Errors
    /// The manifest speaks of other files.
    pub fn sha256(&self) -> Result<[u8; 32]> {
        let manifest = self.manifest()?;
        let file = manifest.files.first().ok_or("no file")?;
        Ok(*file.sha256.as_bytes())
    }

    /// No check at all: map, parse, and read each page once, as a first inference would.
    ///
    /// # Errors
    /// The file is no safetensors.
    pub fn open_unverified(&self) -> Result<(Mmap, u64)> {
        let map = self.map()?;
        SafeTensors::deserialize(&map)?;
        let touched = touch(&map);
        Ok((map, touched))
    }

    /// The same of one tensor.
    ///
    /// # Errors
    /// The file is no safetensors, or has no such tensor.
    pub fn first_unverified(&self) -> Result<(Mmap, u64)> {
        let map = self.map()?;
        let touched = touch(SafeTensors::deserialize(&map)?.tensor(FIRST)?.data());
        Ok((map, touched))
    }

    /// Maps the weights, as the peers do.
    ///
    /// # Errors
    /// The file is gone.
    #[expect(
        unsafe_code,
        reason = "the peer maps the file itself, which is what we compare with"
    )]
    pub fn map(&self) -> Result<Mmap> {
        let file = File::open(self.weights())?;
        // SAFETY: the file is in a private directory of the measurement, and nobody writes to it
        // after `write`.
        Ok(unsafe { Mmap::map(&file) }?)
    }

    fn weights(&self) -> PathBuf {
        self.folder.join(WEIGHTS)
    }
}

/// The tensor that is asked for where one is.
pub const FIRST: &str = "model.layers.0.0.weight";

fn write_weights(path: &Path, dtype: Dtype, tensors: usize, bytes: usize) -> Result<()> {
    // Bytes that are finite numbers in every type.
    let data: Vec<u8> = (0..bytes).map(|i| (i % 251) as u8 & 0x3f).collect();
    let shape = vec![bytes * 8 / dtype.bitsize()];
    let views = (0..tensors).map(|i| {
        let name = format!("model.layers.{}.{}.weight", i / 12, i % 12);
        Ok((name, TensorView::new(dtype, shape.clone(), &data)?))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    Ok(safetensors::serialize_to_file(views, None, path)?)
}

/// One key, and room for as many tensors where the usual limit has none.
fn trust_toml(pem: &str, tensors: usize) -> String {
    let key = format!("threshold = 1\n[[keys]]\nname = 'k'\npublic_key = '''{pem}'''\n");
    if tensors <= Limits::default().tensors {
        return key;
    }
    let (header, manifest) = (tensors * 256, tensors * 1024);
    format!(
        "{key}[limits]\ntensors = {tensors}\nheader_bytes = {header}\nmanifest_bytes = {manifest}\n"
    )
}

fn parse(trust_toml: &str) -> Result<TrustPolicy> {
    let no_files = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    Ok(TrustPolicy::parse(trust_toml, no_files)?)
}

fn directory(folder: &Path) -> Result<Directory> {
    Ok(Directory::new(OwnedFd::from(File::open(folder)?)))
}

fn touch(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .step_by(4096)
        .map(|byte| u64::from(*byte))
        .sum()
}
