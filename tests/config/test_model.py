"""The deployment by itself: defaults, what belongs together, and what its parts say of themselves."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from config import model
from config.model import AdapterConfig, Deployment, Route, ServiceLevel

pytestmark = pytest.mark.usefixtures("kinds")

ROUTE = {"on": ["production.order.completed"], "to": "erp"}


def test_the_defaults_are_those_of_the_contract() -> None:
    deployment = Deployment.model_validate({"company": "acme"})
    assert (deployment.gateway.bind, deployment.gateway.port, deployment.gateway.tls) == (
        "127.0.0.1",
        8080,
        None,
    )
    assert (deployment.journal.retain, deployment.journal.retain_size) == (30 * 86_400, 20_000_000_000)
    route = Route.model_validate(ROUTE)
    assert (route.mode, route.start, route.order, route.plants) == ("live", "now", None, None)
    assert (route.retry.first, route.retry.max, route.retry.give_up_after) == (0.5, 300, 86_400)
    assert route.format.kind == "json"
    assert AdapterConfig.model_validate({"kind": "meter"}).dedupe == 7 * 86_400


def test_order_is_the_catalogues_unless_said() -> None:
    def ordered(*on: str, **more: str) -> bool:
        return Route.model_validate({**ROUTE, "on": list(on), **more}).ordered

    assert ordered("production.order.completed")
    assert not ordered("telemetry.measurement.recorded")
    assert not ordered("production.order.completed", order="none")
    assert ordered("telemetry.measurement.recorded", order="key")


def test_a_wildcard_is_all_types_of_its_domain() -> None:
    route = Route.model_validate({**ROUTE, "on": ["inventory.transfer.*", "inventory.transfer.shipped"]})
    assert [entry.suffix for entry in route.types] == [
        "inventory.transfer.requested",
        "inventory.transfer.shipped",
        "inventory.transfer.received",
    ]


def test_where_an_adapter_belongs_gives_source_and_zone() -> None:
    deployment = Deployment.model_validate(
        {
            "company": "acme",
            "plants": {"aachen": {"name": "Aachen", "timezone": "Europe/Berlin"}},
            "partners": {"nord": {"timezone": "Europe/Helsinki"}, "west": {}},
            "adapters": {
                "plants": {"kind": "meter", "plant": "aachen"},
                "own": {"kind": "meter", "plant": "aachen", "timezone": "UTC"},
                "partners": {"kind": "meter", "partner": "nord"},
                "other": {"kind": "meter", "partner": "west"},
                "nobodys": {"kind": "meter"},
            },
        }
    )
    assert {
        name: (deployment.event_source(name), deployment.timezone(name).key) for name in deployment.adapters
    } == {
        "plants": ("/plants/aachen/adapters/plants", "Europe/Berlin"),
        "own": ("/plants/aachen/adapters/own", "UTC"),
        "partners": ("/partners/nord/adapters/partners", "Europe/Helsinki"),
        "other": ("/partners/west/adapters/other", "UTC"),
        "nobodys": ("/adapters/nobodys", "UTC"),
    }


@pytest.mark.parametrize(
    ("settings", "receives"),
    [
        ({"kind": "meter"}, True),
        ({"kind": "outbox"}, False),
        ({"kind": "probe", "url": "x://a"}, False),
        ({"kind": "probe", "url": "x://a", "topics": [{"filter": "a"}]}, False),
        ({"kind": "probe", "url": "x://a", "topics": [{"filter": "a"}], "format": {"kind": "json"}}, True),
        ({"kind": "probe", "url": "x://a", "format": {"kind": "json"}}, False),
    ],
)
def test_an_adapter_knows_whether_it_takes_messages_in(settings: dict[str, Any], receives: bool) -> None:
    assert AdapterConfig.model_validate(settings).receives is receives


def test_a_target_is_bound_to_its_adapters_kind() -> None:
    adapters = {"erp": {"kind": "probe", "url": "x://erp"}, "out": {"kind": "outbox"}}

    def target(to: Any) -> Any:
        routes = {"r": {**ROUTE, "to": to}}
        deployment = Deployment.model_validate({"company": "a", "adapters": adapters, "routes": routes})
        return deployment.routes["r"].to.options

    assert target({"adapter": "erp", "path": "x"}).path == "x"
    assert target("out") is None
    for wrong in ({"adapter": "out", "path": "x"}, "erp", {"adapter": "erp", "kind": "outbox", "path": "x"}):
        with pytest.raises(ValidationError):
            target(wrong)


def test_parts_are_frozen() -> None:
    level = ServiceLevel.model_validate({"domain": "sales", "latency": "1s"})
    with pytest.raises(ValidationError, match="frozen"):
        level.latency = 2.0  # type: ignore[misc]


def test_every_field_is_described_and_no_unknown_key_passes() -> None:
    for name in model.__all__:
        part: type[BaseModel] = getattr(model, name)
        assert part.model_config.get("extra") == "forbid"
        assert part.model_config.get("frozen")
        assert all(field.description for field in part.model_fields.values()), name
        assert part.__doc__
