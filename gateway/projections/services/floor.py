"""What the shop floor is like now: equipment, and the latest value of every tag."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.projections.services.entry import Cell, Cells, Entry
from gateway.projections.services.fold import Fold, at_path
from gateway.projections.services.service import Each, Filter, Part, Reads, Service, fields

__all__ = ["EQUIPMENT", "LATEST"]

_EQUIPMENT = Part("equipment", ("equipment", "subject"), domain="equipment")
_UNDER = Filter(
    name="equipment", kind="path", domain="equipment", about="A piece of equipment, or all below a path."
)
_STATE = Reads(
    "equipment.state.changed", fields("state", "previous", "mode", "order", "raw_state", since="entered_at")
)
_STARTED = Reads(
    "equipment.downtime.started",
    fields("started_at", "planned", "category", "reason", "order", "estimated_duration"),
    keep=("downtime",),
)
_ENDED = Reads("equipment.downtime.ended", keep=("downtime", "ended_at"))
_COUNT = Reads(
    "equipment.count.reported",
    keep=("window_start", "window_end", "total", "good", "reject", "order", "ideal_cycle"),
)
_ALARM = Reads(
    "equipment.alarm.changed",
    fields("active", "severity", "message", "value", "limit", "acknowledged", since="at"),
    keep=("alarm",),
)
_ALARMS = Each("alarms", "alarm", (_ALARM,))
_REMEMBERED = 50
"""Ended stoppages that are remembered, so that a start which comes late does not open one again."""


def _equipment(fold: Fold, cells: Cells) -> Iterator[tuple[str, Cells]]:
    counts = fold.of(_COUNT.type)
    if counts:
        fold.use(counts[-1])
        cells["counts"] = Cell({name: counts[-1].data.get(name) for name in _COUNT.keep})
    else:
        cells["counts"] = Cell(None)
    ended = fold.of(_ENDED.type)
    for entry in ended[-_REMEMBERED:]:
        fold.use(entry)
    over = {entry.data["downtime"] for entry in ended}
    cells["open_downtimes"] = _open(fold, over)
    cells["alarms"] = [each for each in cells["alarms"] if each.get("active", Cell(False)).value]
    cells["down"] = Cell(bool(cells["open_downtimes"]))
    yield "", cells


def _open(fold: Fold, over: set[str]) -> list[Cells]:
    """The stoppages without an end, oldest first."""
    started: dict[str, Entry] = {}
    for entry in fold.of(_STARTED.type):
        if (name := entry.data["downtime"]) not in over:
            started[name] = entry
    return [
        {"downtime": Cell(name)}
        | {
            field: fold.cell(entry, path)
            for field, path in _STARTED.fields.items()
            if at_path(entry.data, path) is not None
        }
        for name, entry in sorted(started.items(), key=lambda item: item[1].order)
    ]


EQUIPMENT = Service(
    name="equipment",
    domain="equipment",
    summary="Equipment: state, open stoppages, alarms, counts",
    rule="By the time at the source: the state that was entered last, the count window that ended last, the "
    "last word on each alarm. A stoppage is open until its end has come, whichever of the two came first "
    "(the last 50 ends are remembered). `counts` is the last window, no sum.",
    identity=(_EQUIPMENT,),
    reads=(_STATE, Reads("equipment.downtime.started", keep=("downtime", *_STARTED.fields)), _ENDED, _COUNT),
    each=(_ALARMS,),
    stamp="time",
    stamps={
        "equipment.state.changed": "entered_at",
        "equipment.downtime.started": "started_at",
        "equipment.downtime.ended": "ended_at",
        "equipment.count.reported": "window_end",
        "equipment.alarm.changed": "at",
    },
    derive=_equipment,
    computed={
        "counts": {"type": ["object", "null"]},
        "open_downtimes": {"type": "array"},
        "alarms": {"type": "array"},
        "down": {"type": "boolean"},
    },
    example=(
        (
            "equipment.state.changed",
            {
                "equipment": "acme/aachen/press-shop/press-1",
                "state": "stopped",
                "previous": "execute",
                "entered_at": "2026-03-31T09:58:00Z",
            },
        ),
        (
            "equipment.downtime.started",
            {
                "equipment": "acme/aachen/press-shop/press-1",
                "downtime": "D-77",
                "started_at": "2026-03-31T09:58:00Z",
                "planned": False,
                "category": "breakdown",
            },
        ),
    ),
    columns={"equipment": "equipment", "state": "state", "down": "down"},
    filters=(
        _UNDER,
        Filter(name="state", kind="text", about="A state of PackML, such as `execute`."),
        Filter(name="down", kind="flag", about="With a stoppage that is open, or without."),
    ),
)

LATEST = Service(
    name="telemetry/latest",
    domain="telemetry",
    summary="The latest value of every tag",
    rule="The value with the latest `source_time`, whenever it came; of two with the same, the one that was "
    "taken in later. A correction is applied to the value that is shown.",
    identity=(_EQUIPMENT, Part("tag", ("tag",))),
    reads=(
        Reads(
            "telemetry.measurement.recorded",
            fields("value", "uom", "quality", "source_time", "status_code", "historical"),
        ),
    ),
    stamp="source_time",
    keep=0,
    example=(
        (
            "telemetry.measurement.recorded",
            {
                "equipment": "acme/aachen/press-shop/press-1",
                "tag": "temperature",
                "value": 71.5,
                "uom": "CEL",
                "quality": "good",
                "source_time": "2026-03-31T09:59:59.750Z",
            },
        ),
    ),
    columns={"equipment": "equipment", "tag": "tag", "quality": "quality"},
    filters=(
        _UNDER,
        Filter(name="tag", kind="text", about="A tag."),
        Filter(
            name="quality",
            kind="text",
            about="How far the value can be trusted.",
            choices=("good", "uncertain", "bad", "stale"),
        ),
    ),
)
