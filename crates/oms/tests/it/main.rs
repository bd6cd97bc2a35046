//! OMS bundles, honest and hostile.
#![cfg(test)] // so that clippy takes the helpers for tests, too

mod bundle;
mod certificate;
mod directory;
mod properties;
mod reference;
mod statement;
mod support;
