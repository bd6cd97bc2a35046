//! The receiver: messages in, a policy out.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::MutexExt;
use rustix::fs::CWD;
use tensorgate_client::{Announcement, Expectations, Fragment, Session, Snapshot, Status};
use tensorgate_handoff::Peers;
use tensorgate_store::State;
use tensorgate_verify::{Limits, TrustPolicy, Verified};

use crate::errors::{handoff_error, parse, poisoned, receiver_error, trust_error};
use crate::policy::Policy;

/// Receives a policy from a gate, verifies it, and says whether it may be acted on.
#[pyclass(frozen, module = "tensorgate_client")]
#[derive(Debug)]
pub(crate) struct Receiver {
    receiver: Mutex<tensorgate_client::Receiver>,
    limits: Limits,
    /// As of the last message: a control loop does not wait for one that is being verified.
    snapshot: Mutex<Snapshot>,
    /// One object for one policy, so that its arrays are mapped once.
    object: Mutex<Option<Py<Policy>>>,
}

/// A policy that arrived in full, and is not proven yet.
#[pyclass(frozen, module = "tensorgate_client")]
#[derive(Debug)]
pub(crate) struct Candidate(Mutex<Option<tensorgate_client::Candidate>>);

/// A batch of fragments to ask the gate for.
#[pyclass(frozen, module = "tensorgate_client")]
#[derive(Debug)]
pub(crate) struct Pull(tensorgate_client::Pull);

type Arrived = Option<Arc<Verified<tensorgate_verify::Policy>>>;
type Complete = Option<tensorgate_client::Candidate>;

#[pymethods]
impl Receiver {
    #[new]
    #[pyo3(signature = (trust, *, repo=None, revision=None, state=None, max_bytes=tensorgate_client::DEFAULT_MAX_BYTES))]
    fn new(
        trust: PathBuf,
        repo: Option<&str>,
        revision: Option<&str>,
        state: Option<PathBuf>,
        max_bytes: u64,
    ) -> PyResult<Self> {
        let policy = TrustPolicy::open(CWD, &trust)
            .map_err(|error| trust_error(&trust.to_string_lossy(), &error))?;
        let expectations = Expectations {
            repo: repo.map(parse).transpose()?,
            revision: revision.map(parse).transpose()?,
        };
        let limits = policy.limits().clone();
        let mut receiver =
            tensorgate_client::Receiver::new(policy, expectations).with_max_bytes(max_bytes);
        if let Some(state) = state {
            let state =
                State::open(state).map_err(|error| PyOSError::new_err(error.to_string()))?;
            receiver = receiver.with_memory(Box::new(state));
        }
        Ok(Self {
            receiver: Mutex::new(receiver),
            limits,
            snapshot: Mutex::default(),
            object: Mutex::default(),
        })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the fields of the message, by name"
    )]
    #[pyo3(signature = (session, epoch, envelope, files, fragment_size, fragment_count, fragment_digests, delivery=0))]
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
        delivery: u8,
    ) -> PyResult<Option<Py<Policy>>> {
        let candidate = self.begin(
            py,
            session,
            epoch,
            envelope,
            files,
            fragment_size,
            fragment_count,
            fragment_digests,
            delivery,
        )?;
        self.settle_at_once(py, candidate)
    }

    fn fragment(
        &self,
        py: Python<'_>,
        session: Session,
        epoch: u64,
        index: u32,
        data: &[u8],
    ) -> PyResult<Option<Py<Policy>>> {
        let candidate = self.accept(py, session, epoch, index, data)?;
        self.settle_at_once(py, candidate)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the fields of the message, by name"
    )]
    #[pyo3(signature = (session, epoch, envelope, files, fragment_size, fragment_count, fragment_digests, delivery=0))]
    fn begin(
        &self,
        py: Python<'_>,
        session: Session,
        epoch: u64,
        envelope: PyBackedBytes,
        files: Vec<(String, PyBackedBytes)>,
        fragment_size: u32,
        fragment_count: u32,
        fragment_digests: PyBackedBytes,
        delivery: u8,
    ) -> PyResult<Option<Candidate>> {
        let files = files.into_iter();
        let announcement = Announcement {
            session,
            epoch,
            envelope: envelope.to_vec(),
            files: files.map(|(path, data)| (path, data.to_vec())).collect(),
            fragment_size,
            fragment_count,
            delivery,
            fragment_digests: fragment_digests.to_vec(),
        };
        let (now, at) = (Timestamp::now(), Instant::now());
        self.take(py, |receiver| receiver.begin(announcement, now, at))
    }

    fn accept(
        &self,
        py: Python<'_>,
        session: Session,
        epoch: u64,
        index: u32,
        data: &[u8],
    ) -> PyResult<Option<Candidate>> {
        let fragment = Fragment {
            session,
            epoch,
            index,
            data,
        };
        let at = Instant::now();
        self.take(py, |receiver| receiver.accept(&fragment, at))
    }

    #[pyo3(signature = (path, timeout=2.0))]
    fn take_over(
        &self,
        py: Python<'_>,
        path: PathBuf,
        timeout: f64,
    ) -> PyResult<Option<Candidate>> {
        let patience = Duration::try_from_secs_f64(timeout)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let receive =
            || tensorgate_handoff::receive(&path, &Peers::default(), &self.limits, patience);
        let handed = py.detach(receive).map_err(|error| handoff_error(&error))?;
        let now = Timestamp::now();
        self.take(py, |receiver| receiver.take_over(handed, now))
    }

    fn settle(&self, py: Python<'_>, candidate: &Candidate) -> PyResult<Option<Py<Policy>>> {
        let candidate = candidate
            .0
            .lock_py_attached(py)
            .map_err(|_| poisoned())?
            .take();
        let candidate = candidate.ok_or_else(|| PyValueError::new_err("it is settled already"))?;
        let settle = || {
            // Heartbeats are taken meanwhile: nothing is locked.
            let proven = candidate.prove();
            let (now, at) = (Timestamp::now(), Instant::now());
            self.change(|receiver| receiver.settle(proven, now, at))
        };
        let arrived: Arrived = py
            .detach(settle)?
            .map_err(|error| receiver_error(py, &error))?;
        arrived.map(|policy| self.object(py, policy)).transpose()
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

    fn pull(&self, py: Python<'_>) -> PyResult<Option<Pull>> {
        let at = Instant::now();
        let pull = py.detach(|| self.change(|receiver| receiver.pull(at)))?;
        let pull = pull.map_err(|error| receiver_error(py, &error))?;
        Ok(pull.map(Pull))
    }

    fn pulled(&self, py: Python<'_>, pull: &Pull) -> PyResult<()> {
        let at = Instant::now();
        py.detach(|| self.change(|receiver| receiver.pulled(&pull.0, at)))
    }

    #[getter]
    fn state(&self) -> PyResult<&'static str> {
        Ok(lock(&self.snapshot)?.state(Instant::now()).name())
    }

    #[getter]
    fn active(&self, py: Python<'_>) -> PyResult<Option<Py<Policy>>> {
        let active = lock(&self.snapshot)?.active(Instant::now()).cloned();
        active.map(|policy| self.object(py, policy)).transpose()
    }

    #[getter]
    fn policy(&self, py: Python<'_>) -> PyResult<Option<Py<Policy>>> {
        let policy = lock(&self.snapshot)?.policy().cloned();
        policy.map(|policy| self.object(py, policy)).transpose()
    }

    fn look(&self, py: Python<'_>) -> PyResult<(&'static str, Option<Py<Policy>>)> {
        let snapshot = lock(&self.snapshot)?.clone();
        let policy = snapshot.policy().cloned();
        let policy = policy.map(|policy| self.object(py, policy)).transpose()?;
        Ok((snapshot.state(Instant::now()).name(), policy))
    }

    #[getter]
    fn receiving(&self, py: Python<'_>) -> PyResult<Option<(Cow<'static, [u8]>, u64)>> {
        let receiving = self.ask(py, |receiver| receiver.receiving())?;
        Ok(receiving.map(|(session, epoch)| (Cow::Owned(session.to_vec()), epoch)))
    }

    #[getter]
    fn missing(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        self.ask(py, |receiver| receiver.missing().collect())
    }

    fn knows(&self, py: Python<'_>, session: Session, epoch: u64) -> PyResult<bool> {
        self.ask(py, |receiver| receiver.knows(session, epoch))
    }

    #[getter]
    fn refusals(&self, py: Python<'_>) -> PyResult<(u64, Option<&'static str>)> {
        let refusals = self.ask(py, |receiver| receiver.refusals())?;
        Ok((refusals.count, refusals.last.map(|last| last.code())))
    }
}

