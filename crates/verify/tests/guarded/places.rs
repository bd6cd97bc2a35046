//! File systems, and who owns the files there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tensorgate_verify::*;

use crate::patience::Patience;

use crate::storm::weights_hold;
use crate::support::*;
use crate::{child, writer::Writer};

const DISK: &str = env!("CARGO_TARGET_TMPDIR");

/// A folder on some file system.
pub(crate) struct Place {
    name: &'static str,
    /// Whether files are guarded there.
    guards: bool,
    folder: TempDir,
    mounted: Option<Mounted>,
}

struct Mounted(PathBuf);

impl Place {
    fn on(name: &'static str, folder: &str) -> Self {
        Self {
            name,
            guards: true,
            folder: tempfile::tempdir_in(folder).unwrap(),
            mounted: None,
        }
    }

    /// A file system of its own, made in a file.
    fn made(name: &'static str, make: &[&str]) -> Option<Self> {
        let mut place = Self::on(name, DISK);
        let (image, mount) = (
            place.folder.path().join("image"),
            place.path().join("mount"),
        );
        fs::create_dir(&mount).unwrap();
        fs::File::create(&image)
            .unwrap()
            .set_len(400 << 20)
            .unwrap();
        let made = run(Command::new(make[0]).args(&make[1..]).arg(&image)).and_then(|()| {
            run(Command::new("mount")
                .args(["-o", "loop"])
                .arg(&image)
                .arg(&mount))
        });
        match made {
            Ok(()) => {
                place.mounted = Some(Mounted(mount));
                Some(place)
            }
            Err(why) => {
                println!("NOT TRIED on {name}: {why}");
                None
            }
        }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn guards(&self) -> bool {
        self.guards
    }

    pub(crate) fn path(&self) -> &Path {
        match &self.mounted {
            Some(mounted) => &mounted.0,
            None => self.folder.path(),
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(&self.0)).unwrap();
    }
}

/// Every file system of the allowlist that there is, or can be made, here; and one that is not on it.
pub(crate) fn all() -> Vec<Place> {
    let here = Place::on("the checkout's disk", DISK);
    let guards = is_guarding(here.path());
    let tmpfs = Place::on("tmpfs", "/dev/shm");
    let made = [
        Place::made("ext4", &["mkfs.ext4", "-q", "-F"]),
        Place::made("xfs", &["mkfs.xfs", "-q"]),
        Place::made("btrfs", &["mkfs.btrfs", "-q"]),
    ];
    let mut places: Vec<Place> = made.into_iter().flatten().collect();
    places.push(Place { guards, ..here });
    places.push(Place {
        guards: false,
        ..tmpfs
    });
    places
}

/// Starts this program in a sandbox that refuses `what`.
pub(crate) fn without(what: &str) -> Command {
    let mut sandbox = Command::new("python3");
    sandbox.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guarded/sandbox.py"));
    sandbox.arg(what).arg(std::env::current_exe().unwrap());
    sandbox
}

/// A folder where files are guarded, for as long as the kernel grants.
pub(crate) struct Disk {
    folder: TempDir,
    _patience: Patience,
}

impl Disk {
    pub(crate) fn find() -> Option<Self> {
        Self::with(Patience::of_the_kernel)
    }

    /// Where the kernel grants a few seconds only.
    pub(crate) fn for_a_short_time() -> Option<Self> {
        Self::with(Patience::short)
    }

    fn with(patience: fn() -> Patience) -> Option<Self> {
        let folder = guarding_folder()?;
        let _patience = patience();
        Some(Self { folder, _patience })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn fixture(&self, tensors: &[(&str, usize)]) -> Fixture {
        Fixture::inside(tempfile::tempdir_in(self.path()).unwrap(), tensors)
    }
}

pub(crate) fn run(command: &mut Command) -> std::result::Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", errors.trim())),
    }
}

/// How a file of these permissions is held in `folder`.
fn held_on(folder: &Path, mode: u32) -> Holding {
    let fixture = Fixture::inside(tempfile::tempdir_in(folder).unwrap(), &[("a", 9)]);
    let path = fixture.path("model.safetensors");
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let holder = LeaseHolder::start(LeaseSignal::default(), |_| ()).unwrap();
    weights_hold(&child::open(&fixture, &holder).unwrap()).holding()
}

