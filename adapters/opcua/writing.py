"""The body of a raw message with values, written by columns: what ``encode_body`` gives, in less time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, Final

import msgspec

from adapters.opcua.builtin import FORMS, TYPES, instants
from adapters.opcua.notification import Columns

__all__ = ["head", "write_values"]

_NUMBERS: Final = frozenset(TYPES[variant] for variant in FORMS)
_NEXT: Final = '|,"value":'
_encoder = msgspec.json.Encoder()


def head(node: str, tag: str, equipment: str) -> str:
    """How every reading of a tag begins."""
    return _text({"node": node, "tag": tag, "equipment": equipment}).removesuffix("}")


def write_values(
    columns: Columns,
    heads: Sequence[str],
    units: Mapping[int, str],
    *,
    session: str,
    subscription: int,
    sequence: int,
) -> bytes:
    """What ``reading.encode_body`` makes of the same Notification. ``heads`` and ``units`` are by handle."""
    handles, values, types, statuses, *_ = columns
    ends = {handle: f',"uom":{_text(unit)}}}' for handle, unit in units.items()}
    readings = [
        f"{heads[handle]}{value}{mark}{times}{end}"
        for handle, value, mark, times, end in zip(
            handles,
            _values(values, types),
            _marks(types, statuses),
            _times(columns),
            [ends.get(handle, "}") for handle in handles] if ends else repeat("}"),
            strict=False,
        )
    ]
    about = f'"session":{_text(session)},"subscription":{subscription},"sequence":{sequence}'
    return f'{{"kind":"values",{about},"values":[{",".join(readings)}]}}'.encode()


def _values(values: Sequence[Any], types: Iterable[str]) -> list[str]:
    """The member of each value; empty for none."""
    if _NUMBERS.issuperset(types):
        written = _text(values)
        if '"' not in written:  # all finite; and numbers and booleans have no commas
            return f',"value":{written[1:-1].replace(",", _NEXT)}'.split("|")
    return ["" if value is None else f',"value":{_text(value)}' for value in values]


def _marks(types: Sequence[str], statuses: Sequence[int]) -> Iterable[str]:
    """The members of each type and status."""
    kinds, codes = set(types), set(statuses)
    said = {
        (kind, code): (f',"type":"{kind}"' if kind != "Null" else "") + (f',"status":{code}' if code else "")
        for kind in kinds
        for code in codes
    }
    return (
        repeat(*said.values()) if len(said) == 1 else map(said.__getitem__, zip(types, statuses, strict=True))
    )


def _times(columns: Columns) -> list[str]:
    """The members of each source and server time."""
    pairs = zip(columns.source_ticks, columns.server_ticks, strict=True)
    times = instants({*columns.source_ticks, *columns.server_ticks})
    if all(times.values()):
        return [
            f',"source_time":"{times[source]}","server_time":"{times[server]}"' for source, server in pairs
        ]
    return [
        (f',"source_time":"{times[source]}"' if times[source] else "")
        + (f',"server_time":"{times[server]}"' if times[server] else "")
        for source, server in pairs
    ]


def _text(value: Any) -> str:
    return _encoder.encode(value).decode()
