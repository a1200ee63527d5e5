"""Production orders, from plan to confirmation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.projections.services.entry import Cell, Cells, Entry, seconds
from gateway.projections.services.fold import Fold
from gateway.projections.services.service import Each, Filter, Part, Reads, Service, fields

__all__ = ["PRODUCTION_ORDERS"]

_PLANNED = fields(
    "item", "quantity", "planned_start", "planned_end", "bom_revision", "routing_revision", "sales_order"
)
_CREATED = Reads("production.order.created", _PLANNED)
_RELEASED = Reads("production.order.released", {**_PLANNED, **fields("work_centre", "components")})
_MOVED = Reads("production.order.rescheduled", fields(planned_start="new_start", planned_end="new_end"))
_CHANGED = Reads("production.order.status_changed", fields(status_reason="reason"), keep=("status",))
_COMPLETED = Reads("production.order.completed", fields("good", "scrap", "completed_at", "lots"))
_STARTED = Reads(
    "production.operation.started",
    fields("work_centre", "started_at", "operator"),
    {"status": "running"},
    ("operation",),
)
_DONE = Reads(
    "production.operation.completed",
    fields("good", "scrap", "rework", "completed_at", "setup_time", "run_time"),
    {"status": "completed"},
    ("operation",),
)
_PROGRESS: Final = (
    (_CREATED.type, "created"),
    (_RELEASED.type, "released"),
    (_STARTED.type, "running"),
    (_DONE.type, "running"),
    (_COMPLETED.type, "completed"),
)
STATUSES: Final = ("created", "released", "running", "held", "completed", "cancelled", "closed")


def _order(fold: Fold, cells: Cells) -> Iterator[tuple[str, Cells]]:
    status, decided_by = _status(fold)
    if decided_by is not None:
        fold.use(decided_by)
    ended = cells.get("planned_end")
    cells["status"] = Cell(status)
    cells["_due"] = seconds(ended.value) if ended else None
    cells["_open"] = status not in {"completed", "cancelled", "closed"}
    yield "", cells


def _status(fold: Fold) -> tuple[str | None, Entry | None]:
    """Progress only grows; a hold, a cancellation and a closing stand over it until a later word."""
    reached: tuple[str | None, Entry | None] = (None, None)
    for type_, status in _PROGRESS:
        entries = fold.of(type_)
        if entries:
            reached = status, entries[-1]
    changes = fold.of(_CHANGED.type)
    if not changes or changes[-1].data["status"] == "resumed":
        return reached
    said = changes[-1].data["status"]
    if said == "held" and reached[0] == "completed":
        return reached
    return said, changes[-1]


PRODUCTION_ORDERS = Service(
    name="production-orders",
    domain="production",
    summary="Production orders",
    rule="By the events' time, field by field, so that what comes late does not undo what is newer. "
    "`status` grows from created over released and running to completed whatever the order of arrival; "
    "held, cancelled and closed stand over it until a later word (`resumed`). `late`: open, and the planned "
    "end has passed.",
    identity=(Part("order", ("order", "subject")),),
    reads=(_CREATED, _RELEASED, _MOVED, _CHANGED, _COMPLETED),
    each=(Each("operations", "operation", (_STARTED, _DONE)),),
    stamp="time",
    derive=_order,
    computed={"status": {"enum": [*STATUSES, None]}, "operations": {"type": "array"}},
    example=(
        (
            "production.order.released",
            {
                "order": "AAC-100001",
                "item": "100020",
                "quantity": {"value": "120", "uom": "H87"},
                "planned_start": "2026-03-31T06:00:00Z",
                "planned_end": "2026-03-31T14:00:00Z",
                "work_centre": "PRESS-1",
            },
        ),
        (
            "production.operation.completed",
            {
                "order": "AAC-100001",
                "operation": "10",
                "good": {"value": "118", "uom": "H87"},
                "scrap": {"value": "2", "uom": "H87"},
                "rework": {"value": "0", "uom": "H87"},
                "completed_at": "2026-03-31T10:00:00Z",
            },
        ),
    ),
    late=True,
    columns={"order": "order", "status": "status", "item": "item", "work_centre": "work_centre"},
    filters=(
        Filter(name="order", kind="text", about="The order's number.", column="order"),
        Filter(name="status", kind="text", about="Where it stands.", choices=STATUSES),
        Filter(
            name="item", kind="code", domain="item", about="The item's canonical code, or the source's own."
        ),
        Filter(name="work_centre", kind="code", domain="work_centre", about="Where it is worked on."),
        Filter(name="due", kind="until", about="Planned to end then or earlier.", column="due"),
    ),
)
