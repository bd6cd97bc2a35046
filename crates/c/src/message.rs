//! The messages of `tensorgate_msgs`, field by field; all of them untrusted.

use std::time::Duration;

use tensorgate_verify::Limits;

use crate::error::Failure;
use crate::raw::{Bytes, PolicyFile, PolicyFiles};

/// PolicyManifest, as far as a receiver reads it. What it points to is copied.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Announcement<'a> {
    /// `session_id`.
    session_id: [u8; 16],
    /// `epoch`.
    epoch: u64,
    /// `envelope`.
    envelope: Bytes<'a>,
    /// `files`.
    files: PolicyFiles<'a>,
    /// `fragment_size`.
    fragment_size: u32,
    /// `fragment_count`.
    fragment_count: u32,
    /// `delivery`.
    delivery: u8,
    /// `fragment_digests`.
    fragment_digests: Bytes<'a>,
}

/// TensorFragment, as far as a receiver reads it. What it points to is copied.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// `session_id`.
    session_id: [u8; 16],
    /// `epoch`.
    epoch: u64,
    /// `fragment_index`.
    fragment_index: u32,
    /// `data`.
    data: Bytes<'a>,
}

/// PolicyStatus, as far as a receiver reads it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// `session_id`.
    session_id: [u8; 16],
    /// `epoch`.
    epoch: u64,
    /// `sequence`.
    sequence: u64,
    /// `state`.
    state: u8,
    /// `manifest_digest`.
    manifest_digest: [u8; 32],
    /// `lease.sec`.
    lease_sec: i32,
    /// `lease.nanosec`.
    lease_nanosec: u32,
}

/// What to ask ~/get_fragments for: the fields of its request.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Pull {
    /// `session_id`.
    session_id: [u8; 16],
    /// `epoch`.
    epoch: u64,
    /// `first`.
    first: u32,
    /// `count`; 0 where nothing is due.
    count: u32,
    /// Tells one request from another; not a field of the message.
    ticket: u64,
}

impl Announcement<'_> {
    /// A copy, no larger than what the caller holds.
    pub(crate) fn read(&self, limits: &Limits) -> Result<tensorgate_client::Announcement, Failure> {
        let files = self.files.read(limits.files)?.iter();
        Ok(tensorgate_client::Announcement {
            session: self.session_id,
            epoch: self.epoch,
            envelope: self.envelope.read("envelope")?.to_vec(),
            files: files.map(PolicyFile::read).collect::<Result<_, _>>()?,
            fragment_size: self.fragment_size,
            fragment_count: self.fragment_count,
            delivery: self.delivery,
            fragment_digests: self.fragment_digests.read("fragment_digests")?.to_vec(),
        })
    }
}

impl PolicyFile<'_> {
    fn read(&self) -> Result<(String, Vec<u8>), Failure> {
        let missing = || Failure::misuse("the path of a file is NULL");
        let path = self.path.text("the path of a file")?.ok_or_else(missing)?;
        Ok((
            path.to_owned(),
            self.data.read("the data of a file")?.to_vec(),
        ))
    }
}

impl<'a> Fragment<'a> {
    pub(crate) fn read(&self) -> Result<tensorgate_client::Fragment<'a>, Failure> {
        Ok(tensorgate_client::Fragment {
            session: self.session_id,
            epoch: self.epoch,
            index: self.fragment_index,
            data: self.data.read("data")?,
        })
    }
}

impl From<tensorgate_client::Pull> for Pull {
    fn from(pull: tensorgate_client::Pull) -> Self {
        Self {
            session_id: pull.session,
            epoch: pull.epoch,
            first: pull.first,
            count: pull.count,
            ticket: pull.number,
        }
    }
}

impl Pull {
    pub(crate) const fn read(&self) -> tensorgate_client::Pull {
        tensorgate_client::Pull {
            session: self.session_id,
            epoch: self.epoch,
            first: self.first,
            count: self.count,
            number: self.ticket,
        }
    }
}

impl Status {
    pub(crate) fn read(&self) -> tensorgate_client::Status {
        // What is no duration is no lease.
        let seconds = u64::try_from(self.lease_sec).ok();
        let lease = seconds.map(|seconds| {
            let nanoseconds = Duration::from_nanos(self.lease_nanosec.into());
            Duration::from_secs(seconds).saturating_add(nanoseconds)
        });
        tensorgate_client::Status {
            session: self.session_id,
            epoch: self.epoch,
            sequence: self.sequence,
            state: self.state,
            manifest_digest: self.manifest_digest,
            lease: lease.unwrap_or_default(),
        }
    }
}
