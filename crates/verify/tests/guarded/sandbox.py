"""Runs a program in a sandbox that refuses one thing: `sandbox.py WHAT PROGRAM ARGUMENT...` (seccomp(2))."""

import ctypes
import errno
import os
import platform
import struct
import sys

FCNTL, IOCTL, MMAP = {"x86_64": (72, 16, 9), "aarch64": (25, 29, 222)}[platform.machine()]
F_SETLEASE, FS_IOC_GETFLAGS, MAP_PRIVATE_FIXED = 1024, 0x80086601, 0x12
# The call, which of its arguments, what that must be, the error.
WHAT = {
    "leases": (FCNTL, 1, F_SETLEASE, errno.EPERM),
    # As 9p says, which has none.
    "inode flags": (IOCTL, 1, FS_IOC_GETFLAGS, errno.ENOTTY),
    # The loader's have further flags.
    "moves": (MMAP, 3, MAP_PRIVATE_FIXED, errno.ENOMEM),
    "memfds": ({"x86_64": 319, "aarch64": 279}[platform.machine()], None, None, errno.ENOSYS),
}
SET_NO_NEW_PRIVS, SET_SECCOMP, FILTER = 38, 22, 2
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


def instruction(code, yes, no, operand):
    return struct.pack("HBBI", code, yes, no, operand)


call, argument, value, error = WHAT[sys.argv[1]]
# The number of the call lies at 0, its arguments from 16 on, the low half first.
looks = [(0, call)] + ([] if argument is None else [(16 + 8 * argument, value)])
program = b""
for index, (place, operand) in enumerate(looks):
    rest = 2 * (len(looks) - index) - 1
    program += instruction(LOAD, 0, 0, place) + instruction(JUMP_EQUAL, 0, rest, operand)
program += instruction(RETURN, 0, 0, ERRNO | error) + instruction(RETURN, 0, 0, ALLOW)
code = ctypes.create_string_buffer(program)
filter = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
LIBC = ctypes.CDLL(None, use_errno=True)
assert LIBC.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert LIBC.prctl(SET_SECCOMP, FILTER, ctypes.create_string_buffer(filter)) == 0
os.execv(sys.argv[2], sys.argv[2:])
