"""A business system over HTTP (ERP, WMS, QMS …): keeps what it gets, offers feeds, fails when it is told to.

- ``POST /api/{kind}`` with ``Authorization: Bearer …`` and ``Idempotency-Key`` makes a document and
  answers 201 with its number. The same key with the same body gets the same answer and is counted as
  ``repeated``; with another body it gets 422 and is counted as ``unexpected``.
- ``GET /api/documents?idempotency_key=…`` says whether an earlier request arrived: 200 with the same
  answer, or 404.
- ``GET /api/{feed}`` gives what it has to say to whoever polls it (``feed.Feed``).
- ``POST /_control`` tells it to fail (``failure.Failure``); ``GET /_documents`` shows what it has.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from simulator.failure import Failure, Failures
from simulator.feed import Feed
from simulator.serving import Service

__all__ = ["BusinessSystem", "Received"]

REFERENCE = "reference"
"""The field by which the simulator recognises a document's fact; every document should have it."""
_BODY_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A document that the system has for good."""

    number: str
    kind: str
    idempotency_key: str
    body: dict[str, Any]

    def answer(self) -> dict[str, str]:
        """What the sender is told, every time."""
        return {"number": self.number, "kind": self.kind, "idempotency_key": self.idempotency_key}


class _Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class BusinessSystem:
    """One system with its own port and token. Document numbers count up from ``first_number``;
    ``on_document`` is told of each new document."""

    def __init__(
        self,
        name: str,
        *,
        token: str,
        first_number: int,
        feeds: Mapping[str, Feed] | None = None,
    ) -> None:
        self.name = name
        self.on_document: Callable[[Received], None] = lambda _received: None
        self._feeds = feeds or {}
        self.counts: Counter[str] = Counter()
        self.failures = Failures()
        self._token = token
        self._next_number = first_number
        self._documents: dict[str, Received] = {}
        self._never = asyncio.Event()
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.add_routes(
            [
                web.post("/api/{kind}", self._create),
                web.get("/api/documents", self._lookup),
                *(web.get(f"/api/{feed}", self._feed) for feed in self._feeds),
                web.post("/_control", self._control),
                web.get("/_documents", self._show),
            ]
        )
        self.service = Service(app)

    async def open(self) -> None:
        """Listens."""
        await self.service.open()

    async def close(self) -> None:
        """Answers what hangs in a ``timeout`` by hanging up, then stops listening."""
        self._never.set()
        await self.service.close()

    @property
    def documents(self) -> list[Received]:
        """What it has, in the order of arrival."""
        return list(self._documents.values())

    def references(self) -> set[tuple[str, str]]:
        """Pairs of (kind, reference) of what it has."""
        return {(one.kind, str(one.body.get(REFERENCE))) for one in self._documents.values()}

    def report(self) -> dict[str, int]:
        """Counts for the ledger; ``doubled`` are documents of one reference under several keys."""
        return {
            "documents": len(self._documents),
            "doubled": len(self._documents) - len(self.references()),
            "repeated": self.counts["repeated"],
            "unexpected": self.counts["unexpected"],
            "refused": self.counts["refused"],
            "failed": self.counts["failed"],
        }

    # ── HTTP ────────────────────────────────────────────────────────────────────────────────────

    async def _create(self, request: web.Request) -> web.StreamResponse:
        try:
            self._authorise(request)
            await self._fail(self.failures.of_all(), before=True)
            key, body = await self._read(request)
            failures = [*self.failures.of(body), *self.failures.of_all()]
            await self._fail(failures, before=True)
            response = self._post(request.match_info["kind"], key, body)
            await self._fail(failures, before=False)
        except _Refused as refused:
            return self._problem(refused)
        return response

    async def _lookup(self, request: web.Request) -> web.StreamResponse:
        try:
            self._authorise(request)
            await self._fail(self.failures.of_all(), before=True)
        except _Refused as refused:
            return self._problem(refused)
        self.counts["lookups"] += 1
        found = self._documents.get(request.query.get("idempotency_key", ""))
        if found is None:
            return web.json_response({"title": "no such document"}, status=404)
        return web.json_response(found.answer())

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        try:
            self._authorise(request)
            await self._fail(self.failures.of_all(), before=True)
        except _Refused as refused:
            return self._problem(refused)
        return await self._feeds[request.path.rpartition("/")[2]].answer(request)

    async def _control(self, request: web.Request) -> web.StreamResponse:
        try:
            self.failures.tell(await request.json())
        except (ValueError, TypeError, AttributeError) as error:
            return web.json_response({"title": str(error)}, status=400)
        return web.json_response({"ok": True})

    async def _show(self, request: web.Request) -> web.StreamResponse:
        limit = int(request.query.get("limit", "1000"))
        newest = self.documents[-limit:]
        shown = [{**one.answer(), "body": one.body} for one in newest]
        return web.json_response({**self.report(), "items": shown})

    # ── what a request does ─────────────────────────────────────────────────────────────────────

    def _authorise(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise _Refused(401, "the bearer token is missing or wrong")

    async def _read(self, request: web.Request) -> tuple[str, dict[str, Any]]:
        key = request.headers.get("Idempotency-Key", "")
        if not key:
            raise _Refused(400, "the Idempotency-Key header is missing")
        try:
            body = json.loads(await request.read())
        except (ValueError, RecursionError) as error:
            raise _Refused(400, f"the body is no JSON: {error}") from error
        if not isinstance(body, dict):
            raise _Refused(422, "the body must be an object")
        return key, body

    async def _fail(self, failures: list[Failure], *, before: bool) -> None:
        """Fails as told, ``before`` the document is posted or after."""
        for one in failures:
            if before and one.mode == "slow":
                await asyncio.sleep(one.delay_s)
            elif before and one.status:
                raise _Refused(one.status, one.text)
            elif not before and one.mode == "timeout":
                await self._never.wait()
                raise _Refused(503, "the system stops")

    def _post(self, kind: str, key: str, body: dict[str, Any]) -> web.StreamResponse:
        known = self._documents.get(key)
        if known is None:
            known = Received(number=str(self._next_number), kind=kind, idempotency_key=key, body=body)
            self._next_number += 1
            self._documents[key] = known
            self.on_document(known)
        elif known.body == body and known.kind == kind:
            self.counts["repeated"] += 1
        else:
            self.counts["unexpected"] += 1
            raise _Refused(422, "the Idempotency-Key was used for another document")
        return web.json_response(known.answer(), status=201)

    def _problem(self, refused: _Refused) -> web.StreamResponse:
        self.counts["refused" if refused.status < 500 else "failed"] += 1
        body = {"title": refused.text, "status": refused.status}
        return web.json_response(body, status=refused.status, content_type="application/problem+json")
