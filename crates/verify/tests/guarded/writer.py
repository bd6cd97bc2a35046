"""A process that changes a file, in every way there is.

A command a line on stdin, `WAY PATH FOREIGN DELAY_US`: after the delay, PATH is changed by WAY, with
bytes of the file FOREIGN. The answer, a line on stdout: for how many ns it was held back, or `no`
and what the system said. Before the answer everything is written and closed.
"""

import ctypes
import fcntl
import mmap
import os
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
PAGE = mmap.PAGESIZE
EVIL = b"\xee" * (64 * PAGE)
FICLONE, FICLONERANGE = 0x40049409, 0x4020940D
KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE = 1, 2, 8, 16, 32


def opened(path, flags=os.O_RDWR):
    global held
    begun = time.monotonic_ns()
    fd = os.open(path, flags | os.O_CLOEXEC)
    held = time.monotonic_ns() - begun
    return fd


def with_fd(change, flags=os.O_RDWR):
    def way(path, foreign):
        fd = opened(path, flags)
        try:
            change(fd, foreign)
        finally:
            os.close(fd)

    return way


def fallocate(mode):
    def change(fd, _):
        size = os.fstat(fd).st_size // PAGE // 2 * PAGE
        offset, length = ctypes.c_long(PAGE), ctypes.c_long(size)
        if LIBC.fallocate(fd, mode, offset, length):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))

    return change


def shared_mapping(fd, _):
    with mmap.mmap(fd, 0) as memory:
        os.fsync(fd)
        memory[: len(EVIL)] = EVIL
        memory[-PAGE:] = EVIL[:PAGE]


def direct(fd, _):
    with mmap.mmap(-1, len(EVIL)) as aligned:
        aligned[:] = EVIL
        os.pwritev(fd, [aligned], 0)


def from_foreign(copy):
    def change(fd, foreign):
        source = os.open(foreign, os.O_RDONLY)
        try:
            copy(fd, source)
        finally:
            os.close(source)

    return change


def clone_range(fd, source):
    import struct

    fcntl.ioctl(fd, FICLONERANGE, struct.pack("qQQQ", source, 0, 64 * PAGE, 0))


def truncate(path, _):
    global held
    begun = time.monotonic_ns()
    os.truncate(path, 100)
    held = time.monotonic_ns() - begun


def rename(path, foreign):
    os.link(foreign, path + "~")
    os.rename(path + "~", path)


def other_name(path, foreign):
    name = foreign + "-linked"
    os.link(path, name)
    try:
        WAYS["pwrite"](name, foreign)
    finally:
        os.unlink(name)


def reopened(path, foreign):
    """Through the very descriptor that the other process holds it by."""
    folder = f"/proc/{os.getppid()}/fd"
    for fd in os.listdir(folder):
        try:
            if os.readlink(f"{folder}/{fd}") == path:
                return WAYS["pwrite"](f"{folder}/{fd}", foreign)
        except FileNotFoundError:
            pass
    return WAYS["pwrite"](path, foreign)


def nonblocking(path, foreign):
    """Never waits: asks again until it may."""
    begun = time.monotonic_ns()
    while True:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            break
        except BlockingIOError:
            time.sleep(0.0005)
    global held
    held = time.monotonic_ns() - begun
    os.pwrite(fd, EVIL, 0)
    os.close(fd)


WAYS = {
    "write": with_fd(lambda fd, _: os.write(fd, EVIL), os.O_WRONLY),
    "append": with_fd(lambda fd, _: os.write(fd, EVIL), os.O_WRONLY | os.O_APPEND),
    "pwrite": with_fd(lambda fd, _: os.pwrite(fd, EVIL, 12345)),
    "mmap": with_fd(shared_mapping),
    "direct": with_fd(direct, os.O_RDWR | os.O_DIRECT),
    "truncate": truncate,
    "ftruncate": with_fd(lambda fd, _: os.ftruncate(fd, 100)),
    "grow": with_fd(lambda fd, _: os.ftruncate(fd, 1 << 24)),
    "o_trunc": with_fd(lambda fd, _: os.write(fd, EVIL), os.O_WRONLY | os.O_TRUNC),
    "punch": with_fd(fallocate(PUNCH_HOLE | KEEP_SIZE)),
    "zero": with_fd(fallocate(ZERO_RANGE)),
    "collapse": with_fd(fallocate(COLLAPSE_RANGE)),
    "insert": with_fd(fallocate(INSERT_RANGE)),
    "copy_file_range": with_fd(
        from_foreign(lambda fd, source: os.copy_file_range(source, fd, len(EVIL), 0, 0))
    ),
    "sendfile": with_fd(from_foreign(lambda fd, source: os.sendfile(fd, source, 0, len(EVIL)))),
    "clone": with_fd(from_foreign(lambda fd, source: fcntl.ioctl(fd, FICLONE, source))),
    "clone_range": with_fd(from_foreign(clone_range)),
    "proc_fd": reopened,
    "hard_link": other_name,
    "nonblock": nonblocking,
    "rename": rename,
    "unlink": lambda path, _: os.unlink(path),
}


def kept(path, _):
    """Opens before the check, and writes when it is told to go on."""
    fd = opened(path)
    with mmap.mmap(fd, 0) as memory:
        print(held, flush=True)
        sys.stdin.readline()
        memory[: len(EVIL)] = EVIL
        os.pwrite(fd, EVIL, 200000)
        os.ftruncate(fd, 5000)
    os.close(fd)


WAYS["kept"] = kept


def main():
    global held
    for line in sys.stdin:
        way, path, foreign, delay = line.split()
        time.sleep(int(delay) / 1e6)
        held = 0
        try:
            WAYS[way](path, foreign)
            print(held, flush=True)
        except OSError as error:
            print("no", error, flush=True)


main()
