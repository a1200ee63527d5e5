"""``crossplant edi``: show, validate, convert, compare and acknowledge EDI files.

No hub is asked, and nothing is kept. EDIFACT and X12 are told apart by the file itself.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

if TYPE_CHECKING:
    from adapters.edi.report import Report, Settings

__all__ = ["edi"]

edi = typer.Typer(no_args_is_help=True, help="EDIFACT and X12 files, without a hub.")

File = Annotated[str, typer.Argument(help="The file; - reads stdin.", metavar="FILE")]
Agreed = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="An option of the format, as agreed with the partner; repeatable. "
        "`crossplant adapters edifact` lists them.",
        metavar="NAME=VALUE",
    ),
]
Zone = Annotated[
    str, typer.Option("--timezone", help="The zone of times that name none.", metavar="Europe/Berlin")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for machines.")]


@edi.command("show", short_help="The segments with what they mean, and each finding at its place.")
def show_file(file: File, agreed: Agreed = None, timezone: Zone = "UTC") -> None:
    """Shows who sent what to whom, then every segment: its place in the file, indented by its group, what it
    means, what it holds, and beneath it what is wrong with it.

    \b
    crossplant edi show orders.edi
    crossplant edi show - < 850.txt
    """
    from adapters.edi.commands_show import shown
    from canonical.commands import show

    body = _body(file)
    report = _read(body, agreed, timezone)
    for line in shown(report, len(body)):
        show(line)
    _end(report)


@edi.command(short_help="What is wrong with a file: envelope, structure, values.")
def validate(file: File, agreed: Agreed = None, timezone: Zone = "UTC", *, as_json: AsJson = False) -> None:
    """Checks a file: envelope, counts, references, character set, structure by the UN directory, and the
    values that an event needs. Exit code 0: no error; 1: findings of severity error.

    \b
    crossplant edi validate orders.edi
    crossplant edi validate --json orders.edi | jq '.findings[] | select(.severity == "error")'
    crossplant edi validate --set structure=strict --set tolerate=segment_count orders.edi
    """
    from adapters.edi.commands_show import findings_table, headline
    from canonical.commands import say, show, show_json

    report = _read(_body(file), agreed, timezone)
    if as_json:
        show_json(report.to_json())
    else:
        for line in findings_table(report.findings):
            show(line)
        say(headline(report))
    _end(report)


@edi.command(short_help="The canonical events that a file gives.")
def convert(
    file: File,
    agreed: Agreed = None,
    timezone: Zone = "UTC",
    plant: Annotated[str | None, typer.Option(help="The plant that the events are of.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The default; there is no other form.")] = True,
) -> None:
    """Prints the canonical events of a file as a CloudEvents batch. What is wrong is told on stderr; of a
    rejected interchange there is only the event that it came in. Exit code 1: something was rejected.

    \b
    crossplant edi convert --json desadv.edi | jq '.[].data'
    crossplant edi convert --plant aachen --set transit=2d --timezone Europe/Berlin desadv.edi
    """
    from adapters.edi.commands_show import findings_table, headline
    from canonical.commands import say, show_json

    report = _read(_body(file), agreed, timezone, converting=True, plant=plant)
    show_json(report.to_batch())
    for line in findings_table([one for one in report.findings if one.severity != "info"]):
        say(line)
    say(headline(report))
    _end(report)


@edi.command(short_help="How two files differ in what they say.")
def diff(
    left: Annotated[str, typer.Argument(help="A file; - reads stdin.", metavar="A")],
    right: Annotated[str, typer.Argument(help="Another file.", metavar="B")],
    agreed: Agreed = None,
    timezone: Zone = "UTC",
    *,
    as_json: AsJson = False,
) -> None:
    """Compares two files by interchange, message and segment. Line breaks, separators, empty elements at the
    end, and the counts of trailers are no difference. Exit code 0: they say the same; 1: they differ.

    \b
    crossplant edi diff orders-old.edi orders-new.edi
    """
    from adapters.edi.commands_diff import differences
    from canonical.commands import say, show, show_json, visible

    if left == right == "-":
        raise typer.BadParameter("only one of the two files can be stdin")
    bodies = _body(left), _body(right)
    read = [(_read(body, agreed, timezone), len(body)) for body in bodies]
    found = list(differences(read[0], read[1]))
    if as_json:
        show_json({"different": bool(found), "differences": [one.to_json() for one in found]})
    else:
        where = ""
        for one in found:
            if one.where != where:
                where = one.where
                show(visible(where))
            show(f"  {visible(one.what)}")
            for sign, value, at in (("-", one.left, one.left_position), ("+", one.right, one.right_position)):
                if value is not None:
                    place = f"  (segment {at})" if at else ""
                    show(f"    {sign} {visible(value)}{place}")
        say(f"{len(found)} difference{'' if len(found) == 1 else 's'}" if found else "no difference")
    raise typer.Exit(1 if found else 0)


@edi.command(short_help="The acknowledgement of a file: CONTRL, 997 or TA1.")
def ack(
    file: File,
    reference: Annotated[
        str | None,
        typer.Option(help="The control reference of the answer; default: that of what it answers."),
    ] = None,
    agreed: Agreed = None,
    timezone: Zone = "UTC",
    *,
    syntax_only: Annotated[
        bool, typer.Option("--syntax-only", help="Accept message types that have no mapping to events.")
    ] = False,
) -> None:
    """Writes what the hub would answer: CONTRL for EDIFACT; for X12 a 997, or a TA1 where the interchange
    itself is at fault. What is rejected, and why, is told on stderr. Exit code 1: nothing, or not
    everything, could be answered.

    \b
    crossplant edi ack orders.edi > contrl.edi
    crossplant edi ack --reference 4711 850.txt
    """
    from adapters.edi.commands_ack import answers
    from canonical.commands import say

    settings = _settings(agreed, timezone)
    report = _read(_body(file), agreed, timezone, converting=not syntax_only)
    written, refused = answers(report, settings, reference)
    sys.stdout.buffer.write(b"".join(written))
    sys.stdout.buffer.flush()
    for finding in report.findings:
        if finding.severity == "error":
            say(f"rejected: {finding.code} {finding.message} ({finding.place})")
    for text in refused:
        say(text)
    raise typer.Exit(0 if written and not refused else 1)


# ── what they have in common ────────────────────────────────────────────────────────────────────


def _body(file: str) -> bytes:
    """The bytes of a file, or of stdin. Raises ConfigError when it cannot be read."""
    from canonical.errors import ConfigError

    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error


def _read(
    body: bytes,
    agreed: Sequence[str] | None,
    timezone: str,
    *,
    converting: bool = False,
    plant: str | None = None,
) -> Report:
    from msgspec import structs

    from adapters.edi.report import read

    settings = structs.replace(_settings(agreed, timezone), plant=plant)
    return read(body, settings, converting=converting)


def _settings(agreed: Sequence[str] | None, timezone: str) -> Settings:
    """What was agreed, for both standards; an option that only one of them has counts for that one."""
    from pydantic import ValidationError

    from adapters.edi.config import EdifactOptions, X12Options
    from adapters.edi.report import Settings

    options = _options(agreed or ())
    known = EdifactOptions.model_fields.keys() | X12Options.model_fields.keys()
    if unknown := sorted(options.keys() - known):
        raise typer.BadParameter(f"--set: no option {unknown[0]!r}; there are: {', '.join(sorted(known))}")
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as error:
        raise typer.BadParameter(f"--timezone: {timezone!r} is no IANA time zone") from error
    made: list[Any] = []
    faults: list[str] = []
    for model in (EdifactOptions, X12Options):
        own = {name: value for name, value in options.items() if name in model.model_fields}
        try:
            made.append(model.model_validate(own))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            faults.append(f"--set: {'.'.join(map(str, first['loc']))}: {first['msg']}")
            made.append(model())
    if len(faults) == 2 or (faults and options.keys() - {"charset"}):
        raise typer.BadParameter(faults[0])
    return Settings(edifact=made[0], x12=made[1], timezone=zone)


def _options(agreed: Sequence[str]) -> Mapping[str, Any]:
    """The options as written: lists by repeating or by commas, parties as ``ID`` or ``ID:QUALIFIER``."""
    options: dict[str, Any] = {}
    for entry in agreed:
        name, equals, value = entry.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set {entry}: write NAME=VALUE")
        if name in {"tolerate", "ignore"}:
            options.setdefault(name, []).extend(value.split(","))
        elif name in {"sender", "receiver"}:
            identifier, _, qualifier = value.partition(":")
            options[name] = {"id": identifier, "qualifier": qualifier}
        else:
            options[name] = value
    return options


def _end(report: Report) -> None:
    """Exit code 1 when there is an error."""
    raise typer.Exit(0 if report.clean else 1)
