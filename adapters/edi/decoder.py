"""The decoder of both formats: a file of interchanges → canonical events, or why not. Stateless."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapters.edi.config import EdiOptions
from adapters.edi.dialect import Dialect
from adapters.edi.events import document_events, fault, interchange_event
from adapters.edi.judgement import Judge
from canonical.errors import Invalid
from canonical.event import Event
from canonical.ports import RawMessage
from canonical.spec import FormatContext

__all__ = ["EdiDecoder"]


class EdiDecoder:
    """Interchanges of one standard. Each is taken as a whole or not at all; the others of its file stand."""

    def __init__(self, options: EdiOptions, context: FormatContext, dialect: Dialect) -> None:
        self._context = context
        self._judge = Judge(dialect, options, context.timezone, context.plant)

    def decode(self, state: bytes | None, raw: RawMessage) -> tuple[bytes | None, Iterable[Event | Invalid]]:
        """For each interchange: that it came in; then its documents' events, or its fault."""
        return state, self._decoded(raw)

    def _decoded(self, raw: RawMessage) -> Iterator[Event | Invalid]:
        for judged in self._judge.judge(raw.body):
            event = interchange_event(judged, raw, self._context)
            if event is not None:
                yield event
            if judged.accepted:
                yield from document_events(judged, raw, self._context)
            else:
                yield fault(judged)
