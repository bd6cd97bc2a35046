"""Tensors for numpy: each type that it has, and a word for those that it has not.

The command `tensorgate` signs the policy: `cargo build -p tensorgate` first.
"""

import itertools
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3
from tensorgate_client import Receiver

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "tensorgate"
NUMPY = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4",
    "I32": "<i4", "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
FOREIGN = {"BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}

# A trust policy that a group may write is refused, with reason.
os.umask(0o022)


def values(dtype):
    return np.array([[1, 0, 1], [0, 1, 1]]).astype(dtype)


def tensors():
    """Name -> (type, bytes), widest first, as safetensors' writers order them."""
    known = {name.lower(): (name, values(dtype).tobytes()) for name, dtype in NUMPY.items()}
    foreign = {name.lower(): (name, bytes(6 * size)) for name, size in FOREIGN.items()}
    return dict(sorted({**known, **foreign}.items(), key=lambda item: (-len(item[1][1]), item[0])))


def write(path):
    """In safetensors' format; `safetensors.numpy` cannot write the types that numpy has not."""
    header, data = {}, b""
    for name, (dtype, raw) in tensors().items():
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": dtype, "shape": [2, 3], "data_offsets": offsets}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    path.write_bytes(head + data)
    return head


@pytest.fixture
def policy(tmp_path):
    return arrived(tmp_path)[1]


def arrived(home):
    """The receiver, and the policy that came as a gate's messages would bring it."""
    directory = home / "policy"
    directory.mkdir()
    config = b'{"type": "mlp"}'
    (directory / "config.json").write_bytes(config)
    head = write(directory / "model.safetensors")
    subprocess.run([PROGRAM, "keygen", "--out", home / "release"], check=True)
    what = ["--repo", "acme/walk", "--revision", "0" * 40, "--sequence", "1"]
    key = ["--key", home / "release.key.pem", "--expires", "2099-01-01T00:00:00Z"]
    subprocess.run([PROGRAM, "sign", directory, *key, *what], check=True)
    trust = home / "trust.toml"
    keys = '[[keys]]\nname = "release"\npublic_key_file = "release.pub.pem"\n'
    dtypes = json.dumps([*NUMPY, *FOREIGN])
    trust.write_text(f"threshold = 1\n{keys}[content]\ndtypes = {dtypes}\n")
    receiver = Receiver(trust)
    files = [("config.json", config), ("model.safetensors", head)]
    envelope = (directory / "policy.dsse.json").read_bytes()
    pieces = [raw for _, raw in tensors().values()]
    table = b"".join(blake3(piece).digest() for piece in pieces)
    assert receiver.announce(bytes(16), 1, envelope, files, 1 << 20, len(pieces), table) is None
    (policy,) = filter(None, (receiver.fragment(bytes(16), 1, i, p) for i, p in enumerate(pieces)))
    return receiver, policy


@pytest.mark.parametrize(("name", "dtype"), NUMPY.items())
def test_each_type_that_numpy_has(policy, name, dtype):
    array = policy[name.lower()]
    assert array.dtype == np.dtype(dtype) and np.array_equal(array, values(dtype))
    assert not array.flags.writeable
    assert bytes(policy.raw(name.lower())) == values(dtype).tobytes()


@pytest.mark.parametrize("name", FOREIGN)
def test_a_type_that_numpy_has_not_is_named_and_its_bytes_are_there(policy, name):
    with pytest.raises(TypeError, match=f"{name}, which numpy has not; raw = policy.raw"):
        policy[name.lower()]
    raw = policy.raw(name.lower())
    assert bytes(raw) == bytes(6 * FOREIGN[name]) and raw.readonly


def test_it_is_a_mapping(policy):
    names = list(tensors())
    assert list(policy) == policy.keys() == names and len(policy) == len(names)
    assert "f32" in policy and "nobody" not in policy
    for get in (policy.__getitem__, policy.array, policy.raw):
        with pytest.raises(KeyError, match="nobody"):
            get("nobody")
    assert np.array_equal(policy.array("f32", "model.safetensors"), policy["f32"])
    with pytest.raises(KeyError):
        policy.array("f32", "config.json")


def test_it_offers_what_a_mapping_does(policy):
    assert isinstance(policy, Mapping)
    assert np.array_equal(policy.get("f32"), policy["f32"])
    assert policy.get("nobody") is None and policy.get("nobody", 7) == 7
    assert len(policy.items()) == len(policy.values()) == len(policy)
    known = [name for name in policy if name.upper() in NUMPY]
    items = dict(itertools.islice(policy.items(), policy.keys().index("bf16")))
    assert set(items) <= set(known) and items
    for name, array in items.items():
        assert np.array_equal(array, policy[name])
    assert np.array_equal(next(iter(policy.values())), policy[policy.keys()[0]])
    with pytest.raises(TypeError, match="numpy has not"):
        policy.get("bf16")


def test_it_says_what_there_is(policy):
    infos = policy.tensors()
    assert [info.name for info in infos] == policy.keys()
    for info in infos:
        assert (info.file, info.shape) == ("model.safetensors", (2, 3))
        assert (info.dtype, info.nbytes) == (info.name.upper(), policy.raw(info.name).nbytes)
        raw = policy.read(info.file)[info.offset : info.offset + info.nbytes]
        assert raw == bytes(policy.raw(info.name))
    # As others have them: a tuple with names.
    file, name, *_ = infos[0]
    assert (file, name) == infos[0][:2] and repr(infos[0]).startswith("TensorInfo(file=")
    assert infos[0]._replace(name="x").name == "x"
    assert pickle.loads(pickle.dumps(infos)) == infos


def test_the_policy_is_one_object(tmp_path):
    receiver, policy = arrived(tmp_path)
    assert receiver.policy is policy and receiver.look()[1] is policy
    address = lambda: receiver.policy["f64"].__array_interface__["data"][0]
    assert address() == address()


def test_numpy_is_imported_when_arrays_are_asked_for_and_not_before():
    code = "import sys, tensorgate_client; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
