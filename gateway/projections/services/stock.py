"""Stock balances, and transfers between plants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import structs

from canonical.event import Event
from gateway.projections.services.amounts import added, negated
from gateway.projections.services.entry import Cell, Cells, Entry, seconds
from gateway.projections.services.fold import Fold
from gateway.projections.services.service import SEPARATOR, Filter, Part, Reads, Service, fields

__all__ = ["BALANCES", "TRANSFERS"]

_REPORTED = Reads(
    "inventory.balance.reported", keep=("location", "item", "lot", "on_hand", "as_of", "status", "reserved")
)
_ADJUSTED = Reads("inventory.adjusted", keep=("location", "item", "lot", "delta"))
_MOVED = Reads("inventory.moved", keep=("from", "to", "item", "lot", "quantity"))
_MANY: Final = 1000
"""Changes that are kept one by one; beyond, the oldest half becomes one."""


def _places(event: Event) -> Iterator[tuple[str, dict[str, Any]]]:
    """The stock that an event is about, each with its part of the data; a movement is about two."""
    data = event.data
    if event.type == _MOVED.type:
        rest = {name: data.get(name) for name in ("item", "lot", "quantity")}
        left, reached = _family(data["from"], data), _family(data["to"], data)
        if left != reached:
            yield left, {**rest, "from": data["from"]}
            yield reached, {**rest, "to": data["to"]}
        return
    reads = _REPORTED if event.type == _REPORTED.type else _ADJUSTED
    yield _family(data["location"], data), {name: data[name] for name in reads.keep if name in data}


def _family(location: dict[str, Any], data: dict[str, Any]) -> str:
    parts = (location["plant"], location["storage"], location.get("bin"), data["item"], data.get("lot"))
    return SEPARATOR.join(part or "" for part in parts)


def _change(entry: Entry) -> dict[str, Any] | None:
    """By how much an entry changes the stock; None for a report."""
    if entry.type == _ADJUSTED.type:
        return dict(entry.data["delta"])
    if entry.type == _MOVED.type:
        quantity = entry.data["quantity"]
        return negated(quantity) if "from" in entry.data else dict(quantity)
    return None


def _balances(fold: Fold, cells: Cells) -> Iterator[tuple[str, Cells]]:
    """One thing per status that was reported; changes, which tell none, go to the only one there is."""
    reports = {entry.data.get("status"): entry for entry in fold.of(_REPORTED.type)}
    changes = [entry for entry in fold.entries if entry.type != _REPORTED.type]
    shared = {name: cells[name] for name in ("item", "lot")}
    if len(reports) == 1:
        (report,) = reports.values()
        later = [entry for entry in changes if entry.stamp > report.stamp]
        yield from _row(fold, shared, report, later)
        return
    for report in sorted(reports.values(), key=lambda entry: str(entry.data.get("status"))):
        yield from _row(fold, shared, report, [])
    newest = max((report.stamp for report in reports.values()), default=float("-inf"))
    later = [entry for entry in changes if entry.stamp > newest]
    if later:
        yield from _row(fold, shared, None, later)


def _row(
    fold: Fold, shared: Cells, report: Entry | None, changes: Sequence[Entry]
) -> Iterator[tuple[str, Cells]]:
    entry = report or changes[-1]
    place = next(name for name in ("location", "from", "to") if name in entry.data)
    amounts = [(change, _change(change) or {}) for change in changes]
    unit = report.data["on_hand"]["uom"] if report else amounts[-1][1]["uom"]
    fitting = [amount for _, amount in amounts if amount["uom"] == unit]
    for change in changes:
        fold.use(change)
    sum_ = added(fitting)
    amount_path = "on_hand" if report else "delta" if entry.type == _ADJUSTED.type else "quantity"
    on_hand = added([report.data["on_hand"], *fitting]) if report else None
    cells: Cells = {
        "location": fold.cell(entry, place),
        **shared,
        "status": fold.cell(entry, "status") if report else Cell(None),
        "on_hand": fold.cell(entry, "on_hand", on_hand) if report else Cell(None),
        "reported": fold.cell(entry, "on_hand") if report else Cell(None),
        "as_of": fold.cell(entry, "as_of") if report else Cell(None),
        "reserved": fold.cell(entry, "reserved") if report else Cell(None),
        "changed": fold.cell(entry, amount_path, sum_) if sum_ else Cell(None),
        "unapplied": Cell(len(amounts) - len(fitting)),
    }
    rest = "=" + str(report.data.get("status") or "") if report else ""
    yield rest, cells


def _squashed(entries: Sequence[Entry]) -> list[Entry]:
    """The oldest half of very many changes as one, where their unit is the same."""
    changes = sorted((entry for entry in entries if _change(entry)), key=lambda entry: entry.position)
    if len(changes) <= _MANY:
        return list(entries)
    old = changes[: len(changes) // 2]
    total = added([_change(entry) or {} for entry in old])
    if total is None or len({entry.plant for entry in old}) > 1:
        return list(entries)
    last = old[-1]
    place = next(name for name in ("location", "from", "to") if name in last.data)
    data = {
        "location": last.data[place],
        "item": last.data["item"],
        "lot": last.data.get("lot"),
        "delta": total,
    }
    one = structs.replace(
        last, type=_ADJUSTED.type, id="", stamp=max(entry.stamp for entry in old), data=data
    )
    gone = {entry.position for entry in old}
    return [*(entry for entry in entries if entry.position not in gone), one]


BALANCES = Service(
    name="inventory/balances",
    domain="inventory",
    summary="Stock balances",
    rule="The report with the latest `as_of` per place, item, lot and status; of two with the same, the one "
    "that was taken in later. `inventory.adjusted` and `inventory.moved` of later than `as_of`, for exactly "
    "that place, item and lot, are added: `on_hand` = `reported` + `changed`. They tell no status: where "
    "several are reported, or none, the changes stand in a row of their own, whose `on_hand` is null. "
    "Changes in another unit are counted in `unapplied`. Of a place with over 1,000 changes since its last "
    "report the oldest are kept as one, at the time of the last of them. A null `status` beside a "
    "`source_status` is not known: treat it as blocked.",
    identity=(
        Part("place", ("location.plant", "from.plant", "to.plant"), shown=False),
        Part("storage", ("location.storage", "from.storage", "to.storage"), shown=False),
        Part("bin", (), optional=True, shown=False),
        Part("item", ("item",), domain="item"),
        Part("lot", (), optional=True),
    ),
    reads=(_REPORTED, _ADJUSTED, _MOVED),
    stamp="time",
    stamps={
        "inventory.balance.reported": "as_of",
        "inventory.adjusted": "posted_at",
        "inventory.moved": "at",
    },
    families=_places,
    derive=_balances,
    computed={
        **{
            name: {"type": ["object", "null"]}
            for name in ("location", "on_hand", "reported", "reserved", "changed")
        },
        **{name: {"type": ["string", "null"]} for name in ("status", "source_status", "as_of")},
        "unapplied": {"type": "integer"},
    },
    example=(
        (
            "inventory.balance.reported",
            {
                "location": {"plant": "aachen", "storage": "0001"},
                "item": "100020",
                "on_hand": {"value": "250", "uom": "H87"},
                "as_of": "2026-03-31T06:00:00Z",
            },
        ),
        (
            "inventory.adjusted",
            {
                "location": {"plant": "aachen", "storage": "0001"},
                "item": "100020",
                "delta": {"value": "-4", "uom": "H87"},
                "reason": {"code": "count"},
                "posted_at": "2026-03-31T09:00:00Z",
            },
        ),
    ),
    squash=_squashed,
    columns={"item": "item", "lot": "lot", "status": "status", "storage": "location.storage"},
    filters=(
        Filter(
            name="item", kind="code", domain="item", about="The item's canonical code, or the source's own."
        ),
        Filter(name="lot", kind="text", about="A lot."),
        Filter(
            name="status",
            kind="code",
            domain="stock_status",
            about="unrestricted, inspection, blocked, nonconforming or scrapped, or the source's own.",
        ),
        Filter(name="storage", kind="code", domain="location", about="A storage location."),
    ),
)

_REQUESTED = Reads(
    "inventory.transfer.requested",
    fields("from_plant", "to_plant", "lines", "required_by", "approval", "cost"),
)
_SHIPPED = Reads("inventory.transfer.shipped", fields("shipped_at", "sscc", "eta", shipped="lines"))
_RECEIVED = Reads("inventory.transfer.received", fields("received_at", "variance", received="lines"))


def _transfer(fold: Fold, cells: Cells) -> Iterator[tuple[str, Cells]]:
    stages = ((_REQUESTED, "requested"), (_SHIPPED, "shipped"), (_RECEIVED, "received"))
    status = next((status for reads, status in reversed(stages) if fold.of(reads.type)), None)
    due = cells.get("eta") or cells.get("required_by")
    cells["status"] = Cell(status)
    cells["_due"] = seconds(due.value) if due else None
    cells["_open"] = status != "received"
    yield "", cells


TRANSFERS = Service(
    name="inventory/transfers",
    domain="inventory",
    summary="Transfers between plants",
    rule="The last request, shipment and receipt, each by position. `status` is the furthest of them. "
    "`late`: not received, and the expected arrival (else the day on which it is required) has passed.",
    identity=(Part("transfer", ("transfer", "subject")),),
    reads=(_REQUESTED, _SHIPPED, _RECEIVED),
    derive=_transfer,
    computed={"status": {"enum": ["requested", "shipped", "received", None]}},
    example=(
        (
            "inventory.transfer.requested",
            {
                "transfer": "T-12",
                "from_plant": "aachen",
                "to_plant": "brno",
                "lines": [{"item": "100020", "quantity": {"value": "20", "uom": "H87"}}],
                "required_by": "2026-04-02T06:00:00Z",
            },
        ),
    ),
    late=True,
    columns={"transfer": "transfer", "status": "status"},
    filters=(
        Filter(name="transfer", kind="text", about="The transfer's number."),
        Filter(
            name="status", kind="text", about="How far it is.", choices=("requested", "shipped", "received")
        ),
    ),
)
