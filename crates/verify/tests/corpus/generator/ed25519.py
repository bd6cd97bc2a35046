"""ed25519 as RFC 8032, section 5.1, has it: plain arithmetic, slow, and good for test keys only."""

import base64
import hashlib

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
# DER of a SubjectPublicKeyInfo up to the 32 bytes of the key (RFC 8410, section 4).
SPKI = bytes.fromhex("302a300506032b6570032100")


def add(a, b):
    """The sum of two points of the twisted Edwards curve, in affine coordinates."""
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    return ((x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P)


def base_point():
    y = 4 * pow(5, -1, P) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (P - x if x % 2 else x, y)


B = base_point()


def multiply(scalar, point):
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def encode(point):
    return (point[1] | point[0] % 2 << 255).to_bytes(32, "little")


def number(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


class Key:
    """The private key whose seed is one byte, 32 times: the same that the Rust tests use."""

    def __init__(self, seed):
        self.seed = bytes([seed]) * 32 if isinstance(seed, int) else seed
        digest = hashlib.sha512(self.seed).digest()
        self.scalar = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
        self.prefix = digest[32:]
        self.public = encode(multiply(self.scalar, B))

    def sign(self, message):
        r = number(self.prefix, message) % Q
        point = encode(multiply(r, B))
        s = (r + number(point, self.public, message) * self.scalar) % Q
        return point + s.to_bytes(32, "little")

    def id(self):
        return hashlib.sha256(SPKI + self.public).hexdigest()

    def pem(self):
        return pem(self.public)


def pem(public):
    body = base64.b64encode(SPKI + public).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"
