"""mock-edi, a partner that we did not write: it reads what we write, and its documents become events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from mockedi import edifact, transactions, x12
from mockedi.envelope import Interchange
from mockedi.validate import validate

from adapters.edi import EDIFACT, X12
from adapters.edi.report import read
from canonical.spec import FormatSpec
from tests.adapters.edi.test_writing import ENVELOPE, ORDER

WHEN = datetime(2026, 3, 2, 9, 30)  # noqa: DTZ001 -- mock-edi's documents have no zone
US = transactions.Party(
    role="SU", name="North Steel", identifier="NORDSTAHL", street="1 Mill Road", city="Kiel"
)
PARTNER = {"id": "ACME", "name": "Press + shop's"}
PLACED = {
    "po_number": "PO-4711",
    "ordered_on": "2026-03-01",
    "requested_on": "2026-03-20",
    "currency": "EUR",
    "ship_to_id": "DOCK-7",
    "ship_to_name": "Dock 7",
}
LINES = [
    {
        "line": "1",
        "sku": "SKU-1",
        "upc": "012345678905",
        "quantity": "10",
        "shipped": "8",
        "uom": "EA",
        "price": "1.25",
        "description": "A 'bolt' + washer",
    },
    {"line": "2", "sku": "SKU-2", "quantity": "5", "shipped": "5", "uom": "KG", "price": "3.10"},
]
SHIPMENT = {"shipment_id": "SH-99", "cartons": 2, "weight": "12.5", "shipped_on": "2026-03-03", "scac": "DHL"}


def sent(dialect: str, document: str) -> str:
    """A document as mock-edi sends it."""
    if document == "order":
        body = transactions.write_order(dialect, US, PARTNER, PLACED, LINES, WHEN)
    else:
        body = transactions.write_despatch(dialect, US, PARTNER, PLACED, LINES, SHIPMENT, WHEN)
    if dialect == "EDIFACT":
        message = edifact.message({"order": "ORDERS", "despatch": "DESADV"}[document], "1", body)
        return str(edifact.render(edifact.wrap([message], "PARTNER", "HUB", "77", moment=WHEN)))
    code, kind = {"order": ("850", "PO"), "despatch": ("856", "SH")}[document]
    message = x12.message(code, "0001", body)
    return str(x12.render(x12.wrap([message], "PARTNER", "HUB", "000000077", "77", kind, moment=WHEN)))


def parsed(dialect: str, text: str) -> Interchange:
    return edifact.parse(text) if dialect == "EDIFACT" else x12.parse(text)


FORMATS = {"EDIFACT": EDIFACT, "X12": X12}


@pytest.mark.parametrize("dialect", FORMATS)
def test_its_orders_become_events(dialect: str) -> None:
    report = read(sent(dialect, "order").encode(), converting=True)
    assert report.clean
    piece = "H87" if dialect == "EDIFACT" else "EA"  # it writes PCE, which Rec 20 calls H87
    assert report.events[1].data == {
        "purchase_order": "PO-4711",
        "revision": 0,
        "supplier": "ACME",
        "ship_to": "DOCK-7",
        "lines": [
            {
                "line": "1",
                "item": "SKU-1",
                "supplier_item": "SKU-1",
                "gtin": "00012345678905",
                "quantity": {"value": "10", "uom": piece},
                "requested_date": "2026-03-20",
                "price": {"value": "1.25", "currency": "EUR"},
            },
            {
                "line": "2",
                "item": "SKU-2",
                "supplier_item": "SKU-2",
                "quantity": {"value": "5", "uom": "KGM"},
                "requested_date": "2026-03-20",
                "price": {"value": "3.10", "currency": "EUR"},
            },
        ],
    }


@pytest.mark.parametrize("dialect", FORMATS)
def test_its_despatch_advices_become_events(dialect: str) -> None:
    report = read(sent(dialect, "despatch").encode(), converting=True)
    assert report.clean
    assert [finding.code for finding in report.findings if finding.severity == "warning"] == [
        "arrival_assumed"
    ]
    data = report.events[1].data
    assert (data["asn"], data["supplier"], data["ship_to"]) == ("SH-99", "NORDSTAHL", "DOCK-7")
    assert data["shipped_at"] == "2026-03-03T00:00:00Z"
    assert [(line["item"], line["quantity"]["value"], line["purchase_order"]) for line in data["lines"]] == [
        ("SKU-1", "8", "PO-4711"),
        ("SKU-2", "5", "PO-4711"),
    ]


@pytest.mark.parametrize("dialect", FORMATS)
def test_it_reads_the_order_that_we_write(dialect: str) -> None:
    priced = {"price": {"value": "1", "currency": "EUR"}}  # in its own profile each line of an 850 has one
    lines = [{**priced, **line} for line in ORDER["lines"]]
    payload = {**ORDER, "lines": lines, "buyer": "ACME", "issued_at": "2026-03-01", "interchange": ENVELOPE}
    interchange = parsed(dialect, written(FORMATS[dialect], payload))
    (_, message), *others = interchange.messages()
    assert not others
    order = transactions.read_order(message, dialect)
    assert order.po_number == "PO-4711"
    assert str(order.ordered_on) == "2026-03-01"
    assert (order.ship_to.identifier, order.currency) == ("DOCK-7", "EUR")
    assert [(line.upc, str(line.quantity), line.uom) for line in order.lines] == [
        ("4060000010016", "120", "EA"),
        ("", "2.5", "KG"),
    ]
    report = validate(interchange)
    assert not report.envelope_errors
    assert not report.group_errors
    assert [one.accepted for one in report.messages] == [True]


@pytest.mark.parametrize("dialect", FORMATS)
@pytest.mark.parametrize("fault", [False, True])
def test_it_reads_our_answers(dialect: str, fault: bool) -> None:
    text = sent(dialect, "order")
    if fault:
        text = text.replace("UNT+19", "UNT+18").replace("SE*16", "SE*15")
    data = dict(read(text.encode(), converting=True).events[0].data)
    assert data["outcome"] == ("rejected" if fault else "accepted")
    interchange = parsed(dialect, written(FORMATS[dialect], data))
    report = validate(interchange)
    assert report.clean, report
    ((_, message),) = interchange.messages()
    if dialect == "EDIFACT":
        assert message.find("UCI").get(4) == "7"
        assert message.find("UCM").get(3) == ("4" if fault else "7")
        assert message.find("UCM").get(4) == ("29" if fault else "")
    else:
        assert message.find("AK5").get(1) == ("R" if fault else "A")
        assert message.find("AK5").get(2) == ("4" if fault else "")
        assert message.find("AK9").get(1) == ("R" if fault else "A")


def written(spec: FormatSpec, payload: dict[str, Any]) -> str:
    assert spec.formatter is not None
    return spec.formatter(spec.config()).format(payload).decode("latin-1")
