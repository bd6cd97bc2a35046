//! How far numbers moved.

use half::{bf16, f16};
use safetensors::Dtype;

/// How far the elements of one tensor, or a piece of one, moved. Two elements are the same if their
/// bits are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Drift {
    /// Elements that are not the same; of types smaller than a byte, bytes.
    pub(super) differing: u64,
    /// Of these, pairs with a NaN or an infinity, which have no distance.
    pub(super) not_finite: u64,
    /// The largest distance of the others; of types that are no floating-point numbers, none.
    max: Option<f64>,
    delta_squares: f64,
    base_squares: f64,
}

impl Drift {
    /// Compares two runs of elements of one type, equally long.
    pub(super) fn of(dtype: Dtype, a: &[u8], b: &[u8]) -> Self {
        match dtype {
            Dtype::F64 => floats(a, b, f64::from_le_bytes),
            Dtype::F32 => floats(a, b, |bytes| f32::from_le_bytes(bytes).into()),
            Dtype::F16 => floats(a, b, |bytes| f16::from_le_bytes(bytes).into()),
            Dtype::BF16 => floats(a, b, |bytes| bf16::from_le_bytes(bytes).into()),
            other => Self::of_bits((other.bitsize() / 8).max(1), a, b),
        }
    }

    fn of_bits(size: usize, a: &[u8], b: &[u8]) -> Self {
        let pairs = a.chunks(size).zip(b.chunks(size));
        Self {
            differing: pairs.filter(|(a, b)| a != b).count() as u64,
            ..Self::default()
        }
    }

    /// Both pieces together. Sums are rounded, so pieces must be added in the same order each time.
    pub(super) fn and(self, next: Self) -> Self {
        Self {
            differing: self.differing + next.differing,
            not_finite: self.not_finite + next.not_finite,
            max: farther(self.max, next.max),
            delta_squares: self.delta_squares + next.delta_squares,
            base_squares: self.base_squares + next.base_squares,
        }
    }

    /// The largest change of an element, if it can be told.
    pub(super) fn max(&self) -> Option<f64> {
        self.max.filter(|max| max.is_finite())
    }

    /// The L2 norm of the change, relative to that of the tensor before, if it can be told.
    pub(super) fn relative(&self) -> Option<f64> {
        let relative = (self.delta_squares / self.base_squares).sqrt();
        self.max
            .map(|_| relative)
            .filter(|relative| relative.is_finite())
    }
}

fn farther(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).reduce(f64::max)
}

fn floats<const N: usize>(a: &[u8], b: &[u8], read: impl Fn([u8; N]) -> f64) -> Drift {
    let mut drift = Drift::default();
    for (a, b) in a.as_chunks::<N>().0.iter().zip(b.as_chunks::<N>().0) {
        let (before, after) = (read(*a), read(*b));
        if before.is_finite() {
            drift.base_squares += before * before;
        }
        if a == b {
            continue;
        }
        drift.differing += 1;
        if !before.is_finite() || !after.is_finite() {
            drift.not_finite += 1;
            continue;
        }
        let delta = after - before;
        drift.max = farther(drift.max, Some(delta.abs()));
        drift.delta_squares += delta * delta;
    }
    drift
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f32s(values: &[f32]) -> Vec<u8> {
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect()
    }

    #[test]
    fn distances_are_those_of_the_numbers() {
        let drift = Drift::of(
            Dtype::F32,
            &f32s(&[3.0, 4.0, 0.0]),
            &f32s(&[3.0, 4.5, -0.0]),
        );
        assert_eq!((drift.differing, drift.not_finite), (2, 0));
        assert_eq!((drift.max(), drift.relative()), (Some(0.5), Some(0.1)));
        let doubles = |x: f64| x.to_le_bytes();
        let drift = Drift::of(Dtype::F64, &doubles(2.0), &doubles(-1.0));
        assert_eq!((drift.max(), drift.relative()), (Some(3.0), Some(1.5)));
        // 1.0 and 1.5, written by hand: one sign bit, then 5 or 8 bits of exponent.
        let drift = Drift::of(
            Dtype::F16,
            &0x3c00_u16.to_le_bytes(),
            &0x3e00_u16.to_le_bytes(),
        );
        assert_eq!(drift.max(), Some(0.5));
        let drift = Drift::of(
            Dtype::BF16,
            &0x3f80_u16.to_le_bytes(),
            &0x3fc0_u16.to_le_bytes(),
        );
        assert_eq!(drift.max(), Some(0.5));
    }

    #[test]
    fn what_is_no_number_has_no_distance() {
        let drift = Drift::of(
            Dtype::F32,
            &f32s(&[f32::NAN, 1.0, f32::INFINITY]),
            &f32s(&[f32::NAN, f32::NAN, 1.0]),
        );
        assert_eq!((drift.differing, drift.not_finite), (2, 2));
        assert_eq!((drift.max(), drift.relative()), (None, None));
        let from_zero = Drift::of(Dtype::F32, &f32s(&[0.0]), &f32s(&[1.0]));
        assert_eq!((from_zero.max(), from_zero.relative()), (Some(1.0), None));
        let huge = |x: f64| x.to_le_bytes();
        let drift = Drift::of(Dtype::F64, &huge(f64::MAX), &huge(f64::MIN));
        assert_eq!((drift.max(), drift.differing), (None, 1));
    }

    #[test]
    fn other_elements_are_counted() {
        let drift = Drift::of(
            Dtype::I32,
            &[0, 0, 0, 0, 1, 0, 0, 0],
            &[1, 1, 0, 0, 1, 0, 0, 0],
        );
        assert_eq!((drift.differing, drift.max()), (1, None));
        assert_eq!(Drift::of(Dtype::F4, &[1, 2], &[1, 3]).differing, 1);
    }
}
