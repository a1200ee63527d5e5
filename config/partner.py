"""Partners, and what is agreed with each about EDI: profiles under the formats of its adapters and routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, Field, SerializeAsAny, ValidationError, ValidationInfo, field_validator

from config.adapter import AdapterConfig, FormatConfig, options_model, validated
from config.part import Part, Timezone
from config.route import Route

__all__ = ["PROFILES", "Partner", "PartnerId", "agreed"]

PROFILES: Final = ("edifact", "x12")
"""The formats that a partner may have a profile of; the key is the format's kind."""


class PartnerId(Part):
    """One of the ids under which a partner is known in interchanges."""

    qualifier: str = Field(
        min_length=1, description='What kind of id it is: EDIFACT 0007, X12 I05 ("14" is GS1).'
    )
    id: str = Field(min_length=1, description="The id, such as a GLN.")


class Partner(Part):
    """A supplier, customer or carrier that messages are exchanged with.

    ``edifact`` and ``x12`` are instances of the formats' own options.
    """

    name: str | None = Field(None, description="Its name for people.")
    ids: list[PartnerId] = Field(
        default=[],
        description="The ids under which it sends and receives; the first is written as the receiver of "
        "interchanges, unless the format's options have `receiver`.",
    )
    timezone: Timezone | None = Field(None, description="The zone of its times without one; default: UTC.")
    edifact: SerializeAsAny[BaseModel] | None = Field(
        None,
        repr=False,
        description="What is agreed about EDIFACT: options of the format edifact, for all adapters of this "
        "partner and routes to them; those beside `kind` in a format come first.",
    )
    x12: SerializeAsAny[BaseModel] | None = Field(
        None, repr=False, description="What is agreed about X12: options of the format x12, likewise."
    )

    @field_validator(*PROFILES, mode="plain")
    @classmethod
    def _own(cls, options: Any, info: ValidationInfo) -> Any:
        if options is None or info.field_name is None:
            return options
        if not isinstance(options, Mapping | BaseModel):
            raise ValueError("must be a mapping (key: value)")
        return validated(options_model(info.field_name, of_format=True), options)


def agreed(
    partners: Mapping[str, Partner], adapters: Mapping[str, AdapterConfig], routes: Mapping[str, Route]
) -> tuple[dict[str, AdapterConfig], dict[str, Route]]:
    """Adapters and routes with the profiles of their partners under the options of their formats."""
    profiled: dict[str, AdapterConfig] = {}
    for name, adapter in adapters.items():
        partner = partners.get(adapter.partner or "")
        if partner is None or adapter.format is None:
            profiled[name] = adapter
        else:
            profiled[name] = adapter.model_copy(update={"format": _under(adapter.format, partner)})
    bound: dict[str, Route] = {}
    for name, route in routes.items():
        target = adapters.get(route.to.adapter)
        partner = partners.get((target.partner if target else None) or "")
        if partner is None:
            bound[name] = route
        else:
            bound[name] = route.model_copy(update={"format": _under(route.format, partner)})
    return profiled, bound


def _under(written: FormatConfig, partner: Partner) -> FormatConfig:
    """A format with a partner's profile under what is written beside its kind."""
    if written.kind not in PROFILES:
        return written
    options = written.options
    own = {name: getattr(options, name) for name in options.model_fields_set}
    profile: BaseModel | None = getattr(partner, written.kind)
    base = profile if profile is not None else type(options)()
    merged = base.model_copy(update=own)
    if "receiver" in type(merged).model_fields and getattr(merged, "receiver", None) is None:
        merged = merged.model_copy(update=_receiver(type(merged), partner))
    return written.model_copy(update={"options": merged})


def _receiver(model: type[BaseModel], partner: Partner) -> dict[str, Any]:
    """The first of the partner's ids that the format has room for."""
    for one in partner.ids:
        try:
            found = model.model_validate({"receiver": {"id": one.id, "qualifier": one.qualifier}})
        except ValidationError:
            continue
        return {"receiver": getattr(found, "receiver", None)}
    return {}
