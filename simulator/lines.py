"""The press lines of Aachen: an OPC UA server with a namespace of its own.

``Objects/Presses/{Press1,Press2}/`` has ``Temperature`` and ``Pressure`` (analog items with unit and
range), ``State`` (``execute``, ``stopped``), ``GoodCount`` and ``RejectCount``. Node ids are text,
``Press1.Temperature``, in the namespace ``urn:acme:aachen:presses``, whose index is not the first free.
"""

from __future__ import annotations

import asyncio
import random
from datetime import datetime
from typing import Any, Final

from asyncua import Node, Server, ua
from asyncua.common.callback import CallbackType, ServerItemCallback

from simulator.ledger import Fact, Ledger
from simulator.moments import Moments, rfc3339
from simulator.serving import LOOPBACK, free_port
from simulator.shift import Shift
from simulator.story import Rhythm, wander

__all__ = ["ADAPTER", "NAMESPACE", "PRESSES", "PressLines"]

ADAPTER: Final = "aachen-lines"
NAMESPACE: Final = "urn:acme:aachen:presses"
PRESSES: Final = ("Press1", "Press2")
_VENDOR_NAMESPACE: Final = "urn:acme:plc:vendor"
_UNITS: Final = "http://www.opcfoundation.org/UA/units/un/cefact"
_ATTEMPTS: Final = 5
_VARIANTS: Final = {float: ua.VariantType.Double, int: ua.VariantType.UInt32, str: ua.VariantType.String}
_ANALOG: Final = {
    # tag: (UN/ECE Rec 20 code, sign, start, low, high, step)
    "Temperature": ("CEL", "°C", 180.0, 120.0, 240.0, 1.5),
    "Pressure": ("BAR", "bar", 210.0, 150.0, 280.0, 2.0),
}


