"""The demo: a simulated company in a process of its own, and the hub between its systems."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from msgspec import Struct

from canonical.errors import ConfigError
from config.load import load
from config.model import Deployment, Gateway
from gateway.keys import NewKey
from gateway.runtime import Hub
from gateway.service import address, listen, serving_hub, stopped_by_signals
from gateway.simulated import Company, CompanyError
from gateway.tally import Tally, tally

__all__ = ["Demo", "Outcome", "run_demo"]

_BROKER: Final = "COVENTRY_AMQP_URL"
_LOOPBACK: Final = "127.0.0.1"
_PORT: Final = 8080
_SETTLE_S: Final = 20.0
_DRAIN_S: Final = 10.0
_LOOK_S: Final = 0.5
_COMPANY: Final = "simulated-company.json"
_CYCLE: Final = 240


class Demo(Struct, frozen=True, kw_only=True):
    """What is asked of it. ``for_s`` None: until it is told to stop. ``port`` None: 8080, else a free one;
    ``data_dir`` None: a temporary folder."""

    for_s: float | None = None
    port: int | None = None
    data_dir: Path | None = None


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of it. ``faults`` says in words what is not as it should be; empty when all is well."""

    summary: dict[str, Any]
    faults: list[str]


Say = Callable[[str], None]
Report = Callable[[float, Tally], None]


async def run_demo(demo: Demo, *, ready: Callable[[str, str], None], say: Say, report: Report) -> Outcome:
    """Runs it and returns the settled account.

    ``ready`` gets the gateway's address and a key, ``say`` what happens, ``report`` the seconds and
    the numbers now and then. Raises ConfigError (a port that is taken), CompanyError.
    """
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stopped_by_signals())
        listener = _listener(demo.port, say)
        stack.callback(listener.close)
        say("starting the simulated company: three plants, two partners, eight systems …")
        folder = stack.enter_context(_folder(demo.data_dir))
        company = Company(["--first", str(_numbers_used(Path(folder), time.time()))])
        stack.push_async_callback(company.close)
        await company.open()
        example = stack.enter_context(_example(company.environment))
        deployment = _deployment(example, company.environment, listener.getsockname()[1])
        async with _hub(deployment, folder, listener) as hub:
            url = address(listener)
            created = await hub.keys.create(NewKey(name=_key_name(), roles=("admin",)), by="demo")
            ready(url, created.text)
            await company.begin(url, created.text)
            await _watch(hub, company, stop, demo.for_s, report)
            say("the company stops; the hub delivers what is left …")
            await company.stop_producing()
            account = await company.account(_SETTLE_S)
            numbers = await _drained(hub)
        ended = await company.close()
    return _outcome(deployment, numbers, account, ended)


def _listener(port: int | None, say: Say) -> Any:
    """The wanted port; when none was, the usual one or any that is free. Raises ConfigError."""
    if port is not None:
        return listen(_LOOPBACK, port)
    try:
        return listen(_LOOPBACK, _PORT)
    except ConfigError:
        listener = listen(_LOOPBACK, 0)
        say(f"port {_PORT} is taken; the gateway takes {listener.getsockname()[1]} (--port chooses another)")
        return listener


def _folder(data_dir: Path | None) -> Any:
    """The data folder as a context: a temporary one is removed at the end."""
    if data_dir is None:
        return tempfile.TemporaryDirectory(prefix="crossplant-demo-", ignore_cleanup_errors=True)
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return _Kept(str(data_dir))


