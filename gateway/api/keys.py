"""API keys: for admins. Nobody gives what they do not have."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Depends, Path, Query, Request
from msgspec import structs
from starlette.responses import Response

from canonical.catalogue import Domain
from gateway.api.answers import (
    ERRORS,
    body_as,
    json,
    moment,
    request_body,
)
from gateway.api.reasons import Because, because, checked
from gateway.auth import ADMIN, Principal, forbidden, hub_of, require
from gateway.keys import Created, Key, NewKey
from gateway.problems import Problem

__all__ = ["api"]

api = APIRouter(tags=["keys"], responses=ERRORS)

Admin = Annotated[Principal, Depends(require(ADMIN))]
Id = Annotated[str, Path(max_length=200, description="The key's id, the middle part of `cp_<id>_<secret>`.")]
_Text = Annotated[str | None, Query(max_length=1024)]


@api.get("/v1/keys", summary="API keys, oldest first")
async def keys(request: Request, principal: Admin) -> Response:
    """Without their secrets, which nobody has. Those that were revoked stay."""
    found = await hub_of(request).keys.list()
    return json({"items": [_shown(key) for key in found if _within(principal, key)], "next": None})


@api.post("/v1/keys", status_code=201, summary="Make a key", openapi_extra=request_body(NewKey))
async def create(request: Request, principal: Admin) -> Response:
    """`key` is shown this once. An admin of some plants or domains makes keys for these only."""
    hub = hub_of(request)
    new = await body_as(request, NewKey)
    new = structs.replace(new, reason=checked(new.reason))
    _check(new, hub.deployment.plants.keys())
    if not _gives(principal, new.plants, new.domains):
        raise forbidden(
            "a key cannot open more than the one that makes it", [("/plants", "is more than the key's own")]
        )
    try:
        created = await hub.keys.create(new, by=principal.name)
    except ValueError as error:
        raise Problem(422, "invalid", str(error), errors=[("", str(error))]) from error
    return json(_created(created), 201)


def _check(new: NewKey, plants: Any) -> None:
    faults = [
        ("/plants", f"{name!r} is no plant of this deployment")
        for name in new.plants or ()
        if name not in plants
    ]
    known = get_args(Domain)
    faults += [
        ("/domains", f"{name!r} is no domain; there are: {', '.join(known)}")
        for name in new.domains or ()
        if name not in known
    ]
    if faults:
        raise Problem(422, "invalid", f"{faults[0][0]} {faults[0][1]}", errors=faults)


@api.post(
    "/v1/keys/{key}/rotate",
    summary="A new secret for a key",
    openapi_extra=request_body(Because, required=False),
)
async def rotate(request: Request, principal: Admin, key: Id) -> Response:
    """The old one ends at once. `key` is shown this once."""
    reason = await because(request)
    found = await _one(request, principal, key)
    return json(_created(await hub_of(request).keys.rotate(found.id, by=principal.name, reason=reason)))


@api.post(
    "/v1/keys/{key}/revoke",
    summary="End a key for good",
    openapi_extra=request_body(Because, required=False),
)
async def revoke(request: Request, principal: Admin, key: Id) -> Response:
    """At once, streams included within seconds."""
    reason = await because(request)
    found = await _one(request, principal, key)
    return json(_shown(await hub_of(request).keys.revoke(found.id, by=principal.name, reason=reason)))


async def _one(request: Request, principal: Principal, identifier: str) -> Key:
    found = await hub_of(request).keys.find(identifier)
    if found is None:
        raise Problem(404, "not_found", f"there is no key {identifier!r}")
    if not _within(principal, found):
        raise forbidden("the key opens more than the one that asks")
    return found


def _within(principal: Principal, key: Key) -> bool:
    return _gives(principal, key.plants, key.domains)


def _gives(principal: Principal, plants: tuple[str, ...] | None, domains: tuple[str, ...] | None) -> bool:
    """Whether these plants and domains are all theirs."""
    return (principal.plants is None or (plants is not None and principal.plants.issuperset(plants))) and (
        principal.domains is None or (domains is not None and principal.domains.issuperset(domains))
    )


def _shown(key: Key) -> dict[str, Any]:
    times = {
        name: moment(getattr(key, name))
        for name in ("created_at", "expires_at", "revoked_at", "last_used_at")
    }
    return structs.asdict(key) | times


def _created(created: Created) -> dict[str, Any]:
    return _shown(created.key) | {"key": created.text}
