//! How far the statistics moved by which a policy's inputs and outputs are scaled: four kilobytes
//! that matter as much as the weights.

use std::collections::BTreeMap;

use safetensors::Dtype;
use tensorgate_verify::{Error, Header, Limits};

use super::TEXT_BYTES;
use super::comparison::Closed;
use super::files::Version;
use crate::facts::numbers::each;
use crate::failure::Failure;
use crate::text::count;

/// One statistic of one feature, which is not the same in both. Dimensions are in the order of the
/// tensor's elements.
#[derive(Debug)]
pub(crate) struct Drift {
    /// The file.
    pub(crate) path: String,
    /// What is scaled, as `action`.
    pub(crate) feature: String,
    /// `mean`, `std`, `min`, `q99`, and whatever else the file has.
    pub(crate) statistic: String,
    pub(crate) before: Vec<f64>,
    pub(crate) after: Vec<f64>,
    /// The change as a part of [`scale`](Self::scale) in A; `None` where that is zero or no number.
    pub(crate) relative: Vec<Option<f64>>,
    pub(crate) scale: Scale,
}

/// What a change is measured by. A mean near zero may move by a hundred times itself and mean
/// nothing: the spread of the feature in A is what its numbers are divided by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scale {
    Std,
    /// From `min` to `max`.
    Range,
    /// The value itself, where the file says nothing of a spread.
    Value,
}

/// What moved from one file to the other.
#[derive(Debug, Default)]
pub(super) struct Drifts {
    pub(super) drift: Vec<Drift>,
    /// A word on each thing that was not looked into: no drift is said of it, and it may have moved.
    pub(super) notices: Vec<String>,
}

/// By feature and statistic.
type Table = BTreeMap<(String, String), Vec<f64>>;

/// What is in one file.
#[derive(Default)]
struct Statistics {
    table: Table,
    /// Tensors that are no statistics, or not read as numbers.
    not_read: usize,
}

/// Compares two files of statistics.
pub(super) fn compare(a: &Version, b: &Version, limits: &Limits) -> Result<Drifts, Failure> {
    let (a_read, b_read) = (read(a, limits)?, read(b, limits)?);
    let sides = [("A", &a_read), ("B", &b_read)].into_iter();
    let notices = sides.filter_map(|(side, read)| notice(&a.name, side, read));
    let notices = notices.collect();
    let drift = match (a_read, b_read) {
        (Ok(before), Ok(after)) => moved(&a.name, &before.table, &after.table),
        _ => Vec::new(),
    };
    Ok(Drifts { drift, notices })
}

fn notice(name: &str, side: &str, read: &Result<Statistics, Closed>) -> Option<String> {
    match read {
        Err(closed) => Some(format!(
            "the statistics of {name:?} in {side} were not compared: {closed}"
        )),
        Ok(Statistics { not_read: 0, .. }) => None,
        Ok(Statistics { not_read, .. }) => Some(format!(
            "not compared, since not read as numbers: {} of {name:?} in {side}",
            count(*not_read, "statistic")
        )),
    }
}

fn moved(path: &str, before: &Table, after: &Table) -> Vec<Drift> {
    let drift = |(key, values): (&(String, String), &Vec<f64>)| {
        let new = after.get(key).filter(|new| new.len() == values.len())?;
        let drift = Drift::of(path, key, (values, new), before);
        let has_moved = drift.moved().next().is_some();
        has_moved.then_some(drift)
    };
    before.iter().filter_map(drift).collect()
}

/// The largest first, as far as it can be told.
pub(super) fn sort(drifts: &mut [Drift]) {
    let farthest = |drift: &Drift| {
        let weights = drift.moved().map(|at| drift.weight(at));
        weights.fold(0.0, f64::max)
    };
    drifts.sort_by(|a, b| farthest(b).total_cmp(&farthest(a)));
}

fn read(version: &Version, limits: &Limits) -> Result<Result<Statistics, Closed>, Failure> {
    match version.small(TEXT_BYTES)? {
        Ok(bytes) => parse(&bytes, limits).map(Ok).or_else(Closed::or_error),
        Err(closed) => Ok(Err(closed)),
    }
}

/// `feature.statistic`, split at the last dot, is how LeRobot names them.
fn parse(bytes: &[u8], limits: &Limits) -> Result<Statistics, Error> {
    let header = Header::prefix_len(bytes, limits)?;
    let prefix = bytes
        .len()
        .min(usize::try_from(header).unwrap_or(usize::MAX));
    let header = Header::parse(&bytes[..prefix], bytes.len() as u64, limits)?;
    let mut statistics = Statistics::default();
    for tensor in &header.tensors {
        let name = tensor.name.rsplit_once('.');
        let at = |offset: u64| usize::try_from(header.len + offset).unwrap_or(usize::MAX);
        let data = bytes.get(at(tensor.begin)..at(tensor.end));
        let values = data.and_then(|data| values(tensor.dtype, data));
        match name.zip(values) {
            Some(((feature, statistic), values)) => {
                let key = (feature.to_owned(), statistic.to_owned());
                statistics.table.insert(key, values);
            }
            None => statistics.not_read += 1,
        }
    }
    Ok(statistics)
}

