//! One pass over a tensor: its digest, and what no weight should be.

use std::fmt;

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use safetensors::Dtype;

use crate::error::Findings;
use crate::{Blake3, ContentRules, Rejection};

/// What one pass over a tensor's bytes found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Scan {
    /// The digest of the bytes.
    pub(crate) blake3: Blake3,
    odd: Odd,
}

/// Numbers that are not finite, and truth values that are neither true nor false.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Odd {
    /// Where the first begins, counted in bytes.
    first: Option<u64>,
    count: u64,
}

/// Bytes that a core scans, which brings them into its cache, and then hashes there: in this order
/// the scan costs 1 to 2 % of the hashing, in the other one 12 %. A power of two of BLAKE3 chunks,
/// so that every piece is a subtree; 64 to 512 KiB are equally fast.
const PIECE: usize = 128 << 10;

impl Scan {
    /// Hashes and scans `bytes`, elements of `dtype`, on all cores.
    pub(crate) fn of(dtype: Dtype, bytes: &[u8]) -> Self {
        if bytes.len() <= PIECE {
            return Self {
                odd: Odd::among(dtype, bytes),
                blake3: Blake3::from_bytes(blake3::hash(bytes).into()),
            };
        }
        let [left, right] = halves(dtype, bytes, 0);
        let root = merge_subtrees_root(&left.0, &right.0, Mode::Hash);
        Self {
            blake3: Blake3::from_bytes(root.into()),
            odd: left.1.then(right.1),
        }
    }

    /// Says what was found of the tensor that is called `subject`.
    pub(crate) fn judge(
        &self,
        subject: fmt::Arguments<'_>,
        dtype: Dtype,
        rules: &ContentRules,
        findings: &mut Findings,
    ) {
        rules.judge_dtype(subject, dtype, findings);
        let Odd { first, count } = self.odd;
        let Some(first) = first else { return };
        let element = to_u64(dtype.bitsize() / 8).max(1);
        let at = first.checked_div(element).unwrap_or_default();
        if dtype == Dtype::BOOL {
            let detail = format!("not 0 or 1: {count} in all, the first at index {at}");
            return findings.reject(Rejection::TensorBoolInvalid, subject, detail);
        }
        let detail = format!("NaN or infinite: {count} in all, the first at index {at}");
        let rejection = Rejection::WeightsNonFinite;
        findings.judge(rules.non_finite, rejection, subject, detail);
    }
}

/// The two subtrees of more than one piece of bytes that begin at `offset` of the tensor.
fn halves(dtype: Dtype, bytes: &[u8], offset: u64) -> [(ChainingValue, Odd); 2] {
    let middle = usize::try_from(left_subtree_len(to_u64(bytes.len()))).unwrap_or(usize::MAX);
    let (left, right) = bytes.split_at_checked(middle).unwrap_or((bytes, &[]));
    let (left, right) = rayon::join(
        || subtree(dtype, left, offset),
        || subtree(dtype, right, offset.saturating_add(to_u64(left.len()))),
    );
    [left, right]
}

fn subtree(dtype: Dtype, bytes: &[u8], offset: u64) -> (ChainingValue, Odd) {
    if bytes.len() > PIECE {
        let [left, right] = halves(dtype, bytes, offset);
        let value = merge_subtrees_non_root(&left.0, &right.0, Mode::Hash);
        return (value, left.1.then(right.1));
    }
    let odd = Odd::among(dtype, bytes).moved(offset);
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset).update(bytes);
    (hasher.finalize_non_root(), odd)
}

impl Odd {
    /// Looks at each element of `dtype` in `bytes`.
    ///
    /// IEEE 754 and BF16 keep the exponent of all ones for what is not finite. The OCP 8-bit
    /// floating point specification 1.0: E5M2 likewise, E4M3 only `S.1111.111`. FNUZ (arXiv
    /// 2206.02915): NaN is what would be -0. The OCP microscaling specification 1.0: E8M0 has NaN
    /// at 0xff, the 4 and 6 bit types have none. All 256 patterns of the five 8-bit types were
    /// compared with the Python package `ml_dtypes` 0.6.0.
    fn among(dtype: Dtype, bytes: &[u8]) -> Self {
        match dtype {
            Dtype::BOOL => Self::where_is(bytes, |[x]| x > 1),
            Dtype::F8_E5M2 => Self::where_is(bytes, |[x]| x & 0x7c == 0x7c),
            Dtype::F8_E4M3 => Self::where_is(bytes, |[x]| x & 0x7f == 0x7f),
            Dtype::F8_E4M3FNUZ | Dtype::F8_E5M2FNUZ => Self::where_is(bytes, |[x]| x == 0x80),
            Dtype::F8_E8M0 => Self::where_is(bytes, |[x]| x == 0xff),
            Dtype::F16 => Self::where_is(bytes, |x| u16::from_le_bytes(x) & 0x7c00 == 0x7c00),
            Dtype::BF16 => Self::where_is(bytes, |x| u16::from_le_bytes(x) & 0x7f80 == 0x7f80),
            // A complex number is two F32.
            Dtype::F32 | Dtype::C64 => Self::where_is(bytes, |x| {
                u32::from_le_bytes(x) & 0x7f80_0000 == 0x7f80_0000
            }),
            Dtype::F64 => Self::where_is(bytes, |x| {
                u64::from_le_bytes(x) & 0x7ff0_0000_0000_0000 == 0x7ff0_0000_0000_0000
            }),
            // Integers, and the 4 and 6 bit types; those to come are refused where headers are read.
            _ => Self::default(),
        }
    }

