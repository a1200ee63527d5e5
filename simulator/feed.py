"""What a system offers to whoever polls it: records in order, each offered again until they ask for more."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import ClientConnectionResetError, web

from simulator.ledger import Fact, Ledger

__all__ = ["Feed"]

_PAGE: Final = 100


class Feed:
    """``GET …?since=N&limit=M`` answers ``{member: […], "next": "N"}``, oldest first.

    ``since`` is the ``next`` of the answer before, empty at first. A record is safe once it was offered.
    Records are counted from ``first``, those of an earlier company, which are gone.
    """

    def __init__(self, ledger: Ledger, member: str = "items", *, first: int = 0) -> None:
        self._ledger, self._member, self._first = ledger, member, first
        self._records: list[dict[str, Any]] = []
        self._facts: list[Fact] = []
        self._offered = 0

    def __len__(self) -> int:
        return self._first + len(self._records)

    def offer(self, record: dict[str, Any], fact: Fact) -> None:
        """From now on whoever asks gets the record, with its number ``seq``."""
        self._ledger.record_sent(fact)
        self._records.append({"seq": len(self) + 1, **record})
        self._facts.append(fact)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The page that the request asks for; what it holds is safe when it is written."""
        try:
            since = max(int(request.query.get("since") or "0"), 0)
            limit = min(max(int(request.query.get("limit") or _PAGE), 1), _PAGE)
        except ValueError:
            return web.json_response({"title": "since and limit are numbers"}, status=400)
        begin = max(since - self._first, 0)
        page = self._records[begin : begin + limit]
        end = begin + len(page)
        response = web.json_response({self._member: page, "next": str(self._first + end if page else since)})
        try:
            await response.prepare(request)
            await response.write_eof()
        except ClientConnectionResetError:
            return response  # who asked is gone, and asks again
        self._book(end)
        return response

    def _book(self, until: int) -> None:
        for fact in self._facts[self._offered : until]:
            self._ledger.record_safe(fact)
        self._offered = max(self._offered, until)
