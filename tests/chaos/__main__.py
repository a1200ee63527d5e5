"""``make chaos``: progress on stderr, and one line of JSON with the counts on stdout.

Each failpoint ends the hub 10 times, and kill -9 at 200 moments of chance, in at most 25 minutes on 2 cores;
with ``--quick`` once each and 20 moments, in about 2 minutes. Exit code 1: a count is not what it should be.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.chaos.campaign import Campaign
from tests.chaos.site import Plant

ROOT = Path(__file__).resolve().parents[2]
FULL = {"hits": 10, "kills": 200, "limit_s": 1380.0}
QUICK = {"hits": 1, "kills": 20, "limit_s": 110.0}
ZERO = ("lost", "unexpected", "other_key", "overtaken")


async def _run(folder: Path, seed: int, size: dict[str, Any]) -> dict[str, Any]:
    chance = random.Random(seed)
    plant = Plant(folder, chance)
    try:
        await plant.open()
        return await Campaign(plant, chance, **size).run()
    finally:
        await plant.close()


def _commit() -> str:
    """The commit that ran; with ``+`` when the tree had changes."""

    def git(*arguments: str) -> str:
        asked = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return asked.stdout.strip()

    return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def _holds(counts: dict[str, Any], size: dict[str, Any]) -> bool:
    reached = counts["kills"] >= size["kills"] and min(counts["failpoints"].values()) >= size["hits"]
    return reached and not counts["left_over"] and not any(counts[name] for name in ZERO)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about two minutes; writes no file")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "chaos.json")
    options = parser.parse_args()
    logging.getLogger("aio_pika").setLevel(logging.CRITICAL)  # of a broker that is dead on purpose
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    size = QUICK if options.quick else FULL
    print(f"seed {options.seed}", file=sys.stderr, flush=True)  # noqa: T201 - progress
    with tempfile.TemporaryDirectory(prefix="crossplant-chaos-", ignore_cleanup_errors=True) as folder:
        counts = asyncio.run(_run(Path(folder), options.seed, size))
    counts |= {"seed": options.seed, "commit": _commit()}
    if not options.quick:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(counts, indent=2) + "\n")
    print(json.dumps(counts))  # noqa: T201 - the result
    return 0 if _holds(counts, size) else 1


if __name__ == "__main__":
    sys.exit(main())