    fn where_is<const N: usize>(bytes: &[u8], odd: impl Fn([u8; N]) -> bool) -> Self {
        let elements = bytes.as_chunks::<N>().0;
        let (blocks, rest) = elements.as_chunks::<64>();
        // No exit inside a block, so that it becomes a straight line of vector instructions.
        let any = |block: &[[u8; N]]| block.iter().fold(false, |any, x| any | odd(*x));
        if !blocks.iter().any(|block| any(block)) && !any(rest) {
            return Self::default();
        }
        let first = elements.iter().position(|x| odd(*x));
        Self {
            first: first.map(|index| to_u64(index.saturating_mul(N))),
            count: to_u64(elements.iter().filter(|x| odd(**x)).count()),
        }
    }

    /// The same, in bytes that begin at `offset`.
    fn moved(self, offset: u64) -> Self {
        let first = self.first.map(|first| first.saturating_add(offset));
        Self { first, ..self }
    }

    /// Both, `later` in the bytes that follow.
    fn then(self, later: Self) -> Self {
        Self {
            first: self.first.or(later.first),
            count: self.count.saturating_add(later.count),
        }
    }
}

fn to_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odd(dtype: Dtype, bytes: &[u8]) -> (Option<u64>, u64) {
        let Odd { first, count } = Odd::among(dtype, bytes);
        (first, count)
    }

    #[test]
    fn the_digest_is_blake3_whatever_the_length() {
        let bytes: Vec<u8> = (0..=250).cycle().take(5 * PIECE).collect();
        for pieces in 0..5 {
            for more in [0, 1, 1023, 1024, 1025, PIECE / 2, PIECE - 1] {
                let bytes = &bytes[..pieces * PIECE + more];
                let digest = Blake3::from_bytes(blake3::hash(bytes).into());
                assert_eq!(Scan::of(Dtype::U8, bytes).blake3, digest, "{}", bytes.len());
            }
        }
    }

    #[test]
    fn every_pattern_of_eight_bits_is_what_ml_dtypes_says() {
        let nothing: &[u8] = &[];
        for (dtype, expected) in [
            (
                Dtype::F8_E5M2,
                &[0x7c, 0x7d, 0x7e, 0x7f, 0xfc, 0xfd, 0xfe, 0xff][..],
            ),
            (Dtype::F8_E4M3, &[0x7f, 0xff]),
            (Dtype::F8_E4M3FNUZ, &[0x80]),
            (Dtype::F8_E5M2FNUZ, &[0x80]),
            (Dtype::F8_E8M0, &[0xff]),
            (Dtype::U8, nothing),
            (Dtype::I8, nothing),
            (Dtype::F4, nothing),
            (Dtype::F6_E2M3, nothing),
            (Dtype::F6_E3M2, nothing),
        ] {
            let found: Vec<u8> = (0..=255).filter(|x| odd(dtype, &[*x]).1 > 0).collect();
            assert_eq!(found, expected, "{dtype}");
        }
        let booleans: Vec<u8> = (0..=255)
            .filter(|x| odd(Dtype::BOOL, &[*x]).1 == 0)
            .collect();
        assert_eq!(booleans, [0, 1]);
    }

    #[test]
    fn every_pattern_of_sixteen_bits_is_what_the_formats_say() {
        for x in 0..=u16::MAX {
            let bf16 = f32::from_bits(u32::from(x) << 16);
            assert_eq!(
                odd(Dtype::BF16, &x.to_le_bytes()).1 == 0,
                bf16.is_finite(),
                "{x:#x}"
            );
            // ISO/IEC 60559 binary16: five bits of exponent above ten of significand.
            let finite = !matches!(x, 0x7c00..=0x7fff | 0xfc00..=0xffff);
            assert_eq!(odd(Dtype::F16, &x.to_le_bytes()).1 == 0, finite, "{x:#x}");
        }
    }

    #[test]
    fn wide_floats_are_what_the_language_says() {
        for x in [
            0.0,
            -0.0,
            1.5,
            f32::MIN_POSITIVE / 2.0,
            f32::MAX,
            f32::MIN,
            f32::NAN,
            -f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::from_bits(0x7f80_0001),
        ] {
            assert_eq!(
                odd(Dtype::F32, &x.to_le_bytes()).1 == 0,
                x.is_finite(),
                "{x}"
            );
            let x = f64::from(x);
            assert_eq!(
                odd(Dtype::F64, &x.to_le_bytes()).1 == 0,
                x.is_finite(),
                "{x}"
            );
        }
        for x in [
            f64::MAX,
            f64::MIN,
            f64::from_bits(0x7ff0_0000_0000_0001),
            f64::from_bits(0x7fef_ffff_ffff_ffff),
        ] {
            assert_eq!(
                odd(Dtype::F64, &x.to_le_bytes()).1 == 0,
                x.is_finite(),
                "{x}"
            );
        }
    }

    #[test]
    fn first_and_count_reach_over_pieces() {
        let mut values = vec![1.0_f32; 3 * PIECE / 4 + 7];
        for at in [PIECE / 4 - 1, PIECE / 4, PIECE / 2 + 3, values.len() - 1] {
            values[at] = f32::NAN;
        }
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let odd = Scan::of(Dtype::F32, &bytes).odd;
        assert_eq!((odd.first, odd.count), (Some(to_u64(PIECE) - 4), 4));
        assert_eq!(Scan::of(Dtype::I32, &bytes).odd, Odd::default());
        // Both halves of a complex number count.
        assert_eq!(
            Scan::of(Dtype::C64, &bytes[..bytes.len() / 8 * 8])
                .odd
                .count,
            3
        );
    }
}
