"""From what an operator wrote to what the router runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from canonical.errors import ConfigError
from canonical.expression import (
    ENRICHED_PART_VARIABLES,
    ENRICHED_VARIABLES,
    EVENT_VARIABLES,
    PART_VARIABLES,
    Expression,
    FieldMap,
    Template,
    compile_expression,
)
from canonical.ports import Decoder, InterchangeFormatter
from canonical.spec import AdapterContext, FormatContext
from config.crosswalks import read_crosswalks
from config.mapping import find_function
from config.model import AdapterConfig, Deployment
from config.model import Codes as CodesConfig
from config.model import Route as RouteConfig
from config.route import Aggregate, Batch
from router.crosswalk import Crosswalk, Row
from router.enrichment import Enrichment, Reads, reads
from router.grouping import Aggregation
from router.numbering import Unnumbered
from router.recoverability import Policy
from router.routes import AGGREGATED, ANSWERED, Codes, Route
from router.splitting import Splitting
from router.together import Batching

__all__ = ["compile_route", "crosswalk_of", "crosswalk_rows", "decoder_of", "inbound_codes"]

_WHOLE_EVENT = "cloudevents"


def compile_route(
    name: str, route: RouteConfig, inbound: Mapping[str, Codes], python: Sequence[Path] = ()
) -> Route:
    """The route ready to run. Raises ConfigError or ExpressionError for what a check would have found.

    ``python``: the deployment's folders of modules.
    """
    formatter = route.format.spec.formatter
    if formatter is None:
        raise ConfigError(f"format {route.format.kind!r} cannot write", key=f"routes.{name}.format")
    writes = formatter(route.format.options)
    types = {entry.name for entry in route.types}
    if getattr(route.format.options, "acknowledge", "") == "none":
        types -= ANSWERED
    if route.aggregate:
        types.add(AGGREGATED)
    variables = _variables(route)
    target = {} if route.to.options is None else _templates(_plain(route.to.options), variables)
    return Route(
        name=name,
        types=frozenset(types),
        plants=frozenset(route.plants or ()),
        to=route.to.adapter,
        formatter=Unnumbered(writes) if isinstance(writes, InterchangeFormatter) else writes,
        when=compile_expression(route.when) if route.when else None,
        inbound=inbound,
        outbound=_codes(route.codes) if route.codes else None,
        fields=FieldMap(route.map, variables) if isinstance(route.map, dict) else None,
        function=(
            find_function(route.map, python, of_parts=bool(route.split), enriched=route.enrich is not None)
            if isinstance(route.map, str)
            else None
        ),
        split=Splitting(route.split) if route.split else None,
        aggregate=_aggregation(route.aggregate) if route.aggregate else None,
        batch=_batching(route.batch) if route.batch else None,
        enrich=tuple(_enrichments(route, target, variables)),
        whole=route.format.kind == _WHOLE_EVENT,
        target=target,
        order=route.order,
        policy=Policy(
            first_s=route.retry.first, max_s=route.retry.max, give_up_after_s=route.retry.give_up_after
        ),
        owner=route.owner or "",
    )


def _variables(route: RouteConfig) -> tuple[str, ...]:
    """What the route's map and templates see."""
    if route.enrich is None:
        return PART_VARIABLES if route.split else EVENT_VARIABLES
    return ENRICHED_PART_VARIABLES if route.split else ENRICHED_VARIABLES


def _enrichments(
    route: RouteConfig, target: Mapping[str, Any], variables: tuple[str, ...]
) -> Iterator[Enrichment]:
    if route.enrich is None:
        return
    of_map = _fields(route.map, variables) if isinstance(route.map, dict) else ()
    expressions = [*of_map, *_parts(target)]
    for name, settings in route.enrich.items():
        yield Enrichment(
            name=name,
            service=settings.service,
            key=compile_expression(settings.key),
            plant=compile_expression(settings.plant) if settings.plant else None,
            missing=settings.missing,
            reads=Reads(every=True) if isinstance(route.map, str) else reads(name, expressions),
        )


def _fields(written: Any, variables: tuple[str, ...]) -> Iterator[Expression]:
    """The expressions of a map."""
    if isinstance(written, str):
        yield compile_expression(written, variables)
    elif isinstance(written, Mapping | list):
        for entry in written.values() if isinstance(written, Mapping) else written:
            yield from _fields(entry, variables)


def _parts(target: Any) -> Iterator[Expression]:
    """Those of a target's templates."""
    if isinstance(target, Template):
        yield from target.expressions
    elif isinstance(target, Mapping):
        for entry in target.values():
            yield from _parts(entry)


def _aggregation(settings: Aggregate) -> Aggregation:
    until = settings.until
    return Aggregation(settings.by, count=until.count, within_s=until.within, when=until.when)


def _batching(settings: Batch) -> Batching:
    return Batching(size=settings.size, within_s=settings.within, form=settings.form)


def _plain(options: BaseModel) -> dict[str, Any]:
    return options.model_dump(exclude_none=True)


def _templates(options: Any, variables: tuple[str, ...]) -> Any:
    """The same with every text as a template."""
    if isinstance(options, Mapping):
        return {name: _templates(value, variables) for name, value in options.items()}
    if isinstance(options, SecretStr):
        return options.get_secret_value()
    if not isinstance(options, str):
        return options
    template = Template(options, variables)
    return template if template.expressions else template.expand({})  # the same for all events


def _codes(codes: CodesConfig) -> Codes:
    return Codes(system=codes.system, fields=tuple(codes.fields) if codes.fields is not None else None)


def inbound_codes(deployment: Deployment) -> dict[str, Codes]:
    """Whose codes the events of a CloudEvents source carry, for those adapters that say so."""
    return {
        deployment.event_source(name): _codes(adapter.codes)
        for name, adapter in deployment.adapters.items()
        if adapter.codes is not None
    }


def crosswalk_rows(deployment: Deployment) -> list[Row]:
    """The rows of the deployment's crosswalk files. Raises ConfigErrors."""
    zones = {name: plant.timezone for name, plant in deployment.plants.items()}
    return [
        Row(
            domain=row.domain,
            system=row.system,
            plant=row.plant or "",
            value=row.value,
            canonical=row.canonical,
            valid_from=row.valid_from.timestamp() if row.valid_from else None,
            valid_to=row.valid_to.timestamp() if row.valid_to else None,
            status=row.status,
            steward=row.steward or "",
        )
        for row in read_crosswalks(deployment.crosswalks, zones)
    ]


def crosswalk_of(deployment: Deployment) -> Crosswalk:
    """Those rows, for reading."""
    return Crosswalk(crosswalk_rows(deployment))


def decoder_of(adapter: AdapterConfig, context: AdapterContext) -> Decoder:
    """The decoder of an adapter that takes messages in: its format's, else its kind's own."""
    if adapter.format is None:
        assert adapter.spec.decoder is not None  # AdapterConfig.receives
        return adapter.spec.decoder(adapter.options, context)
    build = adapter.format.spec.decoder
    if build is None:
        raise ConfigError(
            f"format {adapter.format.kind!r} cannot read", key=f"adapters.{context.name}.format"
        )
    return build(
        adapter.format.options,
        FormatContext(
            adapter=context.name,
            source=context.source,
            plant=context.plant,
            partner=context.partner,
            timezone=context.timezone,
        ),
    )
