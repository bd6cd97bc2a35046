//! Normaliser statistics: what scales the observations that a network sees and the actions that
//! motors get.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tensorgate_verify::{FilePath, Header};

use super::numbers::each;
use super::tensors::data;
use crate::text::{count, number};

/// Numbers of one statistic that are kept; a robot has some dozens of joints.
const NUMBERS: usize = 1_024;
/// Statistics of one file that are kept; a policy has ten of each of a few features.
const STATISTICS: usize = 4_096;

/// One processor's state file.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) file: FilePath,
    /// In the order of their names.
    pub(crate) features: Vec<Feature>,
    /// Statistics that are not among them: beyond so many, or not read as numbers.
    pub(crate) left_out: usize,
}

/// One feature: `action`, `observation.state`.
#[derive(Debug, Default)]
pub(crate) struct Feature {
    pub(crate) name: String,
    /// `mean`, `std`, `min`, ...: a number for each dimension.
    pub(crate) numbers: BTreeMap<String, Vec<f64>>,
    /// Dimensions that are not kept.
    pub(crate) left_out: usize,
}

impl State {
    /// Of a file that has these bytes and this header.
    pub(super) fn of(file: &FilePath, header: &Header, bytes: &[u8]) -> Self {
        let mut features = BTreeMap::<&str, Feature>::new();
        let mut left_out = header.tensors.len().saturating_sub(STATISTICS);
        for tensor in header.tensors.iter().take(STATISTICS) {
            let mut numbers = Vec::new();
            let keep = |number| {
                if numbers.len() < NUMBERS {
                    numbers.push(number);
                }
            };
            if each(tensor.dtype, data(header, tensor, bytes), keep).is_none() {
                left_out += 1;
                continue;
            }
            // What has no `feature.name` is refused by the survey.
            let (feature, name) = tensor.name.rsplit_once('.').unwrap_or((&tensor.name, ""));
            let all: usize = tensor.shape.iter().product();
            let feature = features.entry(feature).or_default();
            feature.left_out = feature.left_out.max(all.saturating_sub(NUMBERS));
            feature.numbers.insert(name.to_owned(), numbers);
        }
        let named = |(name, feature): (&str, Feature)| Feature {
            name: name.to_owned(),
            ..feature
        };
        Self {
            file: file.clone(),
            features: features.into_iter().map(named).collect(),
            left_out,
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let file = format!("  scales     by {:?}", self.file.as_str());
        let mut lines = vec![file];
        lines.extend(self.features.iter().map(Feature::line));
        if self.left_out > 0 {
            let more = count(self.left_out, "more statistic");
            lines.push(format!("             and {more}"));
        }
        lines
    }

    pub(super) fn json(&self) -> Value {
        let feature = |feature: &Feature| {
            json!({
                "feature": feature.name,
                "statistics": feature.numbers,
                "dimensions_not_shown": feature.left_out,
            })
        };
        json!({
            "file": self.file,
            "features": self.features.iter().map(feature).collect::<Vec<_>>(),
            "statistics_not_shown": self.left_out,
        })
    }
}

/// From where to where a dimension goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// The two statistics that say so.
    pub(crate) names: (&'static str, &'static str),
}

/// The lower and the upper end of a range, the widest first.
const ENDS: [(&str, &str); 3] = [("min", "max"), ("q01", "q99"), ("q10", "q90")];

impl Feature {
    /// How many dimensions it has, of those that are kept.
    pub(crate) fn dimensions(&self) -> usize {
        let numbers = self.numbers.iter().filter(|(name, _)| *name != "count");
        numbers.map(|(_, numbers)| numbers.len()).max().unwrap_or(0)
    }

    /// One statistic of one dimension.
    pub(crate) fn number(&self, name: &str, dimension: usize) -> Option<f64> {
        let number = self.numbers.get(name)?.get(dimension).copied();
        number.filter(|number| number.is_finite())
    }

    /// From where to where a dimension goes, as far as that is known.
    pub(crate) fn range(&self, dimension: usize) -> Option<Range> {
        let range = |names: (&'static str, &'static str)| {
            let low = self.number(names.0, dimension)?;
            let high = self.number(names.1, dimension)?;
            Some(Range { low, high, names })
        };
        ENDS.into_iter().find_map(range)
    }

    fn line(&self) -> String {
        let names: Vec<&str> = self.numbers.keys().map(String::as_str).collect();
        let (dimensions, more) = (count(self.dimensions(), "dimension"), self.left_out);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!(
            "             {:?}, {dimensions}{more}: {} ({})",
            self.name,
            self.span(),
            names.join(", ")
        )
    }

    /// From where to where all dimensions go; without ends, where their means are, and how wide they lie.
    fn span(&self) -> String {
        let all = |of: &dyn Fn(usize) -> Option<(f64, f64)>| {
            let each = || (0..self.dimensions()).filter_map(of);
            let low = each().map(|(low, _)| low).reduce(f64::min)?;
            let high = each().map(|(_, high)| high).reduce(f64::max)?;
            Some(format!("{} to {}", number(low), number(high)))
        };
        let one = |name: &str| {
            let span = all(&|dimension| self.number(name, dimension).map(|value| (value, value)));
            span.map(|span| format!("{name} {span}"))
        };
        all(&|dimension| self.range(dimension).map(|range| (range.low, range.high)))
            .or_else(|| Some(format!("{}, {}", one("mean")?, one("std")?)))
            .unwrap_or_else(|| "no range".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;
    use tensorgate_verify::Limits;

    use super::*;

    #[test]
    fn what_is_not_read_as_numbers_is_not_silent() {
        let view = |dtype, data| TensorView::new(dtype, vec![4], data).unwrap();
        let (floats, bytes) = ([0; 16], [1; 4]);
        let tensors = [
            ("action.mean", view(Dtype::F32, &floats[..])),
            ("action.std", view(Dtype::F8_E4M3, &bytes[..])),
        ];
        let bytes = safetensors::serialize(tensors, None).unwrap();
        let header = Header::parse(&bytes, bytes.len() as u64, &Limits::default()).unwrap();
        let state = State::of(&"scales.safetensors".parse().unwrap(), &header, &bytes);
        assert_eq!((state.features.len(), state.left_out), (1, 1));
        assert_eq!(state.lines()[2], "             and 1 more statistic");
    }

    #[test]
    fn statistics_beyond_the_last_that_is_kept_are_not_silent() {
        let state = State {
            file: "scales.safetensors".parse().unwrap(),
            features: Vec::new(),
            left_out: 2,
        };
        let said = state.lines();
        assert_eq!(said[0], "  scales     by \"scales.safetensors\"");
        assert_eq!(said[1], "             and 2 more statistics");
    }
}
