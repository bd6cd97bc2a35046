//! What a controller takes for the bytes of a policy, and what not.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use rustix::fs::{
    FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate,
    open,
};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};
use tensorgate_verify::Rejection;

use crate::script::*;
use crate::support::*;

#[test]
fn a_memfd_that_lacks_any_seal_is_refused() {
    let all = [
        SealFlags::WRITE,
        SealFlags::GROW,
        SealFlags::SHRINK,
        SealFlags::SEAL,
    ];
    for missing in all {
        let rejection = weights_in(|bytes| memfd(bytes, ALL_SEALS.difference(missing)));
        assert_eq!(rejection, Rejection::FileNotRegular, "{missing:?}");
    }
    let open = weights_in(|bytes| memfd(bytes, SealFlags::empty()));
    assert_eq!(open, Rejection::FileNotRegular);
    // It keeps those away who come later, and not those who have it mapped.
    let future = ALL_SEALS.difference(SealFlags::WRITE) | SealFlags::FUTURE_WRITE;
    assert_eq!(
        weights_in(|bytes| memfd(bytes, future)),
        Rejection::FileNotRegular
    );
}

#[test]
fn every_descriptor_has_to_be_sealed() {
    let policy = policy();
    let mut steps = genuine(&policy);
    steps[0].1 = vec![memfd(policy.evidence().envelope(), SealFlags::empty())];
    malformed(steps, "an envelope that is not sealed");
    let mut steps = genuine(&policy);
    steps[1].1 = vec![memfd(&small(&policy), SealFlags::empty())];
    assert_eq!(rejected(steps), Rejection::FileNotRegular);
}

#[test]
fn a_memfd_that_somebody_can_write_to_cannot_be_sealed_and_is_refused() {
    let policy = policy();
    let descriptor = memfd(model(&policy), SealFlags::empty());
    let path = format!("/proc/{}/fd/{}", std::process::id(), descriptor.as_raw_fd());
    let script = "import mmap, os, sys\n\
                  m = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 0, mmap.MAP_SHARED)\n\
                  print('mapped', flush=True)\n\
                  sys.stdin.read()";
    let mut writer = Command::new("python3")
        .args(["-c", script, &path])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 maps the memory");
    let mut said = [0; 6];
    std::io::Read::read_exact(writer.stdout.as_mut().unwrap(), &mut said).unwrap();
    assert_eq!(
        fcntl_add_seals(&descriptor, SealFlags::WRITE),
        Err(Errno::BUSY)
    );
    fcntl_add_seals(&descriptor, ALL_SEALS.difference(SealFlags::WRITE)).unwrap();
    let mut steps = genuine(&policy);
    steps[2].1 = vec![descriptor];
    assert_eq!(rejected(steps), Rejection::FileNotRegular);
    drop(writer.stdin.take());
    writer.wait().unwrap();
}

#[test]
fn what_is_no_memfd_is_refused() {
    let regular = weights_in(|bytes| {
        let path = tempfile::NamedTempFile::new().unwrap();
        fs::write(path.path(), bytes).unwrap();
        fs::File::open(path.path()).unwrap().into()
    });
    assert_eq!(regular, Rejection::FileNotRegular);
    let shared = weights_in(|bytes| {
        // A file of the same file system that memfds are on.
        let path = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        fs::write(path.path(), bytes).unwrap();
        fs::File::open(path.path()).unwrap().into()
    });
    assert_eq!(shared, Rejection::FileNotRegular);
    let device = weights_in(|_| fs::File::open("/dev/zero").unwrap().into());
    assert_eq!(device, Rejection::FileNotRegular);
    let handle = weights_in(|bytes| {
        let sealed = memfd(bytes, ALL_SEALS);
        let path = format!("/proc/self/fd/{}", sealed.as_raw_fd());
        open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
    });
    assert_eq!(handle, Rejection::FileNotRegular);
    let unreadable = weights_in(|bytes| {
        let sealed = memfd(bytes, SealFlags::empty());
        let path = format!("/proc/self/fd/{}", sealed.as_raw_fd());
        let write_only = open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        fcntl_add_seals(&write_only, ALL_SEALS).unwrap();
        write_only
    });
    assert_eq!(unreadable, Rejection::FileNotRegular);
    let socket = weights_in(|_| socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap());
    assert_eq!(socket, Rejection::FileNotRegular);
}

