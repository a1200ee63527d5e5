"""Who asks, and what they may: an API key becomes a Principal, checked by role, plant and domain.

Source: RFC 6750 for the header. A viewer reads; an operator also retries, discards and releases; an
integrator also publishes events; a steward also keeps crosswalks; an approver reads, until there is
something to approve; an admin does all of it and keeps the keys; a monitor sees ``/metrics`` only.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from typing import Final, cast

from fastapi import Request
from msgspec import Struct

from gateway.hub import Hub
from gateway.keys import Key, Role
from gateway.problems import Problem
from gateway.sessions import Session, Sessions

__all__ = [
    "ADMIN",
    "MONITOR",
    "OPERATE",
    "PUBLISH",
    "READ",
    "STEWARD",
    "Attempts",
    "Principal",
    "address_of",
    "cookie_name",
    "hub_of",
    "principal_of",
    "prove",
    "require",
    "session_of",
    "token_of",
]

READ: Final = frozenset[Role]({"viewer", "operator", "integrator", "steward", "approver", "admin"})
OPERATE: Final = frozenset[Role]({"operator", "admin"})
PUBLISH: Final = frozenset[Role]({"integrator", "admin"})
STEWARD: Final = frozenset[Role]({"steward", "admin"})
ADMIN: Final = frozenset[Role]({"admin"})
MONITOR: Final = frozenset[Role]({"monitor", "admin"})

_WINDOW_S = 60.0
_MOST_FAILURES = 20
_ADDRESSES = 10_000


class Principal(Struct, frozen=True, kw_only=True):
    """Somebody who proved themselves. ``plants`` and ``domains`` None: all of them."""

    name: str
    key_id: str
    roles: frozenset[Role]
    plants: frozenset[str] | None = None
    domains: frozenset[str] | None = None

    def may(self, roles: frozenset[Role]) -> bool:
        """Whether one of the roles is theirs."""
        return not self.roles.isdisjoint(roles)

    def sees(self, plant: str | None, domain: str | None = None) -> bool:
        """Whether what belongs to this plant and domain is theirs. What belongs to no plant is only
        for those who have all plants; ``domain`` None: it is about no domain."""
        if self.plants is not None and plant not in self.plants:
            return False
        return self.domains is None or domain is None or domain in self.domains

    @property
    def everywhere(self) -> bool:
        """Neither limited to plants nor to domains."""
        return self.plants is None and self.domains is None


@lru_cache(maxsize=1000)
def principal_of(key: Key) -> Principal:
    """Who a valid key stands for."""
    return Principal(
        name=key.name,
        key_id=key.id,
        roles=frozenset(key.roles),
        plants=None if key.plants is None else frozenset(key.plants),
        domains=None if key.domains is None else frozenset(key.domains),
    )


class Attempts:
    """Failed proofs per address within a minute; beyond 20 it has to wait. Memory is bounded."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raises Problem (429) for an address that failed too often."""
        count, since = self._failures.get(_network(address), (0, 0.0))
        left = since + _WINDOW_S - self._clock()
        if count >= _MOST_FAILURES and left > 0:
            raise Problem(
                429,
                "too_many_failures",
                f"too many failed proofs from this address: wait {round(left) + 1} s",
                retryable=True,
                headers={"Retry-After": str(round(left) + 1)},
            )

    def failed(self, address: str) -> None:
        """Counts one."""
        network, now = _network(address), self._clock()
        count, since = self._failures.pop(network, (0, now))
        self._failures[network] = (count + 1, since) if now - since < _WINDOW_S else (1, now)
        while len(self._failures) > _ADDRESSES:
            self._failures.popitem(last=False)


def _network(address: str) -> str:
    """The address; of IPv6 its /64, since one subscriber has that many."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address


def hub_of(request: Request) -> Hub:
    """The hub behind the app."""
    return cast(Hub, request.app.state.hub)


def address_of(request: Request) -> str:
    """Where the request comes from."""
    return request.client.host if request.client else ""


async def authenticated(request: Request) -> Principal:
    """Who asks. Raises Problem 401, or 429 after too many failures."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text:
        raise _unauthorized("this needs an API key: Authorization: Bearer KEY")
    key = await prove(request, text)
    if key is None:
        raise _unauthorized("the API key is unknown, revoked or expired", error="invalid_token")
    return principal_of(key)


async def prove(request: Request, text: str) -> Key | None:
    """The valid key that ``text`` is; None is counted. Raises Problem 429 after too many failures."""
    keys = hub_of(request).keys
    key = keys.remembered(text)
    if key is None:
        attempts: Attempts = request.app.state.attempts
        attempts.check(address_of(request))
        key = await keys.verify(text)
        if key is None:
            attempts.failed(address_of(request))
    return key


# ── sessions of browsers: pages only, the API under /v1 takes keys ──────────────────────────────


def cookie_name(request: Request, what: str = "session") -> str:
    """Of this hub's own cookie: cookies know no ports, so that the name does. Over TLS only that origin
    can set it (``__Host-``)."""
    name = f"crossplant-{what}" + (f"-{request.url.port}" if request.url.port else "")
    return f"__Host-{name}" if request.url.scheme == "https" else name


def token_of(request: Request) -> str:
    """The token of the browser's session; empty for none."""
    return request.cookies.get(cookie_name(request), "")


def session_of(request: Request, *, touch: bool = True) -> Session | None:
    """The browser's session while it is valid. ``touch``: a person asked, not a page by itself."""
    token = token_of(request)
    if not token:
        return None
    sessions: Sessions = request.app.state.sessions
    return sessions.find(token, touch=touch)


def _unauthorized(detail: str, error: str = "") -> Problem:
    challenge = 'Bearer realm="crossplant"' + (f', error="{error}"' if error else "")
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": challenge})


def forbidden(detail: str, errors: Iterable[tuple[str, str]] = ()) -> Problem:
    """For somebody who is known and may not."""
    return Problem(403, "forbidden", detail, errors=errors)


def require(roles: frozenset[Role]) -> Callable[..., Awaitable[Principal]]:
    """A dependency: the principal, if one of the roles is theirs. Raises Problem 401, 403 or 429."""

    async def check(request: Request) -> Principal:
        principal = await authenticated(request)
        if not principal.may(roles):
            raise forbidden(f"this needs one of the roles {', '.join(sorted(roles))}")
        return principal

    return check
