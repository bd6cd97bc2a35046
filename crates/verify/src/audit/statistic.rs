//! The numbers of one tensor of a state file.

use safetensors::Dtype;

use super::Document;
use crate::claim::range;

/// One tensor: `observation.state.mean`.
#[derive(Clone, Copy)]
pub(super) struct Statistic<'a> {
    file: &'a Document<'a>,
    pub(super) name: &'a str,
    pub(super) dtype: Dtype,
    pub(super) shape: &'a [usize],
    pub(super) bytes: &'a [u8],
}

impl<'a> Statistic<'a> {
    /// Every tensor of a state file.
    pub(super) fn all(file: &'a Document<'a>) -> impl Iterator<Item = Self> {
        file.header.into_iter().flat_map(move |header| {
            header.tensors.iter().map(move |tensor| Self {
                file,
                name: &tensor.name,
                dtype: tensor.dtype,
                shape: &tensor.shape,
                bytes: range(
                    file.bytes,
                    header.len.saturating_add(tensor.begin),
                    tensor.byte_len(),
                )
                .unwrap_or_default(),
            })
        })
    }

    /// `file#tensor`.
    pub(super) fn subject(&self) -> String {
        format!("{}#{}", self.file.path, self.name)
    }

    /// Whether [`values`](Self::values) reads them.
    pub(super) const fn is_numeric(&self) -> bool {
        matches!(self.dtype, Dtype::F32 | Dtype::F64 | Dtype::I64)
    }

    /// The numbers as a loader has them, which casts all to F32: what is finite in 64 bits may
    /// not be, and what differs may not.
    pub(super) fn values(&self) -> Box<dyn Iterator<Item = f32> + 'a> {
        match self.dtype {
            Dtype::F32 => Box::new(elements(self.bytes).map(f32::from_le_bytes)),
            Dtype::F64 => Box::new(elements(self.bytes).map(f64::from_le_bytes).map(narrow)),
            Dtype::I64 => Box::new(elements(self.bytes).map(i64::from_le_bytes).map(count)),
            _ => Box::new(std::iter::empty()),
        }
    }
}

fn elements<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    let (elements, _) = bytes.as_chunks::<N>();
    elements.iter().copied()
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "rounds as the cast of a loader does; beyond the range of F32, to infinity"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "rounds as the cast of a loader does"
)]
fn count(value: i64) -> f32 {
    value as f32
}

/// Dimensions that are named; a humanoid has some forty joints.
const NAMED: usize = 64;

/// The dimensions of which it is true, as many as a person reads; `None` where there is none.
pub(super) fn dimensions(is_so: impl Iterator<Item = bool>) -> Option<String> {
    let mut found = is_so.enumerate().filter(|(_, is_so)| *is_so);
    let shown: Vec<String> = found
        .by_ref()
        .take(NAMED)
        .map(|(index, _)| index.to_string())
        .collect();
    match (shown.is_empty(), found.count()) {
        (true, _) => None,
        (_, 0) => Some(shown.join(", ")),
        (_, more) => Some(format!("{}… and {more} more", shown.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_named_but_not_all() {
        assert_eq!(dimensions([false; 3].into_iter()), None);
        let some = [false, true, false, true];
        assert_eq!(dimensions(some.into_iter()).unwrap(), "1, 3");
        let all = dimensions([true; NAMED + 12].into_iter()).unwrap();
        assert!(all.ends_with(", 62, 63… and 12 more"), "{all}");
    }

    #[test]
    fn wide_numbers_are_narrowed_as_a_loader_does() {
        assert!(narrow(1e300).is_infinite());
        assert_eq!(narrow(1e-300), 0.0);
        assert_eq!(
            [0, -7, 1 << 40].map(count),
            [0.0, -7.0, 1_099_511_627_776.0]
        );
    }
}
