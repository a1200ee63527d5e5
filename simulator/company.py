"""The whole company: builds its plants, partners and systems, lets them work, and keeps the account."""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Protocol

from simulator.audit import Audit
from simulator.brno import BrnoFloor
from simulator.brno_mes import BrnoMes
from simulator.broker import MqttBroker
from simulator.business import BusinessSystem
from simulator.coventry import CoventryFloor
from simulator.coventry_lab import CoventryLab
from simulator.coventry_mes import CoventryMes, CoventryQueue
from simulator.edifact import Edifact
from simulator.hub import Hub
from simulator.ledger import Ledger
from simulator.lines import PressLines
from simulator.mes import Mes
from simulator.moments import Moments
from simulator.office import FEEDS, Office
from simulator.partner import Partner
from simulator.premises import Premises
from simulator.serving import LOOPBACK
from simulator.sftp import SftpServer
from simulator.shift import Shift
from simulator.story import SUPPLIERS, Rhythm, is_failing, is_rejected
from simulator.trade import Dialect
from simulator.x12 import X12

__all__ = ["SYSTEMS", "Company"]

SYSTEMS: Final = {
    # system: the first number that it gives to a document
    "erp": 4_900_000_001,
    "wms": 80_000_001,
    "qms": 20_000_001,
    "cmms": 30_000_001,
    "tms": 40_000_001,
    "crm": 60_000_001,
    "planning": 70_000_001,
    "portal": 90_000_001,
}
_GLN: Final = "4060000000017"
_X12_ID: Final = "ACMEPUMPS"
_AUDIT_EVERY_S: Final = 5.0
_STOP_S: Final = 30.0
_GRUDGE_S: Final = 600.0


class _Part(Protocol):
    async def open(self) -> None: ...
    async def close(self) -> None: ...


class _Worker(Protocol):
    async def work(self, shift: Shift) -> None: ...


