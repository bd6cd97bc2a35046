//! Tensors: which are there, and how far their elements moved. Files of gigabytes are read in
//! pieces, on all cores, and never held.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt;

use rayon::prelude::*;
use serde_json::json;
use tensorgate_verify::{Header, Limits, Tensor};

use super::comparison::{Closed, Inside, TensorChange, TensorChanges, TensorFacts};
use super::fields;
use super::files::{CHUNK, Version};
use super::numbers::Moved;
use crate::failure::Failure;
use crate::header;

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
pub(super) fn compare(a: &Version, b: &Version, limits: &Limits) -> Result<Inside, Failure> {
    let (before, after) = match (read(a, limits)?, read(b, limits)?) {
        (Ok(before), Ok(after)) => (before, after),
        (before, after) => return Ok(Inside::closed(before.err(), after.err())),
    };
    let tensors = changed((a, &before), (b, &after))?;
    let of_a = tensors.iter().filter(|one| one.before.is_some()).count();
    let (old, new) = (&before.metadata, &after.metadata);
    let metadata = (old != new).then(|| fields::changes(&json!(old), &json!(new)));
    Ok(Inside::Tensors(TensorChanges {
        same: before.tensors.len() - of_a,
        tensors,
        metadata,
    }))
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
) -> Result<Vec<TensorChange>, Failure> {
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
            None => changed.push(TensorChange::new("removed", Some(tensor), None)),
            Some(other) if other.dtype != tensor.dtype => {
                changed.push(TensorChange::new("retyped", Some(tensor), Some(other)));
            }
            Some(other) if other.shape != tensor.shape => {
                changed.push(TensorChange::new("reshaped", Some(tensor), Some(other)));
            }
            Some(other) => pairs.push((*tensor, *other)),
        }
    }
    let added = new.iter().filter(|(name, _)| !old.contains_key(*name));
    changed.extend(added.map(|(_, tensor)| TensorChange::new("added", None, Some(tensor))));
    let distances = distances((a, before.len), (b, after.len), &pairs)?;
    for ((before, after), moved) in pairs.into_iter().zip(distances) {
        if moved.differing > 0 {
            let mut tensor = TensorChange::new("changed", Some(before), Some(after));
            tensor.moved = Some(moved);
            changed.push(tensor);
        }
    }
    Ok(changed)
}

/// How far each pair of tensors moved. Pieces are read in any order and added in one: the same
/// files give the same digits.
fn distances(
    (a, a_data): (&Version, u64),
    (b, b_data): (&Version, u64),
    pairs: &[(&Tensor, &Tensor)],
) -> Result<Vec<Moved>, Failure> {
    let pieces: Vec<Piece<'_>> = pairs.iter().enumerate().flat_map(pieces).collect();
    let buffers = || (vec![0; CHUNK], vec![0; CHUNK]);
    let compare = |(old, new): &mut (Vec<u8>, Vec<u8>), piece: &Piece<'_>| {
        let (old, new) = (&mut old[..piece.len], &mut new[..piece.len]);
        read_at(a, a_data + piece.before.begin + piece.begin, old)
            .map_err(|error| a.unreadable(error))?;
        read_at(b, b_data + piece.after.begin + piece.begin, new)
            .map_err(|error| b.unreadable(error))?;
        Ok(Moved::of(piece.before.dtype, old, new))
    };
    let found: Vec<Result<Moved, Failure>> = pieces.par_iter().map_init(buffers, compare).collect();
    let mut distances = vec![Moved::default(); pairs.len()];
    for (piece, moved) in pieces.iter().zip(found) {
        let sum = &mut distances[piece.pair];
        *sum = sum.and(moved?);
    }
    Ok(distances)
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

impl TensorChange {
    fn new(change: &'static str, before: Option<&Tensor>, after: Option<&Tensor>) -> Self {
        let facts = |tensor: &Tensor| TensorFacts {
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
        };
        let name = before.or(after).map(|tensor| tensor.name.clone());
        Self {
            name: name.unwrap_or_default(),
            change,
            before: before.map(facts),
            after: after.map(facts),
            moved: None,
        }
    }
}
