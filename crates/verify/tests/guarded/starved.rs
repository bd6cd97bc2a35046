//! There is no memory to move to.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, prlimit};

use crate::child::{self, Holding};
use crate::places::{Disk, without};
use crate::support::*;
use crate::writer::Writer;

const MIB: u64 = 1 << 20;

/// From now on its copy cannot be made: of a file beyond this size the kernel says EFBIG.
fn leave_no_room(holding: &Holding) {
    let limit = Rlimit {
        current: Some(4096),
        maximum: None,
    };
    prlimit(Some(holding.pid()), Resource::Fsize, limit).unwrap();
}

#[test]
fn who_withdraws_in_time_goes_on_and_so_does_the_writer() {
    let Some(place) = Disk::find() else {
        return;
    };
    let mut owner = child::start("withdraws", place.path(), 300_000);
    let path = owner.path();
    leave_no_room(&owner);
    let mut writer = Writer::start();
    writer.ask("pwrite", &path, &path, Duration::ZERO);
    let said = owner.says().unwrap();
    assert!(said.starts_with("withdrawn: model.safetensors: "), "{said}");
    writer.answer().unwrap();
    assert_eq!(owner.end(), None);
}

#[test]
fn who_relies_on_it_ends_before_the_bytes_change() {
    let Some(place) = Disk::for_a_short_time() else {
        return;
    };
    // Compares every byte meanwhile: a changed one would be a panic.
    let mut reader = child::start("reads", place.path(), 300_000);
    let path = reader.path();
    leave_no_room(&reader);
    let mut writer = Writer::start();
    let begun = Instant::now();
    writer.ask("pwrite", &path, &path, Duration::ZERO);
    let held_back = writer.answer().unwrap();
    println!(
        "the writer was held back for {held_back:?} of {:?}",
        begun.elapsed()
    );
    assert_eq!(reader.end(), Some(libc::SIGABRT));
}

#[test]
fn memory_that_is_found_in_time_is_taken() {
    let Some(place) = Disk::find() else {
        return;
    };
    let mut reader = child::start("reads", place.path(), 300_000);
    let path = reader.path();
    leave_no_room(&reader);
    let mut writer = Writer::start();
    writer.ask("pwrite", &path, &path, Duration::ZERO);
    std::thread::sleep(Duration::from_millis(500));
    let no_limit = Rlimit {
        current: None,
        maximum: None,
    };
    prlimit(Some(reader.pid()), Resource::Fsize, no_limit).unwrap();
    writer.answer().unwrap();
    assert_eq!(reader.end(), None);
}

/// Where the kernel has no memory for the new mapping, the old one may be gone, and another thread's
/// come into its place: nothing is tried again there.
#[test]
fn a_place_that_may_be_lost_ends_the_process() {
    let Some(place) = Disk::find() else {
        return;
    };
    let mut owner = child::started(without("moves"), "withdraws", place.path(), 9000);
    let path = owner.path();
    let mut writer = Writer::start();
    writer.ask("pwrite", &path, &path, Duration::ZERO);
    writer.answer().unwrap();
    assert_eq!(owner.says(), None);
    assert_eq!(owner.end(), Some(libc::SIGABRT));
}

/// The copy takes the place of the file: there need be no addresses for both.
#[test]
fn a_limit_of_addresses_keeps_nothing_from_moving() {
    let Some(place) = Disk::find() else {
        return;
    };
    let mut reader = child::start("reads", place.path(), 16 << 20);
    let path = reader.path();
    let status = fs::read_to_string(format!("/proc/{}/status", reader.process.id())).unwrap();
    let mut lines = status.lines();
    let used = lines.find_map(|line| line.strip_prefix("VmSize:")?.strip_suffix("kB"));
    let used: u64 = used.unwrap().trim().parse().unwrap();
    let limit = Rlimit {
        current: Some(used * 1024 + 16 * MIB),
        maximum: None,
    };
    prlimit(Some(reader.pid()), Resource::As, limit).unwrap();
    let mut writer = Writer::start();
    writer.ask("pwrite", &path, &path, Duration::ZERO);
    writer.answer().unwrap();
    assert_eq!(reader.end(), None);
}

/// Neither refused, which would be a verdict, nor ended: it could not be read.
#[test]
fn a_check_that_is_starved_could_not_be_made() {
    let Some(place) = Disk::find() else {
        return;
    };
    // The writer may come too late, where the machine is busy.
    for _ in 0..20 {
        if is_starved_by_a_writer(place.path()) {
            return;
        }
    }
    panic!("no writer came during the check");
}

