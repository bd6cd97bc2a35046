//! A verified policy as ROS messages. Only a [`Verified<Policy>`] gets here.

use r2r::builtin_interfaces::msg::Time;
use r2r::std_msgs::msg::Header;
use r2r::tensorgate_msgs::msg::{PolicyFile, PolicyManifest, TensorFragment, TensorSpec};
use tensorgate_verify::{Blake3, Cut, File, FragmentSize, Policy, Span, TensorEntry, Verified};

/// Names this announcement: never used twice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Session {
    pub(crate) id: [u8; 16],
    pub(crate) epoch: u64,
}

/// How controllers get the fragments.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Delivery {
    /// The middleware keeps them all, for late joiners too: as much memory again.
    Latched,
    /// They ask for them.
    Pulled,
}

/// A policy, cut and ready to be published.
#[derive(Debug)]
pub(crate) struct Announcement {
    policy: Verified<Policy>,
    delivery: Delivery,
    cut: Cut,
    digests: Vec<Blake3>,
    specs: Vec<TensorSpec>,
    /// For each fragment, which of `specs` it belongs to.
    owners: Vec<usize>,
}

impl Announcement {
    /// Cuts the policy and computes what proves each fragment. Weights of more bytes than
    /// `latch_limit` are pulled.
    pub(crate) fn new(policy: Verified<Policy>, size: FragmentSize, latch_limit: u64) -> Self {
        let cut = Cut::new(policy.manifest(), size);
        let digests = cut.digests(&policy);
        let (specs, owners) = specs(&policy, &cut);
        let delivery = match weights_size(&specs) {
            bytes if bytes <= latch_limit => Delivery::Latched,
            _ => Delivery::Pulled,
        };
        Self {
            policy,
            delivery,
            cut,
            digests,
            specs,
            owners,
        }
    }

    pub(crate) const fn policy(&self) -> &Verified<Policy> {
        &self.policy
    }

    /// Its bytes would change soon, and nobody may read them then.
    pub(crate) fn is_lost(&self) -> bool {
        let mut files = self.policy.files().iter();
        files.any(|file| file.hold().is_lost())
    }

    pub(crate) const fn delivery(&self) -> Delivery {
        self.delivery
    }

    pub(crate) fn fragment_count(&self) -> usize {
        self.cut.spans().len()
    }

    /// Sum of the tensors' lengths in bytes.
    pub(crate) fn weights_size(&self) -> u64 {
        weights_size(&self.specs)
    }

    pub(crate) fn manifest(&self, session: Session, stamp: Time) -> PolicyManifest {
        let manifest = self.policy.manifest();
        PolicyManifest {
            header: Header {
                stamp,
                frame_id: String::new(),
            },
            session_id: session.id.to_vec(),
            epoch: session.epoch,
            repo_id: ros_string(manifest.repo.id.as_str()),
            revision: ros_string(manifest.repo.revision.as_str()),
            policy_type: ros_string(&manifest.policy.policy_type),
            envelope: self.policy.evidence().envelope().to_vec(),
            files: self.policy.files().iter().map(small_part).collect(),
            weights_size: self.weights_size(),
            fragment_size: self.cut.size().bytes(),
            fragment_count: self.fragment_count() as u32,
            delivery: self.delivery.number(),
            fragment_digests: self
                .digests
                .iter()
                .flat_map(|digest| *digest.as_bytes())
                .collect(),
            tensors: self.specs.clone(),
        }
    }

    /// Every fragment, as [`Announcement::fragment`] has it.
    pub(crate) fn fragments(
        &self,
        session: Session,
    ) -> impl Iterator<Item = (TensorFragment, &[u8])> {
        (0..self.fragment_count()).filter_map(move |index| self.fragment(session, index))
    }

    /// The fragment's message without `data`, and the bytes that belong there.
    pub(crate) fn fragment(
        &self,
        session: Session,
        index: usize,
    ) -> Option<(TensorFragment, &[u8])> {
        let (span, owner) = (self.cut.spans().get(index)?, *self.owners.get(index)?);
        let bytes = self.cut.bytes(&self.policy, span)?;
        let spec = self.specs.get(owner)?;
        let (dtype_code, dtype_bits, shape) = slice_type(spec, span);
        let head = TensorFragment {
            session_id: session.id.to_vec(),
            epoch: session.epoch,
            fragment_index: index as u32,
            fragment_count: self.fragment_count() as u32,
            tensor_index: owner as u32,
            tensor_byte_offset: span.offset,
            dtype_code,
            dtype_bits,
            dtype_lanes: spec.dtype_lanes,
            shape,
            strides: Vec::new(),
            byte_offset: 0,
            data: Vec::new(),
        };
        Some((head, bytes))
    }
}

