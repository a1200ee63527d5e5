"""From records to events by rules: what comes out, what is said when it cannot, what is known before."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from canonical import catalogue
from canonical.errors import ConfigError, Invalid
from canonical.event import Event, decode, encode
from canonical.ports import RawMessage
from canonical.record import EventRule, RecordMapping, check, place
from canonical.spec import FormatContext

RECEIVED = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
CONTEXT = FormatContext(
    adapter="wms",
    source="/plants/brno/adapters/wms",
    plant="brno",
    partner=None,
    timezone=ZoneInfo("Europe/Prague"),
)
RAW = RawMessage(
    adapter="wms",
    id="m-1",
    body=b"",
    received_at=RECEIVED,
    content_type="application/json",
    attributes={"topic": "acme/brno/stock", "header.x-id": "h"},
)
RECORD: dict[str, Any] = {"bin": "A-1", "sku": "4711", "qty": 12.5, "unit": "KGM", "why": "count"}
DATA: dict[str, Any] = {
    "location": {"plant": "'brno'", "storage": "payload.bin"},
    "item": "payload.sku",
    "delta": {"value": "payload.qty", "uom": "payload.unit"},
    "reason": {"code": "payload.why"},
    "posted_at": "message.received_at",
}


def rule(**fields: Any) -> EventRule:
    return EventRule(**{"type": "inventory.adjusted", "data": DATA, **fields})


def apply(
    rules: list[EventRule], record: Any = None, *, context: FormatContext = CONTEXT, **options: Any
) -> list[Any]:
    return list(RecordMapping(rules, context).apply(RECORD if record is None else record, RAW, **options))


def event(rules: list[EventRule], record: Any = None, **options: Any) -> Event:
    (found,) = apply(rules, record, **options)
    assert isinstance(found, Event), found.errors
    return found


def invalid(rules: list[EventRule], record: Any = None, **options: Any) -> Invalid:
    (found,) = apply(rules, record, **options)
    assert isinstance(found, Invalid), found
    return found


# ── the event ───────────────────────────────────────────────────────────────────────────────────


def test_a_record_becomes_an_event_of_the_catalogue() -> None:
    assert event([rule()]) == Event(
        id="m-1",
        source="/plants/brno/adapters/wms",
        type="com.crossplant.inventory.adjusted.v1",
        time=RECEIVED,
        subject="4711",
        plantid="brno",
        domain="inventory",
        partitionkey="M:brno:4711",
        recordedtime=RECEIVED,
        srcmsgid="m-1",
        data={
            "location": {"plant": "brno", "storage": "A-1"},
            "item": "4711",
            "delta": {"value": "12.5", "uom": "KGM"},
            "reason": {"code": "count"},
            "posted_at": "2026-07-01T12:00:00Z",
        },
    )


def test_the_envelope_is_told_by_expressions() -> None:
    found = event(
        [
            rule(
                id="message['header.x-id'] + '/' + payload.sku",
                time="payload.at",
                subject="payload.sku + '!'",
                correlationid="payload.?order",
            )
        ],
        {**RECORD, "at": "2026-06-30T23:00:00+02:00", "order": 815},
    )
    assert (found.id, found.subject, found.correlationid) == ("h/4711", "4711!", "815")
    assert found.time == datetime(2026, 6, 30, 21, 0, tzinfo=UTC)
    assert found.partitionkey == "M:brno:4711"


def test_a_correlation_that_is_not_there_is_none() -> None:
    assert event([rule(correlationid="payload.?order")]).correlationid is None


def test_message_is_what_the_transport_knows() -> None:
    data = {**DATA, "lot": "message.topic + '|' + message.content_type + '|' + message.received_at"}
    assert event([rule(data=data)]).data["lot"] == "acme/brno/stock|application/json|2026-07-01T12:00:00Z"


def test_null_fields_are_left_out() -> None:
    data = {**DATA, "lot": "payload.?lot", "count_ref": None}
    assert event([rule(data=data)]).data.keys() == DATA.keys()


def test_a_null_that_the_catalogue_wants_stays() -> None:
    measured = EventRule(
        type="telemetry.measurement.recorded",
        subject="'press-3'",
        data={
            "tag": "'t'",
            "value": "payload.?v",
            "uom": "'C62'",
            "quality": "'bad'",
            "source_time": "message.received_at",
            "equipment": "payload.?e",
        },
    )
    found = event([measured], {})
    assert found.data == {
        "tag": "t",
        "value": None,
        "uom": "C62",
        "quality": "bad",
        "source_time": "2026-07-01T12:00:00Z",
    }
    assert found.partitionkey == "E:press-3"


# ── which rule ──────────────────────────────────────────────────────────────────────────────────


def test_the_first_rule_that_holds_counts() -> None:
    rules = [
        EventRule(when="payload.why == 'ping'", ignore=True),
        rule(when="payload.qty < 0.0", subject="'down'"),
        rule(when="payload.qty > 0.0", subject="'up'"),
        rule(subject="'same'"),
    ]
    subjects = [event(rules, {**RECORD, "qty": qty}).subject for qty in (-1.0, 1.0, 0.0)]
    assert subjects == ["down", "up", "same"]
    assert apply(rules, {**RECORD, "why": "ping"}) == []


def test_a_record_that_no_rule_wants_is_invalid() -> None:
    fault = invalid([rule(when="payload.qty > 100.0")])
    assert fault.code == "no_rule"
    assert fault.errors


@pytest.mark.parametrize("record", [{}, [], "text", 5, None, {"qty": "x"}])
def test_a_condition_that_fails_is_told_with_its_rule(record: object) -> None:
    rules = [rule(when="false"), rule(when="payload.qty > 100.0")]
    (fault,) = RecordMapping(rules, CONTEXT).apply(record, RAW)
    assert isinstance(fault, Invalid)
    assert fault.message.startswith("events[1].when: 'payload.qty > 100.0': ")


# ── several events ──────────────────────────────────────────────────────────────────────────────

LINES = rule(
    each="payload.rows",
    data={**DATA, "item": "item.sku", "delta": {"value": "item.qty", "uom": "payload.unit"}},
)
ROWS = {**RECORD, "rows": [{"sku": "A", "qty": 1}, {"sku": "B", "qty": -2}]}


def test_every_element_gives_an_event_with_an_id_of_its_own() -> None:
    found = apply([LINES], ROWS)
    assert [(one.id, one.subject, one.data["delta"]["value"], one.srcmsgid) for one in found] == [
        ("m-1-1", "A", "1", "m-1"),
        ("m-1-2", "B", "-2", "m-1"),
    ]


def test_a_bad_element_harms_no_other() -> None:
    rows = [{"sku": "A", "qty": 1}, {"sku": "", "qty": 1}, {"qty": 1}, {"sku": "D", "qty": 1}]
    first, second, third, fourth = apply([LINES], {**ROWS, "rows": rows})
    assert (first.id, fourth.id) == ("m-1-1", "m-1-4")
    assert second.message.startswith("events[0], item 2: /data/item: ")
    assert third.errors[0][0] == "/data/item"


def test_the_number_of_a_record_is_part_of_the_id() -> None:
    assert event([rule()], number=7).id == "m-1-7"
    assert [one.id for one in apply([LINES], ROWS, number=7)] == ["m-1-7-1", "m-1-7-2"]


def test_an_empty_list_gives_nothing() -> None:
    assert apply([LINES], {**ROWS, "rows": []}) == []


@pytest.mark.parametrize("rows", ["text", {"a": 1}, None, 5])
def test_each_must_give_a_list(rows: object) -> None:
    assert "each: must give a list" in invalid([LINES], {**ROWS, "rows": rows}).message


def test_a_failing_each_is_told() -> None:
    assert invalid([LINES]).message.startswith("events[0]: each: 'payload.rows': Key not found")


def test_a_record_that_is_a_list_can_be_taken_apart() -> None:
    whole = rule(each="payload", data=_of_item(DATA))
    assert [one.data["item"] for one in apply([whole], [RECORD, {**RECORD, "sku": "x"}])] == ["4711", "x"]


def _of_item(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _of_item(entry) for name, entry in value.items()}
    return value.replace("payload.", "item.")


def test_many_elements_take_linear_time() -> None:
    def duration_s(rows: int) -> float:
        record = {**ROWS, "rows": [{"sku": str(at), "qty": 1, "note": ["x"] * 5} for at in range(rows)]}
        mapping = RecordMapping([LINES], CONTEXT)
        started = time.perf_counter()
        assert sum(isinstance(one, Event) for one in mapping.apply(record, RAW)) == rows
        return time.perf_counter() - started

    duration_s(10)
    assert duration_s(2000) < 60 * duration_s(200)


def test_expressions_may_read_the_whole_payload_beside_their_item() -> None:
    whole = rule(each="payload.rows", data={**DATA, "item": "item.sku", "lot": "string(payload.size())"})
    assert {one.data["lot"] for one in apply([whole], ROWS)} == {str(len(ROWS))}
    named = rule(each="payload.rows", data={**DATA, "item": "item.sku", "lot": "payload['od d']"})
    assert {one.data["lot"] for one in apply([named], {**ROWS, "od d": "L"})} == {"L"}
    tested = rule(
        each="payload.rows", data={**DATA, "item": "item.sku", "lot": "has(payload.odd) ? 'y' : 'n'"}
    )
    assert {one.data["lot"] for one in apply([tested], ROWS)} == {"n"}
    member = rule(
        each="payload.rows", data={**DATA, "item": "item.sku", "lot": "'bin' in payload ? 'y' : 'n'"}
    )
    assert {one.data["lot"] for one in apply([member], ROWS)} == {"y"}


# ── forms of values ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12, "12"),
        (-0.5, "-0.5"),
        (1e21, "1000000000000000000000"),
        (1e-7, "0.0000001"),
        ("12.50", "12.50"),
        ("12345678901234567890.123456789", "12345678901234567890.123456789"),
    ],
)
def test_numbers_become_decimal_text(value: object, text: str) -> None:
    assert event([rule()], {**RECORD, "qty": value}).data["delta"]["value"] == text


@pytest.mark.parametrize("value", ["x", "1e5", "+5", True, None, [1], ""])
def test_what_is_no_number_is_refused_where_it_stands(value: object) -> None:
    assert invalid([rule()], {**RECORD, "qty": value}).errors[0][0] == "/data/delta/value"


def test_whole_numbers_become_codes() -> None:
    found = event([rule()], {**RECORD, "sku": 4711})
    assert (found.data["item"], found.subject) == ("4711", "4711")
    assert invalid([rule()], {**RECORD, "sku": 47.5}).errors[0][0] == "/data/item"


def test_texts_become_the_numbers_that_the_catalogue_has() -> None:
    count = EventRule(
        type="equipment.downtime.ended",
        data={
            "downtime": "'d'",
            "started_at": "payload.at",
            "ended_at": "payload.at",
            "duration": "payload.s",
            "planned": "false",
        },
        subject="'press-3'",
    )
    record = {"at": "2026-07-01T12:00:00Z", "s": "90.5"}
    assert event([count], record).data["duration"] == 90.5
    assert event([count], {**record, "s": 90}).data["duration"] == 90
    assert invalid([count], {**record, "s": "long"}).errors[0][0] == "/data/duration"


@pytest.mark.parametrize(
    ("time_format", "value"),
    [
        ("rfc3339", "2026-07-01T14:00:00+02:00"),
        ("local", "2026-07-01T14:00:00"),
        ("epoch_s", 1782907200),
        ("epoch_ms", 1782907200000),
        ("%d.%m.%Y %H:%M", "01.07.2026 14:00"),
    ],
)
def test_times_are_read_in_the_form_that_the_rule_declares(time_format: str, value: object) -> None:
    timed = rule(time="payload.at", time_format=time_format, data={**DATA, "posted_at": "payload.at"})
    found = event([timed], {**RECORD, "at": value})
    assert found.time == RECEIVED
    assert found.data["posted_at"] in ("2026-07-01T12:00:00Z", value)
    assert decode(encode(found)) == found


def test_a_time_of_our_own_fits_beside_any_form() -> None:
    assert event([rule(time_format="epoch_ms")]).data["posted_at"] == "2026-07-01T12:00:00Z"


def test_a_time_of_another_form_is_refused_by_its_reason() -> None:
    timed = rule(time="payload.at", time_format="local", data={**DATA, "posted_at": "payload.at"})
    fault = invalid([timed], {**RECORD, "at": "noon"})
    assert dict(fault.errors) == {
        "/time": "must be a time of the format local, not 'noon'",
        "/data/posted_at": "must be a time of the format local, not 'noon'",
    }


def test_a_time_without_zone_is_refused_unless_declared() -> None:
    timed = rule(time="payload.at", data={**DATA, "posted_at": "payload.at"})
    assert {where for where, _ in invalid([timed], {**RECORD, "at": "2026-07-01T14:00:00"}).errors} == {
        "/time",
        "/data/posted_at",
    }


# ── what is wrong with a record ─────────────────────────────────────────────────────────────────


def test_all_faults_are_told_at_once() -> None:
    fault = invalid([rule(time="payload.at", id="payload.none")], {"sku": "", "none": None, "qty": "x"})
    assert {where for where, _ in fault.errors} == {
        "/id",
        "/time",
        "/data/location/storage",
        "/data/item",
        "/data/delta/value",
        "/data/delta/uom",
        "/data/reason/code",
    }
    assert fault.code == "mapping"
    assert fault.context == {"rule": "events[0]"}
    assert "and 6 more" in fault.message


@pytest.mark.parametrize("name", ["id", "subject"])
@pytest.mark.parametrize("value", ["", None, True, 1.5, [], {}, "a\nb"])
def test_an_attribute_must_be_text(name: str, value: object) -> None:
    fault = invalid([rule(**{name: "payload.x"})], {**RECORD, "x": value})
    assert fault.errors[0][0] == f"/{name}"


def test_control_characters_are_no_subject() -> None:
    assert dict(invalid([rule()], {**RECORD, "sku": "a\tb"}).errors)["/subject"].startswith(
        "has the character"
    )


def test_an_event_must_say_what_it_is_about() -> None:
    measured = EventRule(
        type="telemetry.measurement.recorded",
        data={
            "tag": "'t'",
            "value": "1",
            "uom": "'C62'",
            "quality": "'good'",
            "source_time": "message.received_at",
            "equipment": "payload.?e",
        },
    )
    fault = invalid([measured], {})
    assert fault.errors[0][0] == "/subject"
    assert "needs a subject" in fault.errors[0][1]


def test_no_record_changes_the_plant_of_its_adapter() -> None:
    assert event([rule(plant="payload.p")], {**RECORD, "p": "brno"}).plantid == "brno"
    assert invalid([rule(plant="payload.p")], {**RECORD, "p": "linz"}).errors[0][0] == "/plantid"


def test_a_record_tells_the_plant_where_the_adapter_has_none() -> None:
    free = FormatContext(
        adapter="erp", source="/adapters/erp", plant=None, partner=None, timezone=ZoneInfo("UTC")
    )
    found = event([rule(plant="payload.p")], {**RECORD, "p": "linz"}, context=free)
    assert (found.plantid, found.partitionkey) == ("linz", "M:linz:4711")
    assert event([rule()], context=free).plantid is None


def test_lookups_are_for_routes() -> None:
    assert "in a route's map only" in invalid([rule(subject="lookup('item', 'erp', payload.sku)")]).message


def test_text_with_nul_is_refused() -> None:
    assert "U+0000" in invalid([rule()], {**RECORD, "sku": "a\0b"}).message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["sku", "qty", "rows", "x"]), inner)
    ),
    max_leaves=10,
)


@given(json_values)
def test_any_record_gives_events_or_says_what_is_wrong(record: object) -> None:
    loose = rule(
        time="payload.?at.orValue('2026-07-01T12:00:00Z')",
        data={**DATA, "lot": "payload.?x", "count_ref": "payload.?sku"},
    )
    for rules in ([LINES], [rule()], [loose]):
        for found in apply(rules, record):
            if isinstance(found, Event):
                assert decode(encode(found)) == found
                assert catalogue.validate(found.type, found.data) == []
            else:
                assert found.errors


# ── what is known before ────────────────────────────────────────────────────────────────────────


def findings(*rules: EventRule) -> list[tuple[str, str]]:
    return [(place(found.path), found.message) for found in check(rules)]


def test_good_rules_have_no_findings() -> None:
    assert check([EventRule(when="payload.x == 1", ignore=True), LINES]) == []


def test_all_findings_are_told_with_their_place() -> None:
    wrong = rule(
        when="payload.x ==",
        id="nope",
        data={
            "location": {"plant": "'brno'", "shelf": "1"},
            "item": "online",
            "delta": "item.qty",
            "lot": ["payload.lot"],
            "colour": "'red'",
        },
    )
    found = dict(findings(EventRule(type="inventory.ajusted"), wrong))
    assert found.keys() == {
        "events[0].type",
        "events[1]",
        "events[1].when",
        "events[1].id",
        "events[1].data.location.shelf",
        "events[1].data.location.storage",
        "events[1].data.item",
        "events[1].data.delta",
        "events[1].data.lot",
        "events[1].data.colour",
        "events[1].data.reason",
        "events[1].data.posted_at",
    }
    assert "did you mean inventory.adjusted?" in found["events[0].type"]
    assert "a text stands in quotes of its own" in found["events[1].data.item"]
    assert "there are location, item, delta" in found["events[1].data.colour"]
    assert found["events[1].data.reason"] == "is required, and missing"
    assert "never reached: events[0]" in found["events[1]"]


def test_a_finding_has_line_and_column_in_its_expression() -> None:
    (found,) = check([rule(data={**DATA, "item": "payload.sku\n  + nope"})])
    assert (found.path, found.line, found.column) == ((0, "data", "item"), 2, 5)
    (found,) = check([rule(data={**DATA, "item": "payload.sku + item.x"})])
    assert (found.line, found.column) == (1, 19)


@pytest.mark.parametrize(
    ("wrong", "place_", "detail"),
    [
        (EventRule(when="true"), "events[0]", "needs a `type`"),
        (EventRule(ignore=True, type="inventory.adjusted"), "events[0].type", "no effect"),
        (rule(each="item.rows"), "events[0].each", "only in what follows an `each`"),
        (rule(data={**DATA, "delta": "payload.d", "item": None}), "events[0].data.item", "required"),
        (rule(data={**DATA, "lot": float("inf")}), "events[0].data.lot", "no JSON value"),
        (rule(data={**DATA, "posted_at": RECEIVED}), "events[0].data.posted_at", "no JSON value"),
        (rule(data={**DATA, "item": {"code": "1"}}), "events[0].data.item", "is no mapping in the catalogue"),
    ],
)
def test_a_rule_that_cannot_work_is_found(wrong: EventRule, place_: str, detail: str) -> None:
    assert any(where == place_ and detail in message for where, message in findings(wrong))


def test_a_constant_that_a_field_does_not_allow_is_found() -> None:
    measured = EventRule(
        type="telemetry.measurement.recorded",
        data={
            "tag": "'t'",
            "value": "payload",
            "uom": "'CEL'",
            "quality": "'god'",
            "source_time": "message.received_at",
        },
    )
    assert findings(measured) == [
        ("events[0].data.quality", "must be one of bad, good, stale, uncertain, not 'god'"),
        ("events[0]", "needs a `subject`, since its data have no equipment"),
    ]


def test_a_constant_of_a_nullable_choice_is_checked_too() -> None:
    data = {"state": "'execute'", "previous": "'IDLE'", "entered_at": "message.received_at"}
    found = findings(EventRule(type="equipment.state.changed", subject="'x'", data=data))
    assert [where for where, _ in found] == ["events[0].data.previous"]
    assert (
        findings(EventRule(type="equipment.state.changed", subject="'x'", data={**data, "previous": "null"}))
        == []
    )


def test_a_mapping_is_built_of_rules_without_findings_only() -> None:
    with pytest.raises(ConfigError) as caught:
        RecordMapping([rule(data={**DATA, "item": "nope"})], CONTEXT)
    assert caught.value.key == "events[0].data.item"
    assert "events[0].data.item: undeclared reference to 'nope'" in caught.value.message


@pytest.mark.parametrize(
    "fields", [{"types": "x"}, {"when": ""}, {"time_format": "iso"}, {"data": "payload"}, {"source": "'/x'"}]
)
def test_a_rule_has_a_fixed_form(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EventRule(**fields)


def test_every_type_of_the_catalogue_has_a_shape() -> None:
    for entry in catalogue.all_types():
        missing = dict(findings(EventRule(type=entry.suffix, subject="'x'")))
        required = catalogue.json_schema(entry.suffix).get("required", ())
        assert missing.keys() == {f"events[0].data.{name}" for name in required}, entry.suffix
