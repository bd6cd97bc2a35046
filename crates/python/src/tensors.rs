//! Tensors for numpy: views of the sealed memory itself.
//!
//! The buffer protocol is not in the limited API of Python 3.10, so Python's own `mmap` exports the
//! buffer: of the same pages, read-only, and as long as an array needs it.

use std::collections::HashMap;

use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMemoryView, PySlice, PyTuple};
use safetensors::Dtype;
use tensorgate_verify::{File, Header, Policy, Tensor};

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

/// Where the tensors of each name lie: (file, tensor in its header).
#[derive(Debug)]
pub(crate) struct Index(HashMap<String, Vec<(usize, usize)>>);

/// Every tensor of a policy, file after file.
pub(crate) fn all(policy: &Policy) -> impl Iterator<Item = Found<'_>> {
    policy.tensor_files().flat_map(|file| {
        let header = file.header().into_iter();
        header.flat_map(move |header| header.tensors.iter().map(|t| Found::of(file, header, t)))
    })
}

/// What describes a tensor: a named tuple, since numpy's users know those from each other's libraries.
pub(crate) fn info_type(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let fields = ["file", "name", "dtype", "shape", "offset", "nbytes"];
    let of = PyDict::new(py);
    of.set_item("module", "tensorgate_client")?;
    py.import("collections")?
        .call_method("namedtuple", ("TensorInfo", fields), Some(&of))
}

impl Index {
    pub(crate) fn of(policy: &Policy) -> Self {
        let mut index: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        for (at, file) in policy.files().iter().enumerate() {
            let tensors = file.header().into_iter().flat_map(|header| &header.tensors);
            for (tensor, signed) in tensors.enumerate() {
                let places = index.entry(signed.name.clone()).or_default();
                places.push((at, tensor));
            }
        }
        Self(index)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The one tensor of that name, in that file or in any.
    pub(crate) fn find<'a>(
        &self,
        policy: &'a Policy,
        name: &str,
        file: Option<&str>,
    ) -> PyResult<Found<'a>> {
        let places = self.0.get(name).into_iter().flatten();
        let found = places.filter_map(|place| Found::at(policy, *place));
        let mut found = found.filter(|f| file.is_none_or(|file| f.file.path().as_str() == file));
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
}

impl<'a> Found<'a> {
    fn of(file: &'a File, header: &'a Header, tensor: &'a Tensor) -> Self {
        Self {
            file,
            name: &tensor.name,
            dtype: tensor.dtype,
            shape: &tensor.shape,
            offset: header.len.saturating_add(tensor.begin),
            len: tensor.end.saturating_sub(tensor.begin),
        }
    }

    fn at(policy: &'a Policy, (file, tensor): (usize, usize)) -> Option<Self> {
        let file = policy.files().get(file)?;
        let header = file.header()?;
        Some(Self::of(file, header, header.tensors.get(tensor)?))
    }

    /// As an instance of `info`.
    pub(crate) fn describe<'py>(&self, info: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        info.call1((
            self.file.path().as_str(),
            self.name,
            self.dtype.to_string(),
            PyTuple::new(info.py(), self.shape)?,
            self.offset,
            self.len,
        ))
    }

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
