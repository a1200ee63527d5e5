"""From a record to canonical events, by rules, the same way for every format that reads records.

A record is what a format finds in a message: a JSON value, a row, an element. Formats that read records
have ``events: list[EventRule]`` among their options and hand each record to a ``RecordMapping``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from canonical import catalogue
from canonical.attributes import Fault, attribute_text
from canonical.direct import Direct, direct
from canonical.errors import ConfigError, Invalid
from canonical.event import Event
from canonical.expression import (
    MESSAGE_VARIABLES,
    Expression,
    ExpressionError,
    Values,
    bind,
    compile_expression,
    plain,
)
from canonical.fields import compiled, evaluated, only, reads, reads_variable, union
from canonical.plan import plan
from canonical.ports import RawMessage
from canonical.rulecheck import Finding, check, place
from canonical.rules import EventRule
from canonical.shapes import Shape, Times, fitted, shape_of
from canonical.shortcut import UNKNOWN
from canonical.spec import FormatContext
from canonical.times import read_time, rfc3339

__all__ = ["EventRule", "Finding", "RecordMapping", "check", "message_of", "place"]

_PAYLOAD: Final = "payload"
_TEXTS: Final = ("id", "subject", "plant", "correlationid")
_NEVER_NULL: Final = frozenset({"id", "subject", "plant"})
_ATTRIBUTES: Final = {"plant": "plantid"}


def message_of(raw: RawMessage) -> dict[str, Any]:
    """What expressions see as ``message``: the transport's attributes, the content type, and when it came."""
    return {**raw.attributes, "content_type": raw.content_type, "received_at": rfc3339(raw.received_at)}


def _nothing_of(raw: RawMessage) -> dict[str, Any]:
    """For rules that read nothing of the message."""
    return {}


class RecordMapping:
    """The rules of one adapter, compiled. Stateless, and safe from any thread."""

    def __init__(self, rules: Sequence[EventRule], context: FormatContext) -> None:
        """Raises ConfigError with everything that ``check`` finds; ``key`` is the place of the first."""
        findings = check(rules)
        if findings:
            text = "; ".join(f"{place(finding.path)}: {finding.message}" for finding in findings)
            raise ConfigError(text, key=place(findings[0].path))
        self._rules = [_Rule(place((index,)), rule, context) for index, rule in enumerate(rules)]
        self._reads = union(rule.reads for rule in self._rules)
        self._message = message_of if any(rule.reads_message for rule in self._rules) else _nothing_of

    def direct(self, *, max_depth: int, max_bytes: int) -> Direct | None:
        """How JSON documents become events without a JSON value in between, where the rules allow that."""
        return self._rules[0].direct(max_depth, max_bytes) if self._rules else None

    def _narrowed(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**values, _PAYLOAD: only(values[_PAYLOAD], self._reads)}

    def apply(self, record: Any, raw: RawMessage, *, number: int | None = None) -> Iterator[Event | Invalid]:
        """The events of one record, in order, or what is wrong with it; nothing if a rule ignores it.

        ``number`` tells the records of one message apart (a line, a row): it becomes part of the ids that
        no rule gives. ``record`` is a JSON value of bounded depth.
        """
        message = self._message(raw)
        try:
            values = bind({_PAYLOAD: record, "message": message}, MESSAGE_VARIABLES, self._narrowed)
            rule = next((rule for rule in self._rules if rule.holds(values)), None)
        except ExpressionError as error:
            yield Invalid(error.message, code="mapping", errors=[("", error.message)])
            return
        if rule is None:
            yield Invalid("no rule matches the record", code="no_rule", errors=[("", "no rule matches")])
            return
        identity = raw.id if number is None else f"{raw.id}-{number}"
        yield from rule.events(record, message, values, raw, identity)


