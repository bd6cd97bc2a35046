//! `tensorgate_client._native`: the part of the Python package `tensorgate_client` that verifies.
//!
//! A thin binding of the crate `tensorgate-client`, whose documentation has the rules. What the
//! module offers is described in `_native.pyi`; what it is for, in the package's README.md.
#![forbid(unsafe_code)]

mod errors;
mod policy;
mod receiver;
mod tensors;

use std::path::PathBuf;

use pyo3::prelude::*;

/// A controller's side of the gate: see _native.pyi.
#[pymodule(name = "_native")]
mod module {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::errors::Rejected;
    #[pymodule_export]
    use super::policy::Policy;
    #[pymodule_export]
    use super::receiver::{Candidate, Pull, Receiver};
    #[pymodule_export]
    use super::well_known;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("TensorInfo", super::tensors::info_type(module.py())?)
    }
}

/// Where this user's processes find the gate of that name.
#[pyfunction]
fn well_known(name: &str) -> Option<PathBuf> {
    tensorgate_handoff::find(name)
}
