"""A small mail server on loopback: EHLO, STARTTLS or TLS, AUTH PLAIN, and the mails that it was given."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Literal

from tests.certificates import Issued
from tests.servers.ports import LOOPBACK

__all__ = ["MailServer", "mail_server"]


class MailServer:
    """Takes mails of who proves themselves over TLS; ``full`` refuses them."""

    def __init__(self, issued: Issued, tls: Literal["starttls", "tls"], login: tuple[str, str]) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.full = False
        self.port = 0
        self._tls, self._login = tls, login
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(issued.certificate_path, issued.key_path)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it leaves."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await self._talk(reader, writer)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            writer.close()
            await writer.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        safe, proved, to = self._tls == "tls", False, list[str]()

        async def say(text: str) -> None:
            writer.write(f"{text}\r\n".encode())
            await writer.drain()

        await say("220 mail.test")
        while True:
            line = (await reader.readuntil(b"\r\n")).decode().strip()
            verb = line.upper()
            if verb.startswith("EHLO"):
                await say(f"250-mail.test\r\n250 {'AUTH PLAIN' if safe else 'STARTTLS'}")
            elif verb == "STARTTLS":
                await say("220 go on")
                await writer.start_tls(self.context)
                safe = True
            elif verb.startswith("AUTH PLAIN "):
                given = base64.b64decode(line[11:]).decode().split("\0")
                proved = safe and tuple(given[1:]) == self._login
                await say("235 welcome" if proved else "535 no")
            elif verb.startswith("MAIL"):
                to = []
                await say("452 full" if self.full else "250 ok" if proved else "530 log in")
            elif verb.startswith("RCPT"):
                to.append(line.partition("<")[2].partition(">")[0])
                await say("250 ok")
            elif verb == "DATA":
                await say("354 go on")
                content = await reader.readuntil(b"\r\n.\r\n")
                mail = message_from_bytes(content[:-5], policy=default)
                assert isinstance(mail, EmailMessage)
                self.mails.append(mail)
                self.recipients.append(to)
                await say("250 taken")
            elif verb == "QUIT":
                await say("221 bye")
                return
            else:
                await say("250 ok")


@asynccontextmanager
async def mail_server(
    issued: Issued, tls: Literal["starttls", "tls"] = "starttls", login: tuple[str, str] = ("hub", "secret")
) -> AsyncIterator[MailServer]:
    """It, listening."""
    mails = MailServer(issued, tls, login)
    context = mails.context if tls == "tls" else None
    server = await asyncio.start_server(mails.serve, LOOPBACK, 0, ssl=context)
    mails.port = server.sockets[0].getsockname()[1]
    try:
        yield mails
    finally:
        server.close()
        await server.wait_closed()
