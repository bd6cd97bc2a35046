"""Prints the software bill of materials for `bill.py SOURCE PROGRAM`: what cargo-cyclonedx wrote in SOURCE about the
crate, without what differs from build to build, and only where PROGRAM says the same of itself."""

import json
import sys
from pathlib import Path

import embedded


def main(source, program):
    text = (Path(source) / "crates/cli/bill.json").read_text()
    # Our own crates are named by their paths.
    bill = json.loads(text.replace(source, "/tensorgate"))
    # Of the run, not of the program: with them no two bills would be equal.
    bill.pop("serialNumber", None)
    bill["metadata"].pop("timestamp", None)
    parts = [bill["metadata"]["component"], *bill["components"]]
    listed = {(part["name"], part["version"]) for part in parts}
    if listed != (inside := embedded.crates(program)):
        differ = sorted(" ".join(part) for part in listed ^ inside)
        sys.exit(f"tensorgate: the bill of materials and the program differ: {', '.join(differ)}")
    json.dump(bill, sys.stdout, indent=2, sort_keys=True)
    print()


main(*sys.argv[1:])
