"""How a case is written down: bytes as lines that a person can read (README.md has the grammar)."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Piece:
    """One line of a body and the bytes that it stands for."""

    line: str
    data: bytes


def escaped(data):
    """Printable ASCII as it is, everything else as `\\xNN`; a space that would end the line too."""

    def one(byte):
        return "\\\\" if byte == 0x5C else chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"

    shown = "".join(map(one, data))
    return shown[:-1] + "\\x20" if shown.endswith(" ") else shown


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def text(content):
    """Text: whole lines as `| line`, what has no line end as `> text`."""
    *lines, rest = as_bytes(content).split(b"\n")
    pieces = [Piece(f"| {escaped(line)}".rstrip(), line + b"\n") for line in lines]
    return pieces + ([Piece(f"> {escaped(rest)}", rest)] if rest else [])


def raw(data):
    """Bytes in hexadecimal, 32 a line; one byte many times as one line."""
    if len(data) > 32 and len(set(data)) == 1:
        return repeat(len(data), raw(data[:1]))
    rows = [data[at : at + 32] for at in range(0, len(data), 32)]
    return [Piece("hex " + " ".join(row[i : i + 4].hex() for i in range(0, len(row), 4)), row) for row in rows]


def u64(value):
    return [Piece(f"u64 {value}", value.to_bytes(8, "little"))]


def repeat(count, pieces):
    (piece,) = pieces
    return [Piece(f"repeat {count} {piece.line}", piece.data * count)] if count else []


def base64(pieces):
    """Shows the content; the reader of the case encodes it. The digits are in `data`."""
    from base64 import b64encode

    whole = b64encode(content(pieces))
    return [Piece(f"base64 {piece.line}", whole if i == 0 else b"") for i, piece in enumerate(pieces)]


def content(pieces):
    return b"".join(piece.data for piece in pieces)


@dataclass
class Case:
    """One attack: its name, what answers it, why it is tried, and the files that it is made of."""

    name: str
    expect: str
    comment: str
    body: list = field(default_factory=list)
    head: dict = field(default_factory=dict)
    parts: list = field(default_factory=list)

    def render(self):
        head = {"expect": self.expect, "comment": self.comment} | self.head
        lines = [f"{key}: {value}" for key, value in head.items()] + [""]
        lines += [piece.line for piece in self.body]
        for title, pieces in self.parts:
            lines += [f"--- {title}"] + [piece.line for piece in pieces]
        return "\n".join(lines) + "\n"


def file(path, pieces):
    return (f"file {escaped(path.encode('utf-8', 'surrogateescape'))}", pieces)


def link(path, target):
    return (f"link {path} -> {target}", [])


def special(kind, path):
    """A FIFO, a socket or an empty directory."""
    return (f"{kind} {path}", [])
