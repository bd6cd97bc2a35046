"""Prints the licences of what is compiled into a program, for `notices.py SOURCE PROGRAM`: most of them ask that
whoever passes the program on passes their text on, too."""

import json
import subprocess
import sys
from pathlib import Path

import embedded

# How crates call these files; `LICENSES` and the like are folders of texts.
NAMES = ("licen", "copying", "copyright", "notice", "unlicense")


def main(source, program):
    metadata = subprocess.run(
        ["cargo", "metadata", "--locked", "--format-version", "1"], cwd=source, stdout=subprocess.PIPE, check=True
    )
    packages = {(p["name"], p["version"]): p for p in json.loads(metadata.stdout)["packages"]}
    users = {}
    for crate in sorted(embedded.crates(program)):
        package = packages[crate]
        # Our own is beside this file.
        if package["source"] is None:
            continue
        texts = sorted(licences(Path(package["manifest_path"]).parent))
        label = f"{crate[0]} {crate[1]} ({package['license']})"
        for text in texts or ["(The crate brings no text; the licence's own is at https://spdx.org/licenses/.)\n"]:
            users.setdefault(text, []).append(label)
    for text, labels in users.items():
        print("=" * 100, *labels, "-" * 100, text.strip(), "", sep="\n")


def licences(directory):
    for path in directory.iterdir():
        if path.is_file() and path.name.lower().startswith(NAMES):
            yield path.read_text(errors="replace")


main(*sys.argv[1:])