#[test]
fn a_file_that_others_may_write_to_is_copied() {
    let Some(place) = Disk::find() else {
        return;
    };
    for mode in [0o664, 0o646, 0o666] {
        let holding = held_on(place.path(), mode);
        assert_eq!(holding, Holding::Sealed(Unguarded::Writable), "{mode:o}");
    }
    assert_eq!(held_on(place.path(), 0o444), Holding::Guarded);
}

#[test]
fn an_access_control_list_makes_it_writable_to_others() {
    let Some(place) = Disk::find() else {
        return;
    };
    let fixture = place.fixture(&[("a", 9)]);
    let path = fixture.path("model.safetensors");
    if let Err(why) = run(Command::new("setfacl").args(["-m", "u:1234:rw"]).arg(&path)) {
        return println!("NOT TRIED: {why}");
    }
    let holder = LeaseHolder::start(LeaseSignal::default(), |_| ()).unwrap();
    let policy = child::open(&fixture, &holder).unwrap();
    assert_eq!(
        weights_hold(&policy).holding(),
        Holding::Sealed(Unguarded::Writable)
    );
}

#[test]
fn without_a_holder_it_is_a_copy() {
    let fixture = Fixture::new();
    let policy = fixture.open().unwrap();
    let expected = Holding::Sealed(Unguarded::NotAsked);
    assert_eq!(weights_hold(&policy).holding(), expected);
}

#[test]
fn where_a_sandbox_refuses_leases_it_is_a_copy() {
    let Some(place) = Disk::find() else {
        return;
    };
    let mut reader = child::started(without("leases"), "reads", place.path(), 1000);
    reader.path();
    let expected = Holding::Sealed(Unguarded::NoLease).to_string();
    assert_eq!(reader.says(), Some(expected));
    assert_eq!(reader.end(), None);
}

/// As it is on 9p, whatever the file system of the host that it shows.
#[test]
fn where_there_are_no_inode_flags_it_is_a_copy() {
    let Some(place) = Disk::find() else {
        return;
    };
    let mut reader = child::started(without("inode flags"), "reads", place.path(), 1000);
    reader.path();
    let expected = Holding::Sealed(Unguarded::FileSystem).to_string();
    assert_eq!(reader.says(), Some(expected));
    assert_eq!(reader.end(), None);
}

#[test]
fn where_a_sandbox_has_no_memfds_it_is_an_error() {
    let Some(place) = Disk::find() else {
        return;
    };
    let fixture = place.fixture(&[("a", 9)]);
    let mut opens = child::started(without("memfds"), "finds", fixture.folder.path(), 0);
    assert_eq!(opens.says().unwrap(), "not read: Unsupported");
    assert_eq!(opens.end(), None);
}

/// Two mounts and two names of one file are one inode; and two holds of it are two leases.
#[test]
fn another_mount_or_name_is_held_back_as_well() {
    let Some(place) = Disk::find() else {
        return;
    };
    let fixture = Fixture::inside(tempfile::tempdir_in(place.path()).unwrap(), &[("a", 9000)]);
    let weights = fs::read(fixture.path("model.safetensors")).unwrap();
    let holder = LeaseHolder::start(LeaseSignal::default(), |_| ()).unwrap();
    let bound = place.path().join("bound");
    fs::create_dir(&bound).unwrap();
    let mount = Command::new("mount")
        .arg("--bind")
        .arg(fixture.folder.path())
        .arg(&bound)
        .output();
    let mounted = mount.is_ok_and(|output| output.status.success());
    let path = match mounted {
        true => bound.join("model.safetensors"),
        false => {
            println!("NOT TRIED: a bind mount wants root");
            fixture.path("model.safetensors")
        }
    };
    let policies = [(); 2].map(|()| child::open(&fixture, &holder).unwrap());
    let mut writer = Writer::start();
    writer.ask("pwrite", &path, &path, Default::default());
    writer.answer().unwrap();
    for policy in &policies {
        let hold = weights_hold(policy);
        assert_eq!(hold.holding(), Holding::Sealed(Unguarded::Moved));
        assert!(hold[..] == weights[..]);
    }
    if mounted {
        run(Command::new("umount").arg(&bound)).unwrap();
    }
}

