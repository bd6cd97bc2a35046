//! What the kernel is asked for: leases (fcntl(2)), the signal of their break (sigwait(3)), and
//! mappings (mmap(2)). One call a function: all the unsafe code of the crate.

#![expect(unsafe_code, reason = "system calls, each argued where it is made")]

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::thread::JoinHandleExt;
use std::ptr::null_mut;
use std::thread::JoinHandle;
use std::time::Duration;

use memmap2::{Advice, Mmap, MmapOptions};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use rustix::thread::Pid;

use super::guarded::end;
use super::holder::LeaseSignal;

/// include/uapi/asm-generic/fcntl.h; `libc` does not name them.
const F_SETSIG: c_int = 10;
const F_SETOWN_EX: c_int = 15;
const F_OWNER_TID: c_int = 0;
/// include/uapi/asm-generic/siginfo.h.
const POLL_MSG: c_int = 3;
/// `sizeof(sigset_t)` of the kernel's.
const SIGSET_BYTES: usize = 8;

/// `struct f_owner_ex` of fcntl(2).
#[repr(C)]
struct Owner {
    kind: c_int,
    thread: c_int,
}

/// Takes a read lease on `file`, whose break is told to `thread` by `signal`.
///
/// # Errors
/// `EAGAIN` while somebody has the file open for writing, `EACCES` where it is another user's,
/// `EINVAL` where the file system has no leases, or `/proc/sys/fs/leases-enable` is 0.
pub(super) fn take_lease(file: &File, signal: LeaseSignal, thread: Pid) -> io::Result<()> {
    // The default, SIGIO to the process, would end it.
    fcntl(file, F_SETSIG, signal.number())?;
    let owner = Owner {
        kind: F_OWNER_TID,
        thread: thread.as_raw_nonzero().get(),
    };
    // SAFETY: F_SETOWN_EX reads one `struct f_owner_ex`, which `owner` is for the whole call; it
    // writes nothing. Shown by: every test that sees a lease break.
    let set = unsafe { libc::fcntl(file.as_raw_fd(), F_SETOWN_EX, &raw const owner) };
    result(set)?;
    fcntl(file, libc::F_SETLEASE, libc::F_RDLCK).map(drop)
}

/// Whether nobody waits for the lease on `file`, and it was not taken away.
pub(super) fn is_leased(file: &File) -> bool {
    fcntl(file, libc::F_GETLEASE, 0).is_ok_and(|kind| kind == libc::F_RDLCK)
}

