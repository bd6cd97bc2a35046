//! The receiver: messages in, a policy out.

use std::borrow::Cow;
use std::fs::File;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use pyo3::create_exception;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use tensorgate_client::{Announcement, Error, Expectations, Fragment, Session, Status};
use tensorgate_verify::{TrustPolicy, TrustPolicyError, Verified};

use crate::policy::Policy;

create_exception!(
    tensorgate_client,
    Rejected,
    PyValueError,
    "Checked and refused: code, subject and detail say why."
);

/// Receives a policy from a gate, verifies it, and says whether it may be acted on.
#[pyclass(frozen, module = "tensorgate_client")]
#[derive(Debug)]
pub(crate) struct Receiver(Mutex<tensorgate_client::Receiver>);

type Arrived = Option<Arc<Verified<tensorgate_verify::Policy>>>;

#[pymethods]
impl Receiver {
    #[new]
    #[pyo3(signature = (trust, *, repo=None, revision=None, max_bytes=tensorgate_client::DEFAULT_MAX_BYTES))]
    fn new(
        trust: PathBuf,
        repo: Option<&str>,
        revision: Option<&str>,
        max_bytes: u64,
    ) -> PyResult<Self> {
        let policy = TrustPolicy::open(File::open(".")?, &trust)
            .map_err(|error| trust_error(&trust.to_string_lossy(), &error))?;
        let expectations = Expectations {
            repo: repo.map(parse).transpose()?,
            revision: revision.map(parse).transpose()?,
        };
        let receiver = tensorgate_client::Receiver::new(policy, expectations);
        Ok(Self(Mutex::new(receiver.with_max_bytes(max_bytes))))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the fields of the message, by name"
    )]
    fn announce(
        &self,
        py: Python<'_>,
        session: Session,
        epoch: u64,
        envelope: PyBackedBytes,
        files: Vec<(String, PyBackedBytes)>,
        fragment_size: u32,
        fragment_count: u32,
        fragment_digests: PyBackedBytes,
    ) -> PyResult<Option<Policy>> {
        let files = files.into_iter();
        let announcement = Announcement {
            session,
            epoch,
            envelope: envelope.to_vec(),
            files: files.map(|(path, data)| (path, data.to_vec())).collect(),
            fragment_size,
            fragment_count,
            fragment_digests: fragment_digests.to_vec(),
        };
        let now = jiff::Timestamp::now();
        self.take(py, |receiver| {
            receiver.announce(announcement, now, Instant::now())
        })
    }

    fn fragment(
        &self,
        py: Python<'_>,
        session: Session,
        epoch: u64,
        index: u32,
        data: &[u8],
    ) -> PyResult<Option<Policy>> {
        let fragment = Fragment {
            session,
            epoch,
            index,
            data,
        };
        self.take(py, |receiver| receiver.fragment(&fragment, Instant::now()))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the fields of the message, by name"
    )]
    fn status(
        &self,
        py: Python<'_>,
        session: Session,
        epoch: u64,
        sequence: u64,
        state: u8,
        manifest_digest: [u8; 32],
        lease: f64,
    ) -> PyResult<()> {
        let status = Status {
            session,
            epoch,
            sequence,
            state,
            manifest_digest,
            // What is no duration is no lease.
            lease: Duration::try_from_secs_f64(lease).unwrap_or_default(),
        };
        py.detach(|| {
            self.lock()?.status(&status, Instant::now());
            Ok(())
        })
    }

    #[getter]
    fn state(&self, py: Python<'_>) -> PyResult<&'static str> {
        py.detach(|| Ok(self.lock()?.state(Instant::now()).name()))
    }

    #[getter]
    fn active(&self, py: Python<'_>) -> PyResult<Option<Policy>> {
        py.detach(|| Ok(self.lock()?.active(Instant::now()).cloned().map(Policy)))
    }

    #[getter]
    fn policy(&self, py: Python<'_>) -> PyResult<Option<Policy>> {
        py.detach(|| Ok(self.lock()?.policy().cloned().map(Policy)))
    }

    #[getter]
    fn receiving(&self, py: Python<'_>) -> PyResult<Option<(Cow<'static, [u8]>, u64)>> {
        let receiving = py.detach(|| PyResult::Ok(self.lock()?.receiving()))?;
        Ok(receiving.map(|(session, epoch)| (Cow::Owned(session.to_vec()), epoch)))
    }

    #[getter]
    fn missing(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        py.detach(|| Ok(self.lock()?.missing().collect()))
    }
}

impl Receiver {
    /// Verifies without holding up other Python threads.
    fn take(
        &self,
        py: Python<'_>,
        message: impl FnOnce(&mut tensorgate_client::Receiver) -> tensorgate_client::Result<Arrived>
        + Send,
    ) -> PyResult<Option<Policy>> {
        let arrived = py.detach(|| PyResult::Ok(message(&mut *self.lock()?)))?;
        arrived
            .map(|policy| policy.map(Policy))
            .map_err(|error| receiver_error(py, &error))
    }

    fn lock(&self) -> PyResult<MutexGuard<'_, tensorgate_client::Receiver>> {
        let poisoned = |_| PyRuntimeError::new_err("an earlier call panicked");
        self.0.lock().map_err(poisoned)
    }
}

fn parse<T: FromStr<Err: std::fmt::Display>>(text: &str) -> PyResult<T> {
    text.parse()
        .map_err(|error: T::Err| PyValueError::new_err(error.to_string()))
}

fn trust_error(path: &str, error: &TrustPolicyError) -> PyErr {
    let message = format!("trust policy {path:?}: {error}");
    match error {
        TrustPolicyError::File(_) | TrustPolicyError::KeyFile { .. } => PyOSError::new_err(message),
        _ => PyValueError::new_err(message),
    }
}

/// `Rejected`, or `OSError` where it could not be checked.
fn receiver_error(py: Python<'_>, error: &Error) -> PyErr {
    let Some(rejection) = error.rejection() else {
        return PyOSError::new_err(error.to_string());
    };
    let rejected = Rejected::new_err(error.to_string());
    let value = rejected.value(py);
    let attributes = value
        .setattr("code", rejection.code())
        .and_then(|()| value.setattr("subject", error.subject()))
        .and_then(|()| value.setattr("detail", error.detail()));
    attributes.err().unwrap_or(rejected)
}
