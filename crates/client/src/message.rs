//! The messages of `tensorgate_msgs`, as far as a receiver reads them; all of them untrusted.

use std::time::Duration;

use tensorgate_verify::{Blake3, FilePath, FragmentSize, Rejection};

use crate::error::{Error, Result};

/// Drawn at random when a gate starts: `session_id` of its messages.
pub type Session = [u8; 16];

/// `PolicyManifest`: what is on offer, and how it will arrive.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a message: whoever receives one fills in every field"
)]
pub struct Announcement {
    /// The gate's run.
    pub session: Session,
    /// Number of the announcement within the session; the first is 1.
    pub epoch: u64,
    /// The signed manifest, a DSSE envelope.
    pub envelope: Vec<u8>,
    /// Each file: its bytes, or its first 8 + n bytes where it is safetensors.
    pub files: Vec<(String, Vec<u8>)>,
    /// Bytes of a fragment.
    pub fragment_size: u32,
    /// Fragments of the whole policy.
    pub fragment_count: u32,
    /// How they come: one of `DELIVERY_*`. Not signed, it decides only when to ask for them.
    pub delivery: u8,
    /// 32 bytes for each fragment: its value in the BLAKE3 tree of its tensor.
    pub fragment_digests: Vec<u8>,
}

/// `TensorFragment`: a slice of one tensor.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a message: whoever receives one fills in every field"
)]
pub struct Fragment<'a> {
    /// The gate's run.
    pub session: Session,
    /// The announcement that it belongs to.
    pub epoch: u64,
    /// Its number, over the whole policy.
    pub index: u32,
    /// The slice.
    pub data: &'a [u8],
}

/// `PolicyStatus`: the heartbeat of the gate.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a message: whoever receives one fills in every field"
)]
pub struct Status {
    /// The gate's run.
    pub session: Session,
    /// The announcement in force; 0 = none so far.
    pub epoch: u64,
    /// Number of this status within the session.
    pub sequence: u64,
    /// One of `STATE_*`; whatever is not [`READY`](Self::READY) means stop.
    pub state: u8,
    /// SHA-256 of the payload of the manifest that `state` speaks of.
    pub manifest_digest: [u8; 32],
    /// How long this status may be relied on.
    pub lease: Duration,
}

impl Status {
    /// `STATE_READY`: a verified policy is announced.
    pub const READY: u8 = 3;
    /// `STATE_WITHDRAWN`: taken back in an orderly way.
    pub const WITHDRAWN: u8 = 6;
    /// `STATE_REVOKED`: declared bad, never to be used again.
    pub const REVOKED: u8 = 7;
}

impl Announcement {
    /// `DELIVERY_LATCHED`: the topic has them all, for late joiners, too.
    pub const LATCHED: u8 = 1;
    /// `DELIVERY_PULLED`: the topic has none; [`Receiver::pull`](crate::Receiver::pull) asks at once.
    pub const PULLED: u8 = 2;

    /// Session and epoch.
    pub(crate) fn name(&self) -> Result<(Session, u64)> {
        announced(self.session, self.epoch)
    }

    /// How the tensors are cut, and the value of every fragment.
    pub(crate) fn fragment_table(&self) -> Result<(FragmentSize, Vec<Blake3>)> {
        let refuse = |subject, detail| Error::refused(Rejection::SizeMismatch, subject, detail);
        let size = FragmentSize::new(self.fragment_size).ok_or_else(|| {
            let detail = "not a power of two from 64 KiB to 8 MiB";
            refuse("fragment_size", format!("{}, {detail}", self.fragment_size))
        })?;
        let (digests, rest) = self.fragment_digests.as_chunks();
        if u32::try_from(digests.len()) != Ok(self.fragment_count) || !rest.is_empty() {
            let len = self.fragment_digests.len();
            let detail = format!("{len} bytes for {} fragments", self.fragment_count);
            return Err(refuse("fragment_digests", detail));
        }
        let digests = digests.iter().copied().map(Blake3::from_bytes);
        Ok((size, digests.collect()))
    }

    /// The files, under names that cannot mean more than they say.
    pub(crate) fn into_files(self) -> Result<Vec<(FilePath, Vec<u8>)>> {
        let typed = |(path, bytes): (String, _)| Ok((path.parse()?, bytes));
        self.files.into_iter().map(typed).collect()
    }
}

/// Session and epoch of what is announced.
pub(crate) fn announced(session: Session, epoch: u64) -> Result<(Session, u64)> {
    if epoch == 0 {
        let malformed = Rejection::ManifestMalformed;
        return Err(Error::refused(malformed, "epoch", "0 is no announcement"));
    }
    Ok((session, epoch))
}
