//! What goes over the socket, beside at most one descriptor a packet.
//!
//! ```text
//!  0   8 magic, the last byte is the version
//!  8   1 kind
//!  9   3 zero
//! 12   4 number: weights files (hello), which of them (weights), why not (refusal)
//! 16  32 SHA-256 of the manifest's payload (hello)
//! 48  16 session (hello)
//! 64   8 epoch (hello)
//! ```
//! Numbers are little-endian; what a kind does not use is zero.

use crate::Refusal;

/// Bytes of every packet.
pub(crate) const LEN: usize = 72;

const MAGIC: [u8; 8] = *b"tensorg\x01";

/// One packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Packet {
    /// What is handed over. With it comes the envelope.
    Hello(Hello),
    /// All files that are not safetensors, one after the other, in the manifest's order.
    Small,
    /// A safetensors file, the how-manieth of the manifest.
    Weights(u32),
    /// That was all.
    End,
    /// Nothing comes.
    Refusal(Refusal),
}

/// What is handed over, as the other end says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Hello {
    pub(crate) manifest: [u8; 32],
    pub(crate) session: [u8; 16],
    pub(crate) epoch: u64,
    /// How many safetensors files there are.
    pub(crate) weights: u32,
}

impl Packet {
    pub(crate) fn to_bytes(self) -> [u8; LEN] {
        let (kind, number, hello) = match self {
            Self::Hello(hello) => (1, hello.weights, Some(hello)),
            Self::Small => (2, 0, None),
            Self::Weights(index) => (3, index, None),
            Self::End => (4, 0, None),
            Self::Refusal(why) => (5, why.number(), None),
        };
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8] = kind;
        bytes[12..16].copy_from_slice(&number.to_le_bytes());
        if let Some(hello) = hello {
            bytes[16..48].copy_from_slice(&hello.manifest);
            bytes[48..64].copy_from_slice(&hello.session);
            bytes[64..].copy_from_slice(&hello.epoch.to_le_bytes());
        }
        bytes
    }

    /// The packet that these bytes are, and no other bytes.
    pub(crate) fn parse(bytes: &[u8; LEN]) -> Option<Self> {
        let number = u32::from_le_bytes(field(bytes, 12));
        let packet = match bytes[8] {
            1 => Self::Hello(Hello {
                manifest: field(bytes, 16),
                session: field(bytes, 48),
                epoch: u64::from_le_bytes(field(bytes, 64)),
                weights: number,
            }),
            2 => Self::Small,
            3 => Self::Weights(number),
            4 => Self::End,
            5 => Self::Refusal(Refusal::of_number(number)?),
            _ => return None,
        };
        (packet.to_bytes() == *bytes).then_some(packet)
    }
}

/// The `N` bytes from `at` on, which is inside.
fn field<const N: usize>(bytes: &[u8; LEN], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packets() -> impl Strategy<Value = Packet> {
        let hello = any::<([u8; 32], [u8; 16], u64, u32)>();
        let hello = hello.prop_map(|(manifest, session, epoch, weights)| {
            Packet::Hello(Hello {
                manifest,
                session,
                epoch,
                weights,
            })
        });
        let refusal = prop::sample::select(Refusal::ALL.as_slice()).prop_map(Packet::Refusal);
        prop_oneof![
            hello,
            refusal,
            any::<u32>().prop_map(Packet::Weights),
            Just(Packet::Small),
            Just(Packet::End)
        ]
    }

    proptest! {
        #[test]
        fn every_packet_is_read_as_it_was_written(packet in packets()) {
            prop_assert_eq!(Packet::parse(&packet.to_bytes()), Some(packet));
        }

        /// Whatever is read would be written with the same bytes: nothing is skipped.
        #[test]
        fn one_changed_bit_is_another_packet_or_none(packet in packets(), bit in 0..LEN * 8) {
            let mut bytes = packet.to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Some(other) = Packet::parse(&bytes) {
                prop_assert_ne!(other, packet);
                prop_assert_eq!(other.to_bytes(), bytes);
            }
        }

        #[test]
        fn any_bytes_are_a_packet_or_none(
            mut bytes in prop::array::uniform32(any::<u8>()).prop_flat_map(|head| {
                prop::collection::vec(any::<u8>(), LEN - 32)
                    .prop_map(move |tail| [&head[..], &tail].concat())
            }),
            kind in 0_u8..8,
            genuine in any::<bool>(),
        ) {
            if genuine {
                bytes[..12].copy_from_slice(&[&MAGIC[..], &[kind, 0, 0, 0]].concat());
            }
            let bytes: [u8; LEN] = bytes.try_into().unwrap();
            if let Some(packet) = Packet::parse(&bytes) {
                prop_assert_eq!(packet.to_bytes(), bytes);
            }
        }
    }
}
