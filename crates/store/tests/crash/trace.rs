//! A process that runs from one of its file-system changing system calls to the next.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Child;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// What a system call changes. Files and directories are named by their inodes, which stay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// Bytes, size or mode of a file.
    Write(Node),
    Sync(Node),
    /// A file that is made; at the exit, the one that is there.
    Create {
        parent: Node,
        name: PathBuf,
        made: Option<Node>,
    },
    MakeDir {
        parent: Node,
        name: PathBuf,
    },
    /// `moved`, and what comes the other way.
    Rename {
        from: Node,
        to: Node,
        moved: Node,
        back: Option<Node>,
    },
    Link {
        to: Node,
        linked: Node,
    },
    Unlink {
        parent: Node,
        removed: Option<Node>,
    },
    Lock,
}

/// A file or directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Node {
    pub(crate) inode: u64,
    pub(crate) path: PathBuf,
    pub(crate) is_dir: bool,
}

/// Where a process stands.
#[derive(Debug)]
pub(crate) enum Stop {
    /// About to do it.
    Entry(Change),
    /// It is done, or was refused by the system.
    Exit(Change, Result<(), Errno>),
    /// At the end of what was to be traced.
    End,
}

/// A process that stopped itself with SIGSTOP where the trace begins, and does so where it ends.
pub(crate) struct Traced {
    child: Child,
    pid: Pid,
    within: Option<Change>,
    inject: Option<Errno>,
}

impl Traced {
    pub(crate) fn new(child: Child) -> Self {
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        let stopped = waitpid(pid, None).unwrap();
        assert_eq!(
            stopped,
            WaitStatus::Stopped(pid, Signal::SIGSTOP),
            "ptrace must be permitted here: without it nothing is tested"
        );
        let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(pid, options).unwrap();
        Self {
            child,
            pid,
            within: None,
            inject: None,
        }
    }

    /// To the next change, be it before or behind it.
    pub(crate) fn next(&mut self) -> Stop {
        loop {
            ptrace::syscall(self.pid, None).unwrap();
            match waitpid(self.pid, None).unwrap() {
                WaitStatus::PtraceSyscall(_) => {}
                WaitStatus::Stopped(_, Signal::SIGSTOP) => return Stop::End,
                other => panic!("the traced process: {other:?}"),
            }
            let op = ptrace::syscall_info(self.pid).unwrap().op;
            let registers = ptrace::getregs(self.pid).unwrap();
            if op == libc::PTRACE_SYSCALL_INFO_ENTRY {
                self.within = self.decode(&registers);
                if let Some(change) = &self.within {
                    return Stop::Entry(change.clone());
                }
            } else if let Some(change) = self.within.take() {
                return self.leave(change, registers);
            }
        }
    }

    /// Makes the call that is about to be made fail, undone.
    pub(crate) fn fail_with(&mut self, errno: Errno) {
        let mut registers = ptrace::getregs(self.pid).unwrap();
        // No call has this number.
        registers.orig_rax = u64::MAX;
        ptrace::setregs(self.pid, registers).unwrap();
        self.inject = Some(errno);
    }

    fn leave(&mut self, change: Change, mut registers: libc::user_regs_struct) -> Stop {
        if let Some(errno) = self.inject.take() {
            registers.rax = (-i64::from(errno as i32)).cast_unsigned();
            ptrace::setregs(self.pid, registers).unwrap();
        }
        let result = registers.rax.cast_signed();
        if (-4095..0).contains(&result) {
            let errno = Errno::from_raw(i32::try_from(-result).unwrap());
            return Stop::Exit(change, Err(errno));
        }
        let change = match change {
            Change::Create { parent, name, .. } => {
                let made = self.open_node(registers.rax);
                Change::Create { parent, name, made }
            }
            other => other,
        };
        Stop::Exit(change, Ok(()))
    }

    /// Ends the process where it stands: what it was about to do is not done.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets the process go on alone.
    pub(crate) fn release(self) -> Child {
        ptrace::detach(self.pid, None).unwrap();
        self.child
    }

    /// What a call would change. A call that is neither known to change something nor known to
    /// change nothing ends the test.
    fn decode(&self, registers: &libc::user_regs_struct) -> Option<Change> {
        let number = i64::try_from(registers.orig_rax).unwrap_or(-1);
        let (a, b, c, d) = (registers.rdi, registers.rsi, registers.rdx, registers.r10);
        Some(match number {
            libc::SYS_write
            | libc::SYS_pwrite64
            | libc::SYS_writev
            | libc::SYS_ftruncate
            | libc::SYS_fchmod
            | libc::SYS_fallocate
            | libc::SYS_copy_file_range => Change::Write(self.open_node(a)?),
            libc::SYS_fsync | libc::SYS_fdatasync => Change::Sync(self.open_node(a)?),
            libc::SYS_openat => return self.opening(a, b, c),
            libc::SYS_open => return self.opening(at_here(), a, b),
            // struct open_how begins with the flags (openat2(2)).
            libc::SYS_openat2 => return self.opening(a, b, self.word(c)),
            libc::SYS_mkdir => self.make_dir(at_here(), a),
            libc::SYS_mkdirat => self.make_dir(a, b),
            libc::SYS_renameat | libc::SYS_renameat2 => self.rename(a, b, c, d, registers.r8),
            libc::SYS_rename => self.rename(at_here(), a, at_here(), b, 0),
            libc::SYS_linkat => {
                let linked = node(&self.path(a, b))?;
                Change::Link {
                    to: parent(&self.path(c, d)),
                    linked,
                }
            }
            libc::SYS_unlinkat => self.unlink(a, b),
            libc::SYS_unlink | libc::SYS_rmdir => self.unlink(at_here(), a),
            libc::SYS_flock => Change::Lock,
            number if HARMLESS.contains(&number) => return None,
            number => panic!("system call {number}: does it change a file system?"),
        })
    }

