//! A signed policy of any size, and the ways to open its weights that are compared.
#![warn(missing_docs)]

mod handed;
mod signed;
mod ways;

pub use handed::Gate;
pub use safetensors::Dtype;
pub use signed::{FIRST, Signed};
pub use ways::WAYS;

/// Whatever goes wrong ends the measurement.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
