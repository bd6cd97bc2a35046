//! tensorgate-store
