"""A plan gives the data that the long way gives, or leaves it to that."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.attributes import Fault
from canonical.fields import compiled, evaluated
from canonical.plan import plan
from canonical.shapes import Shape, Times, fitted, shape_of
from canonical.shortcut import UNKNOWN

RFC3339 = Times("rfc3339", ZoneInfo("Europe/Prague"))
FIELDS: dict[str, dict[str, Any]] = {
    "telemetry.measurement.recorded": {
        "tag": "payload.a",
        "value": "payload.b",
        "uom": "'CEL'",
        "quality": "payload.c == 'ok' ? 'good' : 'bad'",
        "source_time": "payload.d",
        "status_code": "payload.b",
        "historical": "payload.c",
    },
    "inventory.adjusted": {
        "location": {"plant": "'brno'", "storage": "payload.a"},
        "item": "payload.a",
        "delta": {"value": "payload.b", "uom": "'H87'"},
        "reason": {"code": "payload.c"},
        "posted_at": "payload.d",
    },
}

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats()
    | st.sampled_from(["", "7", "-1.5", "1e3", "ok", "2026-03-31T10:00:00Z", "x\0"])
)
payloads = st.dictionaries(st.sampled_from("abcd"), scalars | st.lists(scalars, max_size=2), max_size=4)


def _long_way(node: Any, shape: Shape, values: dict[str, Any]) -> tuple[Any, list[Fault]]:
    faults: list[Fault] = []
    return fitted(shape, evaluated(node, shape, "", values, faults), "", RFC3339, faults), faults


@pytest.mark.parametrize("suffix", FIELDS)
@given(payload=payloads)
def test_a_plan_gives_what_the_long_way_gives(suffix: str, payload: dict[str, Any]) -> None:
    shape, node = shape_of(suffix), compiled(FIELDS[suffix])
    quick = plan(node, shape, RFC3339)
    assert quick is not None
    values = {"payload": payload, "message": {}}
    data = quick(values)
    if data is UNKNOWN:
        return
    wanted, faults = _long_way(node, shape, values)
    if not faults:  # but CEL refuses all of a record for what it cannot hold, read or not
        assert repr(data) == repr(wanted)


@pytest.mark.parametrize(
    ("fields", "times"),
    [
        ({"source_time": "payload.d"}, Times("epoch_s", ZoneInfo("UTC"))),
        ({"value": "payload.a.map(x, x)"}, RFC3339),
        ({"value": ["payload.a"]}, RFC3339),
    ],
)
def test_what_is_not_simple_has_no_plan(fields: dict[str, Any], times: Times) -> None:
    assert plan(compiled(fields), shape_of("telemetry.measurement.recorded"), times) is None
