//! The receiver: messages in, a policy out.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pyo3::create_exception;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use rustix::fs::CWD;
use tensorgate_client::{Announcement, Error, Expectations, Fragment, Session, Snapshot, Status};
use tensorgate_verify::{
    Accepted, History, RepoId, RepoType, TrustPolicy, TrustPolicyError, Verified,
};

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
pub(crate) struct Receiver {
    receiver: Mutex<tensorgate_client::Receiver>,
    /// As of the last message: a control loop does not wait for one that is being verified.
    snapshot: Mutex<Snapshot>,
}

/// What an earlier run accepted of the one repository that is expected.
#[derive(Debug)]
struct Recorded(Accepted);

type Arrived = Option<Arc<Verified<tensorgate_verify::Policy>>>;

#[pymethods]
impl Receiver {
    #[new]
    #[pyo3(signature = (trust, *, repo=None, revision=None, last_accepted=None, max_bytes=tensorgate_client::DEFAULT_MAX_BYTES))]
    fn new(
        trust: PathBuf,
        repo: Option<&str>,
        revision: Option<&str>,
        last_accepted: Option<(u64, &str)>,
        max_bytes: u64,
    ) -> PyResult<Self> {
        let policy = TrustPolicy::open(CWD, &trust)
            .map_err(|error| trust_error(&trust.to_string_lossy(), &error))?;
        let expectations = Expectations {
            repo: repo.map(parse).transpose()?,
            revision: revision.map(parse).transpose()?,
        };
        if last_accepted.is_some() && repo.is_none() {
            let message = "last_accepted is a release of one repository: name it as repo";
            return Err(PyValueError::new_err(message));
        }
        let mut receiver =
            tensorgate_client::Receiver::new(policy, expectations).with_max_bytes(max_bytes);
        if let Some((sequence, manifest)) = last_accepted {
            let recorded = Recorded(Accepted::new(sequence, parse(manifest)?));
            receiver = receiver.with_history(Box::new(recorded));
        }
        Ok(Self {
            receiver: Mutex::new(receiver),
            snapshot: Mutex::default(),
        })
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
        let (now, at) = (Timestamp::now(), Instant::now());
        self.take(py, |receiver| receiver.announce(announcement, now, at))
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
        let (now, at) = (Timestamp::now(), Instant::now());
        self.take(py, |receiver| receiver.fragment(&fragment, now, at))
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
        // Its lease runs from its arrival, however long it waits here.
        let at = Instant::now();
        py.detach(|| self.change(|receiver| receiver.status(&status, at)))
    }

    #[getter]
    fn state(&self) -> PyResult<&'static str> {
        Ok(lock(&self.snapshot)?.state(Instant::now()).name())
    }

    #[getter]
    fn active(&self) -> PyResult<Option<Policy>> {
        let snapshot = lock(&self.snapshot)?;
        Ok(snapshot.active(Instant::now()).cloned().map(Policy))
    }

    #[getter]
    fn policy(&self) -> PyResult<Option<Policy>> {
        Ok(lock(&self.snapshot)?.policy().cloned().map(Policy))
    }

    #[getter]
    fn receiving(&self, py: Python<'_>) -> PyResult<Option<(Cow<'static, [u8]>, u64)>> {
        let receiving = py.detach(|| PyResult::Ok(lock(&self.receiver)?.receiving()))?;
        Ok(receiving.map(|(session, epoch)| (Cow::Owned(session.to_vec()), epoch)))
    }

    #[getter]
    fn missing(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        py.detach(|| Ok(lock(&self.receiver)?.missing().collect()))
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
        py.detach(|| self.change(message))?
            .map(|policy| policy.map(Policy))
            .map_err(|error| receiver_error(py, &error))
    }

    fn change<T>(
        &self,
        message: impl FnOnce(&mut tensorgate_client::Receiver) -> T,
    ) -> PyResult<T> {
        let mut receiver = lock(&self.receiver)?;
        let result = message(&mut receiver);
        let snapshot = receiver.snapshot();
        let old = std::mem::replace(&mut *lock(&self.snapshot)?, snapshot);
        // Outside the lock: with its last holder, a policy's memory is unmapped.
        drop(old);
        Ok(result)
    }
}

impl History for Recorded {
    fn last_accepted(&self, _: RepoType, _: &RepoId) -> io::Result<Option<Accepted>> {
        Ok(Some(self.0))
    }

    /// Whoever gives it has it from a memory of their own.
    fn is_ready(&self) -> io::Result<bool> {
        Ok(true)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> PyResult<MutexGuard<'_, T>> {
    let poisoned = |_| PyRuntimeError::new_err("an earlier call panicked");
    mutex.lock().map_err(poisoned)
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
