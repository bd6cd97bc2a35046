//! File systems, and who owns the files there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tensorgate_verify::*;

use crate::storm::weights_hold;
use crate::support::*;
use crate::{child, writer::Writer};

/// A folder on a file system where files are guarded.
pub(crate) struct Place {
    name: &'static str,
    folder: TempDir,
    mounted: Option<PathBuf>,
}

impl Place {
    fn on(name: &'static str, folder: &str) -> Self {
        Self {
            name,
            folder: tempfile::tempdir_in(folder).unwrap(),
            mounted: None,
        }
    }

    /// A file system of its own, made in a file.
    fn made(name: &'static str, make: &[&str]) -> Option<Self> {
        let mut place = Self::on(name, env!("CARGO_TARGET_TMPDIR"));
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
                place.mounted = Some(mount);
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

    pub(crate) fn path(&self) -> &Path {
        self.mounted.as_deref().unwrap_or(self.folder.path())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mounted) = &self.mounted {
            run(Command::new("umount").arg("--lazy").arg(mounted)).unwrap();
        }
    }
}

/// Every file system of the allowlist that there is, or can be made, here.
pub(crate) fn all() -> Vec<Place> {
    let here = Place::on("the checkout's disk", env!("CARGO_TARGET_TMPDIR"));
    let tmpfs = Place::on("tmpfs", "/dev/shm");
    let made = [
        Place::made("ext4", &["mkfs.ext4", "-q", "-F"]),
        Place::made("xfs", &["mkfs.xfs", "-q"]),
        Place::made("btrfs", &["mkfs.btrfs", "-q"]),
    ];
    let mut places: Vec<Place> = made.into_iter().flatten().collect();
    places.push(tmpfs);
    match held_on(here.path(), 0o644) {
        Holding::Guarded => places.push(here),
        // A container's overlay file system.
        other => println!("NOT TRIED on the checkout's disk: {other}"),
    }
    places
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
    for mode in [0o664, 0o646, 0o666] {
        let holding = held_on(Path::new("/dev/shm"), mode);
        assert_eq!(holding, Holding::Sealed(Unguarded::Writable), "{mode:o}");
    }
    assert_eq!(held_on(Path::new("/dev/shm"), 0o444), Holding::Guarded);
}

#[test]
fn an_access_control_list_makes_it_writable_to_others() {
    let fixture = Fixture::inside(tempfile::tempdir_in("/dev/shm").unwrap(), &[("a", 9)]);
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

/// Two mounts and two names of one file are one inode; and two holds of it are two leases.
#[test]
fn another_mount_or_name_is_held_back_as_well() {
    let place = tempfile::tempdir_in("/dev/shm").unwrap();
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
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // Upper directories lie on no overlay themselves.
    let place = match held_on(place.path(), 0o644) {
        Holding::Guarded => place,
        _ => tempfile::tempdir_in("/dev/shm").unwrap(),
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

/// The file is the user's own: no capability is wanted. It is somebody else's: it is copied.
#[test]
fn an_ordinary_user_guards_what_is_their_own() {
    let place = tempfile::tempdir_in("/dev/shm").unwrap();
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
