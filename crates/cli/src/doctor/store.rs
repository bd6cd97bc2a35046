//! Whether the store is there, private, large enough, and remembers what it should.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rustix::fs::{Access, FlockOperation, StatVfsMountFlags, access, flock, statvfs};
use rustix::io::Errno;
use tensorgate_store::{State, Store};
use tensorgate_verify::{Context, History, Limits, RepoId, RepoType, TrustPolicy};

use super::check::Check;
use crate::disk;
use crate::failure::Failure;
use crate::text::{count, thousands};

/// What every store has. [`Store::open`] makes what is missing, and nothing is to be made here.
const PARTS: [&str; 5] = [
    "quarantine",
    "objects",
    "policies",
    "state",
    "state/rollback",
];
const REVOCATIONS: &str = "state/revocations.dsse.json";
/// Locks that everybody waits for who writes.
const LOCKS: [&str; 2] = ["lock", "state/lock"];
/// One published policy in three has more.
const LITTLE: u64 = 2 << 30;
/// Time to have the next list signed, and brought to every robot.
const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What the other parts want to know of it.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) checks: Vec<Check>,
    pub(super) store: Option<Store>,
    pub(super) clock_floor: Option<Timestamp>,
    /// Bytes of its largest object.
    pub(super) largest: Option<u64>,
    pub(super) repositories: Vec<(RepoType, RepoId)>,
}

pub(super) fn look(named: Option<&Path>, policy: Option<&TrustPolicy>, now: Timestamp) -> Stored {
    let place = named.map_or_else(Store::default_location, |path| Ok(path.to_owned()));
    let store = place.map_err(|error| Check::failed("store", Failure::from(error)));
    let store = store.and_then(|place| match is_there(&place) {
        Ok(()) => open(place),
        Err(check) => Err(check),
    });
    let store = match store {
        Ok(store) => store,
        Err(check) => {
            let checks = vec![check];
            return Stored {
                checks,
                ..Stored::default()
            };
        }
    };
    let state = store.state();
    let checks = vec![
        private(store.path()),
        writable(store.path()),
        room(&store),
        memory(state),
        revocations(&store, policy, now),
        locks(store.path()),
    ];
    let accepted = state.accepted().unwrap_or_default().into_iter();
    Stored {
        checks,
        clock_floor: History::clock_floor(state).ok().flatten(),
        largest: largest(&store.path().join("objects")),
        repositories: accepted.map(|(kind, repo, _)| (kind, repo)).collect(),
        store: Some(store),
    }
}

/// A store, all of it.
fn is_there(place: &Path) -> Result<(), Check> {
    const NAME: &str = "store";
    let denied = |error| {
        let check = Check::failed(NAME, Failure::io("read", place, &error));
        check.hint("run as its owner, or name another: --store DIR")
    };
    let entries = match fs::read_dir(place) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Check::warn(NAME, format!("{place:?} is not there yet")).hint(MAKE));
        }
        other => other.map_err(denied)?,
    };
    if entries.count() == 0 {
        return Err(Check::warn(NAME, format!("{place:?} is empty")).hint(MAKE));
    }
    for part in PARTS {
        let path = place.join(part);
        if !path.try_exists().map_err(denied)? {
            let seen = format!("{place:?} is no whole store: it has no {part:?}");
            return Err(Check::fail(NAME, seen).hint(
                "name another: --store DIR; or have the missing part made: `tensorgate store init`",
            ));
        }
    }
    Ok(())
}

const MAKE: &str = "it is made when something is fetched, or by `tensorgate store init`";

fn open(place: PathBuf) -> Result<Store, Check> {
    Store::open(place).map_err(|error| Check::failed("store", error.into()))
}

