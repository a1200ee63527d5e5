"""What a partner's profile makes of the routes to it, and of what comes from it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from canonical import catalogue
from canonical.ports import InterchangeFormatter
from config.model import Deployment
from gateway.compile import compile_route
from router.numbering import Unnumbered
from router.routes import ANSWERED, Route
from tests.end_to_end.edi import purchase_order

ORDERS = catalogue.full_name("procurement.order.issued")


def compiled(profile: dict[str, Any], on: list[str]) -> Route:
    deployment = Deployment.model_validate(
        {
            "company": "acme",
            "partners": {
                "nordstahl": {"ids": [{"qualifier": "14", "id": "4060000000017"}], "edifact": profile}
            },
            "adapters": {"outbox": {"kind": "files", "partner": "nordstahl", "path": "/srv/out"}},
            "routes": {
                "out": {"on": on, "format": {"kind": "edifact"}, "to": {"adapter": "outbox", "name": "a.edi"}}
            },
        }
    )
    return compile_route("out", deployment.routes["out"], {})


def formatter(route: Route) -> InterchangeFormatter:
    assert isinstance(route.formatter, Unnumbered)
    return route.formatter.formatter


def test_a_partner_that_wants_no_answers_gets_none() -> None:
    on = ["integration.interchange.received", "procurement.order.issued"]
    assert compiled({"acknowledge": "none"}, on).types == {ORDERS}
    assert compiled({}, on).types == {ORDERS} | ANSWERED


def test_what_is_written_for_a_partner_in_test_is_marked_as_a_test() -> None:
    order, at = purchase_order("PO-1")["data"], datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    sender = {"sender": {"id": "4012345000009", "qualifier": "14"}}
    test = formatter(compiled({**sender, "mode": "test"}, ["procurement.order.issued"]))
    live = formatter(compiled(sender, ["procurement.order.issued"]))
    head = "UNB+UNOC:3+4012345000009:14+4060000000017:14+260302:0930+7"
    assert f"{head}++++++1'" in test.interchange(order, "7", at).decode()
    assert f"{head}'" in live.interchange(order, "7", at).decode()


def test_a_document_is_numbered_by_who_exchanges_it() -> None:
    profile = {"sender": {"id": "4012345000009"}, "acknowledgement_due": "4h"}
    control = formatter(compiled(profile, ["procurement.order.issued"])).control(
        purchase_order("PO-1")["data"]
    )
    assert (control.standard, control.sender, control.receiver) == (
        "edifact",
        "4012345000009",
        "4060000000017",
    )
    assert (control.reference, control.answer_due_s) == ("", 14_400.0)