    fn opening(&self, at: u64, name: u64, flags: u64) -> Option<Change> {
        let flags = i32::try_from(flags).unwrap();
        if flags & libc::O_TRUNC != 0 {
            panic!("a file of the store is never cut short in its place");
        }
        if flags & libc::O_CREAT == 0 {
            return None;
        }
        let path = self.path(at, name);
        let name = path.file_name().unwrap().into();
        let create = Change::Create {
            parent: parent(&path),
            name,
            made: None,
        };
        // What is there is opened only.
        node(&path).is_none().then_some(create)
    }

    fn make_dir(&self, at: u64, name: u64) -> Change {
        let path = self.path(at, name);
        let name = path.file_name().unwrap().into();
        Change::MakeDir {
            parent: parent(&path),
            name,
        }
    }

    fn rename(&self, from: u64, old: u64, to: u64, new: u64, flags: u64) -> Change {
        let (old, new) = (self.path(from, old), self.path(to, new));
        let exchange = flags == u64::from(libc::RENAME_EXCHANGE);
        Change::Rename {
            from: parent(&old),
            to: parent(&new),
            moved: node(&old).unwrap_or_else(|| parent(&old)),
            back: node(&new).filter(|_| exchange),
        }
    }

    fn unlink(&self, at: u64, name: u64) -> Change {
        let path = self.path(at, name);
        Change::Unlink {
            parent: parent(&path),
            removed: node(&path),
        }
    }

    /// `None` of what is no file, such as standard output.
    fn open_node(&self, fd: u64) -> Option<Node> {
        let link = self.proc().join("fd").join(fd.to_string());
        let stat = fs::metadata(&link).unwrap();
        let path = fs::read_link(link).unwrap();
        let is_file = stat.is_file() || stat.is_dir();
        is_file.then(|| Node {
            inode: stat.ino(),
            path,
            is_dir: stat.is_dir(),
        })
    }

    fn path(&self, at: u64, name: u64) -> PathBuf {
        let name = self.text(name);
        // The upper half of the register means nothing.
        let base = match at & 0xffff_ffff == at_here() & 0xffff_ffff {
            true => fs::read_link(self.proc().join("cwd")).unwrap(),
            false => fs::read_link(self.proc().join("fd").join(at.to_string())).unwrap(),
        };
        base.join(name)
    }

    fn text(&self, address: u64) -> PathBuf {
        use std::os::unix::ffi::OsStringExt as _;
        let memory = File::open(self.proc().join("mem")).unwrap();
        let mut text = Vec::new();
        let mut byte = [0];
        loop {
            memory
                .read_exact_at(&mut byte, address + text.len() as u64)
                .unwrap();
            if byte[0] == 0 {
                return std::ffi::OsString::from_vec(text).into();
            }
            text.push(byte[0]);
        }
    }

    fn word(&self, address: u64) -> u64 {
        let mut word = [0; 8];
        let memory = File::open(self.proc().join("mem")).unwrap();
        memory.read_exact_at(&mut word, address).unwrap();
        u64::from_ne_bytes(word)
    }

    fn proc(&self) -> PathBuf {
        Path::new("/proc").join(self.pid.to_string())
    }
}

fn at_here() -> u64 {
    i64::from(libc::AT_FDCWD).cast_unsigned()
}

fn node(path: &Path) -> Option<Node> {
    let stat = fs::symlink_metadata(path).ok()?;
    Some(Node {
        inode: stat.ino(),
        path: path.to_owned(),
        is_dir: stat.is_dir(),
    })
}

fn parent(path: &Path) -> Node {
    let parent = path.parent().unwrap();
    node(parent).unwrap_or_else(|| panic!("{parent:?} is not there"))
}

/// Calls that change nothing on a file system.
const HARMLESS: [i64; 40] = [
    libc::SYS_access,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_faccessat,
    libc::SYS_fadvise64,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_futex,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_geteuid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_lseek,
    libc::SYS_lstat,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_newfstatat,
    libc::SYS_poll,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_stat,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_tgkill,
    libc::SYS_kill,
];