/// Whoever opens a store has refused one that others may write to.
fn private(place: &Path) -> Check {
    const NAME: &str = "store";
    match place.metadata() {
        Ok(stat) => {
            let (mode, owner) = (stat.permissions().mode() & 0o7777, stat.uid());
            Check::ok(NAME, format!("{place:?}, of user {owner}, mode {mode:04o}"))
        }
        Err(error) => Check::failed(NAME, Failure::io("examine", place, &error)),
    }
}

fn writable(place: &Path) -> Check {
    const NAME: &str = "store-write";
    let read_only =
        statvfs(place).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY));
    if read_only {
        let seen = "it is on a read-only file system, where nothing is fetched or remembered";
        return Check::warn(NAME, seen).hint("keep the memory elsewhere: --state DIR");
    }
    match access(place, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Check::ok(NAME, "this user may write to it"),
        Err(_) => Check::fail(NAME, "this user may not write to it").hint("run as its owner"),
    }
}

fn room(store: &Store) -> Check {
    const NAME: &str = "store-room";
    let known = store.used().and_then(|used| Ok((used, store.quota()?)));
    let (used, quota) = match known {
        Ok(known) => known,
        Err(error) => return Check::failed(NAME, error.into()),
    };
    let free = statvfs(store.path()).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    let free = match free {
        Ok(free) => free,
        Err(error) => {
            return Check::failed(NAME, Failure::io("examine", store.path(), &error.into()));
        }
    };
    let allowed = match quota {
        Some(quota) => format!("of its quota of {}", thousands(quota)),
        None => "without a quota".to_owned(),
    };
    let seen = format!(
        "{} bytes used, {allowed}; the disk has {} free",
        thousands(used),
        thousands(free)
    );
    let left = quota.map_or(free, |quota| quota.saturating_sub(used).min(free));
    match left < LITTLE {
        true => Check::warn(NAME, seen)
            .hint("the next policy may not fit: `tensorgate store gc`, or more room"),
        false => Check::ok(NAME, seen),
    }
}

fn memory(state: &State) -> Check {
    const NAME: &str = "store-memory";
    let known = state
        .is_new()
        .and_then(|new| Ok((new, state.accepted()?, state.revoked()?)));
    match known {
        Ok((true, ..)) => Check::ok(NAME, "nothing was accepted here yet"),
        Ok((false, accepted, revoked)) => {
            let repositories = match accepted.len() {
                1 => "1 repository".to_owned(),
                n => format!("{} repositories", thousands(n as u64)),
            };
            let revoked = count(revoked.len(), "release");
            Check::ok(
                NAME,
                format!("releases of {repositories} accepted, {revoked} revoked here"),
            )
        }
        Err(error) => Check::failed(NAME, error.into()),
    }
}

fn revocations(store: &Store, policy: Option<&TrustPolicy>, now: Timestamp) -> Check {
    const NAME: &str = "store-revocations";
    let Some(policy) = policy else {
        return unproven(NAME, store, now);
    };
    let mut context = Context::new(now);
    context.history = Some(store.state());
    match store.state().revocations(policy, &context) {
        Ok(None) => Check::ok(NAME, "no signed list is kept here"),
        Ok(Some(list)) => until(NAME, list.sequence, list.expires, now, "verified"),
        Err(error) => Check::failed(NAME, error.into()),
    }
}

/// Without a trust policy, what the list says of itself.
fn unproven(name: &'static str, store: &Store, now: Timestamp) -> Check {
    let (path, limits) = (store.path().join(REVOCATIONS), Limits::default());
    let list = disk::list_at(&path, &limits).and_then(|signed| {
        let list = signed.map(|signed| signed.untrusted(&limits));
        Ok(list.transpose()?)
    });
    match list {
        Ok(None) => Check::ok(name, "no signed list is kept here"),
        Ok(Some(list)) => until(
            name,
            list.sequence,
            list.expires,
            now,
            "not proven without --trust",
        ),
        Err(failure) => Check::failed(name, failure),
    }
}

