//! A verified policy, for reading.

use std::os::fd::{IntoRawFd, RawFd};
use std::sync::Arc;

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tensorgate_verify::{Evidence, File, Hold, Verified};

/// Every file of a policy, as it was signed; it cannot change.
#[pyclass(frozen, module = "tensorgate_client")]
#[derive(Debug)]
pub(crate) struct Policy(pub(crate) Arc<Verified<tensorgate_verify::Policy>>);

/// (file, name, dtype, shape, offset in the file, bytes)
type TensorRow = (String, String, String, Vec<usize>, u64, u64);

#[pymethods]
impl Policy {
    #[getter]
    fn repo(&self) -> &str {
        self.evidence().repo.as_str()
    }

    #[getter]
    fn revision(&self) -> &str {
        self.evidence().revision.as_str()
    }

    #[getter]
    fn sequence(&self) -> u64 {
        self.evidence().sequence
    }

    #[getter]
    fn signers(&self) -> Vec<&str> {
        let signers = self.evidence().signers.iter();
        signers.map(|signer| signer.name.as_str()).collect()
    }

    #[getter]
    fn manifest_digest(&self) -> String {
        self.evidence().manifest.to_string()
    }

    #[getter]
    fn policy_type(&self) -> &str {
        &self.0.manifest().policy.policy_type
    }

    #[getter]
    fn files(&self) -> Vec<&str> {
        let files = self.0.files().iter();
        files.map(|file| file.path().as_str()).collect()
    }

    fn read<'py>(&self, py: Python<'py>, path: &str) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.file(path)?.bytes()))
    }

    fn tensors(&self) -> Vec<TensorRow> {
        self.0.tensor_files().flat_map(rows).collect()
    }

    fn memfd(&self, file: &str) -> PyResult<RawFd> {
        match self.file(file)?.hold() {
            Hold::Sealed(sealed) => Ok(sealed.memfd().try_clone_to_owned()?.into_raw_fd()),
            _ => {
                let message = format!("{file:?} is not held in a memfd; use read()");
                Err(PyValueError::new_err(message))
            }
        }
    }

    fn __repr__(&self) -> String {
        let Evidence { repo, revision, .. } = self.evidence();
        format!("<Policy {repo}@{revision}>")
    }
}

impl Policy {
    fn evidence(&self) -> &Evidence {
        self.0.evidence()
    }

    fn file(&self, path: &str) -> PyResult<&File> {
        let missing = || PyKeyError::new_err(format!("no file {path:?} in the policy"));
        self.0.file(path).ok_or_else(missing)
    }
}

fn rows(file: &File) -> impl Iterator<Item = TensorRow> {
    let header = file.header().into_iter();
    header.flat_map(move |header| {
        header.tensors.iter().map(move |tensor| {
            (
                file.path().to_string(),
                tensor.name.clone(),
                tensor.dtype.to_string(),
                tensor.shape.clone(),
                header.len.saturating_add(tensor.begin),
                tensor.end.saturating_sub(tensor.begin),
            )
        })
    })
}
