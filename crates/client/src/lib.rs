//! tensorgate-client
