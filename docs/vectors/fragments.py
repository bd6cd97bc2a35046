#!/usr/bin/env python3
"""Checks `fragments.json` as docs/formats/ros.md says: values of fragments, and how they merge to a tensor's digest.

The compression function is that of the BLAKE3 paper, section 2; the package `blake3` has no subtrees.
"""

import json
import struct
import sys
from pathlib import Path

from blake3 import blake3

IV = struct.unpack("<8I", bytes.fromhex("67e6096a85ae67bb72f36e3c3af54fa57f520e518c68059babd9831f19cde05b"))
ORDER = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
CHUNK = 1024


def compress(value, block, counter, length, flags):
    state = [*value, *IV[:4], counter & 0xFFFFFFFF, counter >> 32, length, flags]
    words = list(struct.unpack("<16I", block))

    def mix(a, b, c, d, x, y):
        for word, first, second in ((x, 16, 12), (y, 8, 7)):
            state[a] = (state[a] + state[b] + word) & 0xFFFFFFFF
            state[d] = turn(state[d] ^ state[a], first)
            state[c] = (state[c] + state[d]) & 0xFFFFFFFF
            state[b] = turn(state[b] ^ state[c], second)

    for _ in range(7):
        for i in range(4):
            mix(i, 4 + i, 8 + i, 12 + i, words[2 * i], words[2 * i + 1])
        for i in range(4):
            mix(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, words[8 + 2 * i], words[9 + 2 * i])
        words = [words[i] for i in ORDER]
    return [state[i] ^ state[i + 8] for i in range(8)]


def turn(word, by):
    return (word >> by | word << (32 - by)) & 0xFFFFFFFF


def chunk_value(data, number):
    value = list(IV)
    for at in range(0, len(data), 64):
        block, last = data[at : at + 64], at + 64 >= len(data)
        flags = (CHUNK_START if at == 0 else 0) | (CHUNK_END if last else 0)
        value = compress(value, block.ljust(64, b"\0"), number, len(block), flags)
    return struct.pack("<8I", *value)


def parent(left, right, root=0):
    return struct.pack("<8I", *compress(IV, left + right, 0, 64, PARENT | root))


def left_length(length):
    """The largest power of two of chunks that leaves something to the right, in bytes."""
    return CHUNK << ((length - 1) // CHUNK).bit_length() - 1


def subtree(data, offset):
    """The value of a fragment that begins at `offset` of its tensor, and is not all of it."""
    if len(data) <= CHUNK:
        return chunk_value(data, offset // CHUNK)
    left = left_length(len(data))
    return parent(subtree(data[:left], offset), subtree(data[left:], offset + left))


def merge(values, length, size, root=ROOT):
    """The digest of a tensor of `length` bytes from its fragments' values."""
    if len(values) == 1:
        return values[0]
    left = left_length(length)
    count = left // size
    return parent(merge(values[:count], left, size, 0), merge(values[count:], length - left, size, 0), root)


def check(vector):
    length, size = vector["length"], vector["fragment_size"]
    data = bytes(i % 251 for i in range(length))
    values = [bytes.fromhex(value) for value in vector["values"]]
    pieces = [(at, data[at : at + size]) for at in range(0, length, size)]
    alone = len(pieces) == 1
    assert values == [blake3(piece).digest() if alone else subtree(piece, at) for at, piece in pieces], length
    assert merge(values, length, size).hex() == blake3(data).hexdigest() == vector["blake3"], length


def main():
    vectors = json.loads((Path(__file__).resolve().parent / "fragments.json").read_text())
    for vector in vectors:
        check(vector)
    print(f"{len(vectors)} tensors merge to their digests")


if __name__ == "__main__":
    sys.exit(main())
