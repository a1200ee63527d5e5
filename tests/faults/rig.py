"""A hub as users run it, and the account that each fault ends with: lost, unexpected, repeated, overtaken."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from canonical import catalogue
from tests.hub import HubProcess
from tests.servers.ports import LOOPBACK

__all__ = ["Fact", "Ledger", "Plant", "at_rest", "body_of", "facts", "heard"]

Fact = tuple[str, int]
"""(order, n): what a document says. Documents of one order have one key, and ``n`` grows."""
SECRET = "hook-secret"
AT = "2026-03-01T06:00:00Z"

HEAD = """
company: acme
gateway: {{bind: {host}, port: {port}}}
plants:
  brno: {{name: Brno, timezone: Europe/Prague}}
"""
FORMAT = """
    format:
      kind: json
      events:
        - type: production.order.created
          id: payload.order + "-" + string(payload.n)
          data:
            order: payload.order
            item: "'A-1'"
            quantity: {value: string(payload.n), uom: "'H87'"}
            planned_start: payload.at
            planned_end: payload.at
"""
HOOK = f"""
  hook:
    kind: rest
    plant: brno{FORMAT}    webhook: {{verify: {{kind: bearer, secret: "${{file:token}}"}}}}
"""
ROUTE = """
    on: [production.order.created]
    from: beginning
    order: key
    map: {order: data.order, n: data.quantity.value}
"""


def facts(orders: Iterable[str], numbers: Iterable[int]) -> list[Fact]:
    """Every order's documents, the orders taking turns."""
    names = list(orders)
    return [(order, n) for n in numbers for order in names]


def body_of(fact: Fact) -> dict[str, Any]:
    """The document as a source sends it."""
    return {"order": fact[0], "n": fact[1], "at": AT}


class Ledger:
    """What arrived at a system, in order, and under which idempotency key."""

    def __init__(self) -> None:
        self.keys: dict[Fact, set[str]] = {}
        self.order: list[Fact] = []
        self.repeated = 0

    def note(self, body: dict[str, Any], key: str) -> None:
        """One document that arrived."""
        fact = (str(body["order"]), int(body["n"]))
        if fact in self.keys:
            self.repeated += 1
        else:
            self.order.append(fact)
        self.keys.setdefault(fact, set()).add(key)

    def has(self, sent: Sequence[Fact]) -> bool:
        """Whether all of it arrived."""
        return self.keys.keys() >= set(sent)

    def account(self, sent: Sequence[Fact], heard: Sequence[Fact] | None = None) -> dict[str, int]:
        """Counted as Jepsen does. ``other_key``: repeated under another idempotency key than the first.

        ``heard``: the order in which the hub was told, where that need not be that of the numbers.
        """
        keys = [key for found in self.keys.values() for key in found]
        overtaken = 0
        for order in {order for order, _ in self.order}:
            numbers = [n for each, n in self.order if each == order]
            overtaken += numbers != (sorted(numbers) if heard is None else _first_of(order, heard))
        return {
            "lost": len(set(sent) - self.keys.keys()),
            "unexpected": len(self.keys.keys() - set(sent)),
            "other_key": len(keys) - len(set(keys)) + sum(len(found) - 1 for found in self.keys.values()),
            "overtaken": overtaken,
        }

    def overtakings(self, system: str) -> list[str]:
        """Where the order of a key was first left: the documents around that place, of ten keys at most."""
        found = []
        for order in dict.fromkeys(order for order, _ in self.order):
            numbers = [n for each, n in self.order if each == order]
            at = next((at for at in range(1, len(numbers)) if numbers[at] < numbers[at - 1]), None)
            if at is not None:
                around = numbers[max(0, at - 4) : at + 12]
                found.append(f"{system}, {order}: {', '.join(map(str, around))}")
        return found[:10]

    def settled(self, sent: Sequence[Fact], heard: Sequence[Fact] | None = None) -> None:
        """Nothing lost, nothing invented, nothing overtaken; repeated only under the same key."""
        found = self.account(sent, heard)
        assert found == {"lost": 0, "unexpected": 0, "other_key": 0, "overtaken": 0}, found


def _first_of(order: str, facts: Sequence[Fact]) -> list[int]:
    return list(dict.fromkeys(n for each, n in facts if each == order))


def heard(folder: Path) -> list[Fact]:
    """The documents in the order in which the hub recorded them."""
    with closing(sqlite3.connect(f"file:{folder}/data/journal.db?mode=ro", uri=True)) as journal:
        bundles = journal.execute("SELECT events FROM bundles ORDER BY first").fetchall()
    events = [json.loads(line) for (lines,) in bundles for line in lines.splitlines()]
    return [
        (event["data"]["order"], int(event["data"]["quantity"]["value"]))
        for event in events
        if event["type"] == catalogue.full_name("production.order.created")
    ]


def at_rest(folder: Path, *routes: str, dead: int = 0) -> None:
    """The lanes are empty, the cursors at the journal's end, and there are so many dead letters."""
    with closing(sqlite3.connect(f"file:{folder}/data/journal.db?mode=ro", uri=True)) as journal:
        lanes = journal.execute("SELECT route, key, state FROM lanes").fetchall()
        assert lanes == [], lanes
        [(newest,)] = journal.execute("SELECT max(last) FROM bundles").fetchall()
        cursors = dict(journal.execute("SELECT route, position FROM cursors").fetchall())
        assert {name: cursors.get(name) for name in routes} == dict.fromkeys(routes, newest)
        letters = journal.execute("SELECT count(*) FROM dead_letters WHERE status = 'open'").fetchone()[0]
        assert letters == dead, letters


class Plant:
    """A hub with a webhook, and whatever adapters and routes a test gives it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        (folder / "token").write_text(f"{SECRET}\n")
        self._settings = folder / "deployment.yaml"
        self.hub = HubProcess(folder, self._settings, port)
        self._head = HEAD.format(host=LOOPBACK, port=port)
        self.key = ""

    def configure(self, adapters: str, routes: str) -> None:
        """Writes the deployment: YAML of the adapters beside the webhook, and of the routes."""
        self._settings.write_text(f"{self._head}adapters:{HOOK}{adapters}\nroutes:\n{routes}\n")

    async def start(self) -> None:
        """Starts the hub, and makes a key at the first time."""
        await self.hub.start()
        assert not self.hub.dead, self.hub.log()[-3000:]
        self.key = self.key or await self.hub.key()

    async def stop(self) -> None:
        """Stops it in an orderly way."""
        assert await self.hub.stop() == 0, self.hub.log()[-3000:]

    async def post(self, sent: Sequence[Fact]) -> None:
        """Each document by a call of the webhook; returns when all are safe."""
        for fact in sent:
            status, answer = await self.hub.ask("POST", "/v1/webhooks/hook", key=SECRET, body=body_of(fact))
            assert status == 202, (status, answer)

    async def route(self, name: str) -> dict[str, Any]:
        """How a route does."""
        listed = await self.hub.get("/v1/routes", self.key)
        found: dict[str, Any] = next(each for each in listed["items"] if each["name"] == name)
        return found

    async def adapter(self, name: str) -> dict[str, Any]:
        """How an adapter does."""
        listed = await self.hub.get("/v1/adapters", self.key)
        found: dict[str, Any] = next(each for each in listed["items"] if each["name"] == name)
        return found

    async def items(self, path: str) -> list[dict[str, Any]]:
        """A listing's items."""
        return list((await self.hub.get(path, self.key))["items"])