/// The elements as numbers, if they are some.
fn values(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    let mut values = Vec::new();
    each(dtype, bytes, |value| values.push(value)).map(|()| values)
}

impl Drift {
    fn of(
        path: &str,
        (feature, statistic): &(String, String),
        (before, after): (&[f64], &[f64]),
        table: &Table,
    ) -> Self {
        let of_feature = |statistic: &str| {
            let values = table.get(&(feature.clone(), statistic.to_owned()));
            values.filter(|values| values.len() == before.len())
        };
        let (scale, spread) = match (of_feature("std"), of_feature("min"), of_feature("max")) {
            _ if statistic == "count" => (Scale::Value, before.to_vec()),
            (Some(std), _, _) => (Scale::Std, std.clone()),
            (None, Some(min), Some(max)) => {
                let range = max.iter().zip(min).map(|(max, min)| max - min);
                (Scale::Range, range.collect())
            }
            _ => (Scale::Value, before.to_vec()),
        };
        let relative = before.iter().zip(after).zip(spread);
        let relative = relative.map(|((before, after), spread)| part(after - before, spread));
        Self {
            path: path.to_owned(),
            feature: feature.clone(),
            statistic: statistic.clone(),
            before: before.to_vec(),
            after: after.to_vec(),
            relative: relative.collect(),
            scale,
        }
    }

    /// The dimensions that are not the same in both.
    pub(crate) fn moved(&self) -> impl Iterator<Item = usize> {
        let pairs = self.before.iter().zip(&self.after).enumerate();
        let moved = pairs.filter(|(_, (a, b))| a != b && !(a.is_nan() && b.is_nan()));
        moved.map(|(at, _)| at)
    }

    /// How much a dimension should worry whoever reads on: what is no number any more the most.
    pub(super) fn weight(&self, at: usize) -> f64 {
        match self.relative[at] {
            _ if !self.is_finite(at) => f64::INFINITY,
            relative => relative.unwrap_or(f64::MAX),
        }
    }

    /// `action.std[3]`.
    pub(super) fn name(&self, at: usize) -> String {
        format!("{}.{}[{at}]", self.feature, self.statistic)
    }

    /// How far it moved.
    pub(super) fn words(&self, at: usize) -> String {
        match self.relative[at] {
            _ if !self.is_finite(at) => "not finite".to_owned(),
            Some(part) => format!("{part:.3} of the {} in A", self.scale.word()),
            None => format!("the {} in A is zero", self.scale.word()),
        }
    }

    fn is_finite(&self, at: usize) -> bool {
        self.before[at].is_finite() && self.after[at].is_finite()
    }
}

impl Scale {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Std => "std",
            Self::Range => "range",
            Self::Value => "value",
        }
    }
}

fn part(change: f64, of: f64) -> Option<f64> {
    let part = (change / of).abs();
    part.is_finite().then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(&str, &[f64])]) -> Table {
        let entry = |(name, values): &(&str, &[f64])| {
            let key = ("action".to_owned(), (*name).to_owned());
            (key, values.to_vec())
        };
        entries.iter().map(entry).collect()
    }

    fn drift(statistic: &str, after: &[f64], table: &Table) -> Drift {
        let key = ("action".to_owned(), statistic.to_owned());
        Drift::of("state", &key, (&table[&key], after), table)
    }

    #[test]
    fn a_change_is_measured_by_the_spread() {
        let both = table(&[
            ("mean", &[0.0, 1.0]),
            ("std", &[0.5, 0.0]),
            ("count", &[10.0]),
        ]);
        let mean = drift("mean", &[0.25, 2.0], &both);
        assert_eq!(
            (mean.scale, &*mean.relative),
            (Scale::Std, &[Some(0.5), None][..])
        );
        assert_eq!(mean.words(0), "0.500 of the std in A");
        assert_eq!(mean.words(1), "the std in A is zero");
        assert_eq!(drift("count", &[20.0], &both).relative, [Some(1.0)]);
        let range = table(&[("min", &[-1.0]), ("max", &[3.0]), ("q01", &[-0.5])]);
        let q01 = drift("q01", &[0.5], &range);
        assert_eq!(
            (q01.scale, &*q01.relative),
            (Scale::Range, &[Some(0.25)][..])
        );
        let alone = drift("mean", &[6.0], &table(&[("mean", &[4.0])]));
        assert_eq!(
            (alone.scale, &*alone.relative),
            (Scale::Value, &[Some(0.5)][..])
        );
    }

    #[test]
    fn what_is_no_number_comes_first_and_stays_no_number() {
        let table = table(&[("mean", &[f64::NAN, 1.0, f64::INFINITY, 2.0])]);
        let after = [f64::NAN, f64::NAN, f64::INFINITY, 2.0];
        let drift = drift("mean", &after, &table);
        assert_eq!(drift.moved().collect::<Vec<_>>(), [1]);
        assert_eq!(drift.weight(1), f64::INFINITY);
        assert_eq!(
            (drift.relative[1], drift.words(1)),
            (None, "not finite".to_owned())
        );
    }
}
