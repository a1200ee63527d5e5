"""What the library's exceptions mean, and library calls that end in time.

Sources: AMQP 0-9-1 reply codes (specification, 1.1) and the texts that RabbitMQ sends with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from aio_pika import exceptions
from aiormq.exceptions import ChannelAccessRefused, InvalidFrameError

from adapters.amqp.config import AmqpOptions
from canonical.errors import CrossplantError, Rejected, TransientError, Unauthorized

__all__ = ["bounded", "channel_fault", "connect_fault", "lost"]

T = TypeVar("T")
ENDING_S = 2.0
"""How long a call that was told to stop may take for it."""


async def bounded(call: Awaitable[T], timeout_s: float) -> T:
    """The call's result. Raises what it raises, TimeoutError, or, when it was cancelled, ConnectionError.

    aiormq cancels calls of a connection that is lost. In a task of its own such a cancellation can be
    told from ours, and a call that does not heed ours cannot hold us back.
    """
    task = asyncio.ensure_future(call)
    try:
        await asyncio.wait([task], timeout=timeout_s)
        if not task.done():
            raise TimeoutError(f"no answer within {timeout_s:g} s")
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=ENDING_S)
            task.add_done_callback(_forget)
    if task.cancelled():
        raise ConnectionError("the connection was lost")
    try:
        return task.result()
    except asyncio.CancelledError as error:
        raise ConnectionError("the connection was lost") from error


def _forget(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()  # so that asyncio does not report it as never seen


def lost(message: str, cause: BaseException | None = None) -> TransientError:
    """The error of a connection that is over."""
    error = TransientError(message, code="connection_lost", outage=True)
    error.__cause__ = cause
    return error


def connect_fault(error: BaseException, options: AmqpOptions) -> CrossplantError:
    """Why no connection came about, and what to do about it."""
    broker = f"{options.host}:{options.port}"
    match error:
        case CrossplantError():
            return error
        case exceptions.ProbableAuthenticationError() | exceptions.AuthenticationError():
            return Unauthorized(
                f"{broker} refuses the login: {_text(error)}; check username and password",
                code="login_refused",
            )
        case TimeoutError():
            text = f"{broker} does not answer within {options.connect_timeout:g} s"
            return TransientError(text, code="timeout", outage=True)
        case InvalidFrameError() if "Connection.OpenOk" in str(error):
            return Unauthorized(
                f"{broker} refuses the virtual host {options.vhost!r}: it does not exist, "
                "or the user has no access to it",
                code="vhost_refused",
            )
        case exceptions.AMQPError() | OSError():
            return lost(f"{broker} ended the connection during the login: {_text(error)}", error)
        case _:
            return lost(f"connecting to {broker} failed: {type(error).__name__}: {error}", error)


def channel_fault(error: BaseException) -> CrossplantError:
    """What ended a channel or a connection, or refused a command on it."""
    match error:
        case CrossplantError():
            return error
        case ChannelAccessRefused():
            return Unauthorized(f"the broker refuses access: {_text(error)}", code="access_refused")
        case exceptions.ChannelNotFoundEntity():
            return Rejected(f"the broker does not have it: {_text(error)}", code="not_found")
        case exceptions.ChannelPreconditionFailed():
            return Rejected(f"the broker refuses: {_text(error)}", code="precondition_failed")
        case TimeoutError():
            return TransientError(
                f"the broker does not answer a command: {error}", code="timeout", outage=True
            )
        case exceptions.AMQPError():
            return lost(f"the broker ended the connection: {_text(error)}", error)
        case asyncio.CancelledError() | OSError():
            return lost("the connection was lost", error)
        case _:
            return lost(f"the connection failed: {type(error).__name__}: {error}", error)


def _text(error: BaseException) -> str:
    """The reply text that came from the broker, where one did."""
    return " ".join(str(each) for each in error.args if each) or type(error).__name__