#[test]
fn a_memfd_of_huge_pages_is_refused() {
    let policy = policy();
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB;
    let Ok(huge) = rustix::fs::memfd_create("huge", flags) else {
        eprintln!("NOT TRIED: this kernel has no hugetlbfs");
        return;
    };
    // No page is reserved: reading one may fail, with SIGBUS.
    if let Err(error) = ftruncate(&huge, 2 << 20) {
        eprintln!("NOT TRIED: {error}");
        return;
    }
    fcntl_add_seals(&huge, ALL_SEALS).unwrap();
    let mut steps = genuine(&policy);
    steps[2].1 = vec![huge.try_clone().unwrap()];
    assert_eq!(rejected(steps), Rejection::SizeMismatch);
    // With the right size, it is its file system that is refused.
    let mut steps = genuine(&policy);
    steps[0].1 = vec![huge];
    malformed(steps, "an envelope that is not sealed");
}

#[test]
fn a_memfd_with_holes_is_refused() {
    // Reading a hole takes memory, and ends in SIGBUS where there is none.
    let holed = |bytes: &[u8], prepare: fn(&OwnedFd, u64)| {
        let hole = memfd(b"", SealFlags::empty());
        ftruncate(&hole, bytes.len() as u64).unwrap();
        prepare(&hole, bytes.len() as u64);
        fcntl_add_seals(&hole, ALL_SEALS).unwrap();
        hole
    };
    let empty = weights_in(|bytes| holed(bytes, |_, _| {}));
    assert_eq!(empty, Rejection::FileNotRegular);
    // Nor is there a hold of it that a tensor could be asked of later.
    let policy = policy();
    let mut steps = genuine(&policy);
    steps[2].1 = vec![holed(model(&policy), |_, _| {})];
    let handed = receive_all(steps).unwrap();
    let manifest = authenticate(1, handed.envelope()).unwrap();
    let refused = handed.into_holds(&manifest).unwrap_err();
    assert_eq!(refused.rejection(), Some(Rejection::FileNotRegular));
    // As many pages as a whole file has, but beyond its end.
    let hidden = weights_in(|bytes| {
        holed(bytes, |hole, len| {
            let beyond = len.next_multiple_of(4096);
            fallocate(hole, FallocateFlags::KEEP_SIZE, beyond, 1 << 20).unwrap();
            assert!(rustix::fs::fstat(hole).unwrap().st_blocks as u64 * 512 >= len);
        })
    });
    assert_eq!(hidden, Rejection::FileNotRegular);
    // All but the last page.
    let short = weights_in(|bytes| {
        holed(bytes, |hole, len| {
            let last = (len - 1) / 4096 * 4096;
            fallocate(hole, FallocateFlags::KEEP_SIZE, 0, last).unwrap();
        })
    });
    assert_eq!(short, Rejection::FileNotRegular);
}

#[test]
fn nobody_adds_pages_beyond_the_end_of_a_sealed_memfd() {
    let sealed = memfd(&[1; 5000], ALL_SEALS);
    for at in [0, 4096, 8192, 1 << 20] {
        let added = fallocate(&sealed, FallocateFlags::KEEP_SIZE, at, 1 << 20);
        assert_eq!(added, Err(Errno::PERM), "{at}");
    }
}

#[test]
fn a_memfd_of_another_size_is_refused() {
    let longer = |bytes: &[u8]| memfd(&[bytes, &[0]].concat(), ALL_SEALS);
    assert_eq!(weights_in(longer), Rejection::SizeMismatch);
    let shorter = |bytes: &[u8]| memfd(&bytes[1..], ALL_SEALS);
    assert_eq!(weights_in(shorter), Rejection::SizeMismatch);
    assert_eq!(
        weights_in(|_| memfd(b"", ALL_SEALS)),
        Rejection::SizeMismatch
    );
    let policy = policy();
    let mut steps = genuine(&policy);
    steps[1].1 = vec![memfd(&small(&policy)[1..], ALL_SEALS)];
    assert_eq!(rejected(steps), Rejection::SizeMismatch);
}

#[test]
fn sealed_bytes_that_are_not_the_signed_ones_are_refused() {
    let policy = policy();
    let len = model(&policy).len();
    let flipped = |at: usize| {
        weights_in(|bytes| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 1;
            memfd(&bytes, ALL_SEALS)
        })
    };
    for at in [0, 9, len / 2, len - 1] {
        assert_eq!(flipped(at), Rejection::DigestMismatch, "byte {at}");
    }
    let mut steps = genuine(&policy);
    let mut small = small(&policy);
    small[3] ^= 1;
    steps[1].1 = vec![memfd(&small, ALL_SEALS)];
    assert_eq!(rejected(steps), Rejection::DigestMismatch);
}

