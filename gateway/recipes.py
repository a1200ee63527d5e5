"""What a route makes of an event, as one JSON text: kept with each version, and sent by who tries another.

It holds what the payload and its target depend on, and nothing of how it is sent. Secrets are masked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from pydantic import BaseModel, ValidationError

from canonical.errors import ConfigError
from canonical.expression import ExpressionError
from config.model import Deployment
from config.model import Route as RouteConfig
from config.route import Bound
from gateway.compile import compile_route, inbound_codes
from router.routes import Codes, Route

__all__ = ["InboundCodes", "Written", "compiled", "recipe", "recipes_of", "written"]

_MAKING = ("on", "plants", "when", "split", "enrich", "map", "order")


class InboundCodes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose codes the events of one CloudEvents source carry."""

    system: str
    fields: list[str] | None = None


class Written(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``route``: its keys as in a deployment's file; ``kind``: of the adapter that it delivers to."""

    route: dict[str, Any]
    kind: str
    inbound: dict[str, InboundCodes] = {}


def written(name: str, deployment: Deployment) -> Written:
    """The recipe of a deployment's route."""
    route = deployment.routes[name]
    shown = {
        key: value
        for key, value in route.model_dump(mode="json", by_alias=True, include=set(_MAKING)).items()
        if value is not None
    }
    if route.codes is not None:
        shown["codes"] = route.codes.model_dump(mode="json", exclude_none=True)
    shown["format"] = {"kind": route.format.kind, **_dumped(route.format.options)}
    shown["to"] = {"adapter": route.to.adapter, **_dumped(route.to.options)}
    return Written(
        route=shown,
        kind=deployment.adapters[route.to.adapter].kind,
        inbound={
            source: InboundCodes(
                system=codes.system, fields=None if codes.fields is None else list(codes.fields)
            )
            for source, codes in inbound_codes(deployment).items()
        },
    )


def _dumped(options: BaseModel | None) -> dict[str, Any]:
    return {} if options is None else options.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def recipe(name: str, deployment: Deployment) -> str:
    """The same as text; equal where the same is made. A map keeps the order of its fields."""
    return msgspec.json.encode(written(name, deployment)).decode()


def recipes_of(deployment: Deployment) -> dict[str, str]:
    """Those of all routes."""
    return {name: recipe(name, deployment) for name in deployment.routes}


def compiled(name: str, given: Written | str, python: Sequence[Path] = ()) -> Route:
    """The route of a recipe. Raises ConfigError, with what is wrong at which key.

    ``python``: folders of the modules of functions that it may map by.
    """
    try:
        if isinstance(given, str):
            given = msgspec.json.decode(given, type=Written)
        fields = {**given.route, "to": Bound(given.route.get("to"), given.kind)}
        return compile_route(name, RouteConfig.model_validate(fields), _inbound(given.inbound), python)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(step) for step in first["loc"])
        raise ConfigError(f"routes.{name}.{key}: {first['msg']}", key=f"routes.{name}.{key}") from error
    except (msgspec.DecodeError, ExpressionError, LookupError, ValueError) as error:
        raise ConfigError(f"routes.{name}: {error}", key=f"routes.{name}") from error


def _inbound(given: Mapping[str, InboundCodes]) -> dict[str, Codes]:
    return {
        source: Codes(system=codes.system, fields=None if codes.fields is None else tuple(codes.fields))
        for source, codes in given.items()
    }
