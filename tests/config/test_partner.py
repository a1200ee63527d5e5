"""What is agreed with a partner stands under the formats of its adapters, and of routes to them."""

from __future__ import annotations

from typing import Any

import pytest

from config.model import Deployment

WE, THEY = {"id": "4012345000009", "qualifier": "14"}, {"id": "4060000000017", "qualifier": "14"}


def deployment(**profile: Any) -> Deployment:
    return Deployment.model_validate(
        {
            "company": "acme",
            "partners": {"nordstahl": {"ids": [THEY], **profile}, "other": {"edifact": {"charset": "UNOA"}}},
            "adapters": {
                "inbox": {
                    "kind": "files",
                    "partner": "nordstahl",
                    "path": "/srv/in",
                    "format": {"kind": "edifact", "charset": "UNOB"},
                },
                "stock": {"kind": "files", "path": "/srv/stock", "format": {"kind": "edifact"}},
                "outbox": {"kind": "files", "partner": "nordstahl", "path": "/srv/out"},
            },
            "routes": {
                "orders": {
                    "on": ["procurement.order.issued"],
                    "format": {"kind": "edifact"},
                    "to": {"adapter": "outbox", "name": "a.edi"},
                },
                "copies": {"on": ["procurement.order.issued"], "to": {"adapter": "outbox", "name": "a.edi"}},
            },
        }
    )


def options(found: Deployment, adapter: str) -> dict[str, Any]:
    written = found.adapters[adapter].format
    assert written is not None
    return written.options.model_dump()


def test_the_profile_counts_and_what_stands_beside_the_kind_comes_first() -> None:
    found = deployment(edifact={"mode": "test", "charset": "UNOC", "sender": WE, "acknowledgement_due": "1h"})
    inbox = options(found, "inbox")
    assert (inbox["mode"], inbox["charset"], inbox["acknowledgement_due"]) == ("test", "UNOB", 3600.0)
    orders = found.routes["orders"].format.options.model_dump()
    assert (orders["mode"], orders["charset"], orders["sender"]) == ("test", "UNOC", WE)
    assert orders["receiver"] == THEY
    assert options(found, "stock")["mode"] == "live"
    assert found.routes["copies"].format.kind == "json"


def test_the_receiver_is_the_first_id_that_has_room_unless_told() -> None:
    assert deployment().routes["orders"].format.options.model_dump()["receiver"] == THEY
    told = deployment(edifact={"receiver": WE}).routes["orders"].format.options.model_dump()
    assert told["receiver"] == WE


def test_a_changed_profile_is_a_changed_route_and_adapter() -> None:
    """So that a reload swaps them."""
    one, other = deployment(edifact={"mode": "test"}), deployment(edifact={"mode": "live"})
    assert one.routes["orders"] != other.routes["orders"]
    assert one.adapters["inbox"].format != other.adapters["inbox"].format
    assert one.routes["copies"] == other.routes["copies"]


@pytest.mark.parametrize("format_kind", ["edifact", "x12"])
def test_a_profile_is_what_its_format_says(format_kind: str) -> None:
    found = deployment(**{format_kind: {"transit": "2d"}})
    profile = getattr(found.partners["nordstahl"], format_kind)
    assert profile.transit == 172_800.0
