//! Who is at the other end.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::str::FromStr;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::process::geteuid;

use crate::HandoffError;

/// The users whom this end of a hand-off talks to: by default, this process's own and root.
///
/// The kernel says who the other end is (`SO_PEERCRED`, unix(7)); nothing that it sends does. In a
/// user namespace it gives all who have no number there the same one, usually 65534: that one is
/// nobody's there, and never admitted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peers(BTreeSet<u32>);

impl Peers {
    /// These users, and nobody else: not even this process's own, nor root.
    pub fn of(uids: impl IntoIterator<Item = u32>) -> Self {
        Self(uids.into_iter().collect())
    }

    /// Whether `uid` is one of them.
    pub fn contains(&self, uid: u32) -> bool {
        self.0.contains(&uid)
    }

    /// Whether somebody is among them whom the mode 0600 keeps out.
    pub(crate) fn has_others(&self) -> bool {
        let own_and_root = Self::default();
        !self.0.is_subset(&own_and_root.0)
    }

    /// The user at the other end of `socket`.
    ///
    /// # Errors
    /// It is none of these.
    pub(crate) fn admit(&self, socket: impl AsFd) -> Result<u32, HandoffError> {
        let peer = getsockopt(&socket, PeerCredentials)
            .map_err(|error| HandoffError::io("SO_PEERCRED", error))?;
        let uid = peer.uid();
        match self.contains(uid) && !stands_for_anybody(uid) {
            true => Ok(uid),
            false => Err(HandoffError::Peer { uid }),
        }
    }
}

/// Whether this is the number of all who have none in this user namespace ("overflow user ID" in
/// user_namespaces(7)). In the initial one, everybody has one.
pub(crate) fn stands_for_anybody(uid: u32) -> bool {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let overflow = read("/proc/sys/kernel/overflowuid").trim().parse();
    let everybody = ["0", "0", "4294967295"];
    uid == overflow.unwrap_or(65_534)
        && !read("/proc/self/uid_map").split_whitespace().eq(everybody)
}

impl Default for Peers {
    fn default() -> Self {
        Self::of([0, geteuid().as_raw()])
    }
}

/// Numbers of users, separated by commas; empty text stands for the default.
impl FromStr for Peers {
    type Err = NotPeers;

    fn from_str(text: &str) -> Result<Self, NotPeers> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let uid = |part: &str| part.trim().parse().map_err(|_| NotPeers(part.to_owned()));
        text.split(',').map(uid).collect::<Result<_, _>>().map(Self)
    }
}

/// Text that names no users.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no user's number; give numbers separated by commas, such as 0,1000")]
pub struct NotPeers(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers() {
        assert_eq!("".parse(), Ok(Peers::default()));
        assert_eq!("0, 1000".parse(), Ok(Peers::of([0, 1000])));
        for wrong in ["robot", "-1", "1;2", "1,", "4294967296"] {
            assert!(wrong.parse::<Peers>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn whoever_is_named_is_all_there_is() {
        let only = Peers::of([4242]);
        assert!(only.contains(4242) && !only.contains(0));
        assert!(only.has_others() && !Peers::default().has_others());
    }
}
