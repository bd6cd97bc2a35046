//! Tensors: which are there, and how far their elements moved. Files of gigabytes are read in
//! pieces, on all cores, and never held.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt;

use rayon::prelude::*;
use serde_json::{Map, Value, json};
use tensorgate_verify::{Header, Limits, Tensor};

use super::detail::{Closed, Detail};
use super::fields;
use super::files::{CHUNK, Version};
use super::numbers::Drift;
use crate::failure::Failure;
use crate::header;
use crate::text::{count, differ, table, thousands};

/// Tensors that are shown, those that changed most first; the rest is counted.
const ROWS: usize = 100;

/// One tensor that is not the same in both.
struct Changed<'h> {
    name: &'h str,
    how: &'static str,
    before: Option<&'h Tensor>,
    after: Option<&'h Tensor>,
    drift: Option<Drift>,
}

/// Part of a tensor that has the same type and shape in both.
#[derive(Clone, Copy)]
struct Piece<'h> {
    pair: usize,
    before: &'h Tensor,
    after: &'h Tensor,
    begin: u64,
    len: usize,
}

/// Compares two safetensors files.
pub(super) fn compare(a: &Version, b: &Version, limits: &Limits) -> Result<Detail, Failure> {
    let (before, after) = match (read(a, limits)?, read(b, limits)?) {
        (Ok(before), Ok(after)) => (before, after),
        (before, after) => return Ok(Detail::closed(before.err(), after.err())),
    };
    let changed = changed((a, &before), (b, &after))?;
    let same = before.tensors.len() - changed.iter().filter(|one| one.before.is_some()).count();
    let mut detail = detail(changed, same);
    if before.metadata != after.metadata {
        let metadata = fields::detail(&json!(before.metadata), &json!(after.metadata));
        detail.lines.push("metadata".to_owned());
        detail
            .lines
            .extend(metadata.lines.iter().map(|line| format!("  {line}")));
        detail.json.insert("metadata".into(), metadata.json.into());
    }
    Ok(detail)
}

/// The table, or why it is closed.
fn read(version: &Version, limits: &Limits) -> Result<Result<Header, Closed>, Failure> {
    let Some(file) = version.file() else {
        return Ok(Err(Closed::new("not read")));
    };
    let read = header::read(file, &version.place, limits);
    read.map(Ok).or_else(Closed::or_failure)
}

/// What is added, removed, of another type or shape, or has other elements.
fn changed<'h>(
    (a, before): (&Version, &'h Header),
    (b, after): (&Version, &'h Header),
) -> Result<Vec<Changed<'h>>, Failure> {
    let by_name = |header: &'h Header| -> BTreeMap<&'h str, &'h Tensor> {
        let tensors = header.tensors.iter();
        tensors
            .map(|tensor| (tensor.name.as_str(), tensor))
            .collect()
    };
    let (old, new) = (by_name(before), by_name(after));
    let (mut changed, mut pairs) = (Vec::new(), Vec::new());
    for (name, tensor) in &old {
        match new.get(name) {
            None => changed.push(Changed::new("removed", Some(tensor), None)),
            Some(other) if other.dtype != tensor.dtype => {
                changed.push(Changed::new("retyped", Some(tensor), Some(other)));
            }
            Some(other) if other.shape != tensor.shape => {
                changed.push(Changed::new("reshaped", Some(tensor), Some(other)));
            }
            Some(other) => pairs.push((*tensor, *other)),
        }
    }
    let added = new.iter().filter(|(name, _)| !old.contains_key(*name));
    changed.extend(added.map(|(_, tensor)| Changed::new("added", None, Some(tensor))));
    let drifts = drifts((a, before.len), (b, after.len), &pairs)?;
    for ((before, after), drift) in pairs.into_iter().zip(drifts) {
        if drift.differing > 0 {
            let mut tensor = Changed::new("changed", Some(before), Some(after));
            tensor.drift = Some(drift);
            changed.push(tensor);
        }
    }
    Ok(changed)
}

/// How far each pair of tensors moved. Pieces are read in any order and added in one: the same
/// files give the same digits.
fn drifts(
    (a, a_data): (&Version, u64),
    (b, b_data): (&Version, u64),
    pairs: &[(&Tensor, &Tensor)],
) -> Result<Vec<Drift>, Failure> {
    let pieces: Vec<Piece<'_>> = pairs.iter().enumerate().flat_map(pieces).collect();
    let buffers = || (vec![0; CHUNK], vec![0; CHUNK]);
    let compare = |(old, new): &mut (Vec<u8>, Vec<u8>), piece: &Piece<'_>| {
        let (old, new) = (&mut old[..piece.len], &mut new[..piece.len]);
        read_at(a, a_data + piece.before.begin + piece.begin, old)
            .map_err(|error| a.unreadable(error))?;
        read_at(b, b_data + piece.after.begin + piece.begin, new)
            .map_err(|error| b.unreadable(error))?;
        Ok(Drift::of(piece.before.dtype, old, new))
    };
    let found: Vec<Result<Drift, Failure>> = pieces.par_iter().map_init(buffers, compare).collect();
    let mut drifts = vec![Drift::default(); pairs.len()];
    for (piece, drift) in pieces.iter().zip(found) {
        let sum = &mut drifts[piece.pair];
        *sum = sum.and(drift?);
    }
    Ok(drifts)
}