class _Rule:
    """One rule, compiled."""

    def __init__(self, where: str, rule: EventRule, context: FormatContext) -> None:
        self.place = where
        self._context, self._ignore, self._suffix = context, rule.ignore, rule.type or ""
        self._when, self._each = _compiled(rule.when), _compiled(rule.each)
        texts = {name: _compiled(getattr(rule, name)) for name in _TEXTS}
        self._texts = [(name, node) for name, node in texts.items() if node is not None]
        self._time, self._data = _compiled(rule.time), compiled(rule.data)
        self._times = Times(rule.time_format, context.timezone)
        self._shape = shape_of(rule.type) if rule.type else Shape(kind="other")
        nodes = [self._when, self._each, *texts.values(), self._time, self._data]
        self.reads_message = reads_variable("message", nodes)
        self._plan = plan(self._data, self._shape, self._times)
        self._type = catalogue.full_name(self._suffix) if rule.type else ""
        self._domain = catalogue.get(self._suffix).domain if rule.type else None
        self._item_reads = reads([*texts.values(), self._time, self._data])
        self.reads = union([reads([self._when, self._each]), set() if rule.each else self._item_reads])

    def direct(self, max_depth: int, max_bytes: int) -> Direct | None:
        """See ``RecordMapping.direct``: the rule always holds, and every document is one event."""
        attributes = dict(self._texts) | ({"time": self._time} if self._time else {})
        if self._when or self._each or self._ignore or self._times.format != "rfc3339":
            return None
        if not isinstance(self._data, dict):
            return None
        return direct(
            self._suffix,
            self._data,
            self._shape,
            self._context,
            attributes,
            max_depth=max_depth,
            max_bytes=max_bytes,
        )

    def holds(self, values: Values) -> bool:
        """Whether the rule is the one for a record. Raises ExpressionError."""
        try:
            return self._when is None or self._when.holds(values)
        except ExpressionError as error:
            raise error.at(f"{self.place}.when: ") from error

    def events(
        self, record: Any, message: dict[str, Any], values: Values, raw: RawMessage, identity: str
    ) -> Iterator[Event | Invalid]:
        """The events of a record that the rule holds for."""
        if self._ignore:
            return
        if self._each is None:
            yield self._event(values, raw, identity)
            return
        try:
            items = self._each.evaluate(values)
        except ExpressionError as error:
            yield self.invalid([("", f"each: {error.message}")])
            return
        if not isinstance(items, list):
            yield self.invalid([("", f"each: must give a list, not {items!r:.60}")])
            return
        payload = only(record, self._item_reads)
        for at, item in enumerate(items, start=1):
            try:
                bound = bind({_PAYLOAD: payload, "message": message, "item": item}, MESSAGE_VARIABLES)
            except ExpressionError as error:
                yield self.invalid([("", error.message)], f", item {at}")
                continue
            yield self._event(bound, raw, f"{identity}-{at}", f", item {at}")

    def _event(self, values: Values, raw: RawMessage, identity: str, item: str = "") -> Event | Invalid:
        faults: list[Fault] = []
        texts = {name: self._text(name, node, values, faults) for name, node in self._texts}
        moment = self._moment(self._time, values, faults) if self._time else raw.received_at
        data = self._mapped(values, faults)
        subject = texts.get("subject") or self._subject(data, faults)
        plant = self._plant(texts.get("plant"), faults)
        faults += _violations(self._suffix, data, faults)
        key = None if faults else self._key(data, plant, subject, faults)
        if faults:
            return self.invalid(faults, item)
        return Event(
            id=texts.get("id") or identity,
            source=self._context.source,
            type=self._type,
            time=moment,
            subject=subject,
            plantid=plant,
            domain=self._domain,
            partitionkey=key,
            correlationid=texts.get("correlationid"),
            recordedtime=raw.received_at,
            srcmsgid=raw.id,
            data=data,
        )

    def _mapped(self, values: Values, faults: list[Fault]) -> Any:
        """The data in the catalogue's form; what fails in them is told in ``faults``."""
        if self._plan is not None:
            data = self._plan(plain(values))
            if data is not UNKNOWN:
                return data
        mapped = evaluated(self._data, self._shape, "/data", values, faults)
        return fitted(self._shape, mapped, "/data", self._times, faults)

    def _text(self, name: str, node: Expression, values: Values, faults: list[Fault]) -> str | None:
        """The text of an attribute; a whole number is one, too."""
        try:
            value = node.evaluate(values)
            if value is None and name not in _NEVER_NULL:
                return None
            whole = isinstance(value, int) and not isinstance(value, bool)
            return attribute_text(str(value) if whole else value)
        except (ExpressionError, ValueError) as error:
            detail = error.message if isinstance(error, ExpressionError) else f"{node.source!r} {error}"
            faults.append((f"/{_ATTRIBUTES.get(name, name)}", detail))
            return None

    def _subject(self, data: Any, faults: list[Fault]) -> str | None:
        """What the data say that the event is about."""
        subject = catalogue.default_subject(self._suffix, data)
        try:
            return subject and attribute_text(subject)
        except ValueError as error:
            faults.append(("/subject", str(error)))
            return None

    def _moment(self, node: Expression, values: Values, faults: list[Fault]) -> datetime | None:
        try:
            return read_time(node.evaluate(values), self._times.format, self._times.zone)
        except ExpressionError as error:
            faults.append(("/time", error.message))
        except ValueError as error:
            faults.append(("/time", str(error)))
        return None

    def _plant(self, told: str | None, faults: list[Fault]) -> str | None:
        """The plant of the adapter, which no record can change, or else the one that the record tells."""
        plant = self._context.plant
        if plant and told and told != plant:
            faults.append(("/plantid", f"the record is of plant {told!r}, the adapter belongs to {plant!r}"))
        return plant or told

    def _key(self, data: Any, plant: str | None, subject: str | None, faults: list[Fault]) -> str | None:
        try:
            return catalogue.partition_key(self._suffix, data, plant, subject)
        except ValueError as error:
            faults.append(("/subject", str(error)))
            return None

    def invalid(self, faults: Sequence[Fault], item: str = "") -> Invalid:
        """The error with all faults; its text tells the first."""
        (where, detail), more = faults[0], len(faults) - 1
        rest = f", and {more} more" if more else ""
        return Invalid(
            f"{self.place}{item}: {f'{where}: ' if where else ''}{detail}{rest}",
            code="mapping",
            context={"rule": self.place},
            errors=faults,
        )


def _compiled(source: str | None) -> Expression | None:
    return None if source is None else compile_expression(source, MESSAGE_VARIABLES)


def _violations(suffix: str, data: Any, faults: list[Fault]) -> list[Fault]:
    """What the catalogue refuses, but for what is told already."""
    found = catalogue.validate(suffix, data)
    if not found:
        return []
    told = {where for where, _ in faults}
    return [(fault.pointer, fault.detail) for fault in found if fault.pointer not in told]
