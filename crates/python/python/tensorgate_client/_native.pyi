"""What verifies. The arguments of `announce`, `fragment` and `status` are fields of tensorgate_msgs'
PolicyManifest, TensorFragment and PolicyStatus. Each method may be called from any thread; `state`,
`active`, `policy` and `look` never wait for a message that another thread is having verified.
"""

from collections.abc import ItemsView, Iterator, ValuesView
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple, final

State = Literal["no-policy", "receiving", "verified", "active", "stale", "revoked"]

def well_known(name: str) -> Path | None:
    """Where a process of this user finds the gate of this fully qualified name, such as
    "/robot1/tensorgate": at root's place if a gate is there, else at this user's own; None where
    there is no such place."""

class Rejected(ValueError):
    """A message was checked and refused. The policy that runs stays; so does what arrived of the
    next, but where its last fragment came and it could not be completed."""

    code: str
    """The rejection code, e.g. "signature-invalid"."""
    subject: str
    """The file, tensor or field that was refused, as found: use repr() to show it."""
    detail: str
    """What was expected and what was found."""

class TensorInfo(NamedTuple):
    """What a tensor is, and where it lies."""

    file: str
    """The path of its file."""
    name: str
    dtype: str
    """Of its elements, as safetensors calls it: "F32", "BF16", ..."""
    shape: tuple[int, ...]
    offset: int
    """Of its first byte in the file."""
    nbytes: int
    """Bytes that it has."""

