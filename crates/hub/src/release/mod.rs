//! From a signed manifest to a policy that counts.

pub(crate) mod channel;
pub(crate) mod gate;
pub(crate) mod watch;
