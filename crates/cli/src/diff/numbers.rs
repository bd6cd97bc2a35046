//! How far numbers moved.

use half::{bf16, f16};
use safetensors::Dtype;

/// How far the elements of one tensor, or a piece of one, moved. Two elements are the same if their
/// bits are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Moved {
    /// Elements that are not the same; of types smaller than a byte, bytes.
    pub(crate) differing: u64,
    /// Of these, pairs with a NaN or an infinity, which have no distance.
    pub(crate) not_finite: u64,
    /// The largest distance of the others; of types that are no floating-point numbers, none.
    max: Option<f64>,
    delta_squares: f64,
    before_squares: f64,
    after_squares: f64,
}

impl Moved {
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
            before_squares: self.before_squares + next.before_squares,
            after_squares: self.after_squares + next.after_squares,
        }
    }

    /// The largest change of an element, if it can be told.
    pub(crate) fn max(&self) -> Option<f64> {
        self.max.filter(|max| max.is_finite())
    }

    /// The L2 norm of the tensor before; elements that are not finite do not count.
    pub(crate) fn norm_before(&self) -> Option<f64> {
        self.norm(self.before_squares)
    }

    /// The L2 norm of the tensor after.
    pub(crate) fn norm_after(&self) -> Option<f64> {
        self.norm(self.after_squares)
    }

    /// The L2 norm of the change.
    pub(crate) fn norm_change(&self) -> Option<f64> {
        self.norm(self.delta_squares)
    }

    /// The L2 norm of the change, relative to that of the tensor before, if it can be told.
    pub(crate) fn relative(&self) -> Option<f64> {
        self.norm(self.delta_squares / self.before_squares)
    }

    /// What is no floating-point number has none, nor what is too large to be told.
    fn norm(&self, squares: f64) -> Option<f64> {
        let norm = self.max.map(|_| squares.sqrt());
        norm.filter(|norm| norm.is_finite())
    }
}

fn farther(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).reduce(f64::max)
}

fn floats<const N: usize>(a: &[u8], b: &[u8], read: impl Fn([u8; N]) -> f64) -> Moved {
    let mut moved = Moved::default();
    for (a, b) in a.as_chunks::<N>().0.iter().zip(b.as_chunks::<N>().0) {
        let (before, after) = (read(*a), read(*b));
        if before.is_finite() {
            moved.before_squares += before * before;
        }
        if after.is_finite() {
            moved.after_squares += after * after;
        }
        if a == b {
            continue;
        }
        moved.differing += 1;
        if !before.is_finite() || !after.is_finite() {
            moved.not_finite += 1;
            continue;
        }
        let delta = after - before;
        moved.max = farther(moved.max, Some(delta.abs()));
        moved.delta_squares += delta * delta;
    }
    moved
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
        let moved = Moved::of(
            Dtype::F32,
            &f32s(&[3.0, 4.0, 0.0]),
            &f32s(&[3.0, 4.5, -0.0]),
        );
        assert_eq!((moved.differing, moved.not_finite), (2, 0));
        assert_eq!((moved.max(), moved.relative()), (Some(0.5), Some(0.1)));
        let doubles = |x: f64| x.to_le_bytes();
        let moved = Moved::of(Dtype::F64, &doubles(2.0), &doubles(-1.0));
        assert_eq!((moved.max(), moved.relative()), (Some(3.0), Some(1.5)));
        // 1.0 and 1.5, written by hand: one sign bit, then 5 or 8 bits of exponent.
        let moved = Moved::of(
            Dtype::F16,
            &0x3c00_u16.to_le_bytes(),
            &0x3e00_u16.to_le_bytes(),
        );
        assert_eq!(moved.max(), Some(0.5));
        let moved = Moved::of(
            Dtype::BF16,
            &0x3f80_u16.to_le_bytes(),
            &0x3fc0_u16.to_le_bytes(),
        );
        assert_eq!(moved.max(), Some(0.5));
    }

    #[test]
    fn what_is_no_number_has_no_distance() {
        let moved = Moved::of(
            Dtype::F32,
            &f32s(&[f32::NAN, 1.0, f32::INFINITY]),
            &f32s(&[f32::NAN, f32::NAN, 1.0]),
        );
        assert_eq!((moved.differing, moved.not_finite), (2, 2));
        assert_eq!((moved.max(), moved.relative()), (None, None));
        let from_zero = Moved::of(Dtype::F32, &f32s(&[0.0]), &f32s(&[1.0]));
        assert_eq!((from_zero.max(), from_zero.relative()), (Some(1.0), None));
        let huge = |x: f64| x.to_le_bytes();
        let moved = Moved::of(Dtype::F64, &huge(f64::MAX), &huge(f64::MIN));
        assert_eq!((moved.max(), moved.differing), (None, 1));
    }

    #[test]
    fn other_elements_are_counted() {
        let moved = Moved::of(
            Dtype::I32,
            &[0, 0, 0, 0, 1, 0, 0, 0],
            &[1, 1, 0, 0, 1, 0, 0, 0],
        );
        assert_eq!((moved.differing, moved.max()), (1, None));
        assert_eq!(Moved::of(Dtype::F4, &[1, 2], &[1, 3]).differing, 1);
    }
}
