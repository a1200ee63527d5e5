"""What can be known of a deployment before it runs, beyond the shape of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from config.adapter_check import adapter_findings
from config.crosswalk_check import crosswalk_findings
from config.document import Node
from config.enrichment import services
from config.exceptions import NOBODY, PARTNERS, STEWARDS
from config.findings import Finding, did_you_mean
from config.model import Deployment
from config.route_check import route_findings, type_findings
from config.view import View

__all__ = ["examine"]


def examine(deployment: Deployment, root: Node) -> list[Finding]:
    """All findings that need more than one part, an expression or a crosswalk file to be looked at.

    ``deployment`` is what is sound of what ``root`` holds.
    """
    view = View(deployment=deployment, root=root)
    return [
        *_gateway(view),
        *_python(view),
        *adapter_findings(view),
        *route_findings(view),
        *_service_levels(view),
        *_teams(view),
        *_cases(view),
        *crosswalk_findings(view),
    ]


def _gateway(view: View) -> Iterator[Finding]:
    gateway = view.deployment.gateway
    if gateway.tls is None and not _loopback(gateway.bind):
        yield view.place("gateway", "bind").finding(
            "gateway.bind: keys and data travel in clear to other machines; set gateway.tls, or bind to "
            "127.0.0.1 behind a proxy that does",
            warning=True,
        )


def _python(view: View) -> Iterator[Finding]:
    for index, folder in enumerate(view.deployment.python):
        if not folder.is_dir():
            yield view.place("python", index).finding(f"python: no such folder: {folder}")


def _loopback(address: str) -> bool:
    try:
        return ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return address == "localhost"


def _service_levels(view: View) -> Iterator[Finding]:
    for name in view.names("service_levels"):
        yield from view.known("plants", "service_levels", name, "plants")
        yield from view.known("routes", "service_levels", name, "route")


def _teams(view: View) -> Iterator[Finding]:
    """A team that nothing belongs to would never be told of anything."""
    deployment = view.deployment
    owners = [
        *(route.owner for route in deployment.routes.values()),
        *(adapter.owner for adapter in deployment.adapters.values()),
        *(level.owner for level in deployment.service_levels.values()),
    ]
    known = {NOBODY, PARTNERS, *STEWARDS.values(), *(owner for owner in owners if owner)}
    for name in deployment.exceptions.owners:
        if name not in known:
            hint = did_you_mean(name, known, otherwise="known")
            yield view.place("exceptions", "owners", name).finding(
                f"exceptions.owners: nothing belongs to {name!r}, so nobody would be told{hint}", warning=True
            )


def _cases(view: View) -> Iterator[Finding]:
    for index, case in enumerate(view.deployment.tests):
        path = ("tests", index)
        yield from view.known("adapters", *path, "send", "adapter")
        for service in case.knows.keys() - services().keys():
            hint = did_you_mean(service, services(), otherwise="there are")
            yield view.place(*path, "knows", service).finding(
                f"tests.knows: no service {service!r} to enrich from{hint}"
            )
        if case.send.file is not None and not case.send.file.is_file():
            yield view.place(*path, "send", "file").finding(
                f"tests.send.file: no such file: {case.send.file}"
            )
        for at, event in enumerate(case.expect.events or ()):
            yield from type_findings(view, event.type, *path, "expect", "events", at, "type")
        for at in range(len(case.expect.deliveries or ())):
            yield from view.known("routes", *path, "expect", "deliveries", at, "route")
