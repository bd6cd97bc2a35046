use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::error::Error;

/// One way in which the hub departs from what it should answer.
///
/// `path` is a file's path in its repository, in whichever repository it is.
/// Faults of a body show in `GET` answers of the port that serves it: the
/// CDN for LFS files, the hub for plain ones.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Byte `at` of the file is another; size and headers are as they should be.
    ByteFlipped {
        /// The file.
        path: String,
        /// Offset in the file.
        at: u64,
    },
    /// The TCP connection closes when no more than `after` bytes of the body
    /// were sent, fewer than `Content-Length` says.
    ConnectionCut {
        /// The file.
        path: String,
        /// Bytes of this answer's body, not an offset in the file.
        after: u64,
    },
    /// The body stops after `after` bytes and goes on once the faults are
    /// [cleared](crate::TestHub::clear_faults).
    BodyHeld {
        /// The file.
        path: String,
        /// Bytes of this answer's body, not an offset in the file.
        after: u64,
    },
    /// The body stops after `after` bytes; the connection stays open.
    BodyStalled {
        /// The file.
        path: String,
        /// Bytes of this answer's body, not an offset in the file.
        after: u64,
    },
    /// Each connection brings the body no faster than this. Parallel ranges are faster together.
    Throttled {
        /// The file.
        path: String,
        /// How fast that is; at least 1.
        bytes_per_second: u64,
    },
    /// Parts of the file (206) are said to be this part.
    ContentRange {
        /// The file.
        path: String,
        /// The header, for instance `bytes 0-9/10`; none if it is empty.
        value: String,
    },
    /// `Range` is ignored: 200 and the whole file.
    RangeIgnored {
        /// The file.
        path: String,
    },
    /// `bytes` zero bytes follow the file; `Content-Length` counts them.
    /// `u64::MAX / 2` is a body without end.
    SurplusBytes {
        /// The file.
        path: String,
        /// How many.
        bytes: u64,
    },
    /// The body ends after `bytes` bytes, as `Content-Length` says.
    BodyShort {
        /// The file.
        path: String,
        /// How many there are.
        bytes: u64,
    },
    /// The resolver sends clients of the file to this URL.
    Redirect {
        /// The file.
        path: String,
        /// For instance on another host, without TLS, or the same again.
        url: String,
    },
    /// Both ports name a xet hash for the file (`X-Xet-Hash`), as the Hub's resolver does for what
    /// it stores as xet, and so do listings (`xetHash`). There is no xet behind it.
    XetHash {
        /// The file.
        path: String,
    },
    /// Answers of `place` have this header, too, beside one of its name that is there.
    Header {
        /// Which requests.
        place: Place,
        /// For instance `ETag`.
        name: String,
        /// Any bytes but control characters; a value that cannot be sent is left out.
        value: String,
    },
    /// Requests to `place` get this status, an error page and nothing else.
    Status {
        /// Which requests.
        place: Place,
        /// For instance 500 or 503.
        status: u16,
    },
    /// Requests to `place` get 429.
    TooManyRequests {
        /// Which requests.
        place: Place,
        /// Seconds, as `Retry-After` and in `RateLimit`.
        retry_after: u64,
    },
    /// The recursive listing of the root has one more file, with this path.
    ListedPath {
        /// For instance `../x`.
        path: String,
    },
    /// Listings leave this file or directory out.
    ListedWithout {
        /// The file or directory.
        path: String,
    },
    /// Listings give the file another size.
    ListedSize {
        /// The file.
        path: String,
        /// What they say.
        size: u64,
    },
    /// Listings give the file another git id.
    ListedOid {
        /// The file.
        path: String,
        /// What they say.
        oid: String,
    },
    /// Listings give the LFS file another sha256.
    ListedSha256 {
        /// The file.
        path: String,
        /// What they say.
        sha256: String,
    },
    /// Each listing page names this as the next page.
    NextLink {
        /// For instance a URL on another host.
        url: String,
    },
    /// Files are said to be of another commit (`X-Repo-Commit`).
    RepoCommit {
        /// What the header says.
        commit: String,
    },
}

