"""Records today's journal as ``vN.sql``: ``python -m tests.router.journals``, when a step has been added.

One that is there already is never written again: it is what that version wrote.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from canonical.errors import Rejected
from canonical.ledger import FileEntry
from canonical.ports import Accepted, Delivery, Failed, SinkOutcome
from gateway.runtime import TABLES
from router.journal import Claim, IngestBatch
from router.journal.schema import VERSION
from tests.router.journals import RECORDED, WINDOW_S, dump
from tests.router.rig import ITEMS, SOURCE, Rig, ScriptedSink, message, number_of, order, route, until

_REFUSED = 3


def _behave(delivery: Delivery) -> SinkOutcome:
    if number_of(delivery) == _REFUSED:
        return Failed(Rejected("the ERP does not want number 3"))
    return Accepted("ok")


async def _record(folder: Path) -> str:
    """Six orders: 3 is a dead letter and 6 waits behind it, 5 is parked for its code, a file was taken in."""
    rig = Rig(folder, TABLES, WINDOW_S)
    await rig.open()
    await rig.approve(domain="item", system="mes", value="A-1", canonical="10-1", approved_by="test")
    file = FileEntry(path="inbox/orders.csv", size_bytes=80, changed_ns=1, sha256=b"\x00" * 32)
    first = [message(order(number, f"key-{number}")) for number in (1, 2)]
    await rig.journal.append(
        IngestBatch(
            adapter="mes",
            messages=first,
            ledger=[Claim(message=0, entry=file)],
            state={"source": b"offset 2", "decoder": b"\x01\x02"},
        )
    )
    codes = {SOURCE: ITEMS}
    await rig.start(route(inbound=codes, map={"item": "data.item"}), ScriptedSink(_behave))
    await rig.append(order(3, "key-3"), order(4, "key-4"), order(5, "key-5", item="NEW"))
    await until(lambda: _lanes(rig, 2))
    await rig.append(order(6, "key-3"))
    await until(lambda: _settled(rig))
    await rig.stop()
    return dump(folder)


async def _lanes(rig: Rig, number: int) -> bool:
    return len(await rig.lanes()) == number


async def _settled(rig: Rig) -> bool:
    return (await rig.journal.cursors()).get("orders") == rig.journal.head


def main() -> None:
    """Writes the file and says where."""
    path = Path(__file__).with_name(f"v{VERSION}.sql")
    if VERSION in RECORDED:
        sys.exit(f"{path.name} is there already; it stays as that version wrote it")
    with tempfile.TemporaryDirectory() as place:
        path.write_text(asyncio.run(_record(Path(place))))
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
