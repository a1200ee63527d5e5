"""The rules by which formats make events: what is wrong with them, and which types they make."""

from __future__ import annotations

from collections.abc import Iterator

from canonical import catalogue
from canonical.record import EventRule, check
from config.adapter import AdapterConfig, FormatConfig
from config.cel import expression_place, in_words
from config.document import spell
from config.findings import Finding
from config.view import View

__all__ = ["emitted", "rule_findings", "written_rules"]


def rule_findings(view: View, name: str, settings: FormatConfig) -> Iterator[Finding]:
    """What is wrong with the rules of an adapter's format, each at its place in the file."""
    for key, rules in _rules(settings).items():
        for found in check(rules):
            path = ("adapters", name, "format", key, *found.path)
            node = view.root.find(*path)
            text = node is not None and isinstance(node.value, str)
            place = expression_place(node, found.line, found.column) if node and text else view.place(*path)
            yield place.finding(f"{spell(path)}: {in_words(found.message)}")


def emitted(adapter: AdapterConfig) -> set[str] | None:
    """The suffixes of the event types that an adapter makes: by its rules, else as its format, or its kind,
    says of itself; None when nobody tells."""
    rules = written_rules(adapter)
    made = [rule.type for rule in rules if rule.type] if rules else list(_declared(adapter))
    try:
        return {catalogue.get(name).suffix for name in made} if made else None
    except catalogue.UnknownType:
        return None


def written_rules(adapter: AdapterConfig) -> list[EventRule]:
    """The rules by which an adapter's format makes events; none when it knows by itself."""
    return [rule for each in _rules(adapter.format).values() for rule in each] if adapter.format else []


def _declared(adapter: AdapterConfig) -> tuple[str, ...]:
    return adapter.format.spec.emits if adapter.format else adapter.spec.emits


def _rules(settings: FormatConfig) -> dict[str, list[EventRule]]:
    """The lists of rules among a format's options, by their keys."""
    found = {}
    for key in type(settings.options).model_fields:
        value = getattr(settings.options, key)
        if isinstance(value, list | tuple) and value and all(isinstance(rule, EventRule) for rule in value):
            found[key] = list(value)
    return found
