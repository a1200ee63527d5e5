"""Of a flood of readings the newest of each tag is taken, as one by one."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from canonical import catalogue
from canonical.ports import Recorded
from gateway.projections.services.entry import Entry
from gateway.projections.services.registry import SERVICES
from gateway.projections.services.taking import Taking
from tests.gateway.hubs import event

READING = catalogue.full_name("telemetry.measurement.recorded")
_TIMES = st.sampled_from(
    [
        "2026-01-01T10:00:00Z",
        "2026-01-01T10:00:01Z",
        "2026-01-01t10:00:00Z",
        "2026-01-01T10:00:00.5Z",
        "2026-01-01T10:00:00.25Z",
        "2026-01-01T11:00:00.5+01:00",
        "2026-01-01T10:00:00z",
        None,
    ]
)
_TAGS = st.sampled_from(["a", "b", "", None, ["a"]])
_READINGS = st.lists(
    st.tuples(_TIMES, _TAGS, st.sampled_from(["e", None]), st.sampled_from(["s", None]), st.booleans()),
    max_size=30,
)


_GROWING = _READINGS.map(
    lambda found: [(f"2026-01-01T10:00:{at // 2:02}Z", *rest) for at, (_, *rest) in enumerate(found)]
)


@given(st.one_of(_READINGS, _GROWING))
def test_the_newest_of_a_flood_is_that_of_one_by_one(readings: list[Any]) -> None:
    taking = Taking(SERVICES)
    items = [
        Recorded(
            number,
            event(
                number,
                type=READING,
                subject=subject,
                plantid="brno" if brno else None,
                data={"tag": tag, "source_time": time, "equipment": equipment, "value": number},
            ),
        )
        for number, (time, tag, equipment, subject, brno) in enumerate(readings, 1)
    ]
    best: dict[tuple[str, str, str | None], Entry] = {}
    for item in items:
        for service, family, entry in taking.entries(item):
            key = (service.name, family, entry.plant)
            if key not in best or entry.order > best[key].order:
                best[key] = entry
    found = {
        (name, family, entry.plant): entry
        for (name, family), entries in taking.batch(items).items()
        for entry in entries
    }
    assert found == best
