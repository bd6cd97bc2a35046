"""Runs a program in a sandbox that refuses leases: `no_leases.py PROGRAM ARGUMENT...` (seccomp(2))."""

import ctypes
import os
import platform
import struct
import sys

F_SETLEASE, EPERM = 1024, 1
FCNTL = {"x86_64": 72, "aarch64": 25}[platform.machine()]
SET_NO_NEW_PRIVS, SET_SECCOMP, FILTER = 38, 22, 2
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


def instruction(code, yes, no, operand):
    return struct.pack("HBBI", code, yes, no, operand)


# The number of the call lies at 0, the low half of its second argument at 24.
program = b"".join(
    [
        instruction(LOAD, 0, 0, 0),
        instruction(JUMP_EQUAL, 0, 3, FCNTL),
        instruction(LOAD, 0, 0, 24),
        instruction(JUMP_EQUAL, 0, 1, F_SETLEASE),
        instruction(RETURN, 0, 0, ERRNO | EPERM),
        instruction(RETURN, 0, 0, ALLOW),
    ]
)
code = ctypes.create_string_buffer(program)
filter = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
LIBC = ctypes.CDLL(None, use_errno=True)
assert LIBC.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert LIBC.prctl(SET_SECCOMP, FILTER, ctypes.create_string_buffer(filter)) == 0
os.execv(sys.argv[1], sys.argv[1:])