#[test]
fn on_demand_tampering_is_noticed_at_that_tensor() {
    let policy = policy();
    let mut bytes = model(&policy).to_vec();
    // The last tensor is `gain`: what differs in alignment comes by name.
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    let mut steps = genuine(&policy);
    steps[2].1 = vec![memfd(&bytes, ALL_SEALS)];
    let handed = receive_all(steps).unwrap();
    let manifest = authenticate(1, handed.envelope()).unwrap();
    let holds = handed.into_holds(&manifest).unwrap();
    let on_demand = manifest
        .open_holds_on_demand(holds, &Default::default())
        .unwrap();
    assert!(on_demand.tensor("bias").unwrap().is_some());
    let refused = on_demand.tensor("gain").unwrap_err();
    assert_eq!(refused.rejection(), Some(Rejection::DigestMismatch));
}

#[test]
fn who_trusts_the_gate_says_so_by_a_type_and_still_checks_the_table() {
    let policy = policy();
    let vouched = |change: fn(&mut Vec<u8>)| {
        let mut bytes = model(&policy).to_vec();
        change(&mut bytes);
        let mut steps = genuine(&policy);
        steps[2].1 = vec![memfd(&bytes, ALL_SEALS)];
        let handed = receive_all(steps).unwrap();
        let manifest = authenticate(1, handed.envelope()).unwrap();
        let holds = handed.into_holds(&manifest).unwrap();
        manifest.dangerously_trust_sender(holds, &Default::default())
    };
    // This is what it gives away: the number is not the signed one, and nobody notices.
    let changed = vouched(|bytes| *bytes.last_mut().unwrap() ^= 1).unwrap();
    assert!(changed.tensor("gain").is_some());
    let header = vouched(|bytes| bytes[9] ^= 1).unwrap_err();
    assert_eq!(header.rejection(), Some(Rejection::DigestMismatch));
}

#[test]
fn an_envelope_beyond_the_limit_is_not_mapped() {
    let policy = policy();
    let mut steps = genuine(&policy);
    let large = memfd(b"", SealFlags::empty());
    ftruncate(&large, 1 << 40).unwrap();
    fcntl_add_seals(&large, ALL_SEALS).unwrap();
    steps[0].1 = vec![large];
    malformed(steps, "an envelope that is too large");
}

/// `always` instead of what memfds get otherwise, as long as this lives.
struct HugePages(String);

impl HugePages {
    const PLACE: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

    fn always() -> std::io::Result<Self> {
        let all = fs::read_to_string(Self::PLACE)?;
        let chosen = all.split(['[', ']']).nth(1).unwrap().to_owned();
        fs::write(Self::PLACE, "always")?;
        Ok(Self(chosen))
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        fs::write(Self::PLACE, &self.0).unwrap();
    }
}

/// A huge page at the end stays whole while a pipe has a part of it, and counts for the hole.
#[test]
fn a_huge_page_does_not_count_for_those_that_are_missing() {
    const HUGE: usize = 2 << 20;
    let policy = policy_of(1, &weights(600_000));
    let bytes = model(&policy);
    // What lies beyond the end counts for what is missing before it.
    let (ends, missing) = (bytes.len() - HUGE, HUGE - bytes.len() / 4);
    assert!(HUGE - ends > missing, "{ends}");
    let descriptor = memfd(&[], SealFlags::empty());
    ftruncate(&descriptor, bytes.len() as u64).unwrap();
    let file = fs::File::from(descriptor.try_clone().unwrap());
    file.write_all_at(&bytes[..HUGE - missing], 0).unwrap();
    let huge_pages = HugePages::always();
    file.write_all_at(&bytes[HUGE..], HUGE as u64).unwrap();
    let blocks = std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap());
    if huge_pages.is_err() || blocks * 512 < bytes.len() as u64 {
        eprintln!("NOT TRIED: no huge page, which root chooses");
        return;
    }
    fcntl_add_seals(&descriptor, ALL_SEALS).unwrap();
    let (_reads, pipe) = rustix::pipe::pipe().unwrap();
    let (flags, at) = (rustix::pipe::SpliceFlags::empty(), &mut (HUGE as u64));
    rustix::pipe::splice(&descriptor, Some(at), &pipe, None, 4096, flags).unwrap();
    let mut steps = genuine(&policy);
    steps[2].1 = vec![descriptor];
    assert_eq!(rejected(steps), Rejection::FileNotRegular);
    // One that is whole is taken, huge pages or not.
    assert!(prove(receive_all(genuine(&policy)).unwrap()).is_ok());
}
