// What examples of the documentation begin with, of this crate and of those above it: a policy of
// two numbers in a directory, signed, and a trust policy for it.

/// A directory, a trust policy, the signed manifest, and the instant for which all of it is judged.
pub struct Example {
    pub folder: tempfile::TempDir,
    pub trust: tensorgate_verify::TrustPolicy,
    pub signed: tensorgate_verify::SignedManifest,
    pub now: jiff::Timestamp,
}

impl Example {
    pub fn new() -> Result<Self, Box<dyn std::error::Error>> {
        use tensorgate_verify::{About, Manifest, Repo, Rules, SignedManifest, SigningKey, Survey};

        let folder = tempfile::tempdir()?;
        let data: Vec<u8> = [0.5_f32, -1.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let gain = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2], &data)?;
        let weights = safetensors::serialize([("gain", gain)], None)?;
        std::fs::write(folder.path().join("model.safetensors"), weights)?;
        std::fs::write(folder.path().join("config.json"), br#"{"type": "mlp"}"#)?;

        let rules = Rules::default();
        let files = Survey::new(&rules).run(&open(folder.path())?)?.files;
        let repo = Repo::model(
            "acme/walk".parse()?,
            "0123456789abcdef0123456789abcdef01234567".parse()?,
        );
        let validity = ("2026-11-01T00:00:00Z".parse()?, "2027-11-01T00:00:00Z".parse()?);
        let manifest = Manifest::new(repo, 1, validity, About::of_type("mlp"), files);
        let key = SigningKey::from_seed(&[7; 32]);
        let signed = SignedManifest::sign(&manifest, &key, &rules.limits)?;
        let pem = key.public_pem()?;
        let text = format!("threshold = 1\n[[keys]]\nname = 'acme'\npublic_key = '''{pem}'''");
        let no_file = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        let trust = tensorgate_verify::TrustPolicy::parse(&text, no_file)?;
        let now = "2026-11-23T12:00:00Z".parse()?;
        Ok(Self { folder, trust, signed, now })
    }

    /// The manifest, proven.
    pub fn manifest(
        &self,
    ) -> tensorgate_verify::Result<tensorgate_verify::Verified<tensorgate_verify::Manifest>> {
        self.trust.authenticate(&self.signed, &tensorgate_verify::Context::new(self.now))
    }

    /// The whole policy, proven.
    pub fn policy(
        &self,
    ) -> Result<
        tensorgate_verify::Verified<tensorgate_verify::Policy>,
        Box<dyn std::error::Error>,
    > {
        let (directory, proof) = (open(self.folder.path())?, tensorgate_verify::Proof::Tensors);
        Ok(self.manifest()?.open(&directory, proof, self.trust.rules())?)
    }
}

pub fn open(path: &std::path::Path) -> std::io::Result<tensorgate_verify::Directory> {
    Ok(tensorgate_verify::Directory::new(std::fs::File::open(path)?.into()))
}
