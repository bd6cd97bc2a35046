//! The controller's bytes are the gate's pages.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Instant;

use tensorgate_handoff::*;
use tensorgate_verify::{
    Blake3, Directory, Holding, LeaseHolder, LeaseSignal, Policy, Proof, Rules, Unguarded, Verified,
};

use crate::process::{Role, Said};
use crate::support::*;

const PAGE: usize = 4096;

/// What the kernel says of a mapping, in bytes, and of the file behind it.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    device: u64,
    inode: u64,
    size: u64,
    rss: u64,
    pss: u64,
    private: u64,
    /// A digest of the numbers of its physical pages, or 0 where the kernel does not tell.
    frames: String,
}

impl Measured {
    /// Of the mapping that `bytes` lie in.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let address = bytes.as_ptr() as usize;
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = smaps.lines();
        let begins = |line: &&str| line.starts_with(&format!("{address:08x}-"));
        let head = lines
            .find(begins)
            .expect("the mapping begins with the bytes");
        let mut measured = Self {
            frames: frames(address, bytes.len()),
            ..Self::default()
        };
        (measured.device, measured.inode) = file_at(head);
        for line in lines.take_while(|line| !line.starts_with("VmFlags")) {
            let mut words = line.split_whitespace();
            let (name, value) = (words.next().unwrap(), words.next().unwrap());
            let bytes = value.parse::<u64>().map_or(0, |kib| kib * 1024);
            match name {
                "Size:" => measured.size = bytes,
                "Rss:" => measured.rss = bytes,
                "Pss:" => measured.pss = bytes,
                "Private_Clean:" | "Private_Dirty:" => measured.private += bytes,
                _ => {}
            }
        }
        measured
    }

    /// Anonymous memory of this process, which no other has.
    pub(crate) fn private() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap() * 1024
    }

    pub(crate) fn all(&self) -> [(&'static str, String); 7] {
        [
            ("device", self.device.to_string()),
            ("inode", self.inode.to_string()),
            ("size", self.size.to_string()),
            ("rss", self.rss.to_string()),
            ("pss", self.pss.to_string()),
            ("private", self.private.to_string()),
            ("frames", self.frames.clone()),
        ]
    }
}

/// Device and inode of the file that a line of maps names (proc_pid_maps(5)).
fn file_at(head: &str) -> (u64, u64) {
    let range = head.split_whitespace().next().unwrap();
    assert!(head.contains("/memfd:tensorgate"), "{head}");
    let inode = head.split_whitespace().nth(4).unwrap().parse().unwrap();
    // The link can be followed where the kernel allows it; the number of the inode is enough else.
    let device = fs::metadata(format!("/proc/self/map_files/{range}")).map_or(0, |m| m.dev());
    (device, inode)
}

/// The physical pages (Documentation/admin-guide/mm/pagemap.rst), as one digest.
fn frames(address: usize, len: usize) -> String {
    let pages = len.div_ceil(PAGE);
    let mut entries = vec![0; pages * 8];
    let pagemap = File::open("/proc/self/pagemap").unwrap();
    let at = (address / PAGE * 8) as u64;
    pagemap.read_exact_at(&mut entries, at).unwrap();
    let frames: Vec<u64> = entries
        .as_chunks()
        .0
        .iter()
        .map(|entry| u64::from_le_bytes(*entry) & ((1 << 55) - 1))
        .collect();
    // Without CAP_SYS_ADMIN, all numbers are zero; a page that is not in memory has none.
    match frames.iter().all(|frame| *frame != 0) {
        true => Blake3::of(
            &frames
                .iter()
                .flat_map(|f| f.to_le_bytes())
                .collect::<Vec<_>>(),
        )
        .to_string(),
        false => "0".to_owned(),
    }
}