def _numbers_used(folder: Path, now: float) -> int:
    """How many numbers of each of its series the company gave away with this folder before.

    The company forgets everything when it ends, and the hub nothing: numbers must not come again. A series
    grows by less than one a second, so that the time since the last start is a bound; whole cycles of the
    company's story, so that it begins where it always does.
    """
    notes, used = folder / _COMPANY, 0
    if not notes.exists():
        used = 1000 * _CYCLE if any(folder.glob("journal.*")) else 0  # a hub's, and nobody took notes
    else:
        last = msgspec.json.decode(notes.read_bytes(), type=_Begun)
        passed_s = max(now - last.at, 0.0)
        used = last.first + (int(passed_s) // _CYCLE + 1) * _CYCLE
    notes.write_bytes(msgspec.json.encode(_Begun(first=used, at=now)))
    return used


class _Begun(Struct, frozen=True):
    """With which numbers a company began, and when."""

    first: int
    at: float


class _Kept:
    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __enter__(self) -> str:
        return self._folder

    def __exit__(self, *_: object) -> None:
        """It stays."""


@contextmanager
def _example(environment: dict[str, str]) -> Iterator[Path]:
    """The folder of the deployment; where the company has a message broker, a copy that uses it."""
    with as_file(files("config").joinpath("examples/demo")) as example:
        if _BROKER not in environment:
            yield example
            return
        with tempfile.TemporaryDirectory(prefix="crossplant-demo-") as copy:
            folder = Path(copy) / "demo"
            shutil.copytree(example, folder)
            shutil.copy(folder / "rabbitmq" / "coventry-mes.yaml", folder)
            yield folder


def _deployment(example: Path, environment: dict[str, str], port: int) -> Deployment:
    deployment = load(example, {**os.environ, **environment})
    return deployment.model_copy(update={"gateway": Gateway(bind=_LOOPBACK, port=port)})


def _key_name() -> str:
    """A name that is free also in a data folder that was used before."""
    return f"demo {time.strftime('%Y-%m-%d %H:%M:%S')}.{time.time_ns() % 1_000_000:06d}"


@asynccontextmanager
async def _hub(deployment: Deployment, folder: str, listener: Any) -> AsyncIterator[Hub]:
    async with serving_hub(deployment, Path(folder), listener, log=structlog.get_logger()) as hub:
        yield hub


async def _watch(
    hub: Hub, company: Company, stop: asyncio.Event, for_s: float | None, report: Report
) -> None:
    """Until the time is over or it is told to stop. Raises CompanyError when the company ends before."""
    began_s = time.monotonic()
    ending = asyncio.create_task(company.ended())
    stopping = asyncio.create_task(stop.wait())
    try:
        while not stopping.done():
            passed_s = time.monotonic() - began_s
            if for_s is not None and passed_s >= for_s:
                return
            left_s = _LOOK_S if for_s is None else min(_LOOK_S, for_s - passed_s)
            await asyncio.wait({ending, stopping}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                raise CompanyError(f"the simulated company ended by itself with code {ending.result()}")
            report(time.monotonic() - began_s, await tally(hub))
    finally:
        for task in (ending, stopping):
            task.cancel()
        await asyncio.gather(ending, stopping, return_exceptions=True)


async def _drained(hub: Hub) -> Tally:
    """The numbers once nothing is on its way any more, or as they are after a while."""
    deadline_s = time.monotonic() + _DRAIN_S
    numbers = await tally(hub, younger_than_s=0.0)
    while numbers.backlog and time.monotonic() < deadline_s:
        await asyncio.sleep(_LOOK_S)
        numbers = await tally(hub, younger_than_s=0.0)
    return numbers


# ── the account ─────────────────────────────────────────────────────────────────────────────────


def _outcome(deployment: Deployment, numbers: Tally, account: dict[str, Any], ended: int | None) -> Outcome:
    summary: dict[str, Any] = {
        "accepted": {"by_adapter": numbers.by_adapter, "by_format": numbers.by_format},
        "delivered": numbers.delivered,
        "delivered_by_system": account["delivered_by_system"],
        "dead_lettered": numbers.dead_letters,
        "parked": numbers.parked,
        "backlog": numbers.backlog,
        "lost": account["lost"],
        "undelivered": account["undelivered"],
        "duplicated": account["duplicated"],
        "unexpected": account["unexpected"],
        "plants": sorted(deployment.plants),
        "latency_ms": numbers.latency_ms,
    }
    return Outcome(summary=summary, faults=_faults(account, ended))


def _faults(account: dict[str, Any], ended: int | None) -> list[str]:
    faults = []
    if not account["settled"]:
        faults.append(f"the account could not be settled: {account['problem']}")
    if account["lost"]:
        faults.append(f"{account['lost']} lost, for example {_first(account, 'lost_facts')}")
    if account["undelivered"]:
        example = _first(account, "undelivered_documents")
        faults.append(f"{account['undelivered']} documents not delivered, for example {example}")
    for name in ("duplicated", "unexpected"):
        if account[name]:
            faults.append(f"{account[name]} events are {name}: they tell a fact twice, or one that never was")
    for system, counts in account["systems"].items():
        wrong = {what: counts[what] for what in ("doubled", "unexpected") if counts.get(what)}
        if wrong:
            faults.append(f"{system} got documents that it should not have: {wrong}")
    if ended != 0:
        faults.append(f"the simulated company ended with code {ended}")
    return faults


def _first(account: dict[str, Any], name: str) -> str:
    first: dict[str, str] = next(iter(account.get(name) or ()), {})
    return ", ".join(f"{key} {value}" for key, value in first.items() if value)
