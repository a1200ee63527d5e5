"""One page of a polled resource: its elements with their ids, the next page, the cursor; pure."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct
from yarl import URL

from adapters.rest.config import ANSWER_VARIABLES, ITEM_VARIABLES, PollConfig
from canonical.errors import Invalid
from canonical.expression import Expression, ExpressionError, compile_expression
from canonical.jsontext import read_json

__all__ = ["Element", "Page", "digest", "next_page", "read_page"]

_LONGEST_ID = 255
_PLAIN_PATH = re.compile(r"payload(\.[A-Za-z_]\w*)*")


class Element(Struct, frozen=True):
    """One message of a page: its bytes and its id, the same whenever it comes again."""

    body: bytes
    id: str


class Page(Struct, frozen=True, kw_only=True):
    """``next``: what the configured expression gives, not resolved. ``cursor``: None leaves it as it was.

    ``faults``: what of ``id`` and ``cursor.from`` could not be evaluated; nothing is missing for it.
    """

    elements: Sequence[Element]
    next: str | None = None
    cursor: str | None = None
    faults: Sequence[str] = ()


def digest(content: bytes) -> str:
    """A short hash, for identity, not for security."""
    return blake2b(content, digest_size=16).hexdigest()


def read_page(settings: PollConfig, body: bytes) -> Page:
    """The page in ``body``. Raises Invalid or ExpressionError when it is not what the options describe."""
    if settings.items is None and settings.next is None and settings.cursor is None:
        return Page(elements=_whole(body))
    payload = _payload(body) if body.strip() else None
    if settings.items is None:
        values, elements, faults = [payload], _whole(body), set[str]()
    else:
        values = [] if payload is None else _list(settings.items, payload)
        bodies = _bodies(settings.items, body, values)
        ids, faults = _ids(settings.id, values, payload)
        elements = [Element(part, id) for part, id in zip(bodies, ids, strict=True)]
    cursor = _cursor(settings, values, payload, faults)
    return Page(elements=elements, next=_next(settings, payload), cursor=cursor, faults=sorted(faults))


def _payload(body: bytes) -> Any:
    """The JSON of a page; what is wrong with one element's text is left to its decoder."""
    return read_json(body, max_bytes=len(body), exact=True, nul=True)


def _whole(body: bytes) -> list[Element]:
    return [Element(body, digest(body))] if body.strip() else []


def _list(items: str, payload: Any) -> list[Any]:
    """A plain path is walked, so that one element that CEL cannot keep does not hold up its page."""
    if _PLAIN_PATH.fullmatch(items):
        found = _at(items, payload, missing=Invalid(f"items: there is no {items}", code="items"))
    else:
        found = compile_expression(items, ANSWER_VARIABLES).evaluate({"payload": payload})
    if found is None:
        return []
    if not isinstance(found, list):
        raise Invalid(f"items: {items!r} gave no list but {type(found).__name__}", code="items")
    return found


def _at(path: str, payload: Any, *, missing: Invalid | None) -> Any:
    """What a plain path leads to. Raises ``missing``, if any, when it leads nowhere; else gives None."""
    for name in path.split(".")[1:]:
        if not (isinstance(payload, dict) and name in payload):
            if missing:
                raise missing
            return None
        payload = payload[name]
    return payload


def _bodies(items: str, body: bytes, values: list[Any]) -> list[bytes]:
    """The elements' own bytes when ``items`` is a plain path; else, written again."""
    if not _PLAIN_PATH.fullmatch(items):
        return [msgspec.json.encode(value) for value in values]
    if not values:
        return []
    body = body.removeprefix(codecs.BOM_UTF8)
    for name in items.split(".")[1:]:
        body = bytes(msgspec.json.decode(body, type=dict[str, msgspec.Raw])[name])
    return [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])]


def _ids(expression: str | None, values: list[Any], payload: Any) -> tuple[list[str], set[str]]:
    faults: set[str] = set()
    if expression is None:
        return [_content_id(value) for value in values], faults
    compiled = compile_expression(expression, ITEM_VARIABLES)
    shared = payload if _reads(compiled, "payload") else None  # binding a large page each time would be slow
    ids = []
    for value in values:
        try:
            id = _text(compiled.evaluate({"item": value, "payload": shared}))
        except ExpressionError as error:
            faults.add(f"id: {error.message}")
            id = None
        ids.append(_bounded(id) if id else _content_id(value))
    return ids, faults


def _content_id(value: Any) -> str:
    return digest(msgspec.json.encode(value, order="deterministic"))


def _bounded(id: str) -> str:
    return id if len(id) <= _LONGEST_ID else digest(id.encode())


def _reads(expression: Expression, variable: str) -> bool:
    return any(re.split(r"[.\[]", found.path)[0] == variable for found in expression.references)


def _text(value: Any) -> str | None:
    """The text of an id, a cursor or a URL; None for what is none of them."""
    match value:
        case None | "":
            return None
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return str(value)
        case _:
            raise ExpressionError(f"gave {type(value).__name__}, not text or a number", source="")


def _cursor(settings: PollConfig, values: list[Any], payload: Any, faults: set[str]) -> str | None:
    if settings.cursor is None or payload is None:
        return None
    compiled = compile_expression(settings.cursor.from_, ITEM_VARIABLES)
    if not values and _reads(compiled, "item"):
        return None
    shared = payload if _reads(compiled, "payload") else None
    try:
        return _text(compiled.evaluate({"item": values[-1] if values else None, "payload": shared}))
    except ExpressionError as error:
        faults.add(f"cursor: {error.message}")
        return None


def _next(settings: PollConfig, payload: Any) -> str | None:
    """A plain path that is missing ends the pages: many servers leave it out on the last one."""
    if settings.next is None or payload is None:
        return None
    if not _PLAIN_PATH.fullmatch(settings.next):
        return _text(compile_expression(settings.next, ANSWER_VARIABLES).evaluate({"payload": payload}))
    return _text(_at(settings.next, payload, missing=None))


def next_page(current: URL, link: str) -> URL:
    """Where to go on reading, always at the host of ``current``, by its scheme and port.

    (Servers behind a proxy that ends TLS often write http into their links.) Raises Invalid when
    the link names another host: our credentials are not for it.
    """
    try:
        found = current.join(URL(link))
    except ValueError as error:
        raise Invalid(f"the link to the next page is no URL: {link[:200]!r}", code="next") from error
    if found.host != current.host or found.scheme not in {"http", "https"}:
        raise Invalid(f"the next page is on another host ({found.host}); it is not followed", code="next")
    return current.join(found.relative())
