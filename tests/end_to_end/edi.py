"""A hub between folders, as a partner and an ERP see it; and interchanges to put there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from canonical import catalogue
from tests.hub import HubProcess
from tests.waiting import eventually

__all__ = ["US", "Site", "orders", "purchase_order"]

US, PARTNER = "4012345000009", "4060000000017"


def orders(reference: str, lines: int = 1, *, segments: int | None = None) -> bytes:
    """ORDERS of the partner; ``segments`` tells a wrong count."""
    body = [
        "UNH+1+ORDERS:D:96A:UN",
        f"BGM+220+PO-{reference}+9",
        "DTM+137:20260301:102",
        f"NAD+BY+{PARTNER}::9",
        f"NAD+SU+{US}::9",
    ]
    for line in range(1, lines + 1):
        body += [f"LIN+{line}++ITEM-{line}:IN", "QTY+21:10:PCE"]
    body += ["UNS+S"]
    counted = len(body) + 1 if segments is None else segments
    head = ["UNA:+.? ", f"UNB+UNOC:3+{PARTNER}:14+{US}:14+260302:0930+{reference}"]
    return ("'\n".join([*head, *body, f"UNT+{counted}+1", f"UNZ+1+{reference}"]) + "'\n").encode()


def purchase_order(number: str) -> dict[str, Any]:
    """procurement.order.issued, as the ERP posts it."""
    return {
        "specversion": "1.0",
        "id": f"order-{number}",
        "source": "/systems/erp",
        "type": catalogue.full_name("procurement.order.issued"),
        "plantid": "aachen",
        "data": {
            "purchase_order": number,
            "revision": 0,
            "supplier": PARTNER,
            "ship_to": "DOCK-7",
            "lines": [
                {
                    "line": "1",
                    "item": "ITEM-1",
                    "gtin": "04060000010016",
                    "quantity": {"value": "120", "uom": "EA"},
                    "requested_date": "2026-03-18",
                    "price": {"value": "0.125", "currency": "EUR"},
                }
            ],
        },
    }


class Site:
    """The hub, its key, and the folders that it shares with others."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.hub = HubProcess(folder, folder / "deployment.yaml", port)
        self.key = ""

    def share(self, *names: str) -> list[Path]:
        """Folders of these names, made."""
        paths = [self.folder / name for name in names]
        for path in paths:
            path.mkdir(parents=True, exist_ok=True)
        return paths

    def configure(self, text: str) -> None:
        """Writes the deployment, but for the gateway."""
        head = f"company: acme\ngateway: {{bind: 127.0.0.1, port: {self.port}}}\n"
        (self.folder / "deployment.yaml").write_text(head + text, encoding="utf-8")

    async def start(self) -> None:
        """Starts the hub; returns when it answers."""
        await self.hub.start()
        assert not self.hub.dead, self.hub.log()[-3000:]
        self.key = self.key or await self.hub.key()

    async def events(self, kind: str, **filters: str) -> list[dict[str, Any]]:
        """Events of a type, oldest first."""
        asked = "&".join(f"{name}={value}" for name, value in {"type": kind, **filters}.items())
        found: list[dict[str, Any]] = []
        path = f"/v1/events?{asked}&limit=500"
        answer = await self.hub.get(path, self.key)
        found += answer["items"]
        return sorted(found, key=lambda item: int(item["position"]))

    async def data(self, kind: str) -> list[dict[str, Any]]:
        """The data of a type's events, oldest first."""
        return [item["data"] for item in await self.events(kind)]

    async def interchanges(self) -> list[tuple[str, str]]:
        """(reference, outcome) of what came in."""
        return [
            (data["reference"], data["outcome"])
            for data in await self.data("integration.interchange.received")
        ]

    async def post(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Publishes events as the ERP does."""
        status, answer = await self.hub.ask(
            "POST",
            "/v1/events",
            key=self.key,
            body=list(events),
            content_type="application/cloudevents-batch+json",
        )
        assert status == 202, answer


async def names(folder: Path, number: int) -> list[str]:
    """The names in a folder once there are so many."""

    def found() -> list[str]:
        return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".part"))

    await eventually(lambda: len(found()) >= number, 60)
    return found()