fn is_starved_by_a_writer(place: &Path) -> bool {
    let mut writer = Writer::start();
    let mut checks = child::start("checks", place, 64 << 20);
    let path = checks.path();
    // Its lease is there, and the check goes on for a while.
    let inode = MetadataExt::ino(&fs::metadata(&path).unwrap());
    let lease = format!(":{inode} ");
    let begun = Instant::now();
    while !fs::read_to_string("/proc/locks").unwrap().contains(&lease) {
        assert!(begun.elapsed() < child::PATIENCE, "no lease was taken");
        std::thread::yield_now();
    }
    leave_no_room(&checks);
    writer.ask("pwrite", &path, &path, Duration::ZERO);
    let said = checks.says();
    if said != Some("not read: Other".to_owned()) {
        assert_eq!(said, Some(tensorgate_verify::Holding::Guarded.to_string()));
        checks.process.kill().unwrap();
        checks.process.wait().unwrap();
        return false;
    }
    writer.answer().unwrap();
    assert_eq!(checks.end(), None);
    true
}

/// A memory control group with nothing else in it.
struct Group {
    folder: PathBuf,
    limit: &'static str,
    usage: &'static str,
}

impl Group {
    fn new(limit: u64) -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
        let path = |controller: &str| {
            let mut fields = groups.lines().map(|line| line.splitn(3, ':').skip(1));
            fields.find_map(|mut line| (line.next()? == controller).then(|| line.next())?)
        };
        let own = format!("tensorgate-{}-{limit}", std::process::id());
        let made = |root: &str, path: &str, limit, usage| {
            let folder = Path::new(root)
                .join(path.trim_start_matches('/'))
                .join(&own);
            fs::create_dir(&folder).ok()?;
            Some(Self {
                folder,
                limit,
                usage,
            })
        };
        let v1 = path("memory").and_then(|path| {
            let names = ("memory.limit_in_bytes", "memory.usage_in_bytes");
            made("/sys/fs/cgroup/memory", path, names.0, names.1)
        });
        let group =
            v1.or_else(|| made("/sys/fs/cgroup", path("")?, "memory.max", "memory.current"));
        let group = group.filter(|group| group.limit(limit));
        if group.is_none() {
            println!("NOT TRIED: no memory control group can be made here");
        }
        group
    }

    fn limit(&self, bytes: u64) -> bool {
        fs::write(self.folder.join(self.limit), bytes.to_string()).is_ok()
    }

    fn usage(&self) -> u64 {
        let text = fs::read_to_string(self.folder.join(self.usage)).unwrap();
        text.trim().parse().unwrap()
    }

    /// A program that goes into the group, and becomes this one.
    fn enter(&self) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-ec", "echo $$ > \"$0\"/cgroup.procs; exec \"$@\""]);
        shell
            .arg(&self.folder)
            .arg(std::env::current_exe().unwrap());
        shell
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The processes in it have ended; the kernel takes a moment to see that.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_container_without_room_withdraws_the_policy() {
    let Some(group) = Group::new(1024 * MIB) else {
        return;
    };
    let Some(place) = Disk::find() else {
        return;
    };
    let mut owner = child::started(group.enter(), "withdraws", place.path(), 16 << 20);
    let path = owner.path();
    // Written back, so that it can be reclaimed; a copy beside it does not fit.
    fs::File::open(&path).unwrap().sync_all().unwrap();
    assert!((0..100).any(|_| group.limit(group.usage() + MIB)));
    let mut writer = Writer::start();
    writer.ask("pwrite", &path, &path, Duration::ZERO);
    let said = owner.says().unwrap();
    assert!(said.contains("bytes wanted"), "{said}");
    writer.answer().unwrap();
    assert_eq!(owner.end(), None);
}

#[test]
fn a_policy_that_is_too_big_for_its_container_is_an_error() {
    let Some(group) = Group::new(96 * MIB) else {
        return;
    };
    let fixture = Fixture::of(&[("big", 32 << 20)]);
    // No lease, so that it is copied at once.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(fixture.path("model.safetensors"), mode).unwrap();
    let mut opens = child::started(group.enter(), "finds", fixture.folder.path(), 0);
    assert_eq!(opens.says().unwrap(), "not read: OutOfMemory");
    assert_eq!(opens.end(), None);
}
