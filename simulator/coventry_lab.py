"""The laboratory of Coventry: leaves a CSV file per inspection in a folder of a share that the hub watches.

``lab/inspection_*.csv``: ``inspection,item,lot,result,inspected_at``, one lot each.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from simulator.handover import Handover
from simulator.ledger import Document, Fact, Ledger
from simulator.moments import Moments, rfc3339
from simulator.shift import Shift
from simulator.story import COVENTRY_ITEMS, Rhythm, fails_inspection

__all__ = ["ADAPTER", "CoventryLab"]

ADAPTER: Final = "coventry-lab"
_HEADER: Final = "inspection,item,lot,result,inspected_at"


class CoventryLab:
    """Inspects while the shift runs; ``folder`` is the laboratory's."""

    def __init__(self, folder: Path, ledger: Ledger, moments: Moments, rhythm: Rhythm) -> None:
        self._ledger, self._moments, self._rhythm = ledger, moments, rhythm
        self._inspections = moments.first
        self._files = Handover(folder, ledger)

    async def work(self, shift: Shift) -> None:
        """Leaves files until the shift ends, then waits until they are taken, within a bound."""
        if not await shift.started():
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._files.watch(shift))
            tasks.create_task(self._inspect(shift))

    async def _inspect(self, shift: Shift) -> None:
        while await shift.pause(self._rhythm.inspection):
            at = self._moments.next()
            index = self._inspections
            self._inspections += 1
            number, failed = f"CVI-{index + 1:05d}", fails_inspection(index)
            if failed:
                self._ledger.on_purpose["failed_inspections"] += 1
            row = (
                number,
                COVENTRY_ITEMS[index % len(COVENTRY_ITEMS)],
                f"CVL-{index + 1:05d}",
                "NOK" if failed else "OK",
                rfc3339(at),
            )
            fact = Fact(
                adapter=ADAPTER,
                protocol="files",
                format="csv",
                type="quality.inspection.completed",
                key=number,
                at=at,
                detail=f"inspection {number}, a file",
                documents=(Document(system="qms", kind="inspections", reference=number),),
            )
            self._files.put(f"inspection_{number}.csv", f"{_HEADER}\n{','.join(row)}\n".encode(), fact)
