"""What a run leaves: ``latest.json``, a table in Markdown and a chart."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from bench.chart import chart
from bench.contest import Result
from bench.program import ROOT

__all__ = ["Version", "table", "version_now", "write"]

_PACKAGES = (
    "crossplant",
    "aio-pika",
    "aiohttp",
    "apsw",
    "asyncua",
    "cel-expr-python",
    "msgspec",
    "paho-mqtt",
    "uvloop",
)
_PROGRAMS = {"mosquitto": ["mosquitto", "-h"], "node": ["node", "--version"]}


class Version(Struct, frozen=True, kw_only=True):
    """What is measured. ``changed``: it is not quite that commit."""

    commit: str
    changed: bool


def version_now() -> Version:
    """To be asked before anything is measured: files may change while it runs."""
    changed = bool(_said(["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"]))
    return Version(commit=_said(["git", "-C", str(ROOT), "rev-parse", "HEAD"]), changed=changed)


def write(results: Sequence[Result], folder: Path, measured: Version, *, quick: bool) -> None:
    """Writes the three files; those of an earlier run are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    body = {
        "commit": measured.commit,
        "changed": measured.changed,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "machine": machine(),
        "versions": versions(),
        "results": results,
    }
    encoded = msgspec.json.format(msgspec.json.encode(body), indent=2)
    (folder / "latest.json").write_bytes(encoded + b"\n")
    (folder / "latest.md").write_text(f"{_head(body)}\n\n{table(results)}\n{_notes(results)}")
    (folder / "latest.svg").write_text(chart(results))


def machine() -> dict[str, Any]:
    """What it ran on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": memory_kb // 1024,
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    """Of what was measured and what it was measured with."""
    found = {"python": platform.python_version()}
    found |= {name: version(name) for name in _PACKAGES}
    for name, argv in _PROGRAMS.items():
        found[name] = (_said(argv).splitlines() or ["missing"])[0]
    return found


def _said(argv: Sequence[str]) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except OSError:
        return ""


def table(results: Sequence[Result]) -> str:
    """One line a contestant."""
    lines = [
        "| bench | contestant | value | ours ÷ it | CPU s/100k | RSS MB |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for result in results:
        spread = f" ±{result.spread / 2:.0%}"
        lines.append(
            f"| {result.name} | **ours** | {result.ours:,g} {result.unit}{spread} | | "
            f"{_cell(result.cpu_s_per_100k)} | {_cell(result.rss_mb)} |"
        )
        for name, value in result.peers.items():
            lines.append(
                f"| | {name} | {value:,g} | {result.ratios[name]:.2f} | "
                f"{_cell(result.peers_cpu_s_per_100k.get(name))} | {_cell(result.peers_rss_mb.get(name))} |"
            )
        for name, more in result.more.items():
            said = ", ".join(f"{key} {value:,g}" for key, value in more.items())
            lines.append(f"| | {name}: {said} | | | | |")
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _head(body: dict[str, Any]) -> str:
    return (
        f"Commit `{body['commit'][:12]}`{' with changes' if body['changed'] else ''}, {body['at']}, "
        f"{body['machine']['cores']} cores of {body['machine']['cpu']}, Python {body['versions']['python']}."
        f"{' A quick look: the figures mean little.' if body['quick'] else ''}"
    )


def _notes(results: Sequence[Result]) -> str:
    said = [f"- **{result.name}**: {result.note}" for result in results if result.note]
    said += [f"- **{result.name}**: {failure}" for result in results for failure in result.failures]
    return "\n".join(["", *said, ""]) if said else ""