/// Gives the lease back, so that writers go on; says whether it was ours until now, or had been
/// taken away after `/proc/sys/fs/lease-break-time` (fcntl(2): the kernel "forcibly removes" it;
/// generic_delete_lease in fs/locks.c says EAGAIN where there is none).
pub(super) fn release_lease(file: &File) -> io::Result<bool> {
    match fcntl(file, libc::F_SETLEASE, libc::F_UNLCK) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// An fcntl(2) command whose argument is a number.
fn fcntl(file: &File, command: c_int, argument: c_int) -> io::Result<c_int> {
    // SAFETY: F_SETSIG, F_GETLEASE and F_SETLEASE, the commands of this file, take a number or
    // nothing: the kernel follows no pointer. Shown by: every test of a guarded hold.
    result(unsafe { libc::fcntl(file.as_raw_fd(), command, argument) })
}

/// Keeps every signal from this thread, so that none of the process's handlers runs on it, and what
/// is sent to it waits.
pub(super) fn block_all_signals() -> io::Result<()> {
    let mut all = MaybeUninit::uninit();
    // SAFETY: sigfillset(3) initialises the set that it is given.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the set was initialised above; the old mask is not asked for. Only this thread's mask
    // changes (pthread_sigmask(3)).
    let set = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), null_mut()) };
    match set {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Waits until `signal` comes, but no longer than `at_most`; says whether it was the process's own,
/// which has been passed on.
///
/// Where the kernel cannot queue another real-time signal it sends SIGIO instead (send_sigio_to_task
/// in fs/fcntl.c). That is not waited for: from the process's own SIGIO, which serial ports use, it
/// could not be told. It stays blocked, and the time runs out.
pub(super) fn wait_for(signal: LeaseSignal, at_most: Duration) -> bool {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset(3) initialises the set that it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the set was initialised above, and is only this function's.
    unsafe { libc::sigaddset(set.as_mut_ptr(), signal.number()) };
    let time = libc::timespec {
        tv_sec: i64::try_from(at_most.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: at_most.subsec_nanos().into(),
    };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: rt_sigtimedwait(2) reads the first 8 bytes of an initialised set, and a time, and writes
    // a siginfo, all of this frame. The signal is blocked in this thread: `block_all_signals` was its
    // first act. (glibc's sigtimedwait(3) makes SI_USER of SI_TKILL.)
    let came = unsafe {
        libc::syscall(
            libc::SYS_rt_sigtimedwait,
            set.as_ptr(),
            info.as_mut_ptr(),
            &raw const time,
            SIGSET_BYTES,
        )
    };
    // SAFETY: zeros are a siginfo, of numbers and a pointer that nobody follows.
    let mut info = unsafe { info.assume_init() };
    // A break of a lease (lease_break_callback in fs/locks.c), and `wake`.
    let ours = [POLL_MSG, libc::SI_TKILL].contains(&info.si_code);
    let foreign = came == i64::from(signal.number()) && !ours;
    if foreign {
        // Only its first thread may repeat kill(2)'s own code; sigqueue(3)'s has the same fields.
        info.si_code = info.si_code.min(libc::SI_QUEUE);
        pass_on(&info);
    }
    foreign
}

/// Sends a signal that was for the process to the process again: this thread blocks it, now that it
/// waits no more, and another one gets it.
fn pass_on(info: &libc::siginfo_t) {
    let (process, number) = (rustix::process::getpid(), info.si_signo);
    let process = process.as_raw_nonzero().get();
    // SAFETY: rt_sigqueueinfo(2) reads a siginfo, which `info` is; a process may send any to itself.
    // Shown by: tests/guarded, `a_signal_of_the_same_number_reaches_the_process`.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigqueueinfo,
            process,
            number,
            std::ptr::from_ref(info),
        )
    };
}

/// Sends `signal` to the thread alone, which finds out later where the queue of signals is full.
pub(super) fn wake(thread: &JoinHandle<()>, signal: LeaseSignal) {
    // SAFETY: pthread_kill(3) wants the id of a thread that was neither joined nor detached, which
    // is what an existing `JoinHandle` stands for.
    unsafe { libc::pthread_kill(thread.as_pthread_t(), signal.number()) };
}

/// Maps the first `len` bytes of a file that is under a lease.
pub(super) fn map_leased(file: &File, len: usize) -> io::Result<Mmap> {
    // SAFETY:
    // 1. Hazard: memmap2 documents that a file-backed map is undefined behaviour "if the underlying
    //    file is subsequently modified, in or out of process"; a truncated one faults with SIGBUS.
    // 2. Excluded by the kernel: a read lease is given only while nobody has the inode open for
    //    writing, writable mappings included, and from then on holds back "open(2) … for writing or
    //    truncate(2)" until it is released (fcntl(2)). The caller releases it only when other pages
    //    are in this place (`Leased::seal`), or nobody looks at these any more. The file systems
    //    where the kernel's word is good are an allowlist (`guarded::refuse_file_system`).
    // 3. Who could still: root, through the disk beneath, or by a shorter lease-break-time meanwhile;
    //    who has the right to write to the file, by `O_RDONLY | O_TRUNC`, and that is this process's
    //    own user alone (`guarded::refuse_other_writers`); who had it, a former owner among them, by a
    //    direct read into a mapping of it that began then and goes on; who stops this process for
    //    longer than the lease-break-time, which is noticed and ends it (`Leased::refuse_late`), after
    //    others of its threads may have gone on reading; a medium that fails when an evicted page is
    //    read again.
    // 4. Shown by: tests/guarded, where readers compare every byte while writers try.
    let map = unsafe { MmapOptions::new().len(len).map_copy_read_only(file) }?;
    // A child would keep the file's pages when this process moves away from them, and would see
    // what is written then. It gets nothing instead.
    map.advise(Advice::DontFork)?;
    Ok(map)
}

