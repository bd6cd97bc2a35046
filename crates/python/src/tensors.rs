//! Tensors for numpy: views of the sealed memory itself.
//!
//! The buffer protocol is not in the limited API of Python 3.10, so Python's own `mmap` exports the
//! buffer: of the same pages, read-only, and as long as an array needs it.

use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMemoryView, PySlice};
use safetensors::Dtype;
use tensorgate_verify::{File, Header, Policy};

/// A tensor, and where it lies.
pub(crate) struct Found<'a> {
    pub(crate) file: &'a File,
    pub(crate) name: &'a str,
    pub(crate) dtype: Dtype,
    pub(crate) shape: &'a [usize],
    /// In the file, from its beginning.
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// Every tensor of a policy, file after file.
pub(crate) fn all(policy: &Policy) -> impl Iterator<Item = Found<'_>> {
    policy.tensor_files().flat_map(|file| {
        let header = file.header().into_iter();
        header.flat_map(move |header| in_file(file, header))
    })
}

fn in_file<'a>(file: &'a File, header: &'a Header) -> impl Iterator<Item = Found<'a>> {
    header.tensors.iter().map(move |tensor| Found {
        file,
        name: &tensor.name,
        dtype: tensor.dtype,
        shape: &tensor.shape,
        offset: header.len.saturating_add(tensor.begin),
        len: tensor.end.saturating_sub(tensor.begin),
    })
}

/// The one tensor of that name, in that file or in any.
pub(crate) fn find<'a>(policy: &'a Policy, name: &str, file: Option<&str>) -> PyResult<Found<'a>> {
    let wanted = |found: &Found<'_>| {
        found.name == name && file.is_none_or(|file| found.file.path().as_str() == file)
    };
    let mut found = all(policy).filter(wanted);
    match (found.next(), found.next()) {
        (Some(tensor), None) => Ok(tensor),
        (None, _) => Err(PyKeyError::new_err(format!("no tensor {name:?}"))),
        (Some(one), Some(other)) => Err(PyKeyError::new_err(format!(
            "tensor {name:?} is in {:?} and in {:?}; say in which file",
            one.file.path().as_str(),
            other.file.path().as_str(),
        ))),
    }
}

impl Found<'_> {
    /// A `numpy.ndarray` on `map`, the file's memory.
    pub(crate) fn array<'py>(&self, map: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = map.py();
        let dtype = numpy_dtype(self.dtype).ok_or_else(|| self.unknown_to_numpy())?;
        let arguments = PyDict::new(py);
        arguments.set_item("dtype", dtype)?;
        arguments.set_item("count", self.shape.iter().product::<usize>())?;
        arguments.set_item("offset", self.offset)?;
        py.import("numpy")?
            .call_method("frombuffer", (map,), Some(&arguments))?
            .call_method1(intern!(py, "reshape"), (self.shape.to_vec(),))
    }

    /// Its bytes in `map`, the file's memory.
    pub(crate) fn raw<'py>(&self, map: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let begin = isize::try_from(self.offset)?;
        let end = isize::try_from(self.offset.saturating_add(self.len))?;
        PyMemoryView::from(map)?.get_item(PySlice::new(map.py(), begin, end, 1))
    }

    fn unknown_to_numpy(&self) -> PyErr {
        let Self { name, dtype, .. } = self;
        let hint = match dtype {
            Dtype::BF16 => {
                "torch.frombuffer(bytearray(raw), dtype=torch.bfloat16) or \
                 numpy.frombuffer(raw, ml_dtypes.bfloat16)"
            }
            _ => "a library that has the type reads them",
        };
        PyTypeError::new_err(format!(
            "tensor {name:?} is {dtype}, which numpy has not; \
             raw = policy.raw({name:?}) are its bytes: {hint}"
        ))
    }
}

/// The type as numpy names it; safetensors are little-endian everywhere.
const fn numpy_dtype(dtype: Dtype) -> Option<&'static str> {
    Some(match dtype {
        Dtype::BOOL => "?",
        Dtype::U8 => "u1",
        Dtype::I8 => "i1",
        Dtype::U16 => "<u2",
        Dtype::I16 => "<i2",
        Dtype::U32 => "<u4",
        Dtype::I32 => "<i4",
        Dtype::U64 => "<u8",
        Dtype::I64 => "<i8",
        Dtype::F16 => "<f2",
        Dtype::F32 => "<f4",
        Dtype::F64 => "<f8",
        Dtype::C64 => "<c8",
        _ => return None,
    })
}