/// A chunk holds whole elements: none has more than 16 bytes, all sizes are powers of two.
fn pieces<'h>(
    (pair, (before, after)): (usize, &(&'h Tensor, &'h Tensor)),
) -> impl Iterator<Item = Piece<'h>> {
    let (before, after, len) = (*before, *after, before.byte_len());
    (0..len).step_by(CHUNK).map(move |begin| Piece {
        pair,
        before,
        after,
        begin,
        len: usize::try_from(len - begin).map_or(CHUNK, |left| left.min(CHUNK)),
    })
}

fn read_at(version: &Version, at: u64, buffer: &mut [u8]) -> io::Result<()> {
    match version.file() {
        Some(file) => file.read_exact_at(buffer, at),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

fn detail(mut changed: Vec<Changed<'_>>, same: usize) -> Detail {
    let mut json = Map::new();
    json.insert(
        "tensors".into(),
        changed.iter().map(Changed::json).collect(),
    );
    json.insert("tensors_same".into(), same.into());
    // What has no relative change is another tensor: that first.
    changed.sort_by(|a, b| b.weight().total_cmp(&a.weight()));
    let mut rows = vec![
        [
            "tensor",
            "change",
            "dtype",
            "shape",
            "differing",
            "max |Δ|",
            "L2 of Δ / L2 in A",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    rows.extend(changed.iter().take(ROWS).map(Changed::row));
    let mut lines = Vec::new();
    if !changed.is_empty() {
        lines.extend(table(&rows, &[4, 5, 6]).lines().map(str::to_owned));
    }
    if changed.len() > ROWS {
        lines.push(format!(
            "and {} more",
            count(changed.len() - ROWS, "tensor")
        ));
    }
    lines.push(format!(
        "{}, {} the same",
        differ(changed.len(), "tensor"),
        thousands(same as u64)
    ));
    Detail { lines, json }
}

impl<'h> Changed<'h> {
    fn new(how: &'static str, before: Option<&'h Tensor>, after: Option<&'h Tensor>) -> Self {
        Self {
            name: before.or(after).map_or("", |tensor| &tensor.name),
            how,
            before,
            after,
            drift: None,
        }
    }

    fn weight(&self) -> f64 {
        match &self.drift {
            Some(drift) => drift.relative().unwrap_or(f64::MAX),
            None => f64::INFINITY,
        }
    }

    fn row(&self) -> Vec<String> {
        let sides =
            |show: fn(&Tensor) -> String| match (self.before.map(show), self.after.map(show)) {
                (Some(a), Some(b)) if a != b => format!("{a} -> {b}"),
                (a, b) => a.or(b).unwrap_or_default(),
            };
        let number = |number: Option<f64>| match number {
            Some(number) => format!("{number:.3e}"),
            None => "-".to_owned(),
        };
        let differing = match &self.drift {
            Some(Drift {
                differing,
                not_finite: 0,
                ..
            }) => thousands(*differing),
            Some(Drift {
                differing,
                not_finite,
                ..
            }) => {
                format!(
                    "{}, {} not finite",
                    thousands(*differing),
                    thousands(*not_finite)
                )
            }
            None => "-".to_owned(),
        };
        vec![
            self.name.to_owned(),
            self.how.to_owned(),
            sides(|tensor| tensor.dtype.to_string()),
            sides(|tensor| format!("{:?}", tensor.shape)),
            differing,
            number(self.drift.as_ref().and_then(Drift::max)),
            number(self.drift.as_ref().and_then(Drift::relative)),
        ]
    }

    fn json(&self) -> Value {
        let side = |tensor: Option<&Tensor>| {
            tensor.map(|tensor| json!({ "dtype": tensor.dtype, "shape": tensor.shape }))
        };
        let mut object = json!({
            "name": self.name,
            "change": self.how,
            "before": side(self.before),
            "after": side(self.after),
        });
        if let Some(drift) = &self.drift {
            object["differing"] = drift.differing.into();
            object["not_finite"] = drift.not_finite.into();
            object["max_abs"] = drift.max().into();
            object["relative_l2"] = drift.relative().into();
        }
        object
    }
}
