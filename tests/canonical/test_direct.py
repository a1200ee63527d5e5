"""What is read straight into events is what the long way gives; whatever is odd goes that way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.json.config import JsonOptions
from adapters.json.decoder import JsonDecoder
from canonical.errors import Invalid
from canonical.event import Event
from canonical.ports import RawMessage
from canonical.record import RecordMapping
from canonical.rules import EventRule
from canonical.spec import FormatContext

CONTEXT = FormatContext(
    adapter="floor",
    source="/plants/brno/adapters/floor",
    plant="brno",
    partner=None,
    timezone=ZoneInfo("Europe/Prague"),
)
READING: dict[str, Any] = {
    "type": "telemetry.measurement.recorded",
    "subject": "payload.a",
    "data": {
        "tag": "payload.a",
        "value": "payload.b",
        "uom": "'CEL'",
        "quality": "payload.c",
        "source_time": "payload.d",
    },
}
DOWNTIME: dict[str, Any] = {
    "type": "equipment.downtime.started",
    "id": "payload.c",
    "time": "payload.d",
    "correlationid": "payload.b",
    "data": {
        "equipment": "payload.a",
        "downtime": "payload.b",
        "planned": True,
        "category": "payload.c",
        "started_at": "payload.d",
    },
}
OTHERWISE = READING | {"subject": "payload.x", "id": "payload.c"}
RULES = {"reading": READING, "downtime": DOWNTIME, "otherwise": OTHERWISE}
GOOD = b'{"a":"press-1","b":20.5,"c":"good","d":"2026-03-31T10:00:00Z"}'

_values = st.one_of(
    st.sampled_from(
        [
            b'"press-1"',
            b'"good"',
            b'"2026-03-31T10:00:00Z"',
            b'"2026-03-31T10:00:00.123456789+02:00"',
            b"20.5",
            b"7",
            b"0.1000000000000000055",
            b"1e999",
            b"1e3",
            b"99999999999999999999",
            b"-9223372036854775809",
            b"true",
            b"null",
            b'""',
            b'"x\\u0000y"',
            b'"x\\ty"',
            b'"\\ud800"',
            b'"caf\xc3\xa9"',
            b'"\xff"',
            b"[1,2]",
            b'{"a":1}',
            b"[" * 70 + b"]" * 70,
            b"NaN",
        ]
    ),
    st.text(max_size=5).map(lambda text: b'"%s"' % text.replace('"', "").replace("\\", "").encode()),
)
_members = st.tuples(
    st.sampled_from([b"a", b"b", b"c", b"d", b"x", b"\\u0061", b"\xc2\xb0constant2"]), _values
)
_odd = st.lists(_members, max_size=7).map(
    lambda members: b"{%s}" % b",".join(b'"%s":%s' % member for member in members)
)
_nearly = st.tuples(st.just(GOOD[:-1]), _members).map(lambda found: b'%s,"%s":%s}' % (found[0], *found[1]))


def both(rule: dict[str, Any], body: bytes, **options: Any) -> tuple[list[Event | Invalid], ...]:
    """What the decoder gives with its short way, and without."""
    found = []
    for short in (True, False):
        decoder = JsonDecoder(JsonOptions(events=[EventRule(**rule)], **options), CONTEXT)
        assert decoder._direct is not None
        if not short:
            decoder._direct = None
        raw = RawMessage(adapter="floor", id="m-1", body=body, received_at=datetime(2026, 4, 1, tzinfo=UTC))
        found.append(list(decoder.decode(None, raw)[1]))
    return tuple(found)


def told(items: list[Event | Invalid]) -> list[str]:
    """To the type of every value: 1, 1.0 and true are equal and are not the same."""
    return [repr(item) if isinstance(item, Event) else repr((item.message, item.errors)) for item in items]


@pytest.mark.parametrize("name", RULES)
@given(body=st.one_of(_nearly, _odd))
@example(body=GOOD)
@example(body=b'{"a":"o-1","b":"A-1","c":"id-1","d":"2026-03-31T10:00:00Z","z":[1,{"y":2}]}')
@example(body=b'{"a":"o-1","a":"o-2","b":"A-1","c":"good","d":"2026-03-31T10:00:00Z"}')
@example(body=b"\xef\xbb\xbf" + GOOD)
@example(body=GOOD[:-1] + b',"x":"s-1"}')
@example(body=b'{"a":"b\\\\u0041","b":"\\/","c":"good","d":"2026-03-31T10:00:00Z","x":"\\u0041"}')
@example(body=b"")
def test_the_short_way_gives_what_the_long_way_gives(name: str, body: bytes) -> None:
    short, long = both(RULES[name], body)
    assert told(short) == told(long)


def raws_of(bodies: list[bytes]) -> list[RawMessage]:
    now = datetime(2026, 4, 1, tzinfo=UTC)
    return [
        RawMessage(adapter="floor", id=f"m-{at}", body=body, received_at=now)
        for at, body in enumerate(bodies)
    ]


@pytest.mark.parametrize("name", RULES)
@given(bodies=st.lists(st.one_of(st.just(GOOD), _nearly, _odd), min_size=1, max_size=4))
@example(bodies=[GOOD[:-1] + b',"x":"s-1"}', GOOD])
@example(bodies=[GOOD + GOOD, b" "])
@example(bodies=[GOOD + b"{}", b""])
@example(bodies=[GOOD[:40], GOOD[40:] + GOOD])
@example(bodies=[GOOD.replace(b"good", b"go}"), GOOD])
@example(bodies=[GOOD.replace(b'"good"', b'"}'), GOOD.replace(b'{"a":', b'{"}')])
@example(bodies=[GOOD.replace(b",", b",\n"), GOOD])
@example(bodies=[GOOD.replace(b"20.5", b"9223372036854775808"), GOOD])
@example(bodies=[GOOD.replace(b"20.5", b"0.1000000000000000055"), GOOD])
@example(bodies=[GOOD.replace(b"20.5", b"1E3"), GOOD])
@example(bodies=[GOOD.replace(b"press-1", b"x" * 17_000), GOOD])
@example(bodies=[GOOD.replace(b"20.5", b'20.5,"z":' + b"[" * 70 + b"]" * 70), GOOD])
def test_many_at_once_are_what_each_is(name: str, bodies: list[bytes]) -> None:
    decoder = JsonDecoder(JsonOptions(events=[EventRule(**RULES[name])]), CONTEXT)
    raws = raws_of(bodies)
    together = decoder.decode_all(raws)
    alone = [list(decoder.decode(None, raw)[1]) for raw in raws]
    if together is not None:
        assert [told([event]) for event in together] == [told(items) for items in alone]


@pytest.mark.parametrize("name", ["reading", "downtime"])
def test_usual_documents_are_read_at_once(name: str) -> None:
    body = GOOD if name == "reading" else GOOD.replace(b"20.5", b'"A-1"')
    decoder = JsonDecoder(JsonOptions(events=[EventRule(**RULES[name])]), CONTEXT)
    events = decoder.decode_all(raws_of([body.replace(b"press-1", b"press-%d" % n) for n in range(9)]))
    assert events is not None
    assert [(event.subject, event.srcmsgid) for event in events] == [
        (f"press-{n}", f"m-{n}") for n in range(9)
    ]


@given(bodies=st.lists(st.one_of(st.just(GOOD), _odd.filter(lambda body: b"\n" not in body)), max_size=4))
def test_lines_are_numbered_alike(bodies: list[bytes]) -> None:
    short, long = both(READING, b"\n".join(bodies), lines=True)
    assert told(short) == told(long)


@pytest.mark.parametrize("name", ["reading", "downtime"])
def test_the_usual_document_takes_the_short_way(name: str) -> None:
    read = RecordMapping([EventRule(**RULES[name])], CONTEXT).direct(max_depth=64, max_bytes=10_000)
    body = GOOD if name == "reading" else GOOD.replace(b"20.5", b'"A-1"')
    raw = RawMessage(adapter="floor", id="m-1", body=body, received_at=datetime(2026, 4, 1, tzinfo=UTC))
    assert read is not None
    event = read.one(body, raw, raw.id)
    assert event is not None
    assert (event.subject, event.recordedtime) == ("press-1", raw.received_at)


@pytest.mark.parametrize(
    "change",
    [
        {"when": "payload.b > 1.0"},
        {"each": "payload.items"},
        {"plant": "payload.x"},
        {"time_format": "epoch_s"},
        {"subject": "payload.a + 'x'"},
        {"subject": "message.topic"},
        {"data": {**READING["data"], "tag": "payload.a.b"}},
        {"data": {**READING["data"], "tag": "payload.c"}},
        {"data": {**READING["data"], "historical": "has(payload.x)"}},
    ],
)
def test_rules_that_say_more_have_no_short_way(change: dict[str, Any]) -> None:
    assert (
        RecordMapping([EventRule(**(READING | change))], CONTEXT).direct(max_depth=64, max_bytes=10_000)
        is None
    )
