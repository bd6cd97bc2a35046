//! Whether there is memory for a copy.
//!
//! Pages of a memfd are taken as they are written, and a memory cgroup at its limit does not say
//! ENOMEM to a writer: it kills a process (Documentation/admin-guide/cgroup-v2.rst, `memory.max`).
//! So the kernel is asked beforehand, with its own numbers. Swap is not counted: weights that lie
//! there are no use to a robot.
//!
//! What cannot be read, or reads otherwise than known, limits nothing: the answer keeps a process
//! from being killed, never a file from being changed, and a kernel that words its files in a new
//! way must not be one where nothing can be opened.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

/// At most, for what else the process does meanwhile, and for copies that go on beside this one.
const SPARE: u64 = 32 << 20;
/// More than any of these files has.
const LONGEST: u64 = 64 << 10;

/// The names that one version of memory cgroups gives its numbers.
struct Version {
    root: &'static str,
    limit: &'static str,
    usage: &'static str,
    reclaimable: [&'static str; 2],
}

const V1: Version = Version {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: ["total_inactive_file", "total_active_file"],
};
const V2: Version = Version {
    root: "/sys/fs/cgroup",
    limit: "memory.max",
    usage: "memory.current",
    reclaimable: ["inactive_file", "active_file"],
};

/// Refuses to begin what could not be finished.
///
/// # Errors
/// `OutOfMemory`: this machine, or a control group that this process is in, has no `len` bytes left.
pub(super) fn refuse_without_room(len: u64) -> io::Result<()> {
    let wanted = len.saturating_add(len.min(SPARE));
    match left() {
        Some(left) if left < wanted => Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!("{len} bytes wanted, {left} left"),
        )),
        _ => Ok(()),
    }
}

/// A file that the kernel writes, up to a bound.
pub(super) fn kernel_text(path: impl AsRef<Path>) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut text = String::new();
    File::from(openat(CWD, path.as_ref(), flags, Mode::empty())?)
        .take(LONGEST)
        .read_to_string(&mut text)?;
    Ok(text)
}

fn left() -> Option<u64> {
    let machine = kernel_text("/proc/meminfo").ok();
    let machine = machine.and_then(|text| field(&text, "MemAvailable:")?.checked_mul(1024));
    let groups = kernel_text("/proc/self/cgroup").unwrap_or_default();
    let groups = groups.lines().filter_map(left_in_group);
    machine.into_iter().chain(groups).min()
}

/// By one line of cgroups(7)' `/proc/PID/cgroup`: the least that is left in the group or around it.
fn left_in_group(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let version = match controllers {
        "" => &V2,
        some if some.split(',').any(|name| name == "memory") => &V1,
        _ => return None,
    };
    let mut folder = PathBuf::from(version.root);
    let mut least = version.left(&folder);
    for part in Path::new(path).components() {
        match part {
            Component::RootDir => continue,
            Component::Normal(name) => folder.push(name),
            // Outside of what this process may see.
            _ => break,
        }
        least = least.into_iter().chain(version.left(&folder)).min();
    }
    least
}

impl Version {
    /// What is left in one group; `None` where nothing limits it.
    fn left(&self, folder: &Path) -> Option<u64> {
        let number = |name| kernel_text(folder.join(name)).ok()?.trim().parse().ok();
        let (limit, usage): (u64, u64) = (number(self.limit)?, number(self.usage)?);
        let stat = kernel_text(folder.join("memory.stat")).ok()?;
        let reclaimable = self.reclaimable.iter();
        let reclaimable = reclaimable.filter_map(|name| field(&stat, name));
        let reclaimable = reclaimable.fold(0, u64::saturating_add);
        Some(limit.saturating_add(reclaimable).saturating_sub(usage))
    }
}

/// The number after `name`, in a text of one pair a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut words = text.lines().map(str::split_ascii_whitespace);
    let mut named = words.find_map(|mut line| (line.next() == Some(name)).then_some(line))?;
    named.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_room_for_little_and_not_for_all() {
        assert!(refuse_without_room(1).is_ok());
        let error = refuse_without_room(u64::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }

    #[test]
    fn a_group_is_as_small_as_the_smallest_around_it() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("robot");
        std::fs::create_dir(&group).unwrap();
        let write = |name: &str, text: &str| std::fs::write(group.join(name), text).unwrap();
        write("memory.max", "1000\n");
        write("memory.current", "900\n");
        write(
            "memory.stat",
            "anon 700\ninactive_file 30\nactive_file 20\n",
        );
        assert_eq!(V2.left(&group), Some(150));
        assert_eq!(V2.left(root.path()), None);
        for surprise in ["max\n", "", "-1", "99999999999999999999"] {
            write("memory.max", surprise);
            assert_eq!(V2.left(&group), None, "{surprise}");
        }
    }

    #[test]
    fn lines_that_are_not_known_limit_nothing() {
        for line in ["", "1", "1:", "3:cpuset:/", "x:memoryless:/a"] {
            assert_eq!(left_in_group(line), None, "{line}");
        }
        // Not followed out of the tree.
        let _ = left_in_group("0::/../../etc");
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "total_inactive_file 1\ninactive_file 2\nMemAvailable:   3 kB\nempty\n";
        assert_eq!(field(text, "inactive_file"), Some(2));
        assert_eq!(field(text, "MemAvailable:"), Some(3));
        assert_eq!(field(text, "empty"), None);
        assert_eq!(field(text, "absent"), None);
    }
}