/// Puts the bytes of a sealed memfd in the place of `map`, whose own pages are given up.
///
/// `memfd` must hold the same bytes as `map` does, and be sealed.
pub(super) fn map_over(map: &Mmap, memfd: impl AsFd) -> io::Result<()> {
    let place = map.as_ptr().cast_mut().cast();
    // SAFETY:
    // 1. Hazard: MAP_FIXED discards whatever lies in the range, and others read there meanwhile.
    // 2. Excluded: the range is `map`'s own and no longer (both lengths are rounded up to the same
    //    page), `map` stays its owner and unmaps it in the end. The bytes are the same before and
    //    after, so no reference sees a change; the kernel unmaps and maps under one hold of the
    //    address space's lock, so that a reader in between waits for it in its page fault.
    // 3. Who could still: nobody writes, the memfd is sealed. But where the kernel itself lacks memory,
    //    the old pages may be gone and the new ones not there (mmap_region in mm/mmap.c, mm/vma.c):
    //    readers fault, and the next mapping of any thread may take the place. So that ends the process.
    // 4. Shown by: tests/guarded, where readers compare every byte while it happens, and
    //    `a_place_that_may_be_lost_ends_the_process`.
    let mapped = unsafe {
        rustix::mm::mmap(
            place,
            map.len(),
            ProtFlags::READ,
            MapFlags::PRIVATE | MapFlags::FIXED,
            memfd,
            0,
        )
    };
    match mapped {
        Err(Errno::NOMEM) => end("the kernel has no memory to put a copy in its place"),
        mapped => Ok(mapped.map(drop)?),
    }
}

/// Maps a memfd that is sealed against every change.
pub(super) fn map_sealed(memfd: &File) -> io::Result<Mmap> {
    // SAFETY:
    // 1. Hazard: memmap2 documents that a file-backed map is undefined behaviour "if the
    //    underlying file is subsequently modified, in or out of process".
    // 2. Excluded by the kernel: with F_SEAL_WRITE "it is not possible to modify the contents
    //    of the file", F_SEAL_SHRINK and F_SEAL_GROW keep its size, F_SEAL_SEAL keeps the
    //    seals (fcntl(2)); the one caller, `Sealed::map`, reads all four back from this very
    //    descriptor, and F_SEAL_WRITE is refused with EBUSY while a writable mapping exists.
    // 3. Who could still: nobody, root included, through the file; the map is private and
    //    read-only, so neither can this process through it.
    // 4. Shown by: `sealed::tests::a_sealed_hold_cannot_be_changed`.
    unsafe { MmapOptions::new().map_copy_read_only(memfd) }
}

/// Has the allocator give back what was freed; others than glibc's do so by themselves.
pub(super) fn trim_heap() {
    // SAFETY:
    // 1. Hazard: none to memory in use. malloc_trim(3) is marked MT-Safe; it gives up pages that no
    //    allocation lies in, under the locks of the allocator itself.
    // 2. Excluded: the argument is a number, nothing is passed that could be freed.
    // 3. Who could still: another allocator in glibc's place (LD_PRELOAD) answers for its own call.
    // 4. Shown by: `test_swaps_give_the_memory_back` of the node, which reads back what was loaded.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

fn result(returned: c_int) -> io::Result<c_int> {
    match returned {
        -1 => Err(io::Error::last_os_error()),
        fine => Ok(fine),
    }
}
