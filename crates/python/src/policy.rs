//! A verified policy, for reading.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex};

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyList};
use tensorgate_verify::{Evidence, File, Hold, Verified};

use crate::errors::poisoned;
use crate::tensors::{self, Index};

/// Every file of a policy, as it was signed; it cannot change.
#[pyclass(frozen, mapping, module = "tensorgate_client")]
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) policy: Arc<Verified<tensorgate_verify::Policy>>,
    index: Index,
    /// Python's mappings of the files that arrays were asked of, each made once.
    maps: Mutex<BTreeMap<String, Py<PyAny>>>,
}

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
        &self.policy.manifest().policy.policy_type
    }

    #[getter]
    fn robot(&self) -> Option<&str> {
        self.policy.manifest().policy.robot.as_deref()
    }

    #[getter]
    fn files(&self) -> Vec<&str> {
        let files = self.policy.files().iter();
        files.map(|file| file.path().as_str()).collect()
    }

    fn read<'py>(&self, py: Python<'py>, path: &str) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.file(path)?.bytes()))
    }

    #[pyo3(signature = (name, file=None))]
    fn array<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        file: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let tensor = self.index.find(&self.policy, name, file)?;
        tensor.array(&self.map(py, tensor.file)?)
    }

    #[pyo3(signature = (name, file=None))]
    fn raw<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        file: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let tensor = self.index.find(&self.policy, name, file)?;
        tensor.raw(&self.map(py, tensor.file)?)
    }

    fn keys(&self) -> Vec<&str> {
        tensors::all(&self.policy)
            .map(|tensor| tensor.name)
            .collect()
    }

    /// Arrays are made when they are asked for.
    fn values<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        view(slf, "ValuesView")
    }

    fn items<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        view(slf, "ItemsView")
    }

    #[pyo3(signature = (name, default=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.index.contains(name) {
            true => self.array(py, name, None).map(Some),
            false => Ok(default),
        }
    }

    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.array(py, name, None)
    }

    fn __contains__(&self, name: &str) -> bool {
        self.index.contains(name)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        PyList::new(py, self.keys())?.try_iter()
    }

    fn __len__(&self) -> usize {
        tensors::all(&self.policy).count()
    }

    /// One without tensors is a policy all the same: `if policy := subscriber.active`.
    const fn __bool__(&self) -> bool {
        true
    }

    fn tensors<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let info = py.import("tensorgate_client")?.getattr("TensorInfo")?;
        let all = tensors::all(&self.policy);
        all.map(|tensor| tensor.describe(&info)).collect()
    }

    fn memfd(&self, file: &str) -> PyResult<RawFd> {
        Ok(sealed(self.file(file)?)?.into_raw_fd())
    }

    fn __repr__(&self) -> String {
        let Evidence { repo, revision, .. } = self.evidence();
        format!("<Policy {repo}@{revision}>")
    }
}

impl Policy {
    pub(crate) fn new(policy: Arc<Verified<tensorgate_verify::Policy>>) -> Self {
        let index = Index::of(&policy);
        let maps = Mutex::new(BTreeMap::new());
        Self {
            policy,
            index,
            maps,
        }
    }

    fn evidence(&self) -> &Evidence {
        self.policy.evidence()
    }

    fn file(&self, path: &str) -> PyResult<&File> {
        let missing = || PyKeyError::new_err(format!("no file {path:?} in the policy"));
        self.policy.file(path).ok_or_else(missing)
    }

    /// The file's memory as an `mmap.mmap`, which lives as long as an array on it does.
    fn map<'py>(&self, py: Python<'py>, file: &File) -> PyResult<Bound<'py, PyAny>> {
        let mut maps = self.maps.lock_py_attached(py).map_err(|_| poisoned())?;
        let path = file.path().as_str();
        if let Some(map) = maps.get(path) {
            return Ok(map.bind(py).clone());
        }
        let map = map_file(py, file)?;
        maps.insert(path.to_owned(), map.clone().unbind());
        Ok(map)
    }
}

/// As `collections.abc.Mapping` makes them.
fn view<'py>(policy: &Bound<'py, Policy>, kind: &str) -> PyResult<Bound<'py, PyAny>> {
    let abc = policy.py().import("collections.abc")?;
    abc.call_method1(kind, (policy,))
}

fn map_file<'py>(py: Python<'py>, file: &File) -> PyResult<Bound<'py, PyAny>> {
    let memfd = sealed(file)?;
    let mmap = py.import("mmap")?;
    let arguments = PyDict::new(py);
    arguments.set_item("flags", mmap.getattr("MAP_PRIVATE")?)?;
    arguments.set_item("prot", mmap.getattr("PROT_READ")?)?;
    mmap.call_method("mmap", (memfd.as_raw_fd(), 0), Some(&arguments))
}

fn sealed(file: &File) -> PyResult<OwnedFd> {
    match file.hold() {
        Hold::Sealed(sealed) => Ok(sealed.memfd().try_clone_to_owned()?),
        _ => {
            let message = format!(
                "{:?} is not held in a memfd; use read()",
                file.path().as_str()
            );
            Err(PyValueError::new_err(message))
        }
    }
}
