//! OMS bundles, honest and hostile.
#![cfg(test)] // so that clippy takes the helpers for tests, too
#![expect(
    clippy::disallowed_methods,
    reason = "tests make files, and openssl dates certificates by the clock"
)]

mod bundle;
mod certificate;
mod directory;
mod properties;
mod reference;
mod statement;
mod support;
