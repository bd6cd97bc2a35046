"""What is installed beside the node, as far as it can be judged without installing it: crates/node/tests/test_service.py
runs it."""

import configparser
import shlex
from pathlib import Path

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"


def lines(name):
    text = (PACKAGING / name).read_text().splitlines()
    return [shlex.split(line) for line in text if line and not line.startswith("#")]


def test_no_home_is_in_the_store():
    """`sudo -u tensorgate tensorgate store ls` would make a store of that user's own at home: in that of the gate, which
    then starts no more."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(PACKAGING / "tensorgate.service")
    store = Path("/var/lib") / unit["Service"]["StateDirectory"]
    ((kind, made, mode, owner, group),) = lines("tmpfiles.conf")
    assert (kind, made, mode, owner, group) == ("d", str(store), "0755", "tensorgate", "tensorgate")
    ((kind, user, _, _, home),) = lines("sysusers.conf")
    assert (kind, user) == ("u", unit["Service"]["User"])
    assert not Path(home).is_relative_to(store) and not store.is_relative_to(home), home