fn until(
    name: &'static str,
    sequence: u64,
    expires: Timestamp,
    now: Timestamp,
    how: &str,
) -> Check {
    let seen = format!("list {sequence}, {how}, counts until {expires}");
    let next = "sign the next one, `tensorgate trust revoke`, and bring it here";
    if expires <= now {
        let seen = format!("list {sequence} expired at {expires}: everything is refused");
        return Check::fail(name, seen).hint(next);
    }
    let soon = now.saturating_add(SOON).unwrap_or(Timestamp::MAX);
    match expires <= soon {
        true => Check::warn(name, seen).hint(next),
        false => Check::ok(name, seen),
    }
}

/// Whether somebody has a lock that others wait for, and who.
fn locks(place: &Path) -> Check {
    const NAME: &str = "store-lock";
    let mut held = LOCKS.iter().map(|lock| place.join(lock));
    match held.find_map(|lock| disk::open_regular(&lock).ok().filter(is_held)) {
        None => Check::ok(NAME, "nobody has it"),
        Some(lock) => {
            let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
            let stat = lock.metadata().ok();
            let holder = stat.and_then(|stat| holder_of(&locks, stat.ino()));
            Check::warn(NAME, format!("{} has it", named(holder)))
                .hint("whoever writes waits for that: let it end, or end it; nothing is lost")
        }
    }
}

/// Asked without waiting, and given back at once.
fn is_held(lock: &File) -> bool {
    flock(lock, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

/// By proc_locks(5), `1: FLOCK ADVISORY WRITE 4711 fe:00:131 0 EOF`: the process and the inode. The
/// device is that of the file system beneath, which stat(2) may not know. A process that waits has an
/// arrow before the kind.
fn holder_of(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", process, of, ..] = words.as_slice() else {
            return None;
        };
        let (_, of) = of.rsplit_once(':')?;
        (of.parse() == Ok(inode)).then(|| process.parse().ok())?
    })
}

fn named(process: Option<u32>) -> String {
    let Some(process) = process.filter(|process| *process > 0) else {
        return "another process".to_owned();
    };
    let name = fs::read_to_string(format!("/proc/{process}/comm"));
    match name.as_deref().map(str::trim) {
        Ok(name) => format!("process {process}, {name:?},"),
        Err(_) => format!("process {process}"),
    }
}

fn largest(objects: &Path) -> Option<u64> {
    let entries = fs::read_dir(objects).ok()?.filter_map(Result::ok);
    let sizes = entries.filter_map(|entry| {
        let stat = entry.metadata().ok()?;
        match stat.is_dir() {
            true => largest(&entry.path()),
            false => Some(stat.len()),
        }
    });
    sizes.max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Status;

    #[test]
    fn of_the_locks_that_the_kernel_lists_the_one_that_is_held_is_found() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 fe:00:131 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 4712 fe:00:131 0 EOF\n\
                     3: FLOCK  ADVISORY  READ  8 fe:00:132 0 EOF\n4: FLOCK\n";
        assert_eq!(holder_of(locks, 131), Some(4711));
        assert_eq!(holder_of(locks, 132), None);
        assert_eq!(holder_of("", 131), None);
        assert_eq!(named(Some(0)), "another process");
        let own = named(Some(std::process::id()));
        assert!(own.starts_with("process ") && own.ends_with("\","), "{own}");
    }

    #[test]
    fn a_list_is_told_before_it_ends() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let now = at("2027-01-01T00:00:00Z");
        for (expires, status) in [
            ("2026-12-31T23:59:59Z", Status::Fail),
            ("2027-01-01T00:00:00Z", Status::Fail),
            ("2027-01-08T00:00:00Z", Status::Warn),
            ("2027-01-08T00:00:01Z", Status::Ok),
        ] {
            let check = until("store-revocations", 3, at(expires), now, "verified");
            assert_eq!(check.status, status, "{expires}");
            assert_eq!(check.hint.is_none(), status == Status::Ok);
        }
    }
}