class Company:
    """Aachen, Brno, Coventry, two partners with EDI, and eight systems. Secrets are new for every run.

    ``amqp_url``: a RabbitMQ that runs already, with user and password; Coventry's MES speaks to it then.
    ``folder``: where its files are to be, while it is open. ``first``: how many numbers of each series an
    earlier company used up, for a hub that remembers it.
    """

    def __init__(
        self, rhythm: Rhythm, *, amqp_url: str = "", folder: Path | None = None, first: int = 0
    ) -> None:
        self._rhythm = rhythm
        self._shift = Shift()
        self._stack = AsyncExitStack()
        self._work: asyncio.Task[None] | None = None
        self._webhook_secret = "whsec_" + b64encode(secrets.token_bytes(24)).decode()
        self._secrets = {
            name: secrets.token_urlsafe(18) for name in (*SYSTEMS, "mes", "brno-mqtt", "coventry-mqtt")
        }
        moments = Moments(first=first)
        self.ledger = Ledger()
        self.office = Office(self.ledger, moments, rhythm)
        self.systems = {name: self._system(name, number + first) for name, number in SYSTEMS.items()}
        self.office.listen(self.systems)
        dialects: dict[str, Dialect] = {
            "nordstahl": Edifact(us="4012345000009", them=_GLN),
            "lakeshore": X12(us="LAKESHORE", them=_X12_ID),
        }
        self._premises = Premises(list(dialects), folder)
        self.sftp = SftpServer(self._premises.accounts)
        self._plants(moments, rhythm, amqp_url)
        self.partners = [
            Partner(
                supplier,
                dialects[supplier.name],
                self._premises.mailboxes[supplier.name],
                self.ledger,
                moments,
                rhythm,
            )
            for supplier in SUPPLIERS
            if supplier.name in dialects
        ]
        self.audit = Audit(self.ledger, moments, [*self.systems.values(), *self.partners])

    def _system(self, name: str, first: int) -> BusinessSystem:
        feeds = {FEEDS[name]: self.office.feeds[name]} if name in FEEDS else {}
        return BusinessSystem(name, token=self._secrets[name], first_number=first, feeds=feeds)

    def _plants(self, moments: Moments, rhythm: Rhythm, amqp_url: str) -> None:
        self.lines = PressLines(self.ledger, moments, rhythm)
        self.mes = Mes(
            self.ledger,
            moments,
            rhythm,
            token=self._secrets["mes"],
            webhook_secret=self._webhook_secret,
            on_release=self._order_released,
        )
        account = ("floor", secrets.token_urlsafe(18))
        brokers = [
            MqttBroker({"hub": self._secrets[name], account[0]: account[1]})
            for name in ("brno-mqtt", "coventry-mqtt")
        ]
        self.brno_broker, self.coventry_broker = brokers
        self.floor = BrnoFloor(self.brno_broker, self.ledger, moments, rhythm, account=account)
        self.brno_mes = BrnoMes(self._premises.brno, self.ledger, moments, rhythm)
        self.coventry = CoventryFloor(self.coventry_broker, self.ledger, moments, rhythm, account=account)
        share = self._premises.coventry
        self.coventry_lab = CoventryLab(share / "lab", self.ledger, moments, rhythm)
        self.coventry_mes: CoventryMes | CoventryQueue = (
            CoventryQueue(amqp_url, self.ledger, moments, rhythm)
            if amqp_url
            else CoventryMes(share / "mes", self.ledger, moments, rhythm)
        )

    async def open(self) -> None:
        """Everything listens afterwards; nothing is produced yet. Closes what it opened when it fails."""
        async with AsyncExitStack() as stack:
            self._premises.open()
            stack.callback(self._premises.close)
            stack.push_async_callback(self.audit.close)
            parts: tuple[_Part, ...] = (
                *self.systems.values(),
                self.lines,
                self.mes,
                self.sftp,
                self.brno_broker,
                self.coventry_broker,
                self.floor,
                self.coventry,
            )
            for part in parts:
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
        brokers = {"BRNO": self.brno_broker.port, "COVENTRY": self.coventry_broker.port}
        return {
            "AACHEN_OPCUA_URL": self.lines.url,
            "MES_URL": f"{self.mes.service.url}/api",
            "MES_TOKEN": self._secrets["mes"],
            "MES_WEBHOOK_SECRET": self._webhook_secret,
            **{f"{plant}_MQTT_URL": f"mqtt://{LOOPBACK}:{port}" for plant, port in brokers.items()},
            **{f"{plant}_MQTT_USERNAME": "hub" for plant in brokers},
            **{f"{plant}_MQTT_PASSWORD": self._secrets[f"{plant.lower()}-mqtt"] for plant in brokers},
            "COVENTRY_SHARE": str(self._premises.coventry),
            **(self.coventry_mes.environment if isinstance(self.coventry_mes, CoventryQueue) else {}),
            "SFTP_HOST_KEY": self.sftp.host_key,
            **{f"{_variable(name)}_SFTP_URL": self.sftp.url(name) for name in self._premises.accounts},
            **{f"{_variable(name)}_SFTP_KEY": self.sftp.key(name) for name in self._premises.accounts},
            **{f"{_variable(name)}_URL": f"{one.service.url}/api" for name, one in self.systems.items()},
            **{f"{_variable(name)}_TOKEN": self._secrets[name] for name in self.systems},
        }

    @property
    def ports(self) -> dict[str, int]:
        """Where its parts listen, on loopback."""
        return {
            "opcua": self.lines.port,
            "brno-mqtt": self.brno_broker.port,
            "coventry-mqtt": self.coventry_broker.port,
            "sftp": self.sftp.port,
            "mes": self.mes.service.port,
            **{name: one.service.port for name, one in self.systems.items()},
        }

    # ── the run ─────────────────────────────────────────────────────────────────────────────────

    def run(self) -> asyncio.Task[None]:
        """The task of all work, which ends when producing was stopped; raises what goes wrong in it."""
        self._work = asyncio.create_task(self._run())
        return self._work

    async def _run(self) -> None:
        watch = asyncio.create_task(self.audit.watch(_AUDIT_EVERY_S))
        workers: tuple[_Worker, ...] = (
            self.lines,
            self.floor,
            self.brno_mes,
            self.coventry,
            self.coventry_lab,
            self.coventry_mes,
            self.mes,
            self.office,
            *self.partners,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                for part in workers:
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
        """The ERP will refuse the confirmations of some orders for good, and fail for others for a while."""
        if is_rejected(index):
            self.ledger.on_purpose["erp_rejects"] += 1
            text = f"order {order} is closed for posting"
            self._fail_order(order, for_s=_GRUDGE_S, mode="reject", text=text)
        elif is_failing(index):
            self.ledger.on_purpose["erp_fails"] += 1
            # Counted from its release: the confirmation comes when its operation is completed.
            for_s = self._rhythm.operation + self._rhythm.order + self._rhythm.erp_fails_for
            self._fail_order(order, for_s=for_s, mode="error500")

    def _fail_order(self, order: str, **how: Any) -> None:
        self.systems["erp"].failures.tell({"field": "order", "value": order, **how})

    async def _send_erp_away(self) -> None:
        wait_s = self._rhythm.erp_away_at
        while await self._shift.started() and await self._shift.pause(wait_s):
            wait_s = self._rhythm.erp_away_every
            self.ledger.on_purpose["erp_away"] += 1
            self.systems["erp"].failures.tell({"mode": "down", "for_s": self._rhythm.erp_away_for})


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")