@final
class Policy:
    """Every file of a verified policy: it cannot change, and stays readable while referenced.

    A `collections.abc.Mapping` from tensors' names to numpy arrays: `policy["actor.0.weight"]`, `dict(policy)`. The
    arrays are views of the sealed memory that was verified: nothing is copied, nobody can write to
    them, and each lives as long as it is referenced, whatever becomes of the policy.
    """

    @property
    def repo(self) -> str:
        """Repository on the Hub, "owner/name"."""
    @property
    def revision(self) -> str:
        """The commit, 40 hexadecimal digits."""
    @property
    def sequence(self) -> int:
        """Number of the release, as signed."""
    @property
    def signers(self) -> list[str]:
        """Names, in the trust policy, of the keys that signed."""
    @property
    def manifest_digest(self) -> str:
        """SHA-256 of the signed payload, in hexadecimal."""
    @property
    def policy_type(self) -> str:
        """The policy's type, as signed."""
    @property
    def robot(self) -> str | None:
        """The robot that it was made for, as signed; None where the signers named none."""
    @property
    def files(self) -> list[str]:
        """Paths of all files."""

    def read(self, path: str) -> bytes:
        """A copy of one file. Raises KeyError if there is none."""

    def array(self, name: str, file: str | None = None) -> Any:
        """A tensor as a read-only `numpy.ndarray`, without a copy.

        Raises KeyError if there is none, or several files have one and `file` names none of them;
        TypeError if numpy has no such type (BF16, F8_E4M3, ...): then `raw` has the bytes.
        """

    def raw(self, name: str, file: str | None = None) -> memoryview:
        """The bytes of a tensor, row-major and little-endian; read-only, without a copy.

        Raises KeyError as `array` does.
        """

    def keys(self) -> list[str]:
        """The names of all tensors, file after file."""

    def values(self) -> ValuesView[Any]:
        """The arrays, each made when it is asked for."""
    def items(self) -> ItemsView[str, Any]:
        """Names and arrays, each made when it is asked for."""
    def get(self, name: str, default: Any = None) -> Any:
        """As `array(name)`, or `default` where no tensor has that name."""

    def __getitem__(self, name: str, /) -> Any:
        """As `array(name)`."""
    def __contains__(self, name: str, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int:
        """Number of tensors."""
    def __bool__(self) -> bool:
        """True, also without tensors."""

    def tensors(self) -> list[TensorInfo]:
        """What there is, file after file, without an array being made."""

    def memfd(self, file: str) -> int:
        """A new descriptor of the sealed memory that holds a safetensors file, to be mapped by
        another process, or by a library: close it after use.

        Raises KeyError if there is no such file, ValueError if it holds no tensors.
        """

@final
class Candidate:
    """A policy that arrived in full, and is not proven yet: for `Receiver.settle`."""

@final
class Pull:
    """A batch of fragments to ask ~/get_fragments for: the fields of the request."""

    @property
    def session(self) -> bytes: ...
    @property
    def epoch(self) -> int: ...
    @property
    def first(self) -> int: ...
    @property
    def count(self) -> int: ...

@final
class Receiver:
    """Receives the policies of one gate."""

    def __new__(
        cls,
        trust: str | PathLike[str],
        *,
        repo: str | None = None,
        revision: str | None = None,
        state: str | PathLike[str] | None = None,
        max_bytes: int = 4294967296,
    ) -> Receiver:
        """Trusts the keys of the trust policy at `trust`, and takes nothing but `repo`@`revision`.

        It remembers the releases that came into force, against a rollback: while it lives, and
        across restarts in the directory `state`, which it makes and which is its own. What cannot be
        remembered there does not come into force.

        A policy of more than `max_bytes` is refused before memory is taken for it. Raises OSError
        if the trust policy or the state cannot be read, or others could write it; ValueError if it,
        or an argument, is malformed.
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
        delivery: int = 0,
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

    def begin(
        self,
        session: bytes,
        epoch: int,
        envelope: bytes,
        files: list[tuple[str, bytes]],
        fragment_size: int,
        fragment_count: int,
        fragment_digests: bytes,
        delivery: int = 0,
    ) -> Candidate | None:
        """As `announce`, but leaves the proof to `settle`, which may run on another thread."""

    def accept(self, session: bytes, epoch: int, index: int, data: bytes) -> Candidate | None:
        """As `fragment`, but leaves the proof to `settle`, which may run on another thread."""

    def take_over(self, path: str | PathLike[str], timeout: float = 2.0) -> Candidate | None:
        """Takes what a gate on this machine hands over at its socket `path`, within `timeout`
        seconds: the policy's memory itself. None where that policy is running.

        Raises Rejected; BlockingIOError where nothing is offered yet; OSError where nobody listens,
        somebody else than this user or root does, or nothing came in time.
        """

    def settle(self, candidate: Candidate) -> Policy | None:
        """Proves every byte, which takes about a second for 8 GB and holds up nobody, and puts the
        policy into force in one step. None where it is running already.

        Raises Rejected if it was refused, revoked or overtaken meanwhile; OSError if it could not
        be checked, or remembered; ValueError if it was settled before.
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

    def pull(self) -> Pull | None:
        """The batch to ask ~/get_fragments for now, if any: call it some ten times a second, and
        `pulled` when the answer's fragments were taken. Two batches can be outstanding, so ask again
        until it is None, also after an answer.

        Raises TimeoutError, once, when what was being received is given up: nothing came for a
        minute, or too little.
        """

    def pulled(self, pull: Pull) -> None:
        """Says that the answer to `pull` came, whatever it was, and was taken."""

    @property
    def state(self) -> State:
        """Act on the policy only while this is "active"."""

    @property
    def active(self) -> Policy | None:
        """The policy to act on, now; None unless `state` is "active"."""

    @property
    def policy(self) -> Policy | None:
        """The policy last put into force, in whatever state: the same object until another is."""

    def look(self) -> tuple[State, Policy | None]:
        """`state` and `policy` of one instant."""

    @property
    def receiving(self) -> tuple[bytes, int] | None:
        """Session and epoch of the announcement being received."""

    @property
    def missing(self) -> list[int]:
        """Fragments of that announcement which have not arrived."""

    def knows(self, session: bytes, epoch: int) -> bool:
        """Whether what this announcement names is running, or on its way."""

    @property
    def refusals(self) -> tuple[int, str | None]:
        """How many messages were refused so far, and the code of the last refusal."""
