"""Writes to a file that this process has neither open nor mapped any more.

    pin.py PATH

A page of the file is pinned through a shared mapping, as a buffer of an io_uring (io_uring_register(2)).
`pinned` is said when mapping and file are closed; then a line is waited for, and a read into the buffer
changes the page. `no` and the reason where the kernel pins none.
"""

import ctypes
import mmap
import os
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
SETUP, ENTER, REGISTER = 425, 426, 427
REGISTER_BUFFERS, GETEVENTS, READ_FIXED = 0, 1, 4
SQES, PAGE = 0x10000000, mmap.PAGESIZE


def syscall(*arguments):
    done = LIBC.syscall(*(ctypes.c_long(argument) for argument in arguments))
    if done < 0:
        print("no", os.strerror(ctypes.get_errno()), flush=True)
        sys.exit()
    return done


def address(buffer):
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


parameters = bytearray(120)
ring = syscall(SETUP, 1, address(parameters))
offsets = struct.unpack_from("10I", parameters, 40)
queue = mmap.mmap(ring, offsets[6] + 64, offset=0)
entry = mmap.mmap(ring, PAGE, offset=SQES)

file = os.open(sys.argv[1], os.O_RDWR)
shared = LIBC.mmap
shared.restype, shared.argtypes = ctypes.c_long, [ctypes.c_long] * 6
page = shared(0, PAGE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, file, 0)
buffers = bytearray(struct.pack("QQ", page, PAGE))
syscall(REGISTER, ring, REGISTER_BUFFERS, address(buffers), 1)
LIBC.munmap.argtypes = [ctypes.c_long] * 2
LIBC.munmap(page, PAGE)
os.close(file)
print("pinned", flush=True)

sys.stdin.readline()
evil = os.memfd_create("evil")
os.write(evil, b"\xee" * PAGE)
entry[:64] = struct.pack("BBHiQQIIQH22x", READ_FIXED, 0, 0, evil, 0, page, PAGE, 0, 0, 0)
queue[offsets[6] : offsets[6] + 4] = struct.pack("I", 0)
queue[offsets[1] : offsets[1] + 4] = struct.pack("I", 1)
syscall(ENTER, ring, 1, 1, GETEVENTS, 0, 0)
print("written", flush=True)
