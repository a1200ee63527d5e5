"""A page for each adapter and format that this repository brings along, from its spec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from canonical.spec import (
    ADAPTERS,
    FORMATS,
    AdapterSpec,
    FormatSpec,
    adapter_spec,
    format_spec,
    installed,
)
from gateway.commands.options import Option, options
from reference.markdown import cell, code, page, table

__all__ = ["option_table", "pages"]

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = ("Option", "Type", "Default", "Meaning")


def pages() -> Iterator[tuple[str, str]]:
    """(path below docs/reference, text) of every page, the two lists included."""
    adapters = [adapter_spec(kind) for kind in installed(ADAPTERS)]
    formats = [format_spec(kind) for kind in installed(FORMATS)]
    yield "adapters/README.md", _list("Adapters", _ADAPTERS, adapters)
    yield "formats/README.md", _list("Formats", _FORMATS, formats)
    for adapter in adapters:
        yield f"adapters/{adapter.kind}.md", _adapter(adapter)
    for format_ in formats:
        yield f"formats/{format_.kind}.md", _format(format_)


_ADAPTERS = """\
One adapter is one connection to something outside. Its `kind` says how it speaks; its [common
options](../configuration.md#adapters) are the same for all kinds. `crossplant adapters KIND` shows what
stands here for the kinds that are installed, those of other packages included."""

_FORMATS = """\
A format says what the bytes of a message mean. Any transport may name one: `format: {kind: …}` of an
adapter reads, that of a route writes."""


def _list(title: str, text: str, specs: Sequence[AdapterSpec | FormatSpec]) -> str:
    rows = [(f"[{spec.kind}]({spec.kind}.md)", _way(spec), cell(spec.summary)) for spec in specs]
    return page(title, text, table(("Kind", "Way", "What it is"), rows))


def _way(spec: AdapterSpec | FormatSpec) -> str:
    sides = (spec.source, spec.sink) if isinstance(spec, AdapterSpec) else (spec.decoder, spec.formatter)
    return " and ".join(way for way, side in zip(("in", "out"), sides, strict=True) if side is not None)


def _adapter(spec: AdapterSpec) -> str:
    common = "Beside [those of every adapter](../configuration.md#adapters):"
    parts = [f"{_sentence(spec.summary)}{_more(spec)}", _promises(spec), "## Options", common]
    parts.append(option_table(options(spec.config)) or "None.")
    if spec.target is not None:
        parts += [
            "## What a route sets",
            "Under `to`, beside `adapter`. Text in it is a template over the event.",
        ]
        parts.append(option_table(options(spec.target)))
    return page(spec.kind, *parts, _example(spec))


def _format(spec: FormatSpec) -> str:
    ways = {"in": "Reads only.", "out": "Writes only."}.get(_way(spec), "Reads and writes.")
    parts = [f"{_sentence(spec.summary)} {ways}{_more(spec)}", "## Options"]
    return page(spec.kind, *parts, option_table(options(spec.config)) or "None.", _example(spec))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _more(spec: AdapterSpec | FormatSpec) -> str:
    """A link to the folder's own text, which tells how it behaves."""
    folder = Path(*spec.config.__module__.split(".")[:2])
    readme = folder / "README.md"
    known = (ROOT / readme).is_file()
    return f" How it behaves, and its limits: [{readme}](../../../{readme})." if known else ""


def _promises(spec: AdapterSpec) -> str:
    """What its source and its sink can do."""
    lines = []
    if spec.source is not None:
        told = spec.guarantees
        lines += [
            ("What was not acknowledged comes again", _yes(told.redelivers)),
            ("It waits when the hub is slow", _yes(told.back_pressure)),
            ("The same message has the same id when it comes again", _yes(told.stable_ids)),
        ]
    if spec.sink is not None:
        traits = spec.traits
        lines += [
            ("Deliveries in one call", f"up to {traits.max_batch}"),
            ("Calls at the same time", str(traits.concurrency)),
            ("It can be asked whether an earlier attempt arrived", _yes(traits.lookup)),
        ]
    return table(("What it can do", ""), lines)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _example(spec: AdapterSpec | FormatSpec) -> str:
    return f"## Example\n\n```yaml\n{spec.example.rstrip()}\n```" if spec.example else ""


def option_table(found: Sequence[Option]) -> str:
    """Options as rows."""
    return table(OPTIONS, (_row(option) for option in found))


def _row(option: Option) -> tuple[str, str, str, str]:
    default = "**required**" if option.required else code(option.default_text)
    meaning = option.description
    if option.examples:
        shown = ", ".join(f"`{example}`" for example in option.examples)
        meaning = f"{meaning} For example {shown}.".strip()
    return code(option.name), cell(option.type.replace(" | ", ", ")), default, cell(meaning)
