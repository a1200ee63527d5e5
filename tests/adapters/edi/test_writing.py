"""What is written: orders, and answers to interchanges; and that we read back what we wrote."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.edi import EDIFACT, X12
from adapters.edi.config import EdifactOptions, X12Options
from adapters.edi.report import Report, Settings, read
from canonical.errors import Invalid
from canonical.spec import FormatSpec
from tests.adapters.edi.samples import RECEIVED, read_sample

ORDER: dict[str, Any] = {
    "purchase_order": "PO-4711",
    "revision": 0,
    "supplier": "4060000000017",
    "ship_to": "DOCK-7",
    "lines": [
        {
            "line": "1",
            "item": "ITEM-1",
            "supplier_item": "S-100",
            "gtin": "04060000010016",
            "quantity": {"value": "120", "uom": "EA"},
            "requested_date": "2026-03-18",
            "price": {"value": "0.125", "currency": "EUR"},
        },
        {"line": "2", "item": "ITEM-2", "quantity": {"value": "2.5", "uom": "KGM"}},
    ],
    "price": {"value": "22.75", "currency": "EUR"},
}
ENVELOPE = {
    "reference": "42",
    "prepared_at": "2026-03-02T09:30:00Z",
    "sender": {"id": "4012345000009", "qualifier": "14"},
    "receiver": "NORDSTAHL",
}


def write(spec: FormatSpec, payload: Any, **options: Any) -> str:
    assert spec.formatter is not None
    return spec.formatter(spec.config(**options)).format(payload).decode("latin-1")


def refusal(spec: FormatSpec, payload: Any, **options: Any) -> Invalid:
    with pytest.raises(Invalid) as caught:
        write(spec, payload, **options)
    assert caught.value.errors
    return caught.value


def order(**changes: Any) -> dict[str, Any]:
    return {**ORDER, "buyer": "ACME", "issued_at": "2026-03-01", "interchange": ENVELOPE, **changes}


def line(**changes: Any) -> dict[str, Any]:
    return order(lines=[{**ORDER["lines"][0], **changes}], price=None)


def test_an_order_is_written_as_orders() -> None:
    assert write(EDIFACT, order()).replace("'", "'\n").splitlines() == [
        "UNA:+.? '",
        "UNB+UNOC:3+4012345000009:14+NORDSTAHL+260302:0930+42'",
        "UNH+1+ORDERS:D:96A:UN'",
        "BGM+220+PO-4711+9'",
        "DTM+137:20260301:102'",
        "NAD+BY+ACME::92'",
        "NAD+SU+4060000000017::9'",
        "NAD+DP+DOCK-7::92'",
        "CUX+2:EUR:9'",
        "LIN+1++4060000010016:EN'",
        "PIA+1+ITEM-1:IN+S-100:SA'",
        "QTY+21:120:EA'",
        "DTM+2:20260318:102'",
        "PRI+AAA:0.125'",
        "LIN+2++ITEM-2:IN'",
        "QTY+21:2.5:KGM'",
        "UNS+S'",
        "MOA+86:22.75'",
        "CNT+2:2'",
        "UNT+18+1'",
        "UNZ+1+42'",
    ]


def test_an_order_is_written_as_850() -> None:
    text = write(X12, order())
    assert text[:53] == "ISA*00*          *00*          *14*4012345000009  *ZZ"
    assert text[53:106] == "*NORDSTAHL      *260302*0930*U*00401*000000042*0*P*>~"
    assert text[106:].split("~")[:-1] == [
        "GS*PO*4012345000009*NORDSTAHL*20260302*0930*42*X*004010",
        "ST*850*0001",
        "BEG*00*SA*PO-4711**20260301",
        "CUR*BY*EUR",
        "N1*BY**92*ACME",
        "N1*SE**UL*4060000000017",
        "N1*ST**92*DOCK-7",
        "PO1*1*120*EA*0.125**BP*ITEM-1*VP*S-100*EN*4060000010016",
        "DTM*002*20260318",
        "PO1*2*2.5*KG***BP*ITEM-2",
        "CTT*2",
        "AMT*TT*22.75",
        "SE*12*0001",
        "GE*1*42",
        "IEA*1*000000042",
    ]


@pytest.mark.parametrize("spec", [EDIFACT, X12])
def test_the_order_that_is_written_is_the_order_that_is_read(spec: FormatSpec) -> None:
    report = read(write(spec, order()).encode(), converting=True)
    assert [one for one in report.findings if one.severity != "info"] == []
    assert report.events[1].data == ORDER


NAMES = st.text(alphabet="?'+:* ABCü€\\", min_size=1, max_size=12).map(str.strip).filter(bool)


@given(NAMES, NAMES, st.sampled_from([None, "UNOC", "UNOW"]))
def test_every_text_that_the_charset_has_comes_back(number: str, item: str, charset: str | None) -> None:
    options = {"charset": charset} if charset else {}
    payload = order(purchase_order=number, lines=[{**ORDER["lines"][1], "item": item}], price=None)
    if "€" in number + item and charset != "UNOW":
        assert "does not have" in refusal(EDIFACT, payload, **options).message
        return
    assert EDIFACT.formatter is not None
    body = EDIFACT.formatter(EDIFACT.config(**options)).format(payload)
    data = read(body, converting=True).events[1].data
    assert (data["purchase_order"], data["lines"][0]["item"]) == (number, item)


def test_options_name_both_sides_where_the_payload_does_not() -> None:
    payload = order(interchange={"reference": 7, "prepared_at": "2026-03-02T09:30:00Z"})
    parties = {"sender": {"id": "ME", "qualifier": "ZZ"}, "receiver": {"id": "YOU", "qualifier": "14"}}
    assert "UNB+UNOC:3+ME:ZZ+YOU:14+260302:0930+7'" in write(EDIFACT, payload, **parties)
    groups = {"group_sender": "MEAPP", "group_receiver": "YOUAPP"}
    assert "*ZZ*ME             *14*YOU            *" in write(X12, payload, **parties)
    assert "GS*PO*MEAPP*YOUAPP*" in write(X12, payload, **parties, **groups)


@pytest.mark.parametrize("told", [{"mode": "test"}, {}])
def test_a_test_is_marked_as_one(told: dict[str, str]) -> None:
    payload = order(interchange={**ENVELOPE, "test": not told})
    assert "+42++++++1'" in write(EDIFACT, payload, **told)
    assert "*0*T*>~" in write(X12, payload, **told)


@pytest.mark.parametrize("spec", [EDIFACT, X12])
@pytest.mark.parametrize(
    ("payload", "where"),
    [
        ([], ""),
        ({}, ""),
        ({"purchase_order": "1"}, "/interchange/reference"),
        (order(interchange="42"), "/interchange"),
        (order(interchange={"reference": "1", "receiver": "X"}), "/interchange/sender"),
        (order(interchange={**ENVELOPE, "prepared_at": "yesterday"}), "/interchange/prepared_at"),
        (order(lines=[{"line": "1"}]), "/lines/0/item"),
        (order(nonsense=1), "/nonsense"),
        (order(issued_at="soon"), "/issued_at"),
        (line(action="change"), "/lines/0/action"),
        (order(price={"value": "1", "currency": "USD"}), "/lines"),
        (order(purchase_order="P" * 36), "/purchase_order"),
        (order(purchase_order="A\x07"), ""),
        ({**read_sample("x12-test").events[0].data, "standard": "tradacoms"}, "/standard"),
    ],
)
def test_a_payload_without_a_form_is_refused_with_its_place(
    spec: FormatSpec, payload: Any, where: str
) -> None:
    assert where in [found for found, _ in refusal(spec, payload).errors]


@pytest.mark.parametrize(
    ("spec", "payload", "where"),
    [
        (EDIFACT, line(line="1.1"), "/lines/0/line"),
        (EDIFACT, line(quantity={"value": "1" * 16, "uom": "EA"}), "/lines/0/quantity/value"),
        (EDIFACT, order(supplier="S" * 18), "/SU"),
        (EDIFACT, order(interchange={**ENVELOPE, "reference": "1" * 15}), "/interchange/reference"),
        (X12, line(quantity={"value": "1", "uom": "XYZ"}), "/lines/0/quantity/uom"),
        (X12, line(item="A*B"), ""),
        (X12, line(item="A~B"), ""),
        (X12, line(item="A>B"), ""),
        (X12, order(interchange={**ENVELOPE, "reference": "A1"}), "/interchange/reference"),
        (X12, order(interchange={**ENVELOPE, "reference": "1000000000"}), "/interchange/reference"),
        (X12, order(interchange={**ENVELOPE, "sender": "S" * 16}), "/interchange"),
    ],
)
def test_each_standard_has_its_own_limits(spec: FormatSpec, payload: Any, where: str) -> None:
    assert where in [found for found, _ in refusal(spec, payload).errors]


# ── answers ─────────────────────────────────────────────────────────────────────────────────────


def received(name: str, at: int = 0) -> dict[str, Any]:
    """The data of the interchange event of a sample."""
    found = [one for one in read_sample(name).events if one.type.endswith("interchange.received.v1")]
    return dict(found[at].data)


def answered(spec: FormatSpec, data: dict[str, Any]) -> list[str]:
    """The segments of the answer, without its envelope."""
    text = write(spec, {**data, "interchange": {"prepared_at": "2026-03-02T09:30:00Z"}})
    segments = text.replace("~", "'").split("'")[:-1]
    inner = ("UCI", "UCM", "UCS", "TA1", "AK", "GS")
    return [one for one in segments if one.startswith(inner)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "orders-d96a",
            ["UCI+4711+4012345000009:14+4060000000017:14+7", "UCM+1+ORDERS:D:96A:UN+7"],
        ),
        (
            "counts-and-references-at-fault",
            ["UCI+1+4060000000017:14+4012345000009:14+4+29+UNZ"],
        ),
        (
            "message-reference-repeated",
            [
                "UCI+1+4060000000017:14+4012345000009:14+7",
                "UCM+1+ORDERS:D:96A:UN+4+18",
                "UCM+1+ORDERS:D:96A:UN+4+26+UNH",
            ],
        ),
        (
            "numbers-and-dates-at-fault",
            [
                "UCI+4711+4060000000017:14+4012345000009:14+7",
                "UCM+1+ORDERS:D:96A:UN+4+12",
                "UCS+8+12",
                "UCS+11+12",
                "UCS+12+12",
                "UCS+3+12",
            ],
        ),
        (
            "message-type-without-mapping",
            [
                "UCI+1+4060000000017:14+4012345000009:14+7",
                "UCM+1+ORDERS:D:96A:UN+4+18",
                "UCM+2+INVOIC:D:96A:UN+4+17+UNH",
            ],
        ),
        (
            "cut-off-in-a-segment",
            ["UCI+1+4060000000017:14+4012345000009:14+4+13+UNZ"],
        ),
    ],
)
def test_an_interchange_is_answered_by_contrl(name: str, expected: list[str]) -> None:
    assert answered(EDIFACT, received(name)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "x12-two-groups",
            [
                "GS*FA*APPB*APPA*20260302*0930*77*X*004010",
                "AK1*PO*1",
                "AK2*850*0001",
                "AK5*A",
                "AK9*A*1*1*1",
                "GS*FA*APPB*APPA*20260302*0930*78*X*004010",
                "AK1*SH*2",
                "AK2*856*0001",
                "AK5*A",
                "AK9*A*1*1*1",
            ],
        ),
        ("x12-counts-and-references-at-fault", ["TA1*000000077*260302*0930*R*021"]),
        ("x12-cut-off", ["TA1*000000077*260302*0930*R*023"]),
        (
            "x12-set-trailer-missing",
            [
                "GS*FA*APPB*APPA*20260302*0930*77*X*004010",
                "AK1*PO*1",
                "AK2*850*0001",
                "AK5*R*2",
                "AK2*850*0002",
                "AK5*R",
                "AK9*R*2*2*0",
            ],
        ),
        (
            "x12-856-at-fault",
            [
                "GS*FA*APPB*APPA*20260302*0930*77*X*004010",
                "AK1*SH*1",
                "AK2*856*0001",
                "AK3*HL*4**8",
                "AK3*HL*5**8",
                "AK3*BSN*2**3",
                "AK3*BSN*2**8",
                "AK3*BSN*2**3",
                "AK3*BSN*2**3",
                "AK3*BSN*2**3",
                "AK5*R*5",
                "AK9*R*1*1*0",
            ],
        ),
    ],
)
def test_an_interchange_is_answered_by_997_or_ta1(name: str, expected: list[str]) -> None:
    assert answered(X12, received(name)) == expected


def test_a_duplicate_is_answered_as_one() -> None:
    edifact = {**received("orders-d96a"), "outcome": "duplicate"}
    assert answered(EDIFACT, edifact) == ["UCI+4711+4012345000009:14+4060000000017:14+4+26+UNB"]
    x12 = {**received("x12-850"), "outcome": "duplicate"}
    assert answered(X12, x12) == ["TA1*000000077*260302*0930*R*025"]


def test_an_answer_goes_back_to_the_sender_and_is_a_test_if_it_was_one() -> None:
    text = write(EDIFACT, {**received("test-indicator"), "interchange": {"reference": "A9"}})
    assert "UNB+UNOC:3+4012345000009:14+4060000000017:14+" in text
    assert "+A9++++++1'" in text
    assert text.endswith("UNZ+1+A9'")
    isa = write(X12, received("x12-test")).split("*")
    assert (isa[5], isa[6].strip(), isa[7], isa[8].strip()) == ("12", "NORDSTAHL", "ZZ", "ACMEPRESS")
    assert (isa[13], isa[15]) == ("000000077", "T")


def test_an_answer_to_version_005010_repeats_by_its_own_separator() -> None:
    text = write(X12, received("x12-repetition"))
    assert text.split("*")[11:13] == ["^", "00501"]
    assert "*X*005010~" in text


@pytest.mark.parametrize("name", ["message-type-ignored", "x12-functional-acknowledgement-ignored"])
def test_acknowledgements_are_not_acknowledged(name: str) -> None:
    data = received(name)
    spec = X12 if name.startswith("x12") else EDIFACT
    for group in data["groups"]:
        group["messages"] = [one for one in group["messages"] if one["type"] in ("CONTRL", "997")]
    assert refusal(spec, data).errors[0][0] == "/groups"


def test_an_answer_is_written_for_its_own_standard_only() -> None:
    assert refusal(X12, received("orders-d96a")).errors[0][0] == "/standard"
    broken = {**received("orders-d96a"), "outcome": "lost"}
    assert refusal(EDIFACT, broken).errors[0][0] == "/outcome"


def test_the_answers_themselves_are_sound() -> None:
    for name in ("orders-d96a", "counts-and-references-at-fault", "numbers-and-dates-at-fault"):
        assert sound(write(EDIFACT, received(name)), "CONTRL").clean
    for name in ("x12-two-groups", "x12-856-at-fault", "x12-cut-off"):
        assert sound(write(X12, received(name)), "997").clean


def sound(text: str, kind: str) -> Report:
    ignored = [kind, "TA1"]
    settings = Settings(edifact=EdifactOptions(ignore=ignored), x12=X12Options(ignore=ignored))
    return read(text.encode("latin-1"), settings, received_at=RECEIVED, converting=True)
