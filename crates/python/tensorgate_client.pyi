"""A controller's side of tensorgate: receive a policy, verify it again, notice when it is stale.

ROS topics are an untrusted transport. A `Receiver` takes nothing for a policy but what keys signed
that the controller's own trust policy names; what it hands out is, byte for byte, what was signed.
Heartbeats are not signed: forged ones can stop a robot, and can keep it on a verified policy after
the gate is gone; where that matters, use SROS 2. What was revoked stays so.
The arguments of `announce`, `fragment` and `status` are fields of tensorgate_msgs' PolicyManifest,
TensorFragment and PolicyStatus. Each method may be called from any thread; `state`, `active` and
`policy` never wait for a message that another thread is having verified. A heartbeat does, and
meanwhile the last lease runs on.
"""

from os import PathLike
from typing import Literal

State = Literal["no-policy", "receiving", "active", "stale", "revoked"]

class Rejected(ValueError):
    """A message was checked and refused. The policy that runs stays; so does what arrived of the
    next, but where its last fragment came and it could not be completed."""

    code: str
    """The rejection code, e.g. "signature-invalid"."""
    subject: str
    """The file, tensor or field that was refused, as found: use repr() to show it."""
    detail: str
    """What was expected and what was found."""

class Policy:
    """Every file of a verified policy: it cannot change, and stays readable while referenced."""

    repo: str
    """Repository on the Hub, "owner/name"."""
    revision: str
    """The commit, 40 hexadecimal digits."""
    sequence: int
    """Number of the release, as signed."""
    signers: list[str]
    """Names, in the trust policy, of the keys that signed."""
    manifest_digest: str
    """SHA-256 of the signed payload, in hexadecimal."""
    policy_type: str
    """The policy's type, as signed."""
    files: list[str]
    """Paths of all files."""

    def read(self, path: str) -> bytes:
        """A copy of one file. Raises KeyError if there is none."""

    def tensors(self) -> list[tuple[str, str, str, list[int], int, int]]:
        """(file, name, dtype, shape, offset in the file [bytes], length [bytes]) of every tensor.

        dtype is safetensors' name: "F32", "BF16", ...; the bytes are row-major, little-endian.
        """

    def memfd(self, file: str) -> int:
        """A new descriptor of the sealed memory that holds a safetensors file: close it after use.

        Map it privately and read-only, and nothing is copied:

            fd = policy.memfd(file)
            memory = mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
            os.close(fd)
            array = np.frombuffer(memory, "<f4", count, offset)

        Raises KeyError if there is no such file, ValueError if it holds no tensors.
        """

class Receiver:
    """Receives the policies of one gate."""

    def __init__(
        self,
        trust: str | PathLike[str],
        *,
        repo: str | None = None,
        revision: str | None = None,
        last_accepted: tuple[int, str] | None = None,
        max_bytes: int = 4 << 30,
    ) -> None:
        """Trusts the keys of the trust policy at `trust`, and takes nothing but `repo`@`revision`.

        It remembers the releases that it activated, against a rollback, but only while it lives. To
        have the memory outlast it, store `policy.sequence, policy.manifest_digest` of each policy
        that arrives, and give it back as `last_accepted`, together with `repo`.

        A policy of more than `max_bytes` is refused before memory is taken for it. Raises OSError
        if the trust policy cannot be read, or others could write it; ValueError if it, or an
        argument, is malformed.
        """

    def announce(
        self,
        session: bytes,
        epoch: int,
        envelope: bytes,
        files: list[tuple[str, bytes]],
        fragment_size: int,
        fragment_count: int,
        fragment_digests: bytes,
    ) -> Policy | None:
        """Takes a PolicyManifest, verifies it, and begins to receive its policy.

        The policy that runs stays until the new one is complete and proven. Returns a policy only
        where nothing is left to be received. Raises Rejected, or OSError if it could not be
        checked.
        """

    def fragment(self, session: bytes, epoch: int, index: int, data: bytes) -> Policy | None:
        """Takes a TensorFragment. Returns the policy when the last one arrived, else None.

        Fragments of other policies are ignored. Raises Rejected, or OSError if it could not be
        checked. If that is so of the last one, the policy being received is given up: it must be
        announced again.
        """

    def status(
        self,
        session: bytes,
        epoch: int,
        sequence: int,
        state: int,
        manifest_digest: bytes,
        lease: float,
    ) -> None:
        """Takes a PolicyStatus, the heartbeat; `lease` in seconds."""

    @property
    def state(self) -> State:
        """Act on the policy only while this is "active"."""

    @property
    def active(self) -> Policy | None:
        """The policy to act on, now; None unless `state` is "active"."""

    @property
    def policy(self) -> Policy | None:
        """The policy last activated, in whatever state."""

    @property
    def receiving(self) -> tuple[bytes, int] | None:
        """Session and epoch of the announcement being received."""

    @property
    def missing(self) -> list[int]:
        """Fragments of that announcement which have not arrived: to ask get_fragments for."""
