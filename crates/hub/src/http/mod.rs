//! Requests and answers: one client, one rule for each of their parts.

pub(crate) mod addresses;
pub(crate) mod cause;
pub(crate) mod client;
pub(crate) mod deadline;
pub(crate) mod pause;
pub(crate) mod rate;
pub(crate) mod redirect;
pub(crate) mod refused;
pub(crate) mod retry;
pub(crate) mod transport;
pub(crate) mod vicinity;
