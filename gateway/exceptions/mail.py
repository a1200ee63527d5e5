"""A mail over SMTP: STARTTLS or TLS, the server's certificate checked, in a thread of its own."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

from canonical.errors import TransientError
from config.exceptions import Mail

__all__ = ["send"]

_TIMEOUT_S: Final = 15.0


async def send(server: Mail, to: Sequence[str], subject: str, text: str, identifier: str) -> None:
    """Returns once the server has taken the mail for all addresses. Raises TransientError."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = server.sender, ", ".join(to), subject
    message["Message-ID"] = f"<{identifier}@{server.sender.rpartition('@')[2] or 'crossplant'}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    try:
        await asyncio.to_thread(_send, server, list(to), message)
    except (OSError, smtplib.SMTPException) as error:
        raise TransientError(f"the mail server does not take it: {error}", code="mail") from error


def _send(server: Mail, to: list[str], message: EmailMessage) -> None:
    context = ssl.create_default_context(cafile=None if server.ca is None else str(server.ca))
    with _connected(server, context) as client:
        if server.tls == "starttls":
            client.starttls(context=context)
        if server.username is not None and server.password is not None:
            client.login(server.username, server.password.get_secret_value())
        refused = client.send_message(message, to_addrs=to)
        if refused:
            raise smtplib.SMTPRecipientsRefused(refused)


def _connected(server: Mail, context: ssl.SSLContext) -> smtplib.SMTP:
    if server.tls == "tls":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=_TIMEOUT_S, context=context)
    return smtplib.SMTP(server.host, server.port, timeout=_TIMEOUT_S)
