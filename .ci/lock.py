"""Says whether requirements.lock belongs to pyproject.toml, without a network; `stamp` records that it does.

The lock's first line holds the hash of what it was resolved from: the parts of pyproject.toml that name
dependencies. usage: python .ci/lock.py check|stamp
"""

import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
STAMP = "# resolved from pyproject.toml with dependencies sha256:"
FOREIGN = re.compile(r"://|^\s*-(?!-hash=sha256:)|\s@\s|^\s*-e\s", re.MULTILINE)


def fingerprint() -> str:
    """The hash of everything in pyproject.toml that the resolver reads."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = document["project"]
    inputs = [
        project["requires-python"],
        sorted(project["dependencies"]),
        project.get("optional-dependencies", {}),
        document.get("dependency-groups", {}),
        document["build-system"]["requires"],
    ]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def findings(lock: str) -> list[str]:
    """What is wrong with the lock; empty when it may be used."""
    found = []
    if not lock.startswith(STAMP + fingerprint() + "\n"):
        found.append("it was not resolved from this pyproject.toml; run: make lock")
    found += [
        f"names an index, a host, a path or an option: {line.strip()}"
        for line in lock.splitlines()
        if FOREIGN.search(line)
    ]
    if "==" not in lock:
        found.append("it pins nothing")
    return found


def main(arguments: list[str]) -> int:
    """Exit code 0 when the lock is (now) current, 1 with findings on stderr, 2 for wrong usage."""
    match arguments:
        case ["check"]:
            found = findings(LOCK.read_text(encoding="utf-8"))
            for finding in found:
                print(f"requirements.lock: {finding}", file=sys.stderr)
            return 1 if found else 0
        case ["stamp"]:
            body = LOCK.read_text(encoding="utf-8")
            kept = [line for line in body.splitlines(keepends=True) if not line.startswith("#")]
            LOCK.write_text(STAMP + fingerprint() + "\n" + "".join(kept), encoding="utf-8")
            return 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
