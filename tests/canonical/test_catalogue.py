"""The catalogue: what types there are, what their data may be, and what is said of data that may not."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import Struct, inspect

from canonical import catalogue
from canonical.catalogue import EventType, UnknownType, Violation, validate
from canonical.values import CODE_DOMAINS

SUFFIXES = [entry.suffix for entry in catalogue.all_types()]
NOW = "2026-03-31T06:00:00Z"
LOCATION = {"plant": "aachen", "storage": "0001"}
ONE = {"value": "1", "uom": "H87"}
ASN: dict[str, Any] = {
    "asn": "DN-1001",
    "supplier": "nordstahl",
    "ship_to": "aachen-gate-2",
    "shipped_at": NOW,
    "eta": "2026-04-01T08:00:00+02:00",
    "lines": [
        {"line": "1", "item": "4711", "quantity": {"value": "250.0", "uom": "KGM"}, "lot": "L-7"},
        {"item": "4712", "quantity": ONE, "purchase_order": "PO-9", "purchase_order_line": "10"},
    ],
    "sscc_tree": [{"sscc": "340123450000000000", "package": "PX"}],
}
MEASUREMENT = {"tag": "temp", "value": 21.5, "uom": "CEL", "quality": "good", "source_time": NOW}
SAMPLES: dict[str, dict[str, Any]] = {
    "telemetry.measurement.recorded": MEASUREMENT,
    "telemetry.source.changed": {
        "status": "offline",
        "session": "42",
        "last_seq": 255,
        "gap": {"from": NOW, "to": NOW, "reason": "queue_overflow", "tags": ["speed"]},
    },
    "equipment.state.changed": {"state": "execute", "previous": None, "entered_at": NOW, "raw_state": 6},
    "equipment.count.reported": {
        "window_start": NOW,
        "window_end": NOW,
        "total": 12,
        "good": 11,
        "reject": 1,
    },
    "production.order.released": {
        "order": "1000",
        "item": "4711",
        "quantity": ONE,
        "planned_start": NOW,
        "planned_end": NOW,
        "work_centre": "press-3",
        "components": [{"item": "4712", "quantity": ONE}],
        "operations": [{"operation": "10", "run_time": 90}],
    },
    "production.order.completed": {"item": "4711", "good": ONE, "scrap": ONE, "completed_at": NOW},
    "inventory.adjusted": {
        "location": LOCATION,
        "item": "4711",
        "delta": {"value": "-2.5", "uom": "KGM"},
        "reason": {"code": "count"},
        "posted_at": NOW,
    },
    "inventory.moved": {"from": LOCATION, "to": LOCATION, "item": "4711", "quantity": ONE, "at": NOW},
    "inventory.balance.reported": {"location": LOCATION, "item": "4711", "on_hand": ONE, "as_of": NOW},
    "procurement.asn.received": ASN,
    "quality.hold.placed": {
        "hold": "QH-1",
        "item": "4711",
        "lots": ["L-7"],
        "quantity": ONE,
        "reason": {"code": "crack", "text": "hairline crack"},
        "placed_at": NOW,
        "by": "j.doe",
    },
    "masterdata.mapping.unresolved": {
        "domain": "item",
        "system": "erp",
        "value": "X-1",
        "blocked_event": "17",
    },
    "integration.message.dead_lettered": {
        "message": "17",
        "type": None,
        "route": None,
        "stage": "receiving",
        "error_class": "Invalid",
        "error": "no UNB segment",
        "attempts": 1,
    },
    "integration.message.replayed": {
        "message": "17",
        "by": "j.doe",
        "reason": "fixed",
        "outcome": "delivered",
    },
}


def minimal(model: type[Struct]) -> dict[str, Any]:
    """Data with the required fields only, made from the model itself."""
    data = {field.encode_name: _sample(field.type) for field in _fields(model) if field.required}
    for names in getattr(model, "ANY_OF", ())[:1]:
        data |= {field.encode_name: _sample(field.type) for field in _fields(model) if field.name in names}
    return data


def _fields(model: type[Struct]) -> tuple[inspect.Field, ...]:
    described = inspect.type_info(model)
    assert isinstance(described, inspect.StructType)
    return described.fields


def _sample(wanted: inspect.Type) -> Any:
    match wanted:
        case inspect.Metadata(type=inner, extra_json_schema=extra):
            examples = (extra or {}).get("examples")
            return examples[0] if examples else _sample(inner)
        case inspect.UnionType(types=types):
            return _sample(types[0])
        case inspect.StructType(cls=model):
            return minimal(model)
        case inspect.VarTupleType(item_type=inner):
            return [_sample(inner)]
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.StrType(pattern=None, min_length=length):
            return "x" * (length or 1)
        case _:
            return _PLAIN[type(wanted)]


_PLAIN: dict[type[inspect.Type], Any] = {
    inspect.StrType: "1",  # with a pattern: the only required ones are decimal numbers
    inspect.BoolType: True,
    inspect.IntType: 1,
    inspect.FloatType: 1.5,
    inspect.DateTimeType: NOW,
    inspect.DateType: "2026-03-31",
    inspect.DictType: {},
    inspect.AnyType: None,
}


def pointers(violations: list[Violation]) -> list[str]:
    return [violation.pointer for violation in violations]


# --- the list of types


def test_the_catalogue_has_every_type_of_the_domain_once() -> None:
    assert len(SUFFIXES) == len(set(SUFFIXES)) == 64


@pytest.mark.parametrize("entry", catalogue.all_types(), ids=SUFFIXES)
def test_a_type_says_what_it_is(entry: EventType) -> None:
    assert entry.suffix.split(".")[0] == entry.domain
    assert re.fullmatch(r"[a-z]+(\.[a-z_]+){1,2}", entry.suffix)
    assert entry.summary.endswith(".")
    assert entry.model.__doc__
    assert entry.ordered == (entry.domain != "telemetry")


@pytest.mark.parametrize("entry", catalogue.all_types(), ids=SUFFIXES)
def test_the_subject_of_a_type_is_made_of_fields_that_it_has(entry: EventType) -> None:
    for name in re.findall(r"\w+", entry.subject):
        assert catalogue.has_field(entry.suffix, f"data.{name}")


def test_stable_types_are_those_that_are_proved_and_have_samples() -> None:
    assert {
        entry.suffix for entry in catalogue.all_types() if entry.stability == "stable"
    } == catalogue.STABLE
    assert set(SAMPLES) == catalogue.STABLE


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_type_is_found_by_suffix_version_and_full_name(suffix: str) -> None:
    full = catalogue.full_name(suffix)
    assert full == f"com.crossplant.{suffix}.v1"
    assert catalogue.get(suffix) is catalogue.get(f"{suffix}.v1") is catalogue.get(full)


@pytest.mark.parametrize(
    "name", ["procurement.asn.recieved", "asn.received", "com.crossplant.procurement.asn.recieved.v1"]
)
def test_an_unknown_type_suggests_the_nearest(name: str) -> None:
    with pytest.raises(UnknownType, match=r"did you mean procurement\.asn\.received\?") as caught:
        catalogue.get(name)
    assert caught.value.suggestion == "procurement.asn.received"


@pytest.mark.parametrize("name", ["", "procurement.asn.received.v2", "org.other.procurement.asn.received.v1"])
def test_only_our_types_in_our_versions_are_known(name: str) -> None:
    with pytest.raises(UnknownType):
        catalogue.get(name)


# --- schemas


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_schema_is_valid_and_complete_in_itself(suffix: str) -> None:
    for schema in (catalogue.json_schema(suffix), catalogue.event_json_schema(suffix)):
        Draft202012Validator.check_schema(schema)
        assert schema["$id"].startswith("urn:crossplant:")
        assert schema["title"]
        assert schema["description"]
        text = msgspec.json.encode(schema).decode()
        assert set(re.findall(r'"\$ref":"#/\$defs/(\w+)"', text)) == set(schema.get("$defs", {}))


@pytest.mark.parametrize("entry", catalogue.all_types(), ids=SUFFIXES)
def test_a_minimal_sample_is_accepted_by_model_and_schema(entry: EventType) -> None:
    data = minimal(entry.model)
    assert validate(entry.name, data) == []
    assert list(Draft202012Validator(catalogue.json_schema(entry.suffix)).iter_errors(data)) == []
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "/plants/a/adapters/b",
        "type": entry.name,
        "data": data,
    }
    checker = Draft202012Validator(catalogue.event_json_schema(entry.suffix))
    assert list(checker.iter_errors(event)) == []
    assert list(checker.iter_errors(event | {"type": "com.crossplant.other.v1"})) != []
    assert list(checker.iter_errors(event | {"Not-A-Name": "x"})) != []


@pytest.mark.parametrize("suffix", sorted(SAMPLES))
def test_a_sample_survives_its_model(suffix: str) -> None:
    assert validate(suffix, SAMPLES[suffix]) == []
    typed = msgspec.convert(SAMPLES[suffix], catalogue.get(suffix).model)
    assert validate(suffix, typed) == []


def test_a_schema_that_a_caller_changes_stays_as_it_was() -> None:
    catalogue.json_schema("inventory.moved")["properties"].clear()
    assert "from" in catalogue.json_schema("inventory.moved")["properties"]


def test_a_schema_names_units_and_crosswalk_domains() -> None:
    line = catalogue.json_schema("procurement.asn.received")["$defs"]["AsnLine"]
    assert line["properties"]["item"]["x-codes"] == "item"
    delay = catalogue.json_schema("procurement.asn.delayed")["properties"]["delay"]
    assert delay["x-unit"] == "s"


# --- validation


def test_every_fault_is_reported_with_its_pointer() -> None:
    bad = {
        **ASN,
        "eta": "tomorrow",
        "colour": "red",
        "lines": [
            {"line": "1", "item": "", "quantity": {"value": 250, "uom": "KGM"}},
            {"quantity": {"value": "1,5"}, "sscc": "12"},
        ],
    }
    del bad["asn"]
    assert {
        violation.pointer: violation.detail for violation in validate("procurement.asn.received", bad)
    } == {
        "/data/asn": "is missing",
        "/data/colour": (
            "is no field here; there are asn, supplier, ship_to, shipped_at, eta, lines, sscc_tree, weight"
        ),
        "/data/eta": 'must be a date and time with zone (RFC 3339), got "tomorrow"',
        "/data/lines/0/item": 'must be non-empty text, got ""',
        "/data/lines/0/quantity/value": 'must be a decimal number as text such as "12.50", got 250',
        "/data/lines/1/item": "is missing",
        "/data/lines/1/quantity/uom": "is missing",
        "/data/lines/1/quantity/value": 'must be a decimal number as text such as "12.50", got "1,5"',
        "/data/lines/1/sscc": 'must be a text of 18 digits (SSCC) such as "340123450000000000", got "12"',
    }


@pytest.mark.parametrize(
    ("suffix", "change", "pointer", "detail"),
    [
        (
            "telemetry.measurement.recorded",
            {"quality": "fine"},
            "quality",
            "must be one of bad, good, stale, uncertain",
        ),
        ("telemetry.measurement.recorded", {"value": {"a": 1}}, "value", "must be a string or"),
        ("telemetry.measurement.recorded", {"status_code": -1}, "status_code", "must be at least 0, got -1"),
        (
            "telemetry.measurement.recorded",
            {"source_time": "2026-03-31T06:00:00"},
            "source_time",
            "with zone",
        ),
        ("equipment.count.reported", {"good": True}, "good", "must be a count of pieces, got true"),
        ("equipment.count.reported", {"good": 1.0}, "good", "Expected int, got float"),
        ("equipment.count.reported", {"ideal_cycle": -1}, "ideal_cycle", "must be at least 0, got -1"),
        ("inventory.moved", {"from": None}, "from", "must be an object with plant, storage, got null"),
        ("inventory.moved", {"from": "0001"}, "from", 'must be an object with plant, storage, got "0001"'),
        ("inventory.moved", {"a/b~c": 1}, "a~1b~0c", "is no field here"),
        ("quality.hold.placed", {"lots": "L-7"}, "lots", 'must be an array, got "L-7"'),
        ("integration.message.dead_lettered", {"type": 7}, "type", "must be a code or null, got 7"),
    ],
)
def test_a_fault_says_what_must_be_and_what_was(suffix: str, change: Any, pointer: str, detail: str) -> None:
    (violation,) = validate(suffix, SAMPLES[suffix] | change)
    assert violation.pointer == f"/data/{pointer}"
    assert detail in violation.detail


@pytest.mark.parametrize("data", [None, [], "text", 7])
def test_data_that_are_no_object_are_refused_as_a_whole(data: Any) -> None:
    (violation,) = validate("inventory.moved", data)
    assert violation.pointer == "/data"
    assert violation.detail.startswith("must be an object with from, to, item, quantity, at, got ")


def test_alternatives_of_required_fields_are_said() -> None:
    delayed = {"old_eta": NOW, "new_eta": NOW, "delay": 3600, "detected_by": "carrier"}
    (violation,) = validate("procurement.asn.delayed", delayed)
    assert violation == Violation("/data", "needs asn, or purchase_order and line")
    assert validate("procurement.asn.delayed", delayed | {"asn": None}) != []
    assert validate("procurement.asn.delayed", delayed | {"purchase_order": "PO-1", "line": "10"}) == []


@pytest.mark.parametrize("value", [object(), {1, 2}, b"\xff", 10**400, float("nan")])
def test_what_is_no_json_is_refused_and_never_crashes(value: Any) -> None:
    violations = validate("inventory.moved", SAMPLES["inventory.moved"] | {"item": value})
    assert "/data/item" in pointers(violations)


@pytest.mark.parametrize(
    "value", [1, -1.5, "on", True, None, [1, 2.5], ["a"], [[1, 2], [3, 4]], 2**64 - 1, []], ids=repr
)
def test_telemetry_takes_scalars_and_arrays(value: Any) -> None:
    assert validate("telemetry.measurement.recorded", MEASUREMENT | {"value": value}) == []


def test_faults_within_optional_fields_have_their_own_pointers() -> None:
    bad = ASN | {"sscc_tree": [{"sscc": "1"}, {"parent": 2}], "weight": {"value": "1"}}
    assert sorted(pointers(validate("procurement.asn.received", bad))) == [
        "/data/sscc_tree/0/sscc",
        "/data/sscc_tree/1/parent",
        "/data/sscc_tree/1/sscc",
        "/data/weight/uom",
    ]


def test_optional_fields_may_be_null() -> None:
    assert validate("procurement.asn.received", ASN | {"weight": None, "sscc_tree": None}) == []


def test_a_rationale_has_twenty_characters() -> None:
    decided = {"approval": "A-1", "decision": "approved", "by": "j.doe", "rationale": "ok", "at": NOW}
    (violation,) = validate("workflow.approval.decided", decided)
    assert violation == Violation("/data/rationale", 'must be at least 20 characters long, got "ok"')


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(suffix=st.sampled_from(sorted(SAMPLES)), changes=st.data())
def test_validation_agrees_with_the_model_and_never_comes_back_empty_handed(
    suffix: str, changes: Any
) -> None:
    names = st.sampled_from([*SAMPLES[suffix], "unheard_of"])
    data = SAMPLES[suffix] | changes.draw(st.dictionaries(names, JSON, max_size=3))
    for name in changes.draw(st.sets(st.sampled_from(sorted(SAMPLES[suffix])), max_size=2)):
        data = {key: value for key, value in data.items() if key != name}
    violations = validate(suffix, data)
    try:
        msgspec.convert(data, catalogue.get(suffix).model)
    except msgspec.ValidationError:
        assert violations
        assert all(violation.pointer.startswith("/data") and violation.detail for violation in violations)
    else:
        assert violations == []


@given(st.data())
def test_every_missing_field_is_named(drawn: Any) -> None:
    entry = drawn.draw(st.sampled_from(catalogue.all_types()))
    data = minimal(entry.model)
    required = [field.encode_name for field in _fields(entry.model) if field.required]
    missing = drawn.draw(st.sets(st.sampled_from(required), min_size=1))
    violations = validate(entry.suffix, {name: value for name, value in data.items() if name not in missing})
    assert set(pointers(violations)) == {f"/data/{name}" for name in missing}


# --- paths


@pytest.mark.parametrize(
    ("suffix", "path", "kind", "codes"),
    [
        ("procurement.asn.received", "data", "object", None),
        ("procurement.asn.received", "data.lines", "array", None),
        ("procurement.asn.received", "data.lines[]", "object", None),
        ("procurement.asn.received", "data.lines[].item", "string", "item"),
        ("procurement.asn.received", "event.data.lines[3].quantity.uom", "string", "uom"),
        ("procurement.asn.received", "data.lines[].quantity.value", "string", None),
        ("procurement.asn.received", "data.supplier", "string", "supplier"),
        ("procurement.asn.received", "data.eta", "date-time", None),
        ("procurement.asn.received", "data.weight.uom", "string", "uom"),
        ("procurement.asn.received", "event.time", "date-time", None),
        ("procurement.asn.received", "event.plantid", "string", "plant"),
        ("procurement.order.issued", "data.lines[].requested_date", "date", None),
        ("procurement.order.issued", "data.revision", "any", None),
        ("inventory.moved", "data.from.storage", "string", "location"),
        ("inventory.moved", "subject", "string", "item"),
        ("equipment.state.changed", "event.subject", "string", "equipment"),
        ("production.capacity.changed", "subject", "string", "work_centre"),
        ("equipment.count.reported", "data.total", "integer", None),
        ("equipment.count.reported", "data.ideal_cycle", "number", None),
        ("telemetry.measurement.recorded", "data.value", "any", None),
        ("telemetry.measurement.recorded", "data.value[]", "any", None),
        ("telemetry.measurement.recorded", "data.historical", "boolean", None),
        ("insight.score.published", "data.contributions.vibration", "number", None),
        ("insight.score.published", "data.contributions[]", "number", None),
        ("masterdata.item.changed", "data.snapshot.any.thing[0].at_all", "any", None),
        ("masterdata.item.changed", "data.key", "string", "item"),
    ],
)
def test_a_path_finds_its_field(suffix: str, path: str, kind: str, codes: str | None) -> None:
    found = catalogue.field_type(suffix, path)
    assert found is not None
    assert (found.kind, found.codes) == (kind, codes)
    assert catalogue.code_domain(suffix, path) == codes


@pytest.mark.parametrize(
    "path",
    [
        "",
        "lines",
        "payload.lines",
        "time",
        "database",
        "data.colour",
        "data.lines.item",
        "data.lines[].colour",
        "data.lines[].item.x",
        "data.asn[]",
        "data..asn",
        "data.lines[",
        "data.lines[x]",
        "event.colour",
    ],
)
def test_a_path_that_the_catalogue_lacks_is_none(path: str) -> None:
    assert catalogue.field_type("procurement.asn.received", path) is None
    assert not catalogue.has_field("procurement.asn.received", path)
    assert catalogue.code_domain("procurement.asn.received", path) is None


def test_a_path_is_required_only_when_all_of_it_is() -> None:
    def required(path: str) -> bool:
        found = catalogue.field_type("procurement.asn.received", path)
        assert found is not None
        return found.required

    assert required("data.lines[].quantity.value")
    assert not required("data.weight.value")
    assert not required("data.lines[].lot")


def test_a_field_with_few_values_lists_them() -> None:
    found = catalogue.field_type("quality.hold.released", "data.decision")
    assert found is not None
    assert set(found.choices) == {"release", "rework", "scrap", "return", "use_as_is"}


def test_all_code_fields_of_a_type_are_listed() -> None:
    assert dict(catalogue.code_fields("inventory.moved")) == {
        "data.from.plant": "plant",
        "data.from.storage": "location",
        "data.to.plant": "plant",
        "data.to.storage": "location",
        "data.item": "item",
        "data.quantity.uom": "uom",
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_code_fields_are_paths_of_known_domains(suffix: str) -> None:
    for path, domain in catalogue.code_fields(suffix):
        assert domain in CODE_DOMAINS
        assert catalogue.code_domain(suffix, path) == domain


# --- subjects and keys


@pytest.mark.parametrize(
    ("suffix", "data", "subject", "key"),
    [
        ("procurement.asn.received", ASN, "DN-1001", "D:asn:DN-1001"),
        (
            "procurement.asn.delayed",
            {"purchase_order": "PO-1", "line": "10"},
            "PO-1",
            "D:purchase_order:PO-1",
        ),
        ("inventory.adjusted", SAMPLES["inventory.adjusted"], "4711", "M:aachen:4711"),
        ("production.order.released", SAMPLES["production.order.released"], "1000", "O:1000"),
        ("production.capacity.changed", {"work_centre": "press-3"}, "press-3", "E:press-3"),
        ("telemetry.measurement.recorded", MEASUREMENT | {"equipment": "press-3"}, "press-3", "E:press-3"),
        ("quality.hold.placed", SAMPLES["quality.hold.placed"], "QH-1", "H:hold:QH-1"),
        ("masterdata.bom.changed", {"key": "4711"}, "4711", "K:bom:4711"),
        (
            "masterdata.mapping.unresolved",
            SAMPLES["masterdata.mapping.unresolved"],
            "item/erp/X-1",
            "K:mapping:item/erp/X-1",
        ),
        (
            "integration.interchange.received",
            {"sender": "4012345000009", "reference": "77"},
            "4012345000009/77",
            "D:reference:4012345000009/77",
        ),
        ("integration.message.replayed", SAMPLES["integration.message.replayed"], "17", "X:message:17"),
    ],
)
def test_data_give_subject_and_key(suffix: str, data: Any, subject: str, key: str) -> None:
    assert catalogue.default_subject(suffix, data) == subject
    assert catalogue.partition_key(suffix, data, "aachen") == key


@pytest.mark.parametrize(
    ("suffix", "key"),
    [
        ("telemetry.measurement.recorded", "E:press-3"),
        ("production.order.completed", "O:press-3"),
        ("quality.drift.detected", "M:aachen:press-3"),
        ("workflow.instance.changed", "X:instance:press-3"),
    ],
)
def test_the_subject_stands_in_where_the_data_name_no_id(suffix: str, key: str) -> None:
    assert catalogue.default_subject(suffix, {}) is None
    assert catalogue.partition_key(suffix, {}, "aachen", "press-3") == key
    with pytest.raises(ValueError, match="needs a subject"):
        catalogue.partition_key(suffix, {}, "aachen")


def test_an_item_of_no_plant_has_a_key_of_its_own() -> None:
    data = SAMPLES["inventory.adjusted"]
    assert catalogue.partition_key("inventory.adjusted", data, None) == "M:-:4711"


def test_a_model_gives_the_same_key_as_its_data() -> None:
    typed = msgspec.convert(ASN, catalogue.get("procurement.asn.received").model)
    assert catalogue.partition_key("procurement.asn.received", typed, None) == "D:asn:DN-1001"
    assert catalogue.default_subject("procurement.asn.received", None) is None
