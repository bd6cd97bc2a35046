//! Weights that are also something else.

use crate::FilePath;
use crate::error::Findings;

/// Finds out whether the bytes of a whole safetensors file are also a pickle or a zip archive.
pub(crate) fn refuse_polyglot(_path: &FilePath, _bytes: &[u8], _findings: &mut Findings) {}
