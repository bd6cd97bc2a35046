//! What a gate hands over, ready to be sent.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tensorgate_verify::{File, Hold, Policy, Verified};

use crate::packet::{Hello, Packet};
use crate::{HandoffError, Session, line};

/// Files of tensors that are handed over at the most. All packets together then fit into a
/// socket's buffer (`net.core.wmem_default`, 208 KiB unless somebody changed it), so that nobody is
/// waited for.
pub const MAX_WEIGHTS: usize = 128;

/// A verified policy in sealed memfds, made once and sent to whoever comes.
#[derive(Debug)]
pub struct Offer {
    packets: Vec<(Packet, Option<OwnedFd>)>,
}

impl Offer {
    /// Seals `policy` for a hand-off, as the announcement `epoch` of `session`. What is guarded is
    /// moved into memory, in place; what is sealed already stays as it is.
    ///
    /// # Errors
    /// No memory, no descriptor, or more than [`MAX_WEIGHTS`] files of tensors.
    pub fn seal(policy: &Verified<Policy>, session: Session, epoch: u64) -> io::Result<Self> {
        let weights: Vec<&File> = policy.tensor_files().collect();
        if weights.len() > MAX_WEIGHTS {
            let detail = format!("{} files of tensors, at most {MAX_WEIGHTS}", weights.len());
            return Err(io::Error::new(io::ErrorKind::Unsupported, detail));
        }
        let hello = Hello {
            manifest: *policy.evidence().manifest.as_bytes(),
            session,
            epoch,
            weights: weights.len() as u32,
        };
        let envelope = memfd_of(policy.evidence().envelope())?;
        let small = policy
            .files()
            .iter()
            .filter(|file| !file.kind().is_tensors());
        let small: Vec<u8> = small.flat_map(|file| file.bytes()).copied().collect();
        let mut packets = vec![
            (Packet::Hello(hello), Some(envelope)),
            (Packet::Small, Some(memfd_of(&small)?)),
        ];
        for (index, file) in (0..).zip(weights) {
            packets.push((Packet::Weights(index), Some(file.hold().to_memfd()?)));
        }
        packets.push((Packet::End, None));
        Ok(Self { packets })
    }

    pub(crate) fn send(&self, socket: impl AsFd) -> Result<(), HandoffError> {
        for (packet, descriptor) in &self.packets {
            line::send(&socket, packet, descriptor.as_ref().map(AsFd::as_fd))?;
        }
        Ok(())
    }
}

fn memfd_of(bytes: &[u8]) -> io::Result<OwnedFd> {
    Hold::Owned(bytes.into()).to_memfd()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn the_largest_offer_is_sent_to_one_who_never_reads() {
        let memfd = || Some(memfd_of(b"weights").unwrap());
        let mut packets = vec![(Packet::Small, memfd()), (Packet::Small, memfd())];
        packets.extend((0..MAX_WEIGHTS as u32).map(|index| (Packet::Weights(index), memfd())));
        packets.push((Packet::End, None));
        let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let (gate, _deaf) = socketpair(AddressFamily::UNIX, kind, flags, None).unwrap();
        Offer { packets }.send(&gate).unwrap();
    }
}