#[pymethods]
impl Pull {
    #[getter]
    const fn session(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0.session)
    }

    #[getter]
    const fn epoch(&self) -> u64 {
        self.0.epoch
    }

    #[getter]
    const fn first(&self) -> u32 {
        self.0.first
    }

    #[getter]
    const fn count(&self) -> u32 {
        self.0.count
    }
}

impl Receiver {
    /// Verifies without holding up other Python threads.
    fn take(
        &self,
        py: Python<'_>,
        message: impl FnOnce(&mut tensorgate_client::Receiver) -> tensorgate_client::Result<Complete>
        + Send,
    ) -> PyResult<Option<Candidate>> {
        let complete = py.detach(|| self.change(message))?;
        let complete = complete.map_err(|error| receiver_error(py, &error))?;
        Ok(complete.map(|candidate| Candidate(Mutex::new(Some(candidate)))))
    }

    fn settle_at_once(
        &self,
        py: Python<'_>,
        candidate: Option<Candidate>,
    ) -> PyResult<Option<Py<Policy>>> {
        candidate.map_or(Ok(None), |candidate| self.settle(py, &candidate))
    }

    fn ask<T: Send>(
        &self,
        py: Python<'_>,
        question: impl FnOnce(&tensorgate_client::Receiver) -> T + Send,
    ) -> PyResult<T> {
        py.detach(|| Ok(question(&*lock(&self.receiver)?)))
    }

    fn change<T>(
        &self,
        message: impl FnOnce(&mut tensorgate_client::Receiver) -> T,
    ) -> PyResult<T> {
        let mut receiver = lock(&self.receiver)?;
        let result = message(&mut receiver);
        let snapshot = receiver.snapshot();
        let old = std::mem::replace(&mut *lock(&self.snapshot)?, snapshot);
        drop(receiver);
        // Outside of both locks: with its last holder, a policy's memory is unmapped.
        drop(old);
        Ok(result)
    }

    fn object(
        &self,
        py: Python<'_>,
        policy: Arc<Verified<tensorgate_verify::Policy>>,
    ) -> PyResult<Py<Policy>> {
        let mut object = self.object.lock_py_attached(py).map_err(|_| poisoned())?;
        if let Some(known) = &*object
            && Arc::ptr_eq(&known.get().policy, &policy)
        {
            return Ok(known.clone_ref(py));
        }
        let new = Py::new(py, Policy::new(policy))?;
        let old = object.replace(new.clone_ref(py));
        drop(object);
        drop(old);
        Ok(new)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> PyResult<MutexGuard<'_, T>> {
    mutex.lock().map_err(|_| poisoned())
}