/// A write to the layer beneath breaks no lease, so that there is none on an overlay file system;
/// the layer belongs to the same user where containers run without root.
#[test]
fn on_an_overlay_it_is_a_copy_that_the_layer_beneath_does_not_change() {
    let Some(place) = Disk::find() else {
        return;
    };
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(place.path().join(name)).unwrap();
    }
    let mut mounts = Command::new("unshare");
    mounts.args(["--user", "--map-root-user", "--mount", "sh", "-ec"]);
    let script = "cd \"$0\"; mount -t overlay o -o lowerdir=lower,upperdir=upper,workdir=work merged; \
                  exec \"$@\"";
    mounts
        .arg(script)
        .arg(place.path())
        .arg(std::env::current_exe().unwrap());
    let mut reader = child::started(mounts, "reads", &place.path().join("merged"), 100_000);
    let merged = reader.path();
    let expected = Holding::Sealed(Unguarded::FileSystem).to_string();
    assert_eq!(reader.says(), Some(expected));

    let below = merged.strip_prefix(place.path().join("merged")).unwrap();
    let upper = place.path().join("upper").join(below);
    let mut writer = Writer::start();
    for way in ["pwrite", "mmap", "truncate"] {
        writer.ask(way, &upper, &upper, Default::default());
        writer.answer().unwrap();
    }
    assert_eq!(reader.end(), None);
}

/// Pages of a tmpfs can be written to by who has them pinned, long after closing mapping and file.
#[test]
fn on_a_tmpfs_it_is_a_copy_that_pinned_pages_do_not_change() {
    let place = tempfile::tempdir_in("/dev/shm").unwrap();
    let fixture = Fixture::inside(place, &[("a", 9000)]);
    let path = fixture.path("model.safetensors");
    let weights = fs::read(&path).unwrap();
    let Some(mut pin) = Writer::pin(&path) else {
        return println!("NOT TRIED: no page can be pinned here");
    };
    let holder = LeaseHolder::start(LeaseSignal::default(), |_| ()).unwrap();
    let policy = child::open(&fixture, &holder).unwrap();
    pin.say("go on");
    assert_eq!(pin.answer(), Err("written\n".to_owned()));
    assert_ne!(fs::read(&path).unwrap(), weights);
    let hold = weights_hold(&policy);
    assert_eq!(hold.holding(), Holding::Sealed(Unguarded::FileSystem));
    assert!(hold[..] == weights[..]);
}

/// Where files are guarded, no page can be pinned so.
#[test]
fn on_a_disk_no_page_stays_pinned() {
    for place in all().iter().filter(|place| place.guards()) {
        let file = place.path().join("file");
        fs::write(&file, vec![7; 9000]).unwrap();
        assert!(Writer::pin(&file).is_none(), "{}", place.name());
    }
}

/// The file is the user's own: no capability is wanted. It is somebody else's: it is copied.
#[test]
fn an_ordinary_user_guards_what_is_their_own() {
    let Some(place) = Disk::find() else {
        return;
    };
    let everybody = PermissionsExt::from_mode(0o777);
    fs::set_permissions(place.path(), everybody).unwrap();
    // Where that user can run it.
    let program = place.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let root = rustix::process::geteuid().is_root();
    let as_nobody = || match root {
        true => {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
                .arg(&program);
            command
        }
        false => Command::new(&program),
    };
    let mut own = child::started(as_nobody(), "reads", place.path(), 100_000);
    let path = own.path();
    assert_eq!(own.says(), Some(Holding::Guarded.to_string()));
    let mut writer = Writer::start();
    writer.ask("pwrite", &path, &path, Default::default());
    writer.answer().unwrap();
    assert_eq!(own.end(), None);

    if !root {
        return println!("NOT TRIED: a file of another user wants root");
    }
    let foreign = Fixture::inside(tempfile::tempdir_in(place.path()).unwrap(), &[("a", 9)]);
    let copied = Holding::Sealed(Unguarded::NotOwner).to_string();
    fs::set_permissions(foreign.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    // Root's file, another user's process: the kernel refuses.
    let mut other = child::started(as_nobody(), "finds", foreign.folder.path(), 0);
    assert_eq!(other.says(), Some(copied.clone()));
    assert_eq!(other.end(), None);
    // Another user's file, root's process: the owner could truncate it for reading.
    std::os::unix::fs::chown(foreign.path("model.safetensors"), Some(65534), None).unwrap();
    let mut other = child::start("finds", foreign.folder.path(), 0);
    assert_eq!(other.says(), Some(copied));
    assert_eq!(other.end(), None);
}
