//! tensorgate-hub
