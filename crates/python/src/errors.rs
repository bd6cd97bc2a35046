//! What Python is told: refused, or could not be checked.

use std::fmt::Display;
use std::str::FromStr;

use pyo3::create_exception;
use pyo3::exceptions::{
    PyBlockingIOError, PyOSError, PyRuntimeError, PyTimeoutError, PyValueError,
};
use pyo3::prelude::*;
use tensorgate_client::Error;
use tensorgate_handoff::{HandoffError, Refusal};
use tensorgate_verify::TrustPolicyError;

create_exception!(
    tensorgate_client,
    Rejected,
    PyValueError,
    "Checked and refused: code, subject and detail say why."
);

pub(crate) fn parse<T: FromStr<Err: Display>>(text: &str) -> PyResult<T> {
    text.parse()
        .map_err(|error: T::Err| PyValueError::new_err(error.to_string()))
}

pub(crate) fn trust_error(path: &str, error: &TrustPolicyError) -> PyErr {
    let message = format!("trust policy {path:?}: {error}");
    match error {
        TrustPolicyError::File(_) | TrustPolicyError::KeyFile { .. } => PyOSError::new_err(message),
        _ => PyValueError::new_err(message),
    }
}

/// `Rejected`, `TimeoutError` where it did not arrive, or `OSError` where it could not be checked.
pub(crate) fn receiver_error(py: Python<'_>, error: &Error) -> PyErr {
    let Some(rejection) = error.rejection() else {
        return match error {
            Error::Overdue { .. } => PyTimeoutError::new_err(error.to_string()),
            _ => PyOSError::new_err(error.to_string()),
        };
    };
    let rejected = Rejected::new_err(error.to_string());
    let value = rejected.value(py);
    let attributes = value
        .setattr("code", rejection.code())
        .and_then(|()| value.setattr("subject", error.subject()))
        .and_then(|()| value.setattr("detail", error.detail()));
    attributes.err().unwrap_or(rejected)
}

/// `BlockingIOError` where nothing is offered yet, else `OSError`.
pub(crate) fn handoff_error(error: &HandoffError) -> PyErr {
    match error {
        HandoffError::Refused(Refusal::NothingOffered) => {
            PyBlockingIOError::new_err(error.to_string())
        }
        _ => PyOSError::new_err(error.to_string()),
    }
}

pub(crate) fn poisoned() -> PyErr {
    PyRuntimeError::new_err("an earlier call panicked")
}
