"""Writes the message structures of UN/EDIFACT directories as the compact tables that adapters/edi reads.

usage: python scripts/edifact_grammar.py DIRECTORY.zip … OUTPUT_FOLDER

A directory is the archive as UN/CEFACT publishes it (d96a.zip …), with its parts as archives within. Of each
message the segment table (chapter 4.3.1) is read: tag, status, repetitions, and by the box drawing on the
right (code page 437) where groups end. One line a message:

    ORDERS UNH! BGM! DTM!35 PAI ALI5 (10 RFF! DTM5) (99 NAD! LOC25 …) … UNT!

`!` is mandatory, a number is how often, a bracket is a group with how often it may come, and `(!9 …)` is a
mandatory one. Groups are numbered in the order of their begins, as in the directory.
"""
# ruff: noqa: INP001, T201

from __future__ import annotations

import io
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

MESSAGES = frozenset(
    (
        "APERAK",
        "DELFOR",
        "DELJIT",
        "DESADV",
        "IFTSTA",
        "INVOIC",
        "INVRPT",
        "ORDCHG",
        "ORDERS",
        "ORDRSP",
        "RECADV",
    )
)
NOTICE = """\
# Structure of messages in the UN/EDIFACT directory {release}: segments, groups, status, repetitions.
# Derived from the UN/EDIFACT directories of the United Nations Economic Commission for Europe (UNECE) and
# UN/CEFACT, copyright United Nations, https://unece.org/trade/uncefact; no text of the directory is
# reproduced, and neither body has endorsed this table. Provided without warranty of any kind.
# Written by scripts/edifact_grammar.py; do not edit.
"""
SEGMENT = re.compile(r"^(\d{4,5})[\s*+X|#]*([A-Z]{3}) .{10,45}?\s([MC])\s+(\d+)")
GROUP = re.compile(r"^(\d{4,5})[\s*+X|#]*[─-]+ Segment group (\d+)\s*[─-]+\s*([MC])\s+(\d+)")
NAMED = re.compile(r"^([A-Z]{6})_D\.(\d\d[AB])$")


def documents(archive: zipfile.ZipFile) -> Iterator[tuple[str, str, str]]:
    """(message, release, text) of every message in an archive and the archives within it."""
    for name in archive.namelist():
        if name.lower().endswith(".zip"):
            yield from documents(zipfile.ZipFile(io.BytesIO(archive.read(name))))
        elif found := NAMED.match(name.rpartition("/")[2]):
            yield found[1], f"D.{found[2]}", archive.read(name).decode("cp437")


def structure(message: str, text: str) -> str:
    """The segment table of a message as one line. Raises ValueError when the table cannot be right."""
    parts: list[str] = []
    depth = groups = 0
    for line in text[text.rindex("Segment table") :].splitlines():
        if group := GROUP.match(line):
            groups += 1
            if int(group[2]) != groups:
                raise ValueError(f"{message}: group {group[2]} comes as the {groups}th")
            parts.append(f"({_status(group[3], group[4])}")
            depth += 1
        elif segment := SEGMENT.match(line):
            closes = line.count("┘") + line.count("┴")
            depth -= closes
            parts.append(segment[2] + _status(segment[3], segment[4]) + ")" * closes)
            if segment[2] == "UNT":
                break
        elif re.match(r"\d{4}", line):
            raise ValueError(f"{message}: this line of the segment table is not understood: {line}")
    if depth or not parts or parts[0] != "UNH!" or parts[-1] != "UNT!":
        raise ValueError(f"{message}: {depth} groups stay open in {' '.join(parts)}")
    return " ".join([message, *parts])


def _status(status: str, times: str) -> str:
    return ("!" if status == "M" else "") + ("" if int(times) == 1 else times)


def main(arguments: list[str]) -> int:
    """Writes a table for each directory; exit code 0, or 2 for wrong usage."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    *directories, folder = map(Path, arguments)
    for directory in directories:
        with zipfile.ZipFile(directory) as archive:
            found = [entry for entry in documents(archive) if entry[0] in MESSAGES]
        release = found[0][1]
        lines = sorted(structure(message, text) for message, _, text in found)
        target = folder / f"{release.lower().replace('.', '')}.txt"
        target.write_text(NOTICE.format(release=release) + "\n".join(lines) + "\n", encoding="utf-8")
        print(f"{target}: {len(lines)} messages", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
