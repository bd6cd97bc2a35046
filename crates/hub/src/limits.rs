//! What is taken from a server, and for how long.

use std::time::Duration;

/// How long to wait for, and how much to take from, somebody who is not trusted.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FetchLimits {
    /// Time for a connection: 10 s, as `huggingface_hub` has it.
    pub connect: Duration,
    /// Time without a single byte: 30 s. Stops bodies that never end because they never go on.
    pub stall: Duration,
    /// Bytes per second below which a body is given up: 10 KiB.
    /// Stops bodies that trickle (slow retrieval).
    pub slowest: u64,
    /// Time over which that rate is taken: 60 s.
    pub window: Duration,
    /// Time that any request may take besides its file at the slowest rate: 60 s; an answer of the API
    /// has a page of a listing at the most, 250 kB. A file may take that and the waits between its
    /// attempts, however many connections are cut meanwhile.
    pub grace: Duration,
    /// Time for a whole listing, whatever its pages and retries: 5 min.
    pub listing: Duration,
    /// Time for all files besides their size at the slowest rate, whatever the retries: 1 h.
    pub files: Duration,
    /// Attempts after the first failed: 3. A file that went on at the slowest rate has them anew.
    pub retries: u32,
    /// Before the first retry: 500 ms; it doubles each time.
    pub retry_delay: Duration,
    /// The longest wait that is taken from a server's word: 60 s. Something is added, so that a fleet
    /// does not come back in step; what is longer is left to the caller.
    pub retry_after: Duration,
    /// Redirects of one request: 5. The Hub needs one or two.
    pub redirects: usize,
    /// Files at a time: 4.
    pub concurrent: usize,
    /// Slices of one file at a time, where a CDN gives slices: 4. A CDN that limits each connection
    /// then gives four times as much. One file at a time is split, so that memory stays bounded.
    pub slices: usize,
    /// Bytes of a slice: 2 MiB. Each is held until those before it are written.
    pub slice_bytes: u64,
    /// Bytes that must be missing of a file before it is split: 32 MiB, four times what is asked
    /// for at a time; less comes in seconds anyhow.
    pub split_from: u64,
    /// Bytes per second that are enough of one connection: 64 MiB. A file that begins faster is not
    /// split: that is a line of 500 Mbit/s used in full, or a mirror next door.
    pub enough: u64,
    /// Entries of a listing, directories included: 10,000, as many files as a manifest may have.
    pub entries: usize,
    /// Pages of a listing: 100. The Hub puts 1,000 entries on one.
    pub pages: usize,
    /// Bytes of a listing: 8 MiB, more than 800 for each of 10,000 entries; the Hub's have up to 400
    /// and the path.
    pub listing_bytes: u64,
    /// Bytes of a manifest, or of a list of revocations, that a channel has: 8 MiB, for 30,000
    /// tensors. Until its signatures are found good it is anybody's, and it is held several times over.
    pub manifest_bytes: u64,
    /// Bytes of a weights file: 64 GiB; the largest published policy has 14.5 GB.
    pub file_bytes: u64,
    /// Bytes of all files together: 64 GiB; the largest published policy has 14.5 GB.
    pub total_bytes: u64,
    /// Bytes of any other file but the manifest: 16 MiB, what the checks read.
    pub small_file_bytes: u64,
}

impl FetchLimits {
    /// How long `bytes` may take at the slowest rate.
    pub(crate) fn slowest_time(&self, bytes: u64) -> Duration {
        Duration::from_secs(bytes / self.slowest.max(1))
    }

    /// How much must come within `time`.
    pub(crate) fn slowest_bytes(&self, time: Duration) -> u64 {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.slowest.saturating_mul(millis) / 1000
    }

    /// How long a file of at most `bytes` may take in one attempt.
    pub(crate) fn time_of(&self, bytes: u64) -> Duration {
        self.grace.saturating_add(self.slowest_time(bytes))
    }

    /// How long a file of `bytes` may take, with all its attempts and the waits between them, each
    /// of which may be twice what a server asks for.
    pub(crate) fn time_of_file(&self, bytes: u64) -> Duration {
        let waits = self
            .retry_after
            .saturating_mul(self.retries.saturating_mul(2));
        self.time_of(bytes).saturating_add(waits)
    }
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            slowest: 10 << 10,
            window: Duration::from_secs(60),
            grace: Duration::from_secs(60),
            listing: Duration::from_secs(5 * 60),
            files: Duration::from_secs(60 * 60),
            retries: 3,
            retry_delay: Duration::from_millis(500),
            retry_after: Duration::from_secs(60),
            redirects: 5,
            concurrent: 4,
            slices: 4,
            slice_bytes: 2 << 20,
            split_from: 32 << 20,
            enough: 64 << 20,
            entries: 10_000,
            pages: 100,
            listing_bytes: 8 << 20,
            manifest_bytes: 8 << 20,
            file_bytes: 64 << 30,
            total_bytes: 64 << 30,
            small_file_bytes: 16 << 20,
        }
    }
}
