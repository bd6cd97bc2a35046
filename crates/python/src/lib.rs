//! The Python module `tensorgate_client`: a controller's side of the gate, beside rclpy.
//!
//! A thin binding of the crate `tensorgate-client`, whose documentation has the rules. What the
//! module offers is described in `tensorgate_client.pyi`.
#![forbid(unsafe_code)]

mod policy;
mod receiver;

use pyo3::prelude::*;

/// A controller's side of the gate: see tensorgate_client.pyi.
#[pymodule(name = "tensorgate_client")]
mod module {
    #[pymodule_export]
    use super::policy::Policy;
    #[pymodule_export]
    use super::receiver::{Receiver, Rejected};
}