#[test]
fn the_controllers_bytes_are_the_gates_pages() {
    const CONTROLLERS: u64 = 3;
    let policy = policy_of(1, &weights(16 << 20));
    let gate = Gate::of(&policy, Peers::default());
    let model = policy.file("model.safetensors").unwrap().bytes();
    let len = model.len() as u64;
    let roles: Vec<(Said, Role)> = (0..CONTROLLERS)
        .map(|_| Role::start("controller", &gate.path(), None))
        .collect();
    let own = Measured::of(model);
    eprintln!("gate: {own:?}");
    for (said, _) in &roles {
        eprintln!("controller: {said:?}");
        assert_eq!(said.text("blake3"), Blake3::of(model).to_string());
        // The same file in memory,
        assert_eq!(said.number("inode"), own.inode);
        assert_eq!(said.number("device"), own.device);
        // wholly there, of which this process has nothing for itself,
        assert!(said.number("rss") >= len);
        assert_eq!(said.number("private"), 0);
        // and which did not cost it memory of its own.
        assert!(said.number("grown") < len / 8, "{said:?}");
        // The same physical pages.
        assert_eq!(said.text("frames"), own.frames);
    }
    // The last that came saw its pages shared by all: each of them counts for a fraction.
    let last = &roles.last().unwrap().0;
    let fraction = last.number("rss") as f64 / last.number("pss") as f64;
    assert!(
        (fraction - (CONTROLLERS + 1) as f64).abs() < 0.1,
        "{fraction}"
    );
    assert!((own.rss as f64 / own.pss as f64 - (CONTROLLERS + 1) as f64).abs() < 0.1);
    if own.frames == "0" {
        eprintln!("NOT TRIED, wants CAP_SYS_ADMIN: the numbers of the physical pages");
    }
}

/// The same policy, read from files that are held under a lease.
pub(crate) fn guarded(folder: &Path, policy: &Verified<Policy>) -> Verified<Policy> {
    for file in policy.files() {
        let path = folder.join(file.path().as_str());
        fs::write(&path, file.bytes()).unwrap();
        // Whatever the umask: where a group may write, there is no guard.
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let holder = LeaseHolder::start(LeaseSignal::default(), |_| {}).unwrap();
    let directory = Directory::new(OwnedFd::from(File::open(folder).unwrap()));
    let directory = directory.guarded_by(&holder);
    let manifest = authenticate(1, policy.evidence().envelope()).unwrap();
    manifest
        .open(&directory, Proof::Tensors, &Rules::default())
        .unwrap()
}

#[test]
fn a_guarded_policy_is_moved_once_and_handed_over() {
    let Some(folder) = guarding_folder() else {
        return;
    };
    let sealed = policy();
    let guarded = guarded(folder.path(), &sealed);
    let hold = guarded.file("model.safetensors").unwrap().hold();
    assert_eq!(hold.holding(), Holding::Guarded);
    let gate = Gate::of(&guarded, Peers::default());
    assert_eq!(hold.holding(), Holding::Sealed(Unguarded::Moved));
    // Whoever writes to the file now changes nothing for anybody.
    let path = folder.path().join("model.safetensors");
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&[0xff; 64], 200).unwrap();
    let proven = prove(gate.receive().unwrap()).unwrap();
    assert_eq!(
        proven.file("model.safetensors").unwrap().bytes(),
        sealed.file("model.safetensors").unwrap().bytes()
    );
}

#[test]
fn without_memory_for_a_copy_nothing_is_offered_and_the_policy_stays() {
    let Some(folder) = guarding_folder() else {
        return;
    };
    let (said, _role) = Role::start("starving_gate", folder.path(), None);
    assert_eq!(said.text("before"), "guarded by a lease", "{said:?}");
    assert_eq!(said.text("sealed"), "false", "{said:?}");
    assert_eq!(said.text("after"), "guarded by a lease", "{said:?}");
    assert_eq!(said.text("bytes"), "the same", "{said:?}");
    assert_eq!(said.text("later"), "true", "{said:?}");
}

/// How long it takes, printed: `cargo test --release -p tensorgate-handoff -- --ignored --nocapture
/// one_gigabyte`.
#[test]
#[ignore = "prints numbers; a gigabyte"]
fn one_gigabyte() {
    let policy = policy_of(1, &weights(1 << 28));
    let gate = Gate::of(&policy, Peers::default());
    for _ in 0..5 {
        let begun = Instant::now();
        let handed = gate.receive().unwrap();
        let received = begun.elapsed();
        let manifest = authenticate(1, handed.envelope()).unwrap();
        let holds = handed.into_holds(&manifest).unwrap();
        let held = begun.elapsed();
        let on_demand = manifest
            .open_holds_on_demand(holds, &Default::default())
            .unwrap();
        let ready = begun.elapsed();
        drop(on_demand.finish().unwrap());
        let proven = begun.elapsed();
        eprintln!("received {received:?}, held {held:?}, on demand {ready:?}, verified {proven:?}");
    }
}
