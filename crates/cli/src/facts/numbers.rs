//! What the elements of a tensor are as numbers: how small, how large, and how they lie between.

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;
use serde_json::{Value, json};

/// Equal parts of the range from the least to the greatest number.
pub(crate) const BINS: usize = 32;
/// Bytes that one core reads at once; a whole number of elements of every type.
const PIECE: usize = 1 << 20;

/// The numbers of one tensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Numbers {
    /// The least and the greatest, if there is a finite one.
    pub(crate) range: Option<(f64, f64)>,
    /// The L2 norm of the finite ones.
    pub(crate) l2: f64,
    pub(crate) nan: u64,
    pub(crate) infinite: u64,
    /// How many finite ones lie in each of the parts of the range, where they were counted.
    pub(crate) histogram: Option<Box<[u64; BINS]>>,
}

impl Numbers {
    /// Of the bytes of one tensor; `None` where its elements are no numbers that are read here.
    pub(super) fn of(dtype: Dtype, bytes: &[u8], counted: bool) -> Option<Self> {
        // In the order of the pieces, so that the same file gives the same digits.
        let pieces = bytes.par_chunks(PIECE).map(|piece| Sums::of(dtype, piece));
        let sums: Vec<Sums> = pieces.collect::<Option<_>>()?;
        let sums = sums.into_iter().fold(Sums::default(), Sums::and);
        let range = (sums.finite > 0).then_some((sums.min, sums.max));
        let histogram = range.filter(|_| counted).map(|range| {
            let pieces = bytes.par_chunks(PIECE);
            let counts = pieces.map(|piece| counts(dtype, piece, range));
            Box::new(counts.reduce(|| [0; BINS], add))
        });
        Some(Self {
            range,
            l2: sums.squares.sqrt(),
            nan: sums.nan,
            infinite: sums.infinite,
            histogram,
        })
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "min": self.range.map(|(min, _)| min),
            "max": self.range.map(|(_, max)| max),
            "l2": self.l2,
            "nan": self.nan,
            "infinite": self.infinite,
            "histogram": self.histogram.as_ref().map(|counts| counts.to_vec()),
        })
    }
}

/// Shows each element in its order, as a 64 bit float; integers of 64 bits are rounded. `None` where
/// the elements are no numbers that are read here.
pub(crate) fn each(dtype: Dtype, bytes: &[u8], see: impl FnMut(f64)) -> Option<()> {
    match dtype {
        Dtype::F64 => all(bytes, f64::from_le_bytes, see),
        Dtype::F32 => all(bytes, |b| f32::from_le_bytes(b).into(), see),
        Dtype::F16 => all(bytes, |b| f16::from_le_bytes(b).into(), see),
        Dtype::BF16 => all(bytes, |b| bf16::from_le_bytes(b).into(), see),
        Dtype::I64 => all(bytes, |b| i64::from_le_bytes(b) as f64, see),
        Dtype::U64 => all(bytes, |b| u64::from_le_bytes(b) as f64, see),
        Dtype::I32 => all(bytes, |b| i32::from_le_bytes(b).into(), see),
        Dtype::U32 => all(bytes, |b| u32::from_le_bytes(b).into(), see),
        Dtype::I16 => all(bytes, |b| i16::from_le_bytes(b).into(), see),
        Dtype::U16 => all(bytes, |b| u16::from_le_bytes(b).into(), see),
        Dtype::I8 => all(bytes, |b| i8::from_le_bytes(b).into(), see),
        Dtype::U8 | Dtype::BOOL => all(bytes, |b| u8::from_le_bytes(b).into(), see),
        _ => return None,
    }
    Some(())
}

fn all<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f64, mut see: impl FnMut(f64)) {
    for element in bytes.as_chunks::<N>().0 {
        see(read(*element));
    }
}

fn counts(dtype: Dtype, piece: &[u8], range: (f64, f64)) -> [u64; BINS] {
    let mut counts = [0; BINS];
    let bin = bins(range);
    each(dtype, piece, |value| {
        if value.is_finite() {
            counts[bin(value)] += 1;
        }
    });
    counts
}

/// In which part of the range a number lies. Halves, since the whole may be wider than the largest
/// float.
fn bins((min, max): (f64, f64)) -> impl Fn(f64) -> usize {
    let (half, width) = (min / 2.0, max / 2.0 - min / 2.0);
    move |value| {
        let part = (value / 2.0 - half) / width * BINS as f64;
        // Of a range without width there is no part: a cast makes 0 of what is no number.
        (part as usize).min(BINS - 1)
    }
}

fn add(mut a: [u64; BINS], b: [u64; BINS]) -> [u64; BINS] {
    for (sum, more) in a.iter_mut().zip(b) {
        *sum += more;
    }
    a
}

