"""The unit that a server gives its nodes: property EngineeringUnits (OPC 10000-8, 5.6.4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from asyncua import ua

from adapters.opcua.config import OpcuaConfig
from adapters.opcua.items import node_id
from adapters.opcua.nodes import parse_node
from adapters.opcua.session import Session, Surroundings
from canonical.units import UnitError, from_opcua

__all__ = ["read_units"]

HAS_PROPERTY: Final = ua.NodeId(ua.Int32(ua.ObjectIds.HasProperty))


async def read_units(settings: OpcuaConfig, session: Session, around: Surroundings) -> Mapping[int, str]:
    """Place in the tags → unit, for those tags that name none themselves and whose node has one.

    A Rec 20 code, or the server's own text for it where its ``unitId`` spells no code. Empty where the
    server cannot tell: units are no reason to go without values.
    """
    try:
        return await _read(settings, session, around)
    except ua.UaStatusCodeError:
        return {}


async def _read(settings: OpcuaConfig, session: Session, around: Surroundings) -> Mapping[int, str]:
    paths: dict[int, ua.BrowsePath] = {}
    for place, tag in enumerate(settings.tags):
        address = parse_node(tag.node)
        index = address.namespace(around.namespaces)
        if tag.uom is None and tag.states is None and index is not None:
            paths[place] = _path(node_id(address, index))
    results = await around.translate.run(list(paths.values()), session.translate)
    nodes = {
        place: result.Targets[0].TargetId
        for place, result in zip(paths, results, strict=True)
        if result.StatusCode.is_good() and result.Targets
    }
    values = await around.read.run(list(nodes.values()), session.read)
    units = {place: _unit(value) for place, value in zip(nodes, values, strict=True)}
    return {place: unit for place, unit in units.items() if unit}


def _path(node: ua.NodeId) -> ua.BrowsePath:
    step = ua.RelativePathElement(
        ReferenceTypeId=HAS_PROPERTY,
        IsInverse=cast(ua.Boolean, False),  # the library's default is true
        TargetName=ua.QualifiedName("EngineeringUnits", 0),
    )
    return ua.BrowsePath(StartingNode=node, RelativePath=ua.RelativePath(Elements=[step]))


def _unit(value: ua.DataValue) -> str | None:
    information: Any = value.Value.Value if value.Value is not None else None
    if not isinstance(information, ua.EUInformation):
        return None
    try:
        return from_opcua(information.UnitId)
    except UnitError:
        text = information.DisplayName.Text
        return text.strip()[:128] or None if text else None