class PressLines:
    """Writes values while the shift runs; a value is safe when a client monitors its node.

    Every value written differs from the one before, so that none is skipped as unchanged, and values
    come slower than any sensible publishing interval.
    """

    def __init__(self, ledger: Ledger, moments: Moments, rhythm: Rhythm) -> None:
        self._ledger, self._moments, self._rhythm = ledger, moments, rhythm
        self._chance = random.Random(10)
        self._server = Server()
        self._nodes: dict[str, ua.NodeId] = {}
        self._monitored: dict[ua.NodeId, set[tuple[int, int]]] = {}
        self.port = 0

    @property
    def url(self) -> str:
        """The endpoint's address."""
        return f"opc.tcp://{LOOPBACK}:{self.port}/presses"

    async def open(self) -> None:
        """Builds the address space and listens on a free port. Raises OSError when none could be had."""
        await self._server.init()
        self._server.set_server_name("Aachen presses")
        await self._server.set_application_uri("urn:acme:aachen:presses:server")
        self._server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        await self._server.register_namespace(_VENDOR_NAMESPACE)
        index = await self._server.register_namespace(NAMESPACE)
        folder = await self._server.nodes.objects.add_folder(
            _node_id(index, "Presses"), ua.QualifiedName("Presses", index)
        )
        for press in PRESSES:
            await self._add_press(folder, index, press)
        self._server.subscribe_server_callback(CallbackType.ItemSubscriptionCreated, self._items_created)
        self._server.subscribe_server_callback(CallbackType.ItemSubscriptionDeleted, self._items_deleted)
        await self._listen()

    async def _listen(self) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            self.port = free_port()
            self._server.set_endpoint(self.url)
            try:
                await self._server.start()
            except OSError:
                if attempt == _ATTEMPTS:
                    raise
            else:
                return

    async def close(self) -> None:
        """Stops the server."""
        await self._server.stop()

    async def _add_press(self, folder: Node, index: int, press: str) -> None:
        parent = await folder.add_object(_node_id(index, press), ua.QualifiedName(press, index))
        for tag, (code, sign, start, low, high, _) in _ANALOG.items():
            node = await self._add(parent, index, press, tag, start)
            # A unitId is the code's bytes, big-endian (OPC UA part 8, 5.6.3).
            unit = ua.EUInformation(
                NamespaceUri=_UNITS,
                UnitId=int.from_bytes(code.encode(), "big"),
                DisplayName=ua.LocalizedText(sign),
            )
            for name, value in (("EngineeringUnits", unit), ("EURange", ua.Range(low, high))):
                await node.add_property(
                    _node_id(index, f"{press}.{tag}.{name}"), ua.QualifiedName(name, 0), value
                )
        for tag, first in (("State", "stopped"), ("GoodCount", 0), ("RejectCount", 0)):
            await self._add(parent, index, press, tag, first)

    async def _add(self, parent: Node, index: int, press: str, tag: str, value: Any) -> Node:
        name = f"{press}.{tag}"
        node = await parent.add_variable(
            _node_id(index, name), ua.QualifiedName(tag, index), value, _VARIANTS[type(value)]
        )
        self._nodes[name] = node.nodeid
        await self._write(name, value)
        return node

    # ── what a press says ───────────────────────────────────────────────────────────────────────

    async def work(self, shift: Shift) -> None:
        """Writes until the shift ends."""
        if not await shift.started():
            return
        async with asyncio.TaskGroup() as tasks:
            for press in PRESSES:
                tasks.create_task(self._measure(shift, press))
                tasks.create_task(self._run_and_stop(shift, press))
                tasks.create_task(self._count(shift, press))

    async def _measure(self, shift: Shift, press: str) -> None:
        values = {tag: shape[2] for tag, shape in _ANALOG.items()}
        while await shift.pause(self._rhythm.measurement):
            for tag, (_, _, _, low, high, step) in _ANALOG.items():
                values[tag] = wander(values[tag], low=low, high=high, step=step, chance=self._chance)
                await self._write(f"{press}.{tag}", values[tag])

    async def _run_and_stop(self, shift: Shift, press: str) -> None:
        running = False
        while await shift.pause(self._rhythm.state * self._chance.uniform(0.5, 1.5)):
            running = not running
            await self._write(f"{press}.State", "execute" if running else "stopped")

    async def _count(self, shift: Shift, press: str) -> None:
        good = reject = 0
        while await shift.pause(self._rhythm.count):
            good += self._chance.randint(2, 6)
            await self._write(f"{press}.GoodCount", good)
            if self._chance.random() < 0.5:
                reject += 1
                await self._write(f"{press}.RejectCount", reject)

    # ── OPC UA ──────────────────────────────────────────────────────────────────────────────────

    async def _write(self, name: str, value: Any) -> None:
        at = self._moments.next()
        fact = _fact(name, at)
        self._ledger.record_sent(fact)
        node = self._nodes[name]
        monitored = self._is_monitored(node)
        moment = ua.DateTime.fromisoformat(at.isoformat())
        await self._server.write_attribute_value(
            node,
            ua.DataValue(
                ua.Variant(value, _VARIANTS[type(value)]),
                SourceTimestamp=moment,
                ServerTimestamp=moment,
            ),
        )
        if monitored:
            self._ledger.record_safe(fact)

    def _items_created(self, call: ServerItemCallback, _service: object = None) -> None:
        """Called by the server after it made monitored items."""
        subscription = call.request_params.SubscriptionId
        for wanted, result in zip(call.request_params.ItemsToCreate, call.response_params, strict=True):
            if result.StatusCode.is_good():
                items = self._monitored.setdefault(wanted.ItemToMonitor.NodeId, set())
                items.add((subscription, result.MonitoredItemId))

    def _items_deleted(self, call: ServerItemCallback, _service: object = None) -> None:
        """Called by the server after it deleted monitored items."""
        subscription = call.request_params.SubscriptionId
        gone = {(subscription, item) for item in call.request_params.MonitoredItemIds}
        for items in self._monitored.values():
            items -= gone

    def _is_monitored(self, node: ua.NodeId) -> bool:
        """Whether a subscription that still lives has an item for the node."""
        living = self._server.iserver.subscription_service.subscriptions
        return any(subscription in living for subscription, _ in self._monitored.get(node, ()))


def _node_id(index: int, name: str) -> ua.NodeId:
    return ua.NodeId.from_string(f"ns={index};s={name}")


def _fact(name: str, at: datetime) -> Fact:
    is_state = name.endswith(".State")
    return Fact(
        adapter=ADAPTER,
        protocol="opcua",
        format="value",
        type="equipment.state.changed" if is_state else "telemetry.measurement.recorded",
        key=rfc3339(at),
        at=at,
        detail=name,
    )
