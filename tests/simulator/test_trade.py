"""What partners write, read by mock-edi; and what mock-edi writes, read by partners."""

from datetime import UTC, datetime, timedelta

import pytest
from mockedi import edifact as peer_edifact
from mockedi import x12 as peer_x12
from mockedi.envelope import Interchange
from mockedi.validate import validate

from simulator.edifact import Edifact
from simulator.trade import Answer, Balance, Dialect, Order, Shipment, Unreadable, sscc
from simulator.x12 import X12
from tests.adapters.edi.test_partner import sent

AT = datetime(2026, 3, 2, 9, 30, 15, tzinfo=UTC)
DIALECTS: dict[str, Dialect] = {
    "EDIFACT": Edifact(us="4012345000009", them="4060000000017"),
    "X12": X12(us="LAKESHORE", them="ACMEPUMPS"),
}
SHIPMENT = Shipment(
    asn="NSD-10001",
    purchase_order="45000001",
    ship_to="4012345000108",
    code="NS-S235-8",
    quantity="40",
    unit="KGM",
    shipped_at=AT,
    eta=AT + timedelta(days=1),
    sscc=sscc(1),
)


def parsed(standard: str, content: bytes) -> Interchange:
    text = content.decode()
    return peer_edifact.parse(text) if standard == "EDIFACT" else peer_x12.parse(text)


@pytest.mark.parametrize("standard", DIALECTS)
def test_an_independent_partner_reads_a_despatch_advice(standard: str) -> None:
    dialect = DIALECTS[standard]
    interchange = parsed(standard, dialect.despatch_advice(7, AT, SHIPMENT))
    assert interchange.control == dialect.name(7)
    report = validate(interchange)
    assert not report.envelope_errors
    assert not report.group_errors
    assert [one.accepted for one in report.messages] == [True]


@pytest.mark.parametrize("standard", DIALECTS)
@pytest.mark.parametrize("kind", ["stock", "acknowledgement"])
def test_its_other_documents_have_a_sound_envelope(standard: str, kind: str) -> None:
    dialect = DIALECTS[standard]
    order = Order(reference="12", message="12/0001", purchase_order="4711", code="NS-1", quantity="5")
    content = (
        dialect.stock_report(8, AT, [Balance(code="NS-1", quantity="5", unit="KGM")])
        if kind == "stock"
        else dialect.acknowledgement(8, AT, order)
    )
    assert parsed(standard, content).control == dialect.name(8)


@pytest.mark.parametrize("standard", DIALECTS)
def test_an_order_of_an_independent_partner_is_read(standard: str) -> None:
    order = DIALECTS[standard].read(sent(standard, "order").encode())
    assert isinstance(order, Order)
    assert (order.purchase_order, order.code, order.quantity) == ("PO-4711", "SKU-1", "10")


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        ("UCI+NS0000001+A:14+B:14+7'UCM+1+DESADV:D:96A:UN+7", "accepted"),
        ("UCI+NS0000001+A:14+B:14+7'UCM+1+DESADV:D:96A:UN+4+12", "rejected"),
        ("UCI+NS0000001+A:14+B:14+4+13+UNZ", "rejected"),
        ("UCI+NS0000001+A:14+B:14+4+26+UNB", "duplicate"),
    ],
)
def test_a_contrl_says_what_became_of_an_interchange(verdict: str, outcome: str) -> None:
    content = f"UNB+UNOC:3+B:14+A:14+260302:0930+1'UNH+1+CONTRL:D:3:UN'{verdict}'UNT+4+1'UNZ+1+1'"
    assert DIALECTS["EDIFACT"].read(content.encode()) == Answer(reference="NS0000001", outcome=outcome)  # type: ignore[arg-type]


def x12_with(*segments: str) -> bytes:
    isa = f"ISA*00*{'':10}*00*{'':10}*ZZ*{'ACME':<15}*ZZ*{'LAKE':<15}*260302*0930*U*00401*000000005*0*P*>"
    return "".join(f"{one}~" for one in (isa, *segments, "IEA*1*000000005")).encode()


@pytest.mark.parametrize(
    ("segments", "outcome"),
    [
        (("GS*FA*A*B", "ST*997*0001", "AK1*SH*7", "AK9*A*1*1*1"), "accepted"),
        (("GS*FA*A*B", "ST*997*0001", "AK1*SH*7", "AK9*R*1*1*0"), "rejected"),
        (("TA1*000000007*260302*0930*R*023",), "rejected"),
        (("TA1*000000007*260302*0930*R*025",), "duplicate"),
    ],
)
def test_a_997_or_ta1_says_what_became_of_an_interchange(segments: tuple[str, ...], outcome: str) -> None:
    assert DIALECTS["X12"].read(x12_with(*segments)) == Answer(reference="000000007", outcome=outcome)  # type: ignore[arg-type]


@pytest.mark.parametrize("standard", DIALECTS)
@pytest.mark.parametrize("content", [b"", b"no EDI at all", b"UNA;*.? '", b"UNB+UNOC:3'"])
def test_what_is_none_of_it_is_unreadable(standard: str, content: bytes) -> None:
    with pytest.raises(Unreadable):
        DIALECTS[standard].read(content)


@pytest.mark.parametrize("standard", DIALECTS)
def test_half_of_an_order_is_unreadable(standard: str) -> None:
    whole = sent(standard, "order").encode()
    with pytest.raises(Unreadable):
        DIALECTS[standard].read(whole[: len(whole) // 2])


def test_an_sscc_has_its_check_digit() -> None:
    assert sscc(1) == "340123450000000017"
    assert len({sscc(number) for number in range(100)}) == 100
