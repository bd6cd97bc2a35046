"""What the numbers were taken on, and of what."""

import os
import pathlib
import platform
import re
import subprocess

from peers import CANDLE, ROOT, VENV, b3sum

# By which the hashes are fast, or are not.
EXTENSIONS = ["sha_ni", "avx2", "avx512f", "sha2", "sve2"]


def machine():
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    memory = pathlib.Path("/proc/meminfo").read_text()
    has = set(re.search(r"^(?:flags|Features)\s*:(.*)$", cpu, re.MULTILINE)[1].split())
    model = re.search(r"^model name\s*:\s*(.*)$", cpu, re.MULTILINE)
    return {
        "cpu": model[1] if model else platform.machine(),
        "extensions": " ".join(name for name in EXTENSIONS if name in has),
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{int(re.search(r'MemTotal: *([0-9]+)', memory)[1]) / 2**20:.1f} GiB",
        "kernel": platform.release(),
        "file system": file_system(),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def file_system():
    """Where the policies lie: on some, nothing can be guarded, and ours would be measured as a copy."""
    return output("stat", "--file-system", "--format=%T", ROOT / "target")


def versions():
    found = {
        "tensorgate": output("git", "-C", ROOT, "describe", "--always", "--dirty"),
        "rustc": output("rustc", "--version"),
        "sha256sum": output("sha256sum", "--version"),
        "openssl": output("openssl", "version"),
        "b3sum": output(b3sum(), "--version"),
        "Python": output(VENV / "python3", "--version"),
    }
    for crate in ("safetensors", "memmap2", "sha2", "blake3"):
        found[f"{crate} (Rust)"] = locked(ROOT / "Cargo.lock", crate)
    found["candle-core (Rust)"] = CANDLE.exists() and locked(
        ROOT / "benches/candle/Cargo.lock", "candle-core"
    )
    for package in ("safetensors", "numpy", "model-signing", "blake3", "huggingface_hub"):
        version = f"from importlib.metadata import version; print(version('{package}'))"
        found[f"{package} (Python)"] = output(VENV / "python3", "-c", version)
    return {name: version or "not installed" for name, version in found.items()}


def output(*command):
    """The first line that a command prints, or nothing."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 else None


def locked(lock, crate):
    """Of several versions the newest, which is ours: the others are dependencies of dependencies."""
    return re.findall(rf'name = "{crate}"\nversion = "([^"]+)"', lock.read_text())[-1]
