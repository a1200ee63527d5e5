"""``python -m simulator``: starts the company, prints one line of JSON when everything listens."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from simulator.company import Company
from simulator.control import control
from simulator.story import Rhythm

__all__ = ["main"]

AMQP_URL = "CROSSPLANT_DEMO_AMQP_URL"


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m simulator", description="Three plants, two partners, eight systems."
    )
    parser.add_argument("--hub-url", help="the hub's HTTP API; later by POST /_control/hub")
    parser.add_argument("--hub-key", default="", help="a key for it, with the right to read all plants")
    parser.add_argument("--start", action="store_true", help="produce at once, without a hub")
    parser.add_argument("--drop-one", action="store_true", help="book one fact as safe that is never sent")
    parser.add_argument("--first", type=int, default=0, help="how many numbers of each series are used up")
    parser.add_argument("--pace", type=float, default=1.0, help="how much faster than usual (1.0)")
    parser.add_argument(
        "--amqp-url",
        default=os.environ.get(AMQP_URL, ""),
        help=f"a RabbitMQ for Coventry's MES, amqp://USER:PASSWORD@HOST ({AMQP_URL})",
    )
    parser.add_argument("--folder", type=Path, help="where its files are to be (a temporary folder)")
    parser.add_argument(
        "--with-stdin", action="store_true", help="end when standard input ends, as it does with the parent"
    )
    return parser.parse_args(argv)


def _rhythm(pace: float) -> Rhythm:
    usual = Rhythm()
    return Rhythm(**{name: getattr(usual, name) / pace for name in Rhythm.__slots__})


def _quiet_libraries() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="simulator: %(name)s: %(message)s")
    for name in ("amqtt", "transitions", "asyncua", "asyncssh"):
        logging.getLogger(name).setLevel(logging.ERROR)


async def _until_stdin_ends() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(1024):
        pass


async def _serve(options: argparse.Namespace) -> int:
    company = Company(
        _rhythm(options.pace), amqp_url=options.amqp_url, folder=options.folder, first=options.first
    )
    service = control(company)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await company.open()
    await service.open()
    try:
        work = company.run()
        if options.drop_one:
            company.floor.line.drop_one()
        if options.hub_url:
            await company.hub_is(options.hub_url, options.hub_key)
        elif options.start:
            company.start_producing()
        _say(
            {
                "ready": True,
                "control": service.url,
                "ports": {**company.ports, "control": service.port},
                "env": company.environment,
            }
        )
        return await _until_end(stop, work, with_stdin=options.with_stdin)
    finally:
        await service.close()
        await company.close()


async def _until_end(stop: asyncio.Event, work: asyncio.Task[None], *, with_stdin: bool) -> int:
    """Waits for a signal or the end of stdin. The end of work is none, unless it failed."""
    waits: set[asyncio.Task[Any]] = {asyncio.create_task(stop.wait())}
    if with_stdin:
        waits.add(asyncio.create_task(_until_stdin_ends()))
    pending: set[asyncio.Task[Any]] = {*waits, work}
    while pending and not any(one.done() for one in waits):
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if work.done() and work.exception() is not None:
            break
    for one in waits:
        one.cancel()
    await asyncio.wait(waits)
    if work.done() and not work.cancelled() and work.exception() is not None:
        logging.getLogger("simulator").error("the company broke down", exc_info=work.exception())
        return 1
    return 0


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main(argv: list[str] | None = None) -> int:
    """Runs until SIGTERM or SIGINT; returns the exit code."""
    options = _arguments(argv)
    _quiet_libraries()
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_serve(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
