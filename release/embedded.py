"""What `cargo auditable` wrote into a program: the crates that it was compiled from."""

import json
import struct
import zlib
from pathlib import Path

SECTION = b".dep-v0\0"


def crates(program):
    """Name and version of each crate whose code is in the program, from an ELF of 64 bits."""
    image = Path(program).read_bytes()
    packages = json.loads(zlib.decompress(section(image)))["packages"]
    return {(p["name"], p["version"]) for p in packages if p.get("kind", "runtime") == "runtime"}


def section(image):
    """The content of the section, found by the section headers (elf(5))."""
    (start,) = struct.unpack_from("<Q", image, 0x28)
    size, count, names = struct.unpack_from("<HHH", image, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", image, start + size * i) for i in range(count)]
    names_at = headers[names][4]
    for name, _, _, _, offset, length in headers:
        if image.startswith(SECTION, names_at + name):
            return image[offset : offset + length]
    raise SystemExit("tensorgate: the program does not say what it was compiled from\nhint: build it with cargo auditable")
