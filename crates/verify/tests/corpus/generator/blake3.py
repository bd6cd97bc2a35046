"""BLAKE3 of small inputs, after the paper (https://github.com/BLAKE3-team/BLAKE3-specs, section 2)."""

import struct

IV = [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19]
PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
BLOCK, CHUNK = 64, 1024
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
MASK = 0xFFFFFFFF
# Which words a quarter round mixes: first the columns, then the diagonals.
ROUND = [
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
]


def rotate(word, by):
    return word >> by | word << 32 - by & MASK


def compress(chaining, block, counter, length, flags):
    words = list(struct.unpack("<16I", block.ljust(BLOCK, b"\0")))
    v = chaining + IV[:4] + [counter & MASK, counter >> 32, length, flags]
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(ROUND):
            for word, to_d, to_b in ((words[2 * i], 16, 12), (words[2 * i + 1], 8, 7)):
                v[a] = v[a] + v[b] + word & MASK
                v[d] = rotate(v[d] ^ v[a], to_d)
                v[c] = v[c] + v[d] & MASK
                v[b] = rotate(v[b] ^ v[c], to_b)
        words = [words[i] for i in PERMUTATION]
    return [low ^ high for low, high in zip(v[:8], v[8:])]


def chunk(data, index, root):
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)] or [b""]
    chaining = IV
    for i, block in enumerate(blocks):
        flags = CHUNK_START if i == 0 else 0
        if i == len(blocks) - 1:
            flags |= CHUNK_END | root
        chaining = compress(chaining, block, index, len(block), flags)
    return chaining


def subtree(data, index, root):
    """The chaining value of `data`, whose first chunk is the file's chunk `index`."""
    if len(data) <= CHUNK:
        return chunk(data, index, root)
    # The left side is the largest power of two of chunks that leaves something on the right.
    left = CHUNK << ((len(data) - 1) // CHUNK).bit_length() - 1
    children = subtree(data[:left], index, 0) + subtree(data[left:], index + left // CHUNK, 0)
    return compress(IV, struct.pack("<16I", *children), 0, BLOCK, PARENT | root)


def blake3(data):
    return struct.pack("<8I", *subtree(data, 0, ROOT)).hex()
