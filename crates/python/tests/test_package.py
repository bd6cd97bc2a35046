"""What is installed: the stubs say what there is, and the wheel brings all of it."""

import ast
import inspect
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import tensorgate_client
from tensorgate_client import _native

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parents[1]
STUBS = PACKAGE / "python" / "tensorgate_client" / "_native.pyi"


def public(names):
    return {name for name in names if not name.startswith("_")}


def stubs():
    """Name -> definition, of what the stubs define."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    return {node.name: node for node in ast.parse(STUBS.read_text()).body if isinstance(node, kinds)}


def test_the_stubs_name_what_there_is():
    assert set(stubs()) == public(vars(_native)) == set(tensorgate_client.__all__)
    for name, stub in stubs().items():
        if isinstance(stub, ast.ClassDef) and name != "Rejected":
            methods = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
            fields = {node.target.id for node in stub.body if isinstance(node, ast.AnnAssign)}
            assert public(methods | fields) == public(vars(getattr(_native, name))), name


def test_the_stubs_have_the_parameters_that_there_are():
    compared = 0
    for name, stub in stubs().items():
        if isinstance(stub, ast.FunctionDef):
            compared += same_parameters(stub, getattr(_native, name))
        for node in getattr(stub, "body", ()):
            if not isinstance(node, ast.FunctionDef) or node.decorator_list:
                continue
            if node.name == "__new__":
                compared += same_parameters(node, getattr(_native, name), skip=1)
            elif not node.name.startswith("_"):
                compared += same_parameters(node, getattr(getattr(_native, name), node.name))
    assert compared > 15


def same_parameters(stub, function, skip=0):
    arguments = stub.args
    written = [argument.arg for argument in arguments.args[skip:]]
    given = [ast.literal_eval(default) for default in arguments.defaults]
    given += [ast.literal_eval(default) for default in arguments.kw_defaults if default]
    parameters = inspect.signature(function).parameters.values()
    assert [*written, *(a.arg for a in arguments.kwonlyargs)] == [p.name for p in parameters], stub.name
    # The text of a signature that Rust gives shows `...` for a constant.
    real = [p.default for p in parameters if p.default is not p.empty]
    assert [g for g, r in zip(given, real, strict=True) if r not in (g, ...)] == [], stub.name
    return 1


def test_a_wheel_is_installed_and_imported(tmp_path):
    """In an environment of its own; without tests' PYTHONPATH, and without numpy or ROS."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # Of its own, too, since maturin gives the compiler other flags than `cargo build` does.
    environment["CARGO_TARGET_DIR"] = str(ROOT / "target" / "wheel")
    # What nobody debugs or edits takes half the disk.
    environment |= {"CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_INCREMENTAL": "0"}
    build = ["maturin", "build", "--locked", "--profile", "dev", "--out", tmp_path]
    manifest = ["--manifest-path", PACKAGE / "Cargo.toml", "--interpreter", sys.executable]
    done = subprocess.run([*build, *manifest], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith(f"tensorgate_client-{version()}-cp310-abi3-")
    names = zipfile.ZipFile(wheel).namelist()
    parts = ["__init__.py", "ros.py", "_native.pyi", "py.typed", "_native.abi3.so"]
    assert {f"tensorgate_client/{part}" for part in parts} <= set(names)
    info = f"tensorgate_client-{version()}.dist-info"
    assert f"{info}/licenses/LICENSE" in names
    metadata = zipfile.ZipFile(wheel).read(f"{info}/METADATA").decode()
    assert "License-Expression: Apache-2.0" in metadata and "Requires-Python: >=3.10" in metadata
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [venv / "bin" / "pip", "install", "--no-deps", "--no-index", "--quiet", wheel]
    subprocess.run(pip, env=environment, check=True)
    code = "import sys, tensorgate_client as c; print(c.Receiver, c.__file__, 'numpy' in sys.modules)"
    told = subprocess.run(
        [venv / "bin" / "python", "-I", "-c", code], env=environment, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    assert str(venv) in told.stdout and told.stdout.strip().endswith("False")


def version():
    (line,) = [
        line for line in (ROOT / "Cargo.toml").read_text().splitlines() if line.startswith("version = ")
    ]
    return line.split('"')[1]