impl Delivery {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Latched => "latched",
            Self::Pulled => "pulled",
        }
    }

    /// The constant `DELIVERY_*`.
    const fn number(self) -> u8 {
        match self {
            Self::Latched => PolicyManifest::DELIVERY_LATCHED as u8,
            Self::Pulled => PolicyManifest::DELIVERY_PULLED as u8,
        }
    }
}

fn weights_size(specs: &[TensorSpec]) -> u64 {
    specs.iter().map(|spec| spec.byte_length).sum()
}

/// A whole tensor is itself; a slice is a row of its elements, or of bytes where elements are
/// smaller and could lie across its end.
fn slice_type(spec: &TensorSpec, span: &Span) -> (u8, u8, Vec<i64>) {
    if span.len == spec.byte_length {
        return (spec.dtype_code, spec.dtype_bits, spec.shape.clone());
    }
    match spec.dtype_bits {
        0..8 => (TensorSpec::DTYPE_UINT as u8, 8, vec![span.len as i64]),
        bits => (
            spec.dtype_code,
            bits,
            vec![(span.len * 8 / u64::from(bits)) as i64],
        ),
    }
}

/// A small file whole; of safetensors the first 8 + n bytes, which the fragments complete.
fn small_part(file: &File) -> PolicyFile {
    let bytes = match file.header() {
        Some(header) => &file.bytes()[..header.len as usize],
        None => file.bytes(),
    };
    PolicyFile {
        path: ros_string(file.path().as_str()),
        data: bytes.to_vec(),
    }
}

fn specs(policy: &Verified<Policy>, cut: &Cut) -> (Vec<TensorSpec>, Vec<usize>) {
    let mut specs: Vec<TensorSpec> = Vec::new();
    let mut owners = Vec::with_capacity(cut.spans().len());
    for (index, span) in cut.spans().iter().enumerate() {
        let file = &policy.manifest().files[span.file];
        let Some(tensor) = file
            .tensors
            .as_ref()
            .and_then(|tensors| tensors.get(span.tensor))
        else {
            continue;
        };
        if span.offset == 0 {
            let first = TensorSpec {
                first_fragment: index as u32,
                ..spec(file.path.as_str(), tensor)
            };
            specs.push(first);
        }
        if let Some(spec) = specs.last_mut() {
            spec.fragment_count += 1;
        }
        owners.push(specs.len().saturating_sub(1));
    }
    (specs, owners)
}

fn spec(file: &str, tensor: &TensorEntry) -> TensorSpec {
    let (dtype_code, dtype_bits) = dlpack(tensor);
    TensorSpec {
        file: ros_string(file),
        name: ros_string(&tensor.name),
        dtype: tensor.dtype.to_string(),
        dtype_code,
        dtype_bits,
        dtype_lanes: 1,
        shape: tensor.shape.iter().map(|dim| *dim as i64).collect(),
        byte_offset: tensor.begin,
        byte_length: tensor.byte_len(),
        digest: tensor.blake3.as_bytes().to_vec(),
        first_fragment: 0,
        fragment_count: 0,
    }
}

/// The element type in DLPack's terms (dlpack.h, DLDataTypeCode) and its bits.
fn dlpack(tensor: &TensorEntry) -> (u8, u8) {
    use TensorSpec as Codes;
    use safetensors::Dtype;
    let code = match tensor.dtype {
        Dtype::BOOL => Codes::DTYPE_BOOL as u8,
        Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => Codes::DTYPE_UINT as u8,
        Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => Codes::DTYPE_INT as u8,
        Dtype::F16 | Dtype::F32 | Dtype::F64 => Codes::DTYPE_FLOAT as u8,
        Dtype::BF16 => Codes::DTYPE_BFLOAT as u8,
        Dtype::C64 => Codes::DTYPE_COMPLEX as u8,
        Dtype::F8_E4M3 => Codes::DTYPE_FLOAT8_E4M3FN as u8,
        Dtype::F8_E4M3FNUZ => Codes::DTYPE_FLOAT8_E4M3FNUZ as u8,
        Dtype::F8_E5M2 => Codes::DTYPE_FLOAT8_E5M2 as u8,
        Dtype::F8_E5M2FNUZ => Codes::DTYPE_FLOAT8_E5M2FNUZ as u8,
        Dtype::F8_E8M0 => Codes::DTYPE_FLOAT8_E8M0FNU as u8,
        Dtype::F6_E2M3 => Codes::DTYPE_FLOAT6_E2M3FN as u8,
        Dtype::F6_E3M2 => Codes::DTYPE_FLOAT6_E3M2FN as u8,
        Dtype::F4 => Codes::DTYPE_FLOAT4_E2M1FN as u8,
        // The enum may grow; subscribers refuse what they do not know.
        _ => Codes::DTYPE_OPAQUE_HANDLE as u8,
    };
    (code, tensor.dtype.bitsize() as u8)
}

/// Text that a C string can carry: r2r panics on NUL, and a terminal obeys the other controls.
pub(crate) fn ros_string(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