struct Sums {
    min: f64,
    max: f64,
    squares: f64,
    finite: u64,
    nan: u64,
    infinite: u64,
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            squares: 0.0,
            finite: 0,
            nan: 0,
            infinite: 0,
        }
    }
}

impl Sums {
    fn of(dtype: Dtype, piece: &[u8]) -> Option<Self> {
        let mut sums = Self::default();
        each(dtype, piece, |value| sums.see(value))?;
        Some(sums)
    }

    fn see(&mut self, value: f64) {
        if value.is_finite() {
            self.min = self.min.min(value);
            self.max = self.max.max(value);
            self.squares += value * value;
            self.finite += 1;
        } else if value.is_nan() {
            self.nan += 1;
        } else {
            self.infinite += 1;
        }
    }

    fn and(self, next: Self) -> Self {
        Self {
            min: self.min.min(next.min),
            max: self.max.max(next.max),
            squares: self.squares + next.squares,
            finite: self.finite + next.finite,
            nan: self.nan + next.nan,
            infinite: self.infinite + next.infinite,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dtype: Dtype, bytes: &[u8]) -> Numbers {
        Numbers::of(dtype, bytes, true).unwrap()
    }

    fn f32s(values: &[f32]) -> Vec<u8> {
        let bytes = values.iter().map(|value| value.to_le_bytes());
        bytes.flatten().collect()
    }

    #[test]
    fn numbers_are_those_of_the_elements() {
        let numbers = of(
            Dtype::F32,
            &f32s(&[3.0, -4.0, 0.0, f32::NAN, f32::INFINITY]),
        );
        assert_eq!(numbers.range, Some((-4.0, 3.0)));
        assert_eq!((numbers.l2, numbers.nan, numbers.infinite), (5.0, 1, 1));
        let counts = numbers.histogram.unwrap();
        assert_eq!(counts.iter().sum::<u64>(), 3);
        // 0 is four sevenths of the way.
        assert_eq!((counts[0], counts[18], counts[31]), (1, 1, 1));
    }

    #[test]
    fn every_type_is_read_by_its_own_rule() {
        let one = |dtype, bytes: &[u8]| of(dtype, bytes).range.unwrap().0;
        assert_eq!(one(Dtype::F64, &(-1.5_f64).to_le_bytes()), -1.5);
        assert_eq!(one(Dtype::F16, &[0x00, 0x3e]), 1.5);
        assert_eq!(one(Dtype::BF16, &[0xc0, 0x3f]), 1.5);
        assert_eq!(one(Dtype::I64, &[0xff; 8]), -1.0);
        assert_eq!(one(Dtype::U64, &[0xff; 8]), u64::MAX as f64);
        assert_eq!(one(Dtype::I32, &[0xfe, 0xff, 0xff, 0xff]), -2.0);
        assert_eq!(one(Dtype::U32, &[0xfe, 0xff, 0xff, 0xff]), 4_294_967_294.0);
        assert_eq!(one(Dtype::I16, &[0xff, 0xff]), -1.0);
        assert_eq!(one(Dtype::U16, &[0xff, 0xff]), 65_535.0);
        assert_eq!(one(Dtype::I8, &[0x80]), -128.0);
        assert_eq!(one(Dtype::U8, &[0x80]), 128.0);
        assert_eq!(one(Dtype::BOOL, &[1]), 1.0);
        assert_eq!(Numbers::of(Dtype::F8_E4M3, &[1], true), None);
    }

    #[test]
    fn pieces_make_a_whole() {
        let many: Vec<f32> = (0..PIECE).map(|n| n as f32).collect();
        let numbers = of(Dtype::F32, &f32s(&many));
        assert_eq!(numbers.range, Some((0.0, (PIECE - 1) as f64)));
        let counts = numbers.histogram.unwrap();
        assert_eq!(counts.iter().sum::<u64>(), PIECE as u64);
        assert!(
            counts
                .iter()
                .all(|n| n.abs_diff((PIECE / BINS) as u64) <= 1)
        );
    }

    #[test]
    fn the_ends_of_what_a_float_holds_are_counted() {
        let bytes: Vec<u8> = [f64::MIN, f64::MAX, 0.0].map(f64::to_le_bytes).concat();
        let counts = of(Dtype::F64, &bytes).histogram.unwrap();
        assert_eq!((counts[0], counts[16], counts[31]), (1, 1, 1));
        let constant = of(Dtype::F32, &f32s(&[7.0; 9])).histogram.unwrap();
        assert_eq!(constant[0], 9);
        let none = of(Dtype::F32, &f32s(&[f32::NAN]));
        assert_eq!((none.range, none.histogram, none.nan), (None, None, 1));
    }
}
