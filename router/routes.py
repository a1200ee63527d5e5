"""A route, compiled: which events it wants, what it makes of them, and for whom. Pure.

Codes are translated before the condition is evaluated only where the condition reads one of them,
so that an event which the route does not want never parks for an unknown code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal

from msgspec import Struct, structs

from canonical import catalogue
from canonical.event import Event, to_json
from canonical.expression import ENRICHED_VARIABLES, Expression, FieldMap, Template, Values, bind
from canonical.ports import Delivery, Formatter
from canonical.selection import Selection
from config.mapping import Function
from config.packages import PACKAGE
from router.aggregating import Collected
from router.crosswalk import Crosswalk
from router.enrichment import Bare, Enrichment, Known, Question, enriched
from router.grouping import COMPLETED, Aggregation
from router.idempotency import idempotency_key
from router.journal import Header
from router.packages import factor
from router.paths import replace_at
from router.recoverability import Policy
from router.splitting import Parts, Splitting, part_key, together
from router.together import Batching

__all__ = ["AGGREGATED", "ANSWERED", "TEST", "Codes", "Route", "idempotency_key"]


TEST = "testindicator"
"""Extension of events that came in a test interchange (UNB 0035, ISA15 = T): shown, never delivered."""
ANSWERED = frozenset({catalogue.full_name("integration.interchange.received")})
"""What is delivered of a test all the same, so that its sender gets an answer."""


AGGREGATED = catalogue.full_name(COMPLETED)


class Codes(Struct, frozen=True, kw_only=True):
    """Whose codes stand in which fields (catalogue paths; their domain is the catalogue's).

    ``fields`` None: in every field that the catalogue knows to hold a code.
    """

    system: str
    fields: tuple[str, ...] | None = None

    def domains(self, event_type: str) -> list[tuple[str, str]]:
        """(path, domain) of the fields that the type has."""
        return _domains(self, event_type)


@cache
def _domains(codes: Codes, event_type: str) -> list[tuple[str, str]]:
    if codes.fields is None:
        return list(catalogue.code_fields(event_type))
    found = [(path, catalogue.code_domain(event_type, path)) for path in codes.fields]
    return [(path, domain) for path, domain in found if domain]


class Route(Struct, frozen=True, kw_only=True):
    """One compiled route.

    ``types`` are full CloudEvents types; ``plants`` empty means all. ``inbound`` gives the codes
    of a source's events by CloudEvents source. ``fields`` and ``function`` None send the data as it is,
    or with ``whole`` the event with its envelope. ``target`` holds the sink's options, text as templates.
    """

    name: str
    types: frozenset[str]
    plants: frozenset[str]
    to: str
    formatter: Formatter
    when: Expression | None = None
    inbound: Mapping[str, Codes] = {}
    outbound: Codes | None = None
    fields: FieldMap | None = None
    function: Function | None = None
    split: Splitting | None = None
    aggregate: Aggregation | None = None
    batch: Batching | None = None
    enrich: tuple[Enrichment, ...] = ()
    whole: bool = False
    target: Mapping[str, Any] = {}
    order: Literal["key", "none"] | None = None
    policy: Policy = Policy()
    owner: str = ""

    def wants(self, header: Header) -> bool:
        """Whether a bundle may hold something for it."""
        return any(
            not self.types.isdisjoint(types)
            for plant, types in header.counts.items()
            if not self.plants or plant in self.plants
        )

    def takes(self, event: Event) -> bool:
        """Type and plant; the condition comes later."""
        return event.type in self.types and (not self.plants or (event.plantid or "-") in self.plants)

    @property
    def selection(self) -> Selection | None:
        """What its condition selects by. None where it reads a code, which is translated first."""
        if self.aggregate is not None:  # its own groups come by, which the condition is not about
            return None
        found = self.when.selection if self.when is not None else None
        if found is None:
            return None
        for codes in self.inbound.values():
            fields = [field for kind in self.types for field, _ in codes.domains(kind)]
            if _touches(found.path, fields):
                return None
        return found

    def keeps_order(self, event_type: str) -> bool:
        """Whether deliveries of this type with one key keep their order."""
        return self.order == "key" if self.order else catalogue.get(event_type).ordered

    def key(self, event: Event) -> str:
        """Deliveries with one key keep their order; without an order each event is its own key."""
        ordered = self.keeps_order(event.type)
        return event.partitionkey or f"{event.source}#{event.id}" if ordered else f"{event.source}#{event.id}"

    def deliver(self, event: Event, crosswalk: Crosswalk, attempt: int = 1) -> Delivery | None:
        """What to send, or None when the condition excludes it, or it belongs to a test interchange.

        ``Bare`` on a route that enriches: ``complete`` makes of it what is sent. Raises Unresolved for an
        unknown code, another PermanentError when the mapping fails.
        """
        if event.extensions.get(TEST) and event.type not in ANSWERED:
            return None
        if self.aggregate is not None and event.type == AGGREGATED:
            return self._made(event, event, _bound(event), crosswalk, attempt) if self._own(event) else None
        translate = self._translator(event, crosswalk)
        seen = event
        values = _bound(seen)
        if self.when is not None and self._reads_codes(self.when, event):
            seen = translate(event, self.inbound.get(event.source), "canonical")
            values = _bound(seen)
        if self.when is not None and not self.when.holds(values):
            return None
        if seen is event:
            seen = translate(event, self.inbound.get(event.source), "canonical")
        outward = translate(seen, self.outbound, "code")
        if outward is not event:
            values = _bound(outward)
        if self.aggregate is not None:
            return Collected(
                event=event,
                payload=b"",
                content_type="",
                key=self.key(event),
                idempotency_key=idempotency_key(self.name, event),
                attempt=attempt,
                group=self.aggregate.group(outward, values),
                data=outward.data,
            )
        if self.enrich:
            return self._bare(event, seen, outward, attempt)
        if self.split is not None:
            return self._parts(event, outward, values, crosswalk, attempt)
        return self._made(event, outward, values, crosswalk, attempt)

    def complete(self, bare: Bare, known: Mapping[Question, Known | None], crosswalk: Crosswalk) -> Delivery:
        """The delivery, made with what the read models know.

        Raises NotKnown for what they do not know yet, and PermanentError like ``deliver``.
        """
        event, outward = bare.event, bare.outward
        found = enriched(self.enrich, bare.questions, known)
        if self.split is not None:
            parts = self._parts(event, outward, _bound(outward), crosswalk, bare.attempt, found)
            assert parts is not None  # else nothing bare was made of it
            made: Delivery = parts
        else:
            values = bind({"event": outward, "data": outward.data, "enrich": found}, ENRICHED_VARIABLES)
            made = self._made(event, outward, values, crosswalk, bare.attempt, found)
        return structs.replace(made, idempotency_key=bare.idempotency_key)  # which a replay may have changed

    def _bare(self, event: Event, seen: Event, outward: Event, attempt: int) -> Bare | None:
        """What to ask, by canonical codes; None when there is no element to deliver."""
        if self.split is not None and next(self.split.elements(outward, _bound(outward)), None) is None:
            return None
        values = _bound(seen)
        return Bare(
            event=event,
            payload=b"",
            content_type="",
            key=self.key(event),
            idempotency_key=idempotency_key(self.name, event),
            attempt=attempt,
            outward=outward,
            questions=tuple(each.question(event, values) for each in self.enrich),
        )

    def _own(self, event: Event) -> bool:
        """Whether it is one of its own groups that is complete."""
        return bool(event.data["route"] == self.name)

    def _made(
        self,
        event: Event,
        outward: Event,
        values: Values,
        crosswalk: Crosswalk,
        attempt: int,
        enrich: Mapping[str, Any] | None = None,
    ) -> Delivery:
        payload = to_json(outward) if self.whole else outward.data
        if self.fields is not None:
            payload = self.fields.apply(values, self._lookup(event, crosswalk))
        elif self.function is not None:
            extra = {} if enrich is None else {"enrich": enrich}
            payload = self.function.apply(outward, self._lookup(event, crosswalk), **extra)
        return Delivery(
            event=event,
            payload=self.formatter.format(payload),
            content_type=self.formatter.content_type,
            key=self.key(event),
            idempotency_key=idempotency_key(self.name, event),
            attempt=attempt,
            target={name: _expand(value, values) for name, value in self.target.items()},
        )

    def _parts(
        self,
        event: Event,
        outward: Event,
        values: Values,
        crosswalk: Crosswalk,
        attempt: int,
        enrich: Mapping[str, Any] | None = None,
    ) -> Parts | None:
        """A delivery per element, as one; None when there is no element."""
        assert self.split is not None
        own, lookup = idempotency_key(self.name, event), self._lookup(event, crosswalk)
        parts = []
        extra = {} if enrich is None else {"enrich": enrich}
        for number, item, seen in self.split.elements(outward, values, enrich):
            payload = item
            if self.fields is not None:
                payload = self.fields.apply(seen, lookup)
            elif self.function is not None:
                payload = self.function.apply(outward, lookup, item=item, number=number, **extra)
            parts.append(
                Delivery(
                    event=event,
                    payload=self.formatter.format(payload),
                    content_type=self.formatter.content_type,
                    key=self.key(event),
                    idempotency_key=part_key(own, number),
                    attempt=attempt,
                    target={name: _expand(value, seen) for name, value in self.target.items()},
                )
            )
        return together(parts, own) if parts else None

    def _reads_codes(self, expression: Expression, event: Event) -> bool:
        codes = self.inbound.get(event.source)
        if codes is None:
            return False
        fields = [field for field, _ in codes.domains(event.type)]
        return any(_touches(reference.path, fields) for reference in expression.references)

    def _translator(
        self, event: Event, crosswalk: Crosswalk
    ) -> Callable[[Event, Codes | None, Literal["canonical", "code"]], Event]:
        plant, at = event.plantid or "", event.time or event.recordedtime or datetime.now(UTC)

        def translate(source: Event, codes: Codes | None, way: Literal["canonical", "code"]) -> Event:
            if codes is None:
                return source
            data = source.data
            for path, domain in codes.domains(source.type):

                def one(value: str, place: str, domain: str = domain) -> str:
                    known = {
                        "domain": domain,
                        "system": codes.system,
                        "plant": plant,
                        "path": f"/data{place}",
                    }
                    if way == "canonical":
                        return crosswalk.canonical(value=value, at=at, **known)
                    return crosswalk.code(canonical=value, at=at, **known)

                data = replace_at(data, path, one)
            return structs.replace(source, data=data)

        return translate

    @staticmethod
    def _lookup(event: Event, crosswalk: Crosswalk) -> Callable[[str, str, str], str]:
        plant, at = event.plantid or "", event.time or event.recordedtime or datetime.now(UTC)

        def lookup(domain: str, system: str, value: str) -> str:
            if domain == PACKAGE:
                source, _, target = value.partition("/")
                return str(factor(crosswalk, system, source, target, plant=plant, at=at))
            return crosswalk.code(domain=domain, system=system, plant=plant, canonical=value, at=at)

        return lookup


def _touches(path: str, fields: Sequence[str]) -> bool:
    """Whether who reads a path sees one of these fields."""
    return any(
        path == field or field.startswith((f"{path}.", f"{path}[]")) or path == "event" for field in fields
    )


def _bound(event: Event) -> Values:
    """What expressions see of an event, converted once for all of them, if one needs that."""
    return bind({"event": event, "data": event.data})


def _expand(value: Any, values: Values) -> Any:
    if type(value) is str:
        return value
    if isinstance(value, Template):
        return value.expand(values)
    if isinstance(value, Mapping):
        return {name: _expand(entry, values) for name, entry in value.items()}
    return value
