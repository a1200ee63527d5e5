"""Says whether the locks belong to pyproject.toml, without a network; `stamp` records that they do.

A lock's first line holds the hash of what it was resolved from: the parts of pyproject.toml that name
dependencies. The image's locks hold releases of requirements.lock and no others.
usage: python .ci/lock.py check|stamp
"""

import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
PARTS = (ROOT / "deploy/container/requirements.lock", ROOT / "deploy/container/build.lock")
STAMP = "# resolved from pyproject.toml with dependencies sha256:"
PIN = re.compile(r"^[\w.\[\]-]+==[^ \\]+", re.MULTILINE)
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
    """Exit code 0 when the locks are (now) current, 1 with findings on stderr, 2 for wrong usage."""
    match arguments:
        case ["check"]:
            whole = LOCK.read_text(encoding="utf-8")
            found = [f"{LOCK.name}: {finding}" for finding in findings(whole)]
            for path in PARTS:
                lock = path.read_text(encoding="utf-8")
                found += [f"{path.relative_to(ROOT)}: {finding}" for finding in findings(lock)]
                if not set(PIN.findall(lock)) <= set(PIN.findall(whole)):
                    found.append(f"{path.relative_to(ROOT)}: is no part of {LOCK.name}; run: make lock")
            for finding in found:
                print(finding, file=sys.stderr)
            return 1 if found else 0
        case ["stamp"]:
            for path in (LOCK, *PARTS):
                body = path.read_text(encoding="utf-8")
                kept = [line for line in body.splitlines(keepends=True) if not line.startswith("#")]
                path.write_text(STAMP + fingerprint() + "\n" + "".join(kept), encoding="utf-8")
            return 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
