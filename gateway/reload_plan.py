"""What a changed configuration stops and starts, and what can be made of it before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from canonical.errors import ConfigError, CrossplantError
from canonical.ports import Decoder
from config.findings import ConfigErrors, Finding
from config.model import Deployment
from config.written import changes
from gateway import recipes
from gateway.compile import crosswalk_rows, decoder_of, inbound_codes
from gateway.routing import compiled_routes
from router.crosswalk import Row
from router.routes import Route

if TYPE_CHECKING:
    from gateway.runtime import Hub

__all__ = ["Plan", "Ready", "fixed", "ready_for"]

_FIXED: Final = ("gateway", "journal", "company")


class Plan:
    """What is to be stopped and started."""

    def __init__(self, hub: Hub, deployment: Deployment) -> None:
        old = hub.deployment
        changed = _changed(_adapter_parts(old), _adapter_parts(deployment))
        changed |= deployment.adapters.keys() - hub.adapters.keys()  # one that has not come back yet
        self.adapters = sorted(changed)
        self.added = sorted((changed & deployment.adapters.keys()) - hub.adapters.keys())
        self.removed = sorted(changed - deployment.adapters.keys())
        self.exchanged = sorted((changed & deployment.adapters.keys()) - set(self.added))
        self.before = [hub.adapters[name] for name in self.exchanged]
        self.routes = sorted(self._routes(hub, old, deployment, changed))

    @staticmethod
    def _routes(hub: Hub, old: Deployment, new: Deployment, adapters: set[str]) -> set[str]:
        recoded = inbound_codes(old) != inbound_codes(new) or old.python != new.python
        targets = adapters | _changed(_rates(old), _rates(new))
        return {
            name
            for name in old.routes.keys() | new.routes.keys()
            if recoded
            or old.routes.get(name) != new.routes.get(name)
            or (name in new.routes and (new.routes[name].to.adapter in targets or name not in hub.engines))
        }


class Ready(Struct, frozen=True, kw_only=True):
    """What was made of the new deployment beforehand. ``decoders``: of adapters that stay connected."""

    routes: dict[str, Route]
    decoders: dict[str, Decoder]
    rows: list[Row]
    recipes: dict[str, str]


def ready_for(hub: Hub, deployment: Deployment, plan: Plan) -> Ready:
    """Raises ConfigErrors for what a check has not found."""
    try:
        return Ready(
            routes=compiled_routes(deployment, [name for name in plan.routes if name in deployment.routes]),
            decoders={
                name: decoder_of(adapter, hub.adapters[name].context)
                for name, adapter in deployment.adapters.items()
                if name not in plan.adapters
                and hub.adapters[name].source is not None
                and hub.deployment.adapters[name].format != adapter.format
            },
            rows=crosswalk_rows(deployment),
            recipes=recipes.recipes_of(deployment),
        )
    except ConfigErrors:
        raise
    except ConfigError as error:
        raise ConfigErrors([deployment.written.finding(error.key or "", str(error))]) from error
    except CrossplantError as error:
        raise ConfigErrors([deployment.written.finding("routes", str(error))]) from error


def fixed(old: Deployment, new: Deployment) -> list[Finding]:
    """What only a restart changes, key by key."""
    found = []
    for section in _FIXED:
        if getattr(old, section) == getattr(new, section):
            continue
        keys = [
            change.key
            for change in changes(old.written, new.written)
            if change.key == section or change.key.startswith(f"{section}.")
        ]
        found += [
            new.written.finding(key, f"{key}: a change of it needs a restart") for key in keys or [section]
        ]
    return found


def _adapter_parts(deployment: Deployment) -> dict[str, object]:
    """What a connection depends on: everything but format, codes, rate and owner; and whether it delivers."""
    used = {route.to.adapter for route in deployment.routes.values()}
    return {
        name: (
            adapter.kind,
            adapter.options,
            adapter.plant,
            adapter.partner,
            deployment.timezone(name),
            adapter.receives,
            name in used,
        )
        for name, adapter in deployment.adapters.items()
    }


def _rates(deployment: Deployment) -> dict[str, object]:
    """What the routes to an adapter share."""
    return {name: adapter.rate for name, adapter in deployment.adapters.items()}


def _changed(old: Mapping[str, object], new: Mapping[str, object]) -> set[str]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
