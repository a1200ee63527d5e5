"""Teams are told of exceptions: by mail and signed webhook, gathered, once per opening, not at night."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import web
from pydantic import SecretStr, ValidationError

from adapters.rest.config import StandardWebhooksVerification
from adapters.rest.verify import Verifier
from canonical.errors import PermanentError, TransientError
from canonical.ports import Transaction
from config.exceptions import Exceptions, Hook, Quiet
from deadletter.entry import DeadLetter
from gateway.exceptions import Rules, hooks, tasks
from gateway.exceptions.causes import Cause, cause_of
from gateway.exceptions.telling import Telling
from router.notices import dead_lettered
from tests.certificates import Authority
from tests.gateway.hubs import Gate, event, opened
from tests.servers.ports import LOOPBACK
from tests.servers.smtp import MailServer, mail_server

SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgdGVzdHM="
QUALITY = "quality@example.com"


def cause(number: int, **more: Any) -> Cause:
    fields: dict[str, Any] = {
        "key": f"told/{number}",
        "kind": "business",
        "class_": "told",
        "title": f"acknowledgement {number} is overdue",
        "queue": "quality",
        "priority": 2,
        "due_s": 3600.0,
        "plant": "aachen",
        "refs": {"exception": f"x-{number}"},
    }
    return Cause(**{**fields, **more})


async def strike(gate: Gate, *numbers: int, **more: Any) -> None:
    """Opens exceptions, counts in those that are open, reopens others."""

    def work(transaction: Transaction) -> None:
        for number in numbers:
            tasks.strike(transaction, cause(number, **more), gate.hub.clock().timestamp())

    await gate.hub.journal.write(work)


async def resolved(gate: Gate, number: int) -> None:
    def work(transaction: Transaction) -> None:
        task = tasks.known(transaction, f"told/{number}")
        assert task is not None
        tasks.resolve(transaction, task, gate.hub.clock().timestamp(), "test", "done")

    await gate.hub.journal.write(work)


def settings(server: MailServer, authority: Authority, **team: Any) -> dict[str, Any]:
    return {
        "gather": "0s",
        "console": "https://hub.example",
        "mail": {
            "host": LOOPBACK,
            "port": server.port,
            "tls": server._tls,
            "ca": str(authority.certificate_path),
            "username": "hub",
            "password": "secret",
            "sender": "hub@example.com",
        },
        "owners": {"quality": {"mail": [QUALITY, "shift@example.com"], **team}},
    }


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ca"))


# ── mail ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_team_gets_one_mail_for_all_that_it_has_to_know(
    tmp_path: Path, authority: Authority, tls: Literal["starttls", "tls"]
) -> None:
    async with (
        mail_server(authority.issue("mail"), tls) as server,
        opened(tmp_path, exceptions=settings(server, authority)) as gate,
    ):
        await strike(gate, 1, 1, 1, 2)
        await strike(gate, 3, queue="sales")
        await gate.hub.telling.look()
        await gate.hub.telling.look()
        (mail,) = server.mails
        assert server.recipients == [[QUALITY, "shift@example.com"]]
        assert (mail["From"], mail["Subject"]) == ("hub@example.com", "[Crossplant] 2 exceptions for quality")
        text = mail.get_content()
        for part in ("acknowledgement 1 is overdue", "struck 3 times", "https://hub.example/exceptions/1"):
            assert part in text, part
        assert "acknowledgement 3" not in text
        await strike(gate, 1)  # it is open, and known
        await gate.hub.telling.look()
        assert len(server.mails) == 1


async def test_what_is_reopened_is_told_again(tmp_path: Path, authority: Authority) -> None:
    async with (
        mail_server(authority.issue("mail")) as server,
        opened(tmp_path, exceptions=settings(server, authority)) as gate,
    ):
        await strike(gate, 1)
        await gate.hub.telling.look()
        await resolved(gate, 1)
        await gate.hub.telling.look()
        await strike(gate, 1)
        await gate.hub.telling.look()
        subjects = [mail["Subject"] for mail in server.mails]
        assert subjects == ["[Crossplant] acknowledgement 1 is overdue"] * 2
        assert server.mails[0]["Message-ID"] != server.mails[1]["Message-ID"]


async def test_what_was_told_is_not_told_again_after_a_restart(tmp_path: Path, authority: Authority) -> None:
    async with mail_server(authority.issue("mail")) as server:
        told = settings(server, authority)
        async with opened(tmp_path, exceptions=told) as gate:
            await strike(gate, 1)
            await gate.hub.telling.look()
        async with opened(tmp_path, exceptions=told) as gate:
            await gate.hub.telling.look()
        assert len(server.mails) == 1


async def test_what_a_server_does_not_take_is_sent_later(tmp_path: Path, authority: Authority) -> None:
    async with (
        mail_server(authority.issue("mail")) as server,
        opened(tmp_path, exceptions=settings(server, authority)) as gate,
    ):
        server.full = True
        await strike(gate, 1)
        await gate.hub.telling.look()
        assert gate.hub.metrics.told == {("quality", "mail", "failed"): 1}
        server.full = False
        await gate.hub.telling.look()
        assert server.mails == []  # not at once
        again = Telling(
            gate.hub.journal, lambda: gate.hub.deployment, gate.hub.clock, gate.hub.log, gate.hub.metrics.told
        )
        await again.look()
        assert len(server.mails) == 1
        assert gate.hub.metrics.told[("quality", "mail", "sent")] == 1


async def test_a_server_with_an_unknown_certificate_gets_no_password(
    tmp_path: Path, authority: Authority
) -> None:
    stranger = Authority.create(tmp_path / "other")
    async with (
        mail_server(authority.issue("mail")) as server,
        opened(tmp_path / "data", exceptions=settings(server, stranger)) as gate,
    ):
        await strike(gate, 1)
        await gate.hub.telling.look()
        assert server.mails == []
        assert gate.hub.metrics.told == {("quality", "mail", "failed"): 1}


async def test_a_subject_stays_on_its_line(tmp_path: Path, authority: Authority) -> None:
    async with (
        mail_server(authority.issue("mail")) as server,
        opened(tmp_path, exceptions=settings(server, authority)) as gate,
    ):
        await strike(gate, 1, title="wrong\r\nBcc: everybody@example.com")
        await gate.hub.telling.look()
        (mail,) = server.mails
        assert mail["Bcc"] is None
        assert mail["Subject"] == "[Crossplant] wrong Bcc: everybody@example.com"


# ── webhook ─────────────────────────────────────────────────────────────────────────────────────


class Endpoint:
    """Keeps what it is called with; ``status`` is its answer."""

    def __init__(self) -> None:
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.status, self.location = 204, ""
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.append((headers, await request.read()))
        more = {"Location": self.location} if self.location else {}
        return web.Response(status=self.status, headers=more)


@asynccontextmanager
async def endpoint() -> AsyncIterator[Endpoint]:
    found = Endpoint()
    app = web.Application()
    app.router.add_post("/{path:.*}", found.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    found.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}/told"
    try:
        yield found
    finally:
        await runner.cleanup()


def hooked(url: str, **more: Any) -> dict[str, Any]:
    hook = {"url": url, "secret": SECRET, "allow_private": True, **more}
    return {"gather": "0s", "owners": {"quality": {"webhook": hook}}}


async def test_a_webhook_is_signed_as_standard_webhooks_say(tmp_path: Path) -> None:
    async with endpoint() as called, opened(tmp_path, exceptions=hooked(called.url)) as gate:
        await strike(gate, 1, 2)
        await gate.hub.telling.look()
        ((headers, body),) = called.calls
        checks = StandardWebhooksVerification(kind="standard-webhooks", secret=SecretStr(SECRET))
        Verifier(checks).check(headers, body, datetime.now(UTC))
        with pytest.raises(Exception, match="no signature"):
            Verifier(checks).check(headers, body + b" ", datetime.now(UTC))
        told = json.loads(body)
        assert (told["type"], told["data"]["owner"]) == ("exceptions.opened", "quality")
        assert [each["id"] for each in told["data"]["exceptions"]] == [1, 2]
        assert told["data"]["exceptions"][0]["title"] == "acknowledgement 1 is overdue"


async def test_a_repeated_call_has_the_id_that_it_had_and_follows_no_redirect(tmp_path: Path) -> None:
    async with endpoint() as called, opened(tmp_path, exceptions=hooked(called.url)) as gate:
        await strike(gate, 1)
        called.status, called.location = 307, called.url
        await gate.hub.telling.look()
        assert len(called.calls) == 1
        called.status, called.location = 500, ""
        for _ in range(2):
            again = Telling(
                gate.hub.journal,
                lambda: gate.hub.deployment,
                gate.hub.clock,
                gate.hub.log,
                gate.hub.metrics.told,
            )
            await again.look()
            called.status = 200
        assert len(called.calls) == 3
        assert len({headers["webhook-id"] for headers, _ in called.calls}) == 1
        assert gate.hub.metrics.told == {
            ("quality", "webhook", "failed"): 2,
            ("quality", "webhook", "sent"): 1,
        }


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "localhost",
            "[::1]",
            "10.1.2.3",
            "169.254.169.254",
            "[::ffff:192.168.1.1]",
            "0.0.0.0",
        ),
        *("[::ffff:192.168.1.1]", "[64:ff9b::10.1.2.3]", "[64:ff9b::a9fe:a9fe]", "[2002:c0a8:101::1]"),
    ],
)
async def test_the_private_network_is_not_called_unless_it_is_allowed(host: str) -> None:
    async with endpoint() as called:
        port = called.url.rpartition(":")[2]
        hook = Hook(url=f"http://{host}:{port}", secret=SecretStr(SECRET))
        with pytest.raises((PermanentError, TransientError), match="public address"):
            await hooks.post(hook, "msg_1", 1, b"{}")
        assert called.calls == []


async def test_a_secret_that_is_none_calls_nobody() -> None:
    async with endpoint() as called:
        hook = Hook(url=called.url, secret=SecretStr("%%"), allow_private=True)
        with pytest.raises(PermanentError, match="base64"):
            await hooks.post(hook, "msg_1", 1, b"{}")
        assert called.calls == []


# ── when ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("start", "end", "at", "quiet"),
    [
        ("22:00", "06:00", "23:30", True),
        ("22:00", "06:00", "05:59", True),
        ("22:00", "06:00", "06:00", False),
        ("22:00", "06:00", "12:00", False),
        ("12:00", "13:00", "12:30", True),
        ("12:00", "13:00", "13:00", False),
    ],
)
def test_quiet_hours_may_go_over_midnight(start: str, end: str, at: str, quiet: bool) -> None:
    hours = Quiet.model_validate({"start": start, "end": end})
    assert hours.holds(time.fromisoformat(at)) is quiet


async def test_quiet_hours_are_those_of_the_plant_and_the_most_urgent_break_them(
    tmp_path: Path, authority: Authority
) -> None:
    async with mail_server(authority.issue("mail")) as server:
        told = settings(server, authority, quiet={"start": "22:00", "end": "06:00"})
        async with opened(tmp_path, exceptions=told) as gate:
            await strike(gate, 1)
            await strike(gate, 2, priority=1)
            now = datetime(2026, 7, 1, 20, 30, tzinfo=UTC)  # 22:30 in Berlin
            telling = Telling(
                gate.hub.journal,
                lambda: gate.hub.deployment,
                lambda: now,
                gate.hub.log,
                gate.hub.metrics.told,
            )
            await gate.hub.telling.close()
            await telling.look()
            assert [mail["Subject"] for mail in server.mails] == ["[Crossplant] acknowledgement 2 is overdue"]
            now = datetime(2026, 7, 2, 4, 0, tzinfo=UTC)  # 06:00 in Berlin
            await telling.look()
            assert server.mails[1]["Subject"] == "[Crossplant] acknowledgement 1 is overdue"


async def test_a_team_is_told_only_after_the_time_of_gathering(tmp_path: Path, authority: Authority) -> None:
    async with mail_server(authority.issue("mail")) as server:
        told = {**settings(server, authority), "gather": "1h"}
        async with opened(tmp_path, exceptions=told) as gate:
            await strike(gate, 1)
            await gate.hub.telling.look()
            await gate.hub.telling.look()
            assert server.mails == []


# ── how urgent ──────────────────────────────────────────────────────────────────────────────────


def test_due_time_and_priority_are_those_of_the_owner_else_of_the_class() -> None:
    letter = DeadLetter(
        kind="delivery", stage="sending", code="http_422", error="no", route="orders", position=1
    )
    told = dead_lettered(letter, event(1))
    rules = Exceptions.model_validate(
        {
            "classes": {"refused": {"due": "2h", "priority": 4}},
            "owners": {"quality": {"due": "30m"}},
        }
    )
    for owners, expected in (
        ({}, (8 * 3600.0, 2)),
        ({"orders": "sales"}, (2 * 3600.0, 4)),
        ({"orders": "quality"}, (1800.0, 4)),
    ):
        chosen = Rules(owners=owners, settings=rules) if owners else Rules(owners={})
        found = cause_of(told, chosen)
        assert found is not None
        assert (found.due_s, found.priority) == expected, owners


def test_what_cannot_be_read_belongs_to_its_adapters_owner() -> None:
    letter = DeadLetter(
        kind="message", stage="receiving", code="not_json", error="no", adapter="hook", message_id="m"
    )
    told = dead_lettered(letter, None)
    queues = [
        cause_of(told, Rules(owners={}, adapters=adapters)) for adapters in ({"hook": "purchasing"}, {})
    ]
    assert [found.queue for found in queues if found] == ["purchasing", "operations"]


async def test_resolution_time_and_open_exceptions_are_metrics(gate: Gate) -> None:
    await strike(gate, 1, 2)
    await resolved(gate, 1)
    await gate.hub.metrics.refresh(gate.hub)
    text = gate.hub.metrics.text().decode()
    assert 'crossplant_exceptions_open{kind="business",queue="quality"} 1.0' in text
    assert 'crossplant_exception_resolution_seconds{share="0.5"}' in text


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"owners": {"a": {"mail": ["x@example.com"]}}}, "exceptions.mail names the server"),
        ({"mail": {"host": "h", "sender": "s@x", "username": "u"}}, "go together"),
        (
            {"mail": {"host": "h", "sender": "s@x", "username": "u", "password": "p", "tls": "none"}},
            "a line in clear",
        ),
        ({"owners": {"a": {"webhook": {"url": "ftp://x", "secret": SECRET}}}}, "http or https"),
        ({"owners": {"a": {"webhook": {"url": "https://u:p@x", "secret": SECRET}}}}, "without a user"),
        ({"owners": {"a": {"quiet": {"start": 1320, "end": "06:00"}}}}, "no time of day"),
        ({"classes": {"unheard": {}}}, "unknown_code"),
        ({"owners": {"a": {"priority": 0}}}, "greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_words(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Exceptions.model_validate(wrong)
