//! Whether weights can be held: leases, memory for copies, file descriptors, and the hand-off's place.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::process::{Resource, geteuid, getrlimit};

use super::check::Check;
use crate::text::thousands;

/// The kernel's default (proc(5)), in which 4 GiB are moved without haste.
const BREAK_TIME: u64 = 45;
/// Less is not enough for a policy of many files beside a node's sockets.
const FEW_FILES: u64 = 256;

/// What the kernel says.
pub(super) struct Facts {
    leases: Option<u64>,
    break_time: Option<u64>,
    available: Option<u64>,
    shmem: Option<String>,
    files: Option<u64>,
    /// Bytes of the largest object in the store.
    largest: Option<u64>,
}

impl Facts {
    pub(super) fn of_machine(largest: Option<u64>) -> Self {
        let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse().ok();
        let text = |path: &str| fs::read_to_string(path).ok();
        Self {
            leases: number("/proc/sys/fs/leases-enable"),
            break_time: number("/proc/sys/fs/lease-break-time"),
            available: text("/proc/meminfo").and_then(|text| available(&text)),
            shmem: text("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
                .and_then(|text| chosen(&text)),
            files: getrlimit(Resource::Nofile).current,
            largest,
        }
    }
}

/// Bytes, of a text as /proc/meminfo.
fn available(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The word in brackets.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    vec![break_time(facts), room(facts), pages(facts), files(facts)]
}

fn break_time(facts: &Facts) -> Check {
    const NAME: &str = "lease-time";
    match (facts.leases, facts.break_time) {
        (Some(0), _) => Check::warn(NAME, "the kernel gives no leases: weights are copied")
            .hint("sysctl fs.leases-enable=1"),
        (_, Some(seconds)) if seconds < BREAK_TIME => {
            let seen = format!("a writer waits {seconds} s at the most: large weights are copied");
            Check::warn(NAME, seen).hint(format!("sysctl fs.lease-break-time={BREAK_TIME}"))
        }
        (_, Some(seconds)) => Check::ok(NAME, format!("a writer waits {seconds} s at the most")),
        (_, None) => Check::skipped(NAME, "the kernel does not say how long a writer waits"),
    }
}

fn room(facts: &Facts) -> Check {
    const NAME: &str = "memory";
    let Some(available) = facts.available else {
        return Check::skipped(NAME, "the kernel does not say how much is available");
    };
    let seen = format!("{} bytes are available", thousands(available));
    match facts.largest {
        Some(largest) if available < largest => {
            let seen = format!(
                "{seen}, and the largest file of the store has {}",
                thousands(largest)
            );
            Check::warn(NAME, seen).hint(
                "where it cannot be guarded, or a controller asks for it, it is copied: make room",
            )
        }
        _ => Check::ok(NAME, seen),
    }
}

fn pages(facts: &Facts) -> Check {
    const NAME: &str = "memory-pages";
    match facts.shmem.as_deref() {
        Some(word @ ("always" | "within_size")) => Check::ok(NAME, format!("huge for copies: {word}")),
        Some(word) => Check::ok(NAME, format!("small for copies: {word}"))
            .hint("copies of 1 GB are 5 times faster with huge ones: echo within_size > /sys/kernel/mm/transparent_hugepage/shmem_enabled"),
        None => Check::skipped(NAME, "the kernel has no huge ones for copies"),
    }
}

fn files(facts: &Facts) -> Check {
    const NAME: &str = "open-files";
    match facts.files {
        Some(most) if most < FEW_FILES => {
            let seen =
                format!("a process may have {most} open: a policy of many files takes one each");
            Check::warn(NAME, seen).hint("ulimit -n 1024, or LimitNOFILE= in the unit")
        }
        Some(most) => Check::ok(NAME, format!("a process may have {} open", thousands(most))),
        None => Check::ok(NAME, "a process may have any number open"),
    }
}

/// The directory of the socket through which a node hands weights to this user's controllers.
pub(super) fn handoff() -> Check {
    const NAME: &str = "hand-off";
    let Some(place) = tensorgate_handoff::well_known("/tensorgate") else {
        return Check::warn(NAME, "no runtime directory: XDG_RUNTIME_DIR is not set").hint(
            "log in as the user of the node, or set it; without a hand-off weights go over topics",
        );
    };
    let directory = place.parent().unwrap_or(&place);
    judge_place(NAME, directory, geteuid().as_raw())
}

fn judge_place(name: &'static str, directory: &Path, user: u32) -> Check {
    match directory.symlink_metadata() {
        Err(_) => Check::ok(name, format!("{directory:?} is made when a node starts")),
        Ok(stat) if !stat.is_dir() => {
            Check::fail(name, format!("{directory:?} is no directory")).hint("move it away")
        }
        Ok(stat) if ![0, user].contains(&stat.uid()) || stat.permissions().mode() & 0o022 != 0 => {
            Check::fail(name, format!("others may write to {directory:?}"))
                .hint("the node refuses to hand off there: make it yours, then `chmod go-w`")
        }
        Ok(_) => Check::ok(name, format!("{directory:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Status;

    fn good() -> Facts {
        Facts {
            leases: Some(1),
            break_time: Some(45),
            available: Some(8 << 30),
            shmem: Some("within_size".to_owned()),
            files: Some(1024),
            largest: Some(1 << 30),
        }
    }

    fn statuses(facts: &Facts) -> Vec<Status> {
        checks(facts).iter().map(|check| check.status).collect()
    }

    #[test]
    fn each_number_has_its_line() {
        use Status::{Ok, Skipped, Warn};
        assert_eq!(statuses(&good()), [Ok, Ok, Ok, Ok]);
        let huge = "copies of 1 GB are 5 times faster with huge ones: echo within_size > /sys/kernel/mm/transparent_hugepage/shmem_enabled";
        let room =
            "where it cannot be guarded, or a controller asks for it, it is copied: make room";
        let cases: [(usize, &dyn Fn(&mut Facts), Status, &str); 8] = [
            (
                0,
                &|facts| facts.leases = Some(0),
                Warn,
                "sysctl fs.leases-enable=1",
            ),
            (
                0,
                &|facts| facts.break_time = Some(1),
                Warn,
                "sysctl fs.lease-break-time=45",
            ),
            (0, &|facts| facts.break_time = None, Skipped, ""),
            (1, &|facts| facts.available = Some(1), Warn, room),
            (1, &|facts| facts.available = None, Skipped, ""),
            (2, &|facts| facts.shmem = Some("never".to_owned()), Ok, huge),
            (2, &|facts| facts.shmem = None, Skipped, ""),
            (
                3,
                &|facts| facts.files = Some(64),
                Warn,
                "ulimit -n 1024, or LimitNOFILE= in the unit",
            ),
        ];
        for (at, spoil, status, hint) in cases {
            let mut facts = good();
            spoil(&mut facts);
            let check = &checks(&facts)[at];
            let told = (check.status, check.hint.as_deref().unwrap_or_default());
            assert_eq!(told, (status, hint));
            let mut others = statuses(&facts);
            others.remove(at);
            assert_eq!(others, [Ok, Ok, Ok]);
        }
    }

    #[test]
    fn the_kernels_words_are_read() {
        assert_eq!(
            available("MemTotal: 9 kB\nMemAvailable:   3 kB\n"),
            Some(3072)
        );
        assert_eq!(available("MemAvailable: x kB"), None);
        assert_eq!(chosen("always [never] advise").as_deref(), Some("never"));
        assert_eq!(chosen("never"), None);
    }

    #[test]
    fn a_place_that_others_may_write_to_is_none() {
        let run = tempfile::tempdir().unwrap();
        let user = geteuid().as_raw();
        let status = |path: &Path, user| judge_place("hand-off", path, user).status;
        let place = run.path().join("tensorgate");
        assert_eq!(status(&place, user), Status::Ok);
        fs::write(&place, "").unwrap();
        assert_eq!(status(&place, user), Status::Fail);
        fs::remove_file(&place).unwrap();
        fs::create_dir(&place).unwrap();
        let hint = "the node refuses to hand off there: make it yours, then `chmod go-w`";
        for (mode, expected) in [
            (0o700, Status::Ok),
            (0o711, Status::Ok),
            (0o777, Status::Fail),
        ] {
            fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(status(&place, user), expected, "{mode:o}");
            let told = judge_place("hand-off", &place, user).hint;
            let refused = (expected == Status::Fail).then_some(hint);
            assert_eq!(told.as_deref(), refused);
        }
    }
}
