"""safetensors files, well made and not."""

import json
import struct

from .notation import content, raw, repeat, text, u64

WIDTH = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "F16": 2,
    "BF16": 2,
    "F32": 4,
    "I32": 4,
    "F64": 8,
    "I64": 8,
}


def file(header, data=b"", pad=True):
    """Length, header text, data; the header padded with spaces to a multiple of 8."""
    head = text(header)
    size = len(content(head))
    padding = -size % 8 if pad else 0
    body = data if isinstance(data, list) else raw(data)
    return u64(size + padding) + head + repeat(padding, text(" ")) + body


def entry(name, dtype, shape, begin, end):
    shape = ",".join(map(str, shape))
    return f'"{name}":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{begin},{end}]}}'


def table(*tensors, metadata=None):
    """Header text and data of tensors given as (name, dtype, shape, bytes), in this order."""
    rows, data = [], b""
    if metadata is not None:
        rows.append(f'"__metadata__":{json.dumps(metadata, separators=(",", ":"))}')
    for name, dtype, shape, values in tensors:
        rows.append(entry(name, dtype, shape, len(data), len(data) + len(values)))
        data += values
    return "{" + ",".join(rows) + "}", data


def tensors(*rows, metadata=None):
    return file(*table(*rows, metadata=metadata))


def f32(*values):
    return struct.pack(f"<{len(values)}f", *values)
