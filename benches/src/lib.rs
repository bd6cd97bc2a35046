//! A signed policy of any size, and the ways to open its weights that are compared.
#![warn(missing_docs)]

use std::error::Error;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};
use tensorgate_verify::{
    About, Context, Directory, Header, Hold, Manifest, Policy, Proof, Repo, SignedManifest,
    SigningKey, Survey, TensorEntry, TrustPolicy, Verified,
};

/// Whatever goes wrong ends the measurement.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A policy directory, its envelope, and who trusts it.
#[derive(Debug)]
pub struct Signed {
    folder: tempfile::TempDir,
    envelope: Vec<u8>,
    trust: TrustPolicy,
}

impl Signed {
    /// A policy of `tensors` F32 tensors of `bytes` bytes each.
    ///
    /// # Errors
    /// The disk is full.
    pub fn new(tensors: usize, bytes: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let data: Vec<u8> = (0..bytes).map(|i| (i % 251) as u8 & 0x3f).collect();
        let view = |i| {
            Ok((
                format!("layer.{i}"),
                TensorView::new(Dtype::F32, vec![bytes / 4], &data)?,
            ))
        };
        let views: Vec<_> = (0..tensors).map(view).collect::<Result<_>>()?;
        safetensors::serialize_to_file(views, None, &folder.path().join("model.safetensors"))?;
        let key = SigningKey::from_seed(&[1; 32]);
        let pem = key.public_pem()?;
        let text = format!("threshold = 1\n[[keys]]\nname = 'k'\npublic_key = '''{pem}'''");
        let trust = TrustPolicy::parse(&text, |_| Err(std::io::ErrorKind::NotFound.into()))?;
        let files = Survey::new(trust.rules()).run(&directory(&folder)?)?.files;
        let repo = Repo::model("acme/bench".parse()?, "0".repeat(40).parse()?);
        let validity = (
            "2026-01-01T00:00:00Z".parse()?,
            "2099-01-01T00:00:00Z".parse()?,
        );
        let manifest = Manifest::new(repo, 1, validity, About::of_type("bench"), files);
        let envelope = SignedManifest::sign(&manifest, &key, trust.limits())?.to_bytes();
        Ok(Self {
            folder,
            envelope,
            trust,
        })
    }

    /// Bytes of the weights file.
    ///
    /// # Errors
    /// The file is gone.
    pub fn weights_bytes(&self) -> Result<u64> {
        Ok(fs::metadata(self.weights())?.len())
    }

    /// Ours: signature, set of files, header and every tensor proven, in memory that cannot change.
    ///
    /// # Errors
    /// It is not what was signed.
    pub fn open_verified(&self) -> Result<Verified<Policy>> {
        Ok(self.manifest()?.open(
            &directory(&self.folder)?,
            Proof::Tensors,
            self.trust.rules(),
        )?)
    }

    /// What its signer says.
    ///
    /// # Errors
    /// It is not what was signed.
    pub fn manifest(&self) -> Result<Verified<Manifest>> {
        let signed = SignedManifest::parse(&self.envelope, self.trust.limits())?;
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
        let rules = self.trust.rules();
        let path = "model.safetensors".parse()?;
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

    /// No check at all: map, parse, and read each page once, as a first inference would.
    ///
    /// # Errors
    /// The file is no safetensors.
    pub fn open_unverified(&self) -> Result<(Mmap, u64)> {
        let map = self.map()?;
        SafeTensors::deserialize(&map)?;
        let touched = map.iter().step_by(4096).map(|byte| u64::from(*byte)).sum();
        Ok((map, touched))
    }

    /// What [`open_sha256`](Self::open_sha256) expects.
    ///
    /// # Errors
    /// The file is gone.
    pub fn sha256(&self) -> Result<[u8; 32]> {
        Ok(Sha256::digest(&self.map()?).into())
    }

    fn weights(&self) -> PathBuf {
        self.folder.path().join("model.safetensors")
    }

    #[expect(
        unsafe_code,
        reason = "the peer maps the file itself, which is what we compare with"
    )]
    fn map(&self) -> Result<Mmap> {
        let file = File::open(self.weights())?;
        // SAFETY: the file is in a private directory of this process, which does not write to it
        // after `new`.
        Ok(unsafe { Mmap::map(&file) }?)
    }
}

fn directory(folder: &tempfile::TempDir) -> Result<Directory> {
    Ok(Directory::new(OwnedFd::from(File::open(folder.path())?)))
}
