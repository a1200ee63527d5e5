"""A case made of a message that a running hub took in: masked, with what comes of it as what is expected."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from canonical import catalogue
from canonical.errors import ConfigError
from canonical.event import Event
from gateway.cases import Bench
from gateway.comparing import Text
from gateway.masking import masked_attributes, masked_body
from gateway.trial import Made
from router.enrichment import NotKnown

if TYPE_CHECKING:
    from gateway.commands.client import Client

__all__ = ["record"]

_LETTER: Final = "dead-letter/"
_NAMES: Final = re.compile(r"[^a-z0-9]+")
_LACKS: Final = """\
# A route enriches from what this case does not know: write the records below `knows`, beside `send`, and
# expect the route's delivery in the place of `not_known`.
"""
_ENDINGS: Final = (
    (("UNA", "UNB", "ISA"), ".edi"),
    (("{", "["), ".json"),
    (("<",), ".xml"),
)


async def record(client: Client, which: str, bench: Bench, folder: Path) -> tuple[Path, str]:
    """(the file of the message, the case as YAML) of an event's position, or of ``dead-letter/7``.

    The file is written into ``cases/`` in ``folder``. Raises ConfigError, or GatewayError.
    """
    raw = _message(client, which)
    if raw.get("truncated") or "body" not in raw:
        raise ConfigError(
            f"the message of {which} is too large or no text, so the gateway does not show the whole of it: "
            "keep its file as cases/… and write the case by hand"
        )
    body, attributes = masked_body(raw["body"]), masked_attributes(raw.get("attributes") or {})
    adapter = raw["adapter"]
    if adapter == "api":
        raise ConfigError(f"{which} was posted to the gateway as an event: there is nothing to decode")
    if adapter not in bench.adapters:
        by = (
            "the hub itself"
            if adapter == "hub"
            else f"adapter {adapter!r}, which is not in this configuration"
        )
        raise ConfigError(f"{which} came from {by}: there is nothing that could take it in")
    events, deliveries, refused = await bench.trial(
        adapter, body.encode(), attributes, raw.get("content_type") or ""
    )
    name = f"{adapter} {which.replace('/', ' ')}"
    path = _kept(folder, name, body)
    sent: dict[str, Any] = {"adapter": adapter, "file": f"cases/{path.name}"}
    if attributes:
        sent["attributes"] = attributes
    expect: dict[str, Any] = {
        "events": [_event(event) for event in events],
        "deliveries": [_delivery(made) for made in deliveries],
    }
    if refused:
        expect["refused"] = [one.code for one in refused]
    case = {"name": name, "send": sent, "expect": expect}
    text = yaml.safe_dump({"tests": [case]}, sort_keys=False, allow_unicode=True, width=100)
    return path, (_LACKS if any(one.code == NotKnown.code for one in refused) else "") + text


def _event(event: Event) -> dict[str, Any]:
    """That of an interchange without its data, of which findings and counts may well change."""
    suffix = catalogue.get(event.type).suffix
    return {"type": suffix} if event.domain == "integration" else {"type": suffix, "contains": event.data}


def _delivery(made: Made) -> dict[str, Any]:
    """What is no JSON holds the moment at which it is written, so that only its route is expected."""
    if isinstance(made.value, Text) or "json" not in made.content_type:
        return {"route": made.route}
    return {"route": made.route, "contains": made.value}


def _message(client: Client, which: str) -> dict[str, Any]:
    """The raw message as the gateway shows it."""
    if which.startswith(_LETTER):
        shown: dict[str, Any] = client.get(f"/v1/dead-letters/{which.removeprefix(_LETTER)}")
        return shown
    if not (which.isascii() and which.isdigit()):
        raise ConfigError(f"--record {which}: write an event's position, or dead-letter/7")
    raw: dict[str, Any] | None = client.get(f"/v1/events/{which}/timeline")["raw"]
    if raw is None:
        raise ConfigError(f"the message of {which} is not here any more, or the key may not see it")
    return raw


def _kept(folder: Path, name: str, body: str) -> Path:
    start = body.lstrip("\ufeff \r\n")
    ending = next((ending for begins, ending in _ENDINGS if start.startswith(begins)), ".txt")
    path = folder / "cases" / f"{_NAMES.sub('-', name.lower()).strip('-')}{ending}"
    if path.exists():
        raise ConfigError(f"{path} is there already: was this message recorded before?", file=str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body.encode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}", file=str(path)) from error
    return path
