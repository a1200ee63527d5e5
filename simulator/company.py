"""The whole company: builds its plants and systems, lets them work, and keeps the account."""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from contextlib import AsyncExitStack
from typing import Any, Final

from simulator.audit import Audit
from simulator.brno import BrnoFloor
from simulator.broker import MqttBroker
from simulator.business import BusinessSystem
from simulator.hub import Hub
from simulator.ledger import Ledger
from simulator.lines import PressLines
from simulator.mes import Mes
from simulator.moments import Moments
from simulator.serving import LOOPBACK
from simulator.shift import Shift
from simulator.story import Rhythm, is_failing, is_rejected

__all__ = ["Company"]

_AUDIT_EVERY_S: Final = 5.0
_STOP_S: Final = 30.0
_GRUDGE_S: Final = 600.0


class Company:
    """Aachen (OPC UA presses, MES), Brno (MQTT floor), ERP and WMS. Secrets are new for every run."""

    def __init__(self, rhythm: Rhythm) -> None:
        self._rhythm = rhythm
        self._shift = Shift()
        self._stack = AsyncExitStack()
        self._work: asyncio.Task[None] | None = None
        self._mqtt_password = secrets.token_urlsafe(18)
        self._webhook_secret = "whsec_" + b64encode(secrets.token_bytes(24)).decode()
        self._tokens = {name: secrets.token_urlsafe(18) for name in ("erp", "wms", "mes")}
        floor_password = secrets.token_urlsafe(18)
        moments = Moments()
        self.ledger = Ledger()
        self.erp = BusinessSystem("erp", token=self._tokens["erp"], first_number=4_900_000_001)
        self.wms = BusinessSystem("wms", token=self._tokens["wms"], first_number=80_000_001)
        self.lines = PressLines(self.ledger, moments, rhythm)
        self.mes = Mes(
            self.ledger,
            moments,
            rhythm,
            token=self._tokens["mes"],
            webhook_secret=self._webhook_secret,
            on_release=self._order_released,
        )
        self.broker = MqttBroker({"hub": self._mqtt_password, "floor": floor_password})
        self.floor = BrnoFloor(self.broker, self.ledger, moments, rhythm, account=("floor", floor_password))
        self.audit = Audit(self.ledger, moments, (self.erp, self.wms))

    async def open(self) -> None:
        """Everything listens afterwards; nothing is produced yet. Closes what it opened when it fails."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.audit.close)
            for part in (self.erp, self.wms, self.lines, self.mes, self.broker, self.floor):
                await part.open()
                stack.push_async_callback(part.close)
            self._stack = stack.pop_all()

    async def close(self) -> None:
        """Ends the work at once, then everything in reverse order of opening."""
        self._shift.end()
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait([self._work], timeout=_STOP_S)
        await self._stack.aclose()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the demo's deployment takes its addresses and secrets from."""
        return {
            "AACHEN_OPCUA_URL": self.lines.url,
            "MES_URL": f"{self.mes.service.url}/api",
            "MES_TOKEN": self._tokens["mes"],
            "MES_WEBHOOK_SECRET": self._webhook_secret,
            "BRNO_MQTT_URL": f"mqtt://{LOOPBACK}:{self.broker.port}",
            "BRNO_MQTT_USERNAME": "hub",
            "BRNO_MQTT_PASSWORD": self._mqtt_password,
            "ERP_URL": f"{self.erp.service.url}/api",
            "ERP_TOKEN": self._tokens["erp"],
            "WMS_URL": f"{self.wms.service.url}/api",
            "WMS_TOKEN": self._tokens["wms"],
        }

    @property
    def ports(self) -> dict[str, int]:
        """Where its parts listen, on loopback."""
        return {
            "opcua": self.lines.port,
            "mqtt": self.broker.port,
            "mes": self.mes.service.port,
            "erp": self.erp.service.port,
            "wms": self.wms.service.port,
        }

    # ── the run ─────────────────────────────────────────────────────────────────────────────────

    def run(self) -> asyncio.Task[None]:
        """The task of all work, which ends when producing was stopped; raises what goes wrong in it."""
        self._work = asyncio.create_task(self._run())
        return self._work

    async def _run(self) -> None:
        watch = asyncio.create_task(self.audit.watch(_AUDIT_EVERY_S))
        try:
            async with asyncio.TaskGroup() as tasks:
                for part in (self.lines, self.floor, self.mes):
                    tasks.create_task(part.work(self._shift))
                tasks.create_task(self._send_erp_away())
        finally:
            watch.cancel()
            await asyncio.wait([watch])

    async def hub_is(self, url: str, key: str) -> None:
        """Tells everyone where the hub is, and begins to produce."""
        await self.audit.hub_is(Hub(url, key))
        self.mes.hub_is_at(url)
        self._shift.begin()

    def start_producing(self) -> None:
        """Begins without a hub that could be asked."""
        self._shift.begin()

    async def stop_producing(self) -> None:
        """Returns when nothing more comes: producers ended, outboxes empty or given up. Bounded."""
        self._shift.end()
        if self._work is not None:
            await asyncio.wait([self._work], timeout=_STOP_S)

    async def account(self, wait_s: float) -> dict[str, Any]:
        """The ledger, settled as far as that is possible within ``wait_s`` seconds."""
        return {**await self.audit.settle(wait_s), "producing": self._shift.running}

    # ── what goes wrong on purpose ──────────────────────────────────────────────────────────────

    def _order_released(self, index: int, order: str) -> None:
        """The ERP will refuse, or fail for, the confirmations of some orders, for ten minutes."""
        if is_rejected(index):
            self.ledger.on_purpose["erp_rejects"] += 1
            text = f"order {order} is closed for posting"
            self._fail_order(order, mode="reject", text=text)
        elif is_failing(index):
            self.ledger.on_purpose["erp_fails"] += 1
            self._fail_order(order, mode="error500")

    def _fail_order(self, order: str, **how: str) -> None:
        self.erp.failures.tell({"field": "order", "value": order, "for_s": _GRUDGE_S, **how})

    async def _send_erp_away(self) -> None:
        if await self._shift.started() and await self._shift.pause(self._rhythm.erp_away_at):
            self.ledger.on_purpose["erp_away"] += 1
            self.erp.failures.tell({"mode": "down", "for_s": self._rhythm.erp_away_for})
