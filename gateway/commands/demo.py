"""``crossplant demo``: a simulated company and the hub, over real protocols."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.run import LogFormat, LogLevel

if TYPE_CHECKING:
    from gateway.demo import Outcome
    from gateway.tally import Tally

__all__ = ["demo"]

_LINE_EVERY_S = 5.0
_GUIDE = """\
Open the console in a browser and log in with the key, or ask in another terminal:
  CROSSPLANT_URL={url} CROSSPLANT_API_KEY={key} crossplant events --follow
On purpose, so that there is something to see:
  - after 8 s the ERP is away for 4 s: what goes there waits, and is delivered when it is back
  - orders and despatch advices with item codes that nobody knows yet are parked; they go on by themselves
    as soon as somebody adds the code to the crosswalk (A-9999, NS-S960-4, LF-M20X99)
  - cut messages, cut files and documents that the ERP refuses are dead letters
  - partners send advices twice (answered, taken once), cut off (refused, answered, sent again) and late\
"""


def demo(
    *,
    for_s: Annotated[
        float | None,
        typer.Option("--for", min=1, help="Stop by itself after so many seconds, drained.", metavar="S"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="The gateway's port. Default: 8080, else a free one."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Keep the hub's data here. Default: a temporary folder.", metavar="DIR"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one line of JSON on stdout.")] = False,
    log_level: LogLevel = "error",
    log_format: LogFormat = "auto",
) -> None:
    """Starts a simulated company (three plants, two partners, the systems above) and the hub between them.

    All over real protocols, on this machine only. Prints where the console is and a fresh admin key; progress
    goes to stderr. Ctrl-C ends it. Some of it goes wrong on purpose, which is told at the start. At the end
    the company's own ledger is settled: exits with 1 when anything is lost.

    \b
    crossplant demo
    crossplant demo --for 30 --json
    """
    from gateway import logs
    from gateway.commands.terminal import say, show, show_json
    from gateway.demo import Demo, run_demo
    from gateway.service import in_loop

    logs.set_up(level=log_level, shape=log_format)
    progress = Progress()

    def ready(url: str, key: str) -> None:
        show(f"console: {url}/")
        show(f"key: {key}")
        say(_GUIDE.format(url=url, key=key))
        say("Ctrl-C ends it" if for_s is None else f"it ends after {for_s:g} s")

    wanted = Demo(for_s=for_s, port=port, data_dir=data)
    outcome = in_loop(run_demo(wanted, ready=ready, say=progress.say, report=progress.report))
    _tell(outcome)
    if as_json:
        show_json(outcome.summary, compact=True)
    if outcome.faults:
        raise typer.Exit(1)


class Progress:
    """The numbers on stderr: one line that changes on a terminal, else a line every few seconds."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._open = False
        self._due_s = _LINE_EVERY_S

    def report(self, passed_s: float, numbers: Tally) -> None:
        """Shows them."""
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{_line(passed_s, numbers)[:width]}")
            sys.stderr.flush()
            self._open = True
        elif passed_s >= self._due_s:
            self._due_s += _LINE_EVERY_S
            sys.stderr.write(f"{_line(passed_s, numbers)}\n")
            sys.stderr.flush()

    def say(self, text: str) -> None:
        """A message on a line of its own."""
        sys.stderr.write(f"{chr(10) if self._open else ''}{text}\n")
        sys.stderr.flush()
        self._open = False


def _line(passed_s: float, numbers: Tally) -> str:
    return (
        f"{passed_s:4.0f} s   accepted {sum(numbers.by_adapter.values())} ({_listed(numbers.by_adapter)})   "
        f"delivered {sum(numbers.delivered.values())}   waiting {numbers.backlog}   "
        f"parked {numbers.parked}   dead letters {numbers.dead_letters}"
    )


def _listed(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())


def _tell(outcome: Outcome) -> None:
    from gateway.commands.terminal import say

    summary = outcome.summary
    accepted, delivered = summary["accepted"], summary["delivered"]
    say(
        f"accepted {sum(accepted['by_adapter'].values())}: {_listed(accepted['by_adapter'])}; "
        f"as {_listed(accepted['by_format'])}"
    )
    systems = _listed(summary["delivered_by_system"])
    say(f"delivered {sum(delivered.values())} on {len(delivered)} routes: {systems}")
    say(f"parked {summary['parked']}, dead letters {summary['dead_lettered']}, lost {summary['lost']}")
    for fault in outcome.faults:
        say(fault)
