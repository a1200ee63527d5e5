"""``crossplant adapters``: what is installed, and each kind's options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.asking import AsJson

if TYPE_CHECKING:
    from canonical.spec import AdapterSpec, FormatSpec
    from gateway.commands.options import Option

__all__ = ["adapters"]

_WIDTH = 100


def adapters(
    kind: Annotated[str, typer.Argument(help="A kind of adapter or format.", metavar="KIND")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Lists the adapters and formats that are installed, or one kind's options.

    \b
    crossplant adapters               what there is
    crossplant adapters mqtt          its options with types, defaults and units, and an example
    crossplant adapters json --json   the same with the JSON Schema, for machines
    """
    if kind:
        _one(kind, as_json=as_json)
    else:
        _all(as_json=as_json)


def _all(*, as_json: bool) -> None:
    from gateway.commands.terminal import show, show_json, show_table

    described = [_described(spec) for spec in _specs()]
    if as_json:
        show_json(
            {what: [one for one in described if one["is"] == what[:-1]] for what in ("adapters", "formats")}
        )
        return
    for what in ("adapter", "format"):
        rows = [(one["kind"], one["way"], one["summary"]) for one in described if one["is"] == what]
        show_table((what, "way", "what it is"), rows, none=f"no {what} is installed")
        show()
    show("Options and an example: crossplant adapters KIND")


def _one(kind: str, *, as_json: bool) -> None:
    from canonical.spec import ADAPTERS, FORMATS, adapter_spec, format_spec, installed
    from gateway.commands.terminal import show, show_json

    specs: list[AdapterSpec | FormatSpec] = []
    if kind in installed(ADAPTERS):
        specs.append(adapter_spec(kind))
    if kind in installed(FORMATS):
        specs.append(format_spec(kind))
    if not specs:
        known = ", ".join([*installed(ADAPTERS), *installed(FORMATS)])
        raise typer.BadParameter(f"{kind!r} is not installed; there are: {known}")
    if as_json:
        details = [_described(spec) | _schemas(spec) for spec in specs]
        show_json(details[0] if len(details) == 1 else details)
        return
    for number, spec in enumerate(specs):
        if number:
            show()
        _show(spec)


def _specs() -> list[AdapterSpec | FormatSpec]:
    """All that can be loaded; what cannot is told on stderr and hides nothing else."""
    from canonical.spec import ADAPTERS, FORMATS, adapter_spec, format_spec, installed
    from gateway.commands.terminal import say

    found: list[AdapterSpec | FormatSpec] = []
    wanted: list[tuple[str, Any, str]] = [
        (ADAPTERS, adapter_spec, "adapter"),
        (FORMATS, format_spec, "format"),
    ]
    for group, look_up, what in wanted:
        for kind in installed(group):
            try:
                found.append(look_up(kind))
            except Exception as error:  # noqa: BLE001 - a third party's package may fail in any way
                say(f"warning: {what} {kind!r} is installed but cannot be loaded: {error}")
    return found


def _described(spec: AdapterSpec | FormatSpec) -> dict[str, Any]:
    from canonical.spec import AdapterSpec

    is_adapter = isinstance(spec, AdapterSpec)
    into, out = (spec.source, spec.sink) if isinstance(spec, AdapterSpec) else (spec.decoder, spec.formatter)
    ways = [way for way, side in (("in", into), ("out", out)) if side is not None]
    return {
        "is": "adapter" if is_adapter else "format",
        "kind": spec.kind,
        "way": " and ".join(ways),
        "summary": spec.summary,
    }


def _schemas(spec: AdapterSpec | FormatSpec) -> dict[str, Any]:
    import msgspec

    from canonical.duration import with_units
    from canonical.spec import AdapterSpec
    from gateway.commands.options import options

    found: dict[str, Any] = {
        "options": msgspec.to_builtins(options(spec.config)),
        "schema": with_units(spec.config.model_json_schema()),
        "example": spec.example,
    }
    if isinstance(spec, AdapterSpec):
        found["guarantees"] = msgspec.to_builtins(spec.guarantees)
        if spec.target is not None:
            found["target_options"] = msgspec.to_builtins(options(spec.target))
            found["target_schema"] = with_units(spec.target.model_json_schema())
    return found


def _show(spec: AdapterSpec | FormatSpec) -> None:
    from canonical.spec import AdapterSpec
    from gateway.commands.options import options
    from gateway.commands.terminal import show

    one = _described(spec)
    show(f"{one['is']} {spec.kind} ({one['way']}): {spec.summary}")
    if isinstance(spec, AdapterSpec):
        if spec.source is not None:
            promised = spec.guarantees
            show(f"  what was not acknowledged comes again: {_yes(promised.redelivers)}")
            show(f"  it waits when the hub is slow: {_yes(promised.back_pressure)}")
            show(f"  the same message has the same id when it comes again: {_yes(promised.stable_ids)}")
        common = "plant, partner, timezone, codes, format, dedupe, owner"
        show(f"\nOptions, beside those that all adapters have ({common}):")
    else:
        show("\nOptions:")
    _show_options(options(spec.config))
    if isinstance(spec, AdapterSpec) and spec.target is not None:
        show("\nWhat a route may set for its deliveries, under `to`:")
        _show_options(options(spec.target))
    if spec.example:
        show("\nExample:\n")
        show(spec.example.rstrip())


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _show_options(found: list[Option]) -> None:
    from textwrap import wrap

    from gateway.commands.terminal import show

    if not found:
        show("  none")
    for option in found:
        default = option.default_text
        if not option.required:
            default = f"default {default}" if default else "optional"
        show(f"\n  {option.name}  ({option.type}; {default})")
        text = option.description
        if option.examples:
            text += f"{' ' if text else ''}For example {', '.join(str(one) for one in option.examples)}."
        for line in wrap(text, _WIDTH - 6, break_long_words=False, break_on_hyphens=False):
            show(f"      {line}")
