"""Adapters: where they belong, how their messages are read, and whether anything uses them."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from canonical import catalogue
from canonical.errors import CrossplantError
from canonical.expression import ExpressionError
from canonical.spec import FormatContext
from config.adapter import AdapterConfig
from config.cel import in_words
from config.document import spell
from config.findings import Finding
from config.route_check import code_findings, target_path
from config.rule_check import rule_findings
from config.view import View

__all__ = ["adapter_findings"]


def adapter_findings(view: View) -> Iterator[Finding]:
    """Everything about the adapters."""
    for name in view.names("adapters"):
        yield from view.known("plants", "adapters", name, "plant")
        yield from view.known("partners", "adapters", name, "partner")
    for name, adapter in view.deployment.adapters.items():
        path = ("adapters", name)
        if adapter.codes:
            yield from code_findings(view, adapter.codes, catalogue.all_types(), *path, "codes")
        yield from _format(view, name, adapter)
        yield from _used(view, name, adapter)
        yield from _risks(view, name, adapter)


def _format(view: View, name: str, adapter: AdapterConfig) -> Iterator[Finding]:
    path = ("adapters", name, "format")
    if adapter.format is None:
        return
    wrong = ""
    if adapter.spec.source is None:
        wrong = f"adapters of kind {adapter.kind!r} take no messages in; leave `format` out"
    elif adapter.spec.decoder is not None:
        wrong = f"adapters of kind {adapter.kind!r} read their messages themselves; leave `format` out"
    elif adapter.format.spec.decoder is None:
        wrong = f"{adapter.format.kind!r} can be written only, not read"
    elif getattr(adapter.options, "receives", True) is False:
        wrong = "as it is set, this adapter takes no messages in; leave `format` out"
    if wrong:
        yield view.place(*path).finding(f"adapters.{name}.format: {wrong}")
        return
    wrong_rules = list(rule_findings(view, name, adapter.format))
    yield from wrong_rules or _decoder(view, name, adapter)


def _decoder(view: View, name: str, adapter: AdapterConfig) -> Iterator[Finding]:
    """What the format itself says of its options, told by building its decoder."""
    assert adapter.format is not None
    context = FormatContext(
        adapter=name,
        source=view.deployment.event_source(name),
        plant=adapter.plant,
        partner=adapter.partner,
        timezone=ZoneInfo("UTC"),
    )
    build = adapter.format.spec.decoder
    try:
        _ = build(adapter.format.options, context) if build else None
    except (CrossplantError, ValueError) as error:
        text = in_words(error.message if isinstance(error, CrossplantError) else str(error))
        if isinstance(error, ExpressionError):
            text = f"{text} (in {error.source!r})"
        yield view.place("adapters", name, "format").finding(f"adapters.{name}.format: {text}")


def _used(view: View, name: str, adapter: AdapterConfig) -> Iterator[Finding]:
    """Whether anything comes in or goes out through it, and whether what comes in can be read."""
    delivers = name in _targets(view)
    takes = getattr(adapter.options, "receives", None)
    unread = adapter.spec.source is not None and adapter.format is None and adapter.spec.decoder is None
    if unread and (takes or (takes is None and not delivers)):
        yield view.place("adapters", name).finding(
            f"adapters.{name}: 'format' is missing: it says how the messages that come in are read"
        )
    elif not delivers and not adapter.receives:
        yield view.place("adapters", name).finding(
            f"adapters.{name}: takes no messages in, and no route delivers to it", warning=True
        )


def _targets(view: View) -> list[str]:
    """The adapters that routes deliver to; all of them while a route names one that is not there."""
    names = view.names("adapters")
    targets = [view.root.find(*target_path(view, route)) for route in view.names("routes")]
    written = [str(node.value) if node and not node.unresolved else "" for node in targets]
    return written if set(written) <= set(names) else names


def _risks(view: View, name: str, adapter: AdapterConfig) -> Iterator[Finding]:
    """What the kind itself warns of: ``warnings()`` of its options gives (option, text)."""
    warnings = getattr(adapter.options, "warnings", None)
    for option, text in warnings() if callable(warnings) else ():
        path = tuple(int(step) if step.isdigit() else step for step in option.split("."))
        yield view.place("adapters", name, *path).finding(
            f"{spell(('adapters', name, *path))}: {text}", warning=True
        )