impl Fault {
    /// The file that it is about, and the byte of it that it is about.
    pub(crate) fn spot(&self) -> Option<(&str, u64)> {
        match self {
            Self::ByteFlipped { path, at } => Some((path, *at)),
            Self::BodyHeld { path, after }
            | Self::BodyStalled { path, after }
            | Self::ConnectionCut { path, after } => Some((path, after.saturating_sub(1))),
            Self::BodyShort { path, .. }
            | Self::ContentRange { path, .. }
            | Self::ListedOid { path, .. }
            | Self::ListedSha256 { path, .. }
            | Self::ListedSize { path, .. }
            | Self::RangeIgnored { path }
            | Self::Redirect { path, .. }
            | Self::SurplusBytes { path, .. }
            | Self::Throttled { path, .. }
            | Self::XetHash { path } => Some((path, 0)),
            Self::Header { .. }
            | Self::ListedPath { .. }
            | Self::ListedWithout { .. }
            | Self::NextLink { .. }
            | Self::RepoCommit { .. }
            | Self::Status { .. }
            | Self::TooManyRequests { .. } => None,
        }
    }
}

impl FromStr for Fault {
    type Err = Error;

    /// `flip:PATH[@N]`, `cut:PATH[@N]`, `stall:PATH[@N]`, `surplus:PATH[@N]`; N is 1 unless given.
    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::Fault(text.to_owned());
        let (kind, rest) = text.split_once(':').ok_or_else(unknown)?;
        let (path, n) = match rest.rsplit_once('@') {
            Some((path, n)) => (path, n.parse().map_err(|_| unknown())?),
            None => (rest, 1),
        };
        let path = path.to_owned();
        Ok(match kind {
            "flip" => Self::ByteFlipped { path, at: n },
            "cut" => Self::ConnectionCut { path, after: n },
            "stall" => Self::BodyStalled { path, after: n },
            "surplus" => Self::SurplusBytes { path, bytes: n },
            _ => return Err(unknown()),
        })
    }
}

/// A class of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// `/api/...` except listings.
    Api,
    /// `/api/.../tree/...`.
    Tree,
    /// `/OWNER/NAME/resolve/...`.
    Resolve,
    /// Anything on the CDN's port.
    Cdn,
}

/// The faults in force, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    in_force: Mutex<Vec<(Fault, Lasts)>>,
    cleared: watch::Sender<()>,
}

/// When the faults are cleared the next time.
#[derive(Clone, Debug)]
pub(crate) struct Cleared(watch::Receiver<()>);

impl Cleared {
    pub(crate) async fn next(&mut self) {
        // A hub that has ended has no faults.
        self.0.changed().await.ok();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasts {
    Once,
    UntilCleared,
}

impl Faults {
    pub(crate) fn add(&self, fault: Fault, lasts: Lasts) {
        self.lock().push((fault, lasts));
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
        self.cleared.send_modify(|()| {});
    }

    /// From now on; asked for before a fault is found, it is that fault's end.
    pub(crate) fn cleared(&self) -> Cleared {
        Cleared(self.cleared.subscribe())
    }

    /// What `pick` makes of the oldest fault that it wants; a single fault is spent by that.
    pub(crate) fn find<T>(&self, pick: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        let mut faults = self.lock();
        let mut picked = faults.iter().enumerate();
        let (index, lasts, found) =
            picked.find_map(|(i, (fault, lasts))| Some((i, *lasts, pick(fault)?)))?;
        if lasts == Lasts::Once {
            faults.remove(index);
        }
        Some(found)
    }

    /// What `pick` makes of every fault that it wants; none is spent.
    pub(crate) fn all<T>(&self, pick: impl Fn(&Fault) -> Option<T>) -> Vec<T> {
        let faults = self.lock();
        faults.iter().filter_map(|(fault, _)| pick(fault)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Fault, Lasts)>> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
