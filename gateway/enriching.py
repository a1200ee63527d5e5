"""The read models that routes enrich from: the normalised services whose records have one key."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import apsw

from canonical.errors import TransientError, Unresolved
from canonical.times import rfc3339
from gateway.coding import Coding, Missing
from gateway.projections.services import questions
from gateway.projections.services.fold import NO_PLANT
from gateway.projections.services.projection import Services
from gateway.projections.services.questions import Found, Wanted
from gateway.projections.services.registry import SERVICES
from gateway.projections.services.service import Filter, Service
from router.enrichment import Known, Question

__all__ = ["LEFT_OUT", "Awaited", "ServiceModels", "Told", "keyed"]

LEFT_OUT: Final = ("unresolved", "sources", "links")
"""What the services answer beside a record's fields, and routes do not see."""
_AWAITED: Final = 10_000


def keyed() -> dict[str, Service]:
    """The services that can be asked for one thing by one key, by name."""
    return {service.name: service for service in SERVICES if _column(service)}


def _column(service: Service) -> str:
    """The column of the key; empty where the identity has several parts."""
    if len(service.identity) != 1:
        return ""
    columns = [name for name, path in service.columns.items() if path == service.identity[0].name]
    return columns[0] if columns else ""


class ServiceModels:
    """Implements ``router.enrichment.ReadModels`` over the services' file."""

    def __init__(
        self, services: Services, coding: Callable[[], Coding], clock: Callable[[], datetime]
    ) -> None:
        """``coding``: the crosswalks of the moment."""
        self._services, self._coding, self._clock = services, coding, clock
        self._keyed = keyed()

    async def find(self, questions: Iterable[Question]) -> Mapping[Question, Known | None]:
        """See ``ReadModels``."""
        wanted, coding, now = list(questions), self._coding(), self._clock().timestamp()

        def work(connection: apsw.Connection) -> dict[Question, Known | None]:
            return {one: self._answer(connection, one, coding, now) for one in wanted}

        await self._services.caught_up()
        try:
            return await self._services.read(work)
        except apsw.Error as error:
            raise TransientError(f"the services' file cannot be read: {error}", code="storage") from error

    def _answer(
        self, connection: apsw.Connection, question: Question, coding: Coding, now: float
    ) -> Known | None:
        """The plant's own record, else the one that belongs to no plant."""
        service = self._keyed[question.service]
        part = service.identity[0]
        codes = coding.codes(part.domain, question.key) if part.domain else frozenset[str]()
        key = Filter(name="key", kind="code" if part.domain else "text", about="", column=_column(service))
        found = questions.candidates(
            connection,
            service,
            [Wanted(filter=key, value=question.key, codes=codes)],
            plants=frozenset({question.plant or NO_PLANT, NO_PLANT}),
            after="",
            now=now,
        )
        known = [(one.plant == NO_PLANT, _known(service, one, coding, now)) for one in found]
        if part.domain:  # a code means what its own source, at its own time, meant by it
            known = [each for each in known if each[1].fields.get(part.name) == question.key]
        own = [each for common, each in known if not common] or [each for _, each in known]
        return _together(own) if own else None


def _together(found: Sequence[Known]) -> Known:
    """One record of all: sources may call a thing by codes of their own. The newer ones come first."""
    ordered = sorted(found, key=lambda each: int(each.fields["position"]))
    return Known(
        fields={name: value for each in ordered for name, value in each.fields.items()},
        unresolved=tuple(row for each in ordered for row in each.unresolved),
    )


def _known(service: Service, found: Found, coding: Coding, now: float) -> Known:
    values, missing = coding.shown(found.cells, found.origins)
    if found.plant != NO_PLANT:
        values["plant"] = found.plant
    if service.late:
        passed = found.due is not None and found.due < now
        values["late"] = found.open and (found.delayed or passed)
    values["position"] = found.position
    values["changed_at"] = rfc3339(datetime.fromtimestamp(found.changed_at, UTC))
    return Known(
        fields={name: value for name, value in values.items() if value is not None},
        unresolved=tuple((each.pointer.split("/")[1], _row(each)) for each in missing),
    )


def _row(missing: Missing) -> Unresolved:
    return Unresolved(
        domain=missing.domain,
        system=missing.system,
        value=missing.value,
        plant=missing.plant or "",
    )


class Awaited:
    """Which lanes wait for which documents, so that they need not wait for their next look.

    It is in memory, and bounded: what it does not know, the next look finds.
    """

    def __init__(self, hurry: Callable[[str, str], None]) -> None:
        """``hurry`` (route, key): has a lane tried now."""
        self._hurry = hurry
        self._lanes: dict[tuple[str, str], set[tuple[str, str]]] = {}

    def waits(self, route: str, question: Question, key: str) -> None:
        """Notes that the lane of this key waits for a document."""
        document = question.service, question.key
        self._lanes.setdefault(document, set()).add((route, key))
        if len(self._lanes) > _AWAITED:
            del self._lanes[next(iter(self._lanes))]

    def told(self, touched: Collection[tuple[str, str]]) -> None:
        """Something was said of these documents: (service, number)."""
        for document in self._lanes.keys() & touched if self._lanes else ():
            for route, key in self._lanes.pop(document):
                self._hurry(route, key)


class Told:
    """Implements ``router.enrichment.ReadModels`` with what a test says that they know."""

    def __init__(self, knows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        self._knows = knows

    async def find(self, questions: Iterable[Question]) -> Mapping[Question, Known | None]:
        """See ``ReadModels``."""
        return {one: self._answer(one) for one in questions}

    def _answer(self, question: Question) -> Known | None:
        record = self._knows.get(question.service, {}).get(question.key)
        if record is None or record.get("plant") not in (None, question.plant):
            return None
        return Known(fields={name: value for name, value in record.items() if value is not None})
