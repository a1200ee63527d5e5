"""The decoders: what an interchange gives, that it is whole or not at all, and that no bytes harm them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.edi import EDIFACT, X12
from adapters.edi.finding import MAX_FINDINGS
from canonical import catalogue
from canonical.errors import Invalid
from canonical.event import Event, encode, payload_hash
from canonical.ports import RawMessage
from canonical.spec import FormatContext, FormatSpec
from tests.adapters.edi.samples import FOLDER, samples

SAMPLES = [(FOLDER / name / "input.edi").read_bytes() for name in samples()]
ORDERS = (FOLDER / "orders-d96a" / "input.edi").read_bytes()
PURCHASE_ORDER = (FOLDER / "x12-850" / "input.edi").read_bytes()
STOCK = (FOLDER / "invrpt-d96a" / "input.edi").read_bytes()
ORDER = "com.crossplant.procurement.order.issued.v1"
INTERCHANGE = "com.crossplant.integration.interchange.received.v1"


def decode(
    body: bytes, spec: FormatSpec = EDIFACT, *, message: str = "m-1", plant: str | None = None, **options: Any
) -> list[Event | Invalid]:
    assert spec.decoder is not None
    context = FormatContext(
        adapter="nordstahl-inbox",
        source="/partners/nordstahl/adapters/nordstahl-inbox",
        plant=plant,
        partner="nordstahl",
        timezone=ZoneInfo("Europe/Berlin"),
    )
    raw = RawMessage(
        adapter="nordstahl-inbox", id=message, body=body, received_at=datetime(2026, 3, 2, 12, tzinfo=UTC)
    )
    state, found = spec.decoder(spec.config(**options), context).decode(b"s", raw)
    assert state == b"s"
    return list(found)


def events(found: list[Event | Invalid]) -> list[Event]:
    return [one for one in found if isinstance(one, Event)]


def faults(found: list[Event | Invalid]) -> list[Invalid]:
    return [one for one in found if isinstance(one, Invalid)]


def test_an_interchange_is_an_event_and_the_cause_of_what_it_says() -> None:
    interchange, order = events(decode(ORDERS))
    assert (interchange.type, order.type) == (INTERCHANGE, ORDER)
    assert order.causationid == interchange.id == "4012345000009/4711/2603020930"
    assert order.id == f"{interchange.id}/1/1"
    assert (order.subject, order.partitionkey) == ("PO-4711", "D:purchase_order:PO-4711")
    assert (order.srcmsgid, order.domain, order.plantid) == ("m-1", "procurement", None)
    assert order.time == datetime(2026, 3, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    assert interchange.data["outcome"] == "accepted"
    assert interchange.data["groups"] == [
        {
            "messages": [
                {"type": "ORDERS", "version": "D.96A", "reference": "1", "position": 2, "segments": 22}
            ]
        }
    ]


@pytest.mark.parametrize(("body", "spec"), [(ORDERS, EDIFACT), (PURCHASE_ORDER, X12), (STOCK, EDIFACT)])
def test_the_same_interchange_gives_the_same_events_again(body: bytes, spec: FormatSpec) -> None:
    first, second = events(decode(body, spec)), events(decode(body, spec, message="m-2"))
    assert [one.id for one in first] == [one.id for one in second]
    assert [payload_hash(one) for one in first] == [payload_hash(one) for one in second]
    assert len({one.id for one in first}) == len(first) >= 2


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"+4711'", b"+4712'"), (b"260302:0930", b"260303:0930"), (b"4012345000009:14", b"ELSE:14")],
)
def test_another_reference_date_or_sender_is_another_interchange(old: bytes, new: bytes) -> None:
    ids = {one.id for one in events(decode(ORDERS))}
    assert ids.isdisjoint(one.id for one in events(decode(ORDERS.replace(old, new))))


def test_one_error_rejects_the_whole_interchange_and_says_where() -> None:
    body = ORDERS.replace(b"QTY+21:2.5:KGM", b"QTY+21:two:KGM")
    (interchange, fault) = decode(body)
    assert isinstance(interchange, Event)
    assert isinstance(fault, Invalid)
    assert interchange.data["outcome"] == "rejected"
    assert interchange.data["findings"] == [
        {
            "code": "number",
            "severity": "error",
            "message": "'two' is no decimal number",
            "segment": "QTY",
            "position": 18,
            "line": 19,
            "offset": 436,
        }
    ]
    assert fault.code == "number"
    assert fault.message == (
        "interchange 4711 of 4012345000009: 'two' is no decimal number, at segment 18 QTY, line 19, byte 436"
    )
    assert fault.errors == (("segment 18 QTY, line 19, byte 436", "number: 'two' is no decimal number"),)
    assert fault.context["reference"] == "4711"


def test_a_corrected_interchange_can_follow_a_rejected_one() -> None:
    rejected = events(decode(ORDERS.replace(b"UNT+22", b"UNT+23")))[0]
    again = events(decode(ORDERS.replace(b"UNT+22", b"UNT+23"), message="m-2"))[0]
    accepted = events(decode(ORDERS))[0]
    assert len({rejected.id, again.id, accepted.id}) == 3
    assert rejected.id.startswith(accepted.id)


def test_a_retried_message_gives_the_same_rejection() -> None:
    body = ORDERS.replace(b"UNT+22", b"UNT+23")
    assert events(decode(body))[0].id == events(decode(body))[0].id


def test_what_cannot_be_answered_gives_no_interchange_event() -> None:
    found = decode(b"\n".join(ORDERS.split(b"\n")[2:]))
    assert events(found) == []
    assert faults(found)[0].code == "interchange_header_missing"


def test_the_plant_of_an_adapter_is_that_of_its_events() -> None:
    found = events(decode(STOCK, plant="brno"))
    assert {one.plantid for one in found} == {"brno"}
    assert found[1].data["location"] == {"plant": "brno", "storage": "WH1"}
    assert found[1].partitionkey == "M:brno:ITEM-1"


@pytest.mark.parametrize(
    ("body", "spec", "options"),
    [
        (ORDERS.replace(b"+4711'\n", b"+4711++++++1'\n"), EDIFACT, {}),
        (ORDERS, EDIFACT, {"mode": "test"}),
        (PURCHASE_ORDER.replace(b"*0*P*", b"*0*T*"), X12, {}),
        (PURCHASE_ORDER, X12, {"mode": "test"}),
    ],
)
def test_all_events_of_a_test_interchange_are_marked(
    body: bytes, spec: FormatSpec, options: dict[str, Any]
) -> None:
    interchange, order = events(decode(body, spec, **options))
    assert interchange.data["test"] is True
    assert interchange.extensions == order.extensions == {"testindicator": True}
    assert b'"testindicator":true' in encode(order)
    assert all(not one.extensions for one in events(decode(PURCHASE_ORDER, X12)))


def test_a_message_without_mapping_is_refused_unless_it_is_ignored() -> None:
    body = ORDERS.replace(b"ORDERS:D", b"QUOTES:D")
    assert faults(decode(body))[0].code == "message_type_unmapped"
    assert "QUOTES" in faults(decode(body))[0].message
    (interchange,) = decode(body, ignore=["QUOTES"])
    assert isinstance(interchange, Event)
    assert interchange.data["outcome"] == "accepted"
    assert interchange.data["findings"][0]["code"] == "message_type_ignored"


def test_a_tolerated_error_is_a_warning() -> None:
    body = ORDERS.replace(b"UNT+22", b"UNT+23")
    found = decode(body, tolerate=["segment_count"])
    assert faults(found) == []
    assert events(found)[0].data["findings"][0]["severity"] == "warning"
    with pytest.raises(ValueError, match="tolerate"):
        EDIFACT.config(tolerate=["interchange_trailer_missing"])


def test_a_file_that_is_too_large_is_not_read() -> None:
    (fault,) = decode(ORDERS, max_size="100B")
    assert isinstance(fault, Invalid)
    assert fault.code == "too_large"


def test_rubbish_gives_a_bounded_number_of_findings() -> None:
    body = ORDERS.split(b"\n")[1] + b"&&&'" * 20_000
    (_, fault) = decode(body)
    assert isinstance(fault, Invalid)
    assert len(fault.errors) == MAX_FINDINGS + 1
    assert "more findings" in fault.errors[-1][1]


@pytest.mark.parametrize(
    ("unit", "spec"), [(b"UNB+'", EDIFACT), (b"UNZ+1+1'", EDIFACT), (b"ISA*1~", X12), (b"IEA*1*1~", X12)]
)
def test_rubbish_gives_a_bounded_number_of_interchanges(unit: bytes, spec: FormatSpec) -> None:
    found = decode(unit * 20_000, spec)
    assert len(found) <= 201
    assert all(isinstance(one, Invalid) for one in found)
    if len(found) > 1:
        assert faults(found)[-1].code == "too_many_faults"


def fine(found: list[Event | Invalid]) -> None:
    for one in found:
        if isinstance(one, Event):
            assert catalogue.validate(one.type, one.data) == []
            encode(one)
        else:
            assert one.errors
            assert all(where and detail for where, detail in one.errors)


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_told(body: bytes) -> None:
    fine(decode(body, EDIFACT))
    fine(decode(body, X12))


FRAGMENTS = st.sampled_from(
    b"UNA:+.? '|UNA:+.?*'|UNB+UNOC:3+A:14+B:14+260302:0930+1'|UNB+UNOY:4+A+B+20260302:0930+1'|UNG+ORDERS'|"
    b"UNH+1+ORDERS:D:96A:UN'|UNH+2+DESADV:D:96A:UN'|UNH+3+INVRPT:D:01B:UN'|BGM+351+X+9'|"
    b"DTM+137:20260301:102'|DTM+2:9:616'|NAD+SU+X::9'|NAD+ST+Y'|CPS+1'|CPS+2+1'|CPS+2+2'|PAC+1++CT'|PCI'|GIN+BJ+1:2'|LIN'|"
    b"LIN+1++A:IN'|QTY+12:1'|QTY+145:1,5:PCE'|INV+2+4'|PRI+AAA:1:::0'|LOC+1+A'|UNS+S'|UNT+3+1'|UNE+1+1'|UNZ+1+1'|'|?|\n|"
    b"\xc3\xbc|\xff|\x00|"
    b"ISA*00*          *00*          *ZZ*S              *ZZ*R              *260302*0930*^*00501*000000001*0*T"
    b"*>~|"
    b"GS*PO*A*B*20260302*0930*1*X*004010~|ST*850*1~|ST*856*2~|ST*846*3~|BEG*00*SA*1**20260301~|PO1**x*EA~|"
    b"PO1*1*1*EA*1*HP*BP*A~|BSN*00*1*20260301*25~|HL*1**S~|HL*2*1*I~|HL*2*2*P~|LIN**BP*A~|SN1**1*EA~|"
    b"MAN*GM*1~|N1*ST*x*UL*1~|BIA*00*DD*1*20260301~|QTY*17*1~|DTM*011*20260301*2360*XX~|SE*2*1~|GE*1*1~|"
    b"IEA*1*000000001~|TA1*1~|~".split(b"|")
)


@settings(max_examples=300)
@given(st.lists(FRAGMENTS, max_size=25).map(b"".join))
def test_any_order_of_segments_is_decoded_or_told(body: bytes) -> None:
    fine(decode(body, EDIFACT))
    fine(decode(body, X12))


@settings(max_examples=200)
@given(st.sampled_from(SAMPLES), st.data())
def test_any_damage_to_a_file_is_told_or_harmless(body: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(body)))
    kind = data.draw(st.sampled_from(["cut", "flip", "insert", "remove"]))
    byte = data.draw(st.sampled_from(b"?'+:*~>\n\x00A1\xfc"))
    damaged = {
        "cut": body[:at],
        "flip": body[:at] + bytes([byte]) + body[at + 1 :],
        "insert": body[:at] + bytes([byte]) + body[at:],
        "remove": body[:at] + body[at + 1 :],
    }[kind]
    fine(decode(damaged, EDIFACT))
    fine(decode(damaged, X12))


@given(st.integers(0, len(ORDERS) - 1), st.integers(0, len(PURCHASE_ORDER) - 1))
def test_a_file_that_is_cut_off_is_never_taken(edifact: int, x12: int) -> None:
    for body, at, spec in ((ORDERS, edifact, EDIFACT), (PURCHASE_ORDER, x12, X12)):
        if body[at:].strip(b"\n'~"):
            assert [one.type for one in events(decode(body[:at], spec))] in ([], [INTERCHANGE])
            assert faults(decode(body[:at], spec))
