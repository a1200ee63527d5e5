"""The sink over a folder: every delivery becomes a file that is complete when it appears.

Written under another name, checked, renamed; Accepted only then. What is there is never overwritten
unless the route says so. The same delivery again finds its file by name and content.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from canonical.errors import CrossplantError, Invalid, Rejected, Stage, TransientError, Unauthorized
from canonical.exchange.folder import Denied, Exists, Folder, NotFound, is_connection_failure
from canonical.exchange.naming import part_name, suffixed, unsafe
from canonical.exchange.options import FileTarget
from canonical.ports import Accepted, Delivery, Failed, NotTried, SinkOutcome, Unknown
from canonical.spec import AdapterContext

__all__ = ["FolderSink"]

_COLLISIONS = 3


class FolderSink:
    """Delivers into a folder, one file after the other."""

    def __init__(self, folder: Folder, context: AdapterContext, *, where: str) -> None:
        self._folder, self._context, self._where = folder, context, where

    async def open(self) -> None:
        """Nothing happens before the first delivery."""
        self._context.health.connected, self._context.health.detail = True, "nothing delivered yet"

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        """One outcome each, in order. Once the folder fails, the rest is not tried; nor is what
        follows a failed delivery of its own key."""
        outcomes: list[SinkOutcome] = []
        failed: set[str] = set()
        away = False
        for delivery in deliveries:
            if away or delivery.key in failed:
                outcomes.append(NotTried())
                continue
            outcome = await self._deliver(delivery)
            outcomes.append(outcome)
            if isinstance(outcome, Failed | Unknown):
                failed.add(delivery.key)
                away = isinstance(outcome.error, Unauthorized) or _outage(outcome.error)
        return outcomes

    async def lookup(self, delivery: Delivery) -> Accepted | Failed | None:
        """Accepted when a file with its name and content is there, None when none is.

        None, too, when the receiver has taken the file away already: it gets it again then.
        """
        try:
            name, path = _place(delivery)
            for candidate in (path, _beside(path, _other_name(name, delivery))):
                if await self._holds(candidate, delivery.payload):
                    return Accepted(candidate)
        except CrossplantError as error:
            return Failed(error)
        return None

    async def close(self) -> None:
        """Ends what is open; safe to call twice."""
        await self._folder.close()
        self._context.health.connected, self._context.health.detail = False, "closed"

    async def _deliver(self, delivery: Delivery) -> SinkOutcome:
        try:
            name, path = _place(delivery)
            target = _target(delivery)
            for _ in range(_COLLISIONS):
                free = await self._free(name, path, target, delivery)
                if free is None or await self._holds(free, delivery.payload):
                    return self._accepted(free or path)
                part = await self._written(free, delivery.payload)
                try:
                    await self._folder.move(part, free, replace=target.exists == "replace")
                except Exists:
                    continue  # somebody was faster: look again
                except CrossplantError as error:
                    return self._unclear(error)
                return self._accepted(free)
            raise TransientError(
                f"{self._where}: others keep writing {name!r}; give deliveries names of their own",
                code="exists",
                busy=True,
            )
        except CrossplantError as error:
            return self._failed(error)

    async def _free(self, name: str, path: str, target: FileTarget, delivery: Delivery) -> str | None:
        """The path to write to; None when the delivery's file is there already."""
        if await self._folder.stat(path) is None:
            return path
        if await self._holds(path, delivery.payload):
            return None
        match target.exists:
            case "replace":
                return path
            case "suffix":
                return _beside(path, _other_name(name, delivery))
            case "reject":
                raise Rejected(
                    f"{self._where}/{path} is there with other content; it was not overwritten (`exists:`)",
                    code="exists",
                )

    async def _holds(self, path: str, payload: bytes) -> bool:
        """Whether a file with this content is there; by its size alone where we may not read it."""
        there = await self._folder.stat(path)
        if there is None or there.kind != "file" or there.size_bytes != len(payload):
            return False
        try:
            return await self._folder.read(path, len(payload)) == payload
        except Denied:
            return True
        except NotFound:
            return False

    async def _written(self, path: str, payload: bytes) -> str:
        """The path of the finished, checked file under its temporary name."""
        part = _beside(path, part_name(path.rpartition("/")[2]))
        await self._folder.write(part, payload)
        there = await self._folder.stat(part)
        if there is None or there.size_bytes != len(payload):
            has = "nothing" if there is None else f"{there.size_bytes} bytes"
            await self._folder.remove(part)
            raise TransientError(
                f"{self._where}/{part} has {has} after writing {len(payload)} bytes; "
                "is the disk full, or does the receiver take unfinished files away?",
                code="size_mismatch",
            )
        return part

    def _accepted(self, path: str) -> Accepted:
        health = self._context.health
        health.connected, health.detail = True, f"delivers to {self._where}"
        health.last_good_at = self._context.clock()
        return Accepted(path)

    def _unclear(self, error: CrossplantError) -> Failed | Unknown:
        """The rename failed: whether it happened is known only if an answer came."""
        self._failed(error)
        return Unknown(error) if is_connection_failure(error) else Failed(error)

    def _failed(self, error: CrossplantError) -> Failed:
        if isinstance(error, Unauthorized) or _outage(error):
            self._context.health.connected, self._context.health.detail = False, error.message
        return Failed(error)


def _outage(error: CrossplantError) -> bool:
    return isinstance(error, TransientError) and error.outage


def _target(delivery: Delivery) -> FileTarget:
    """The route's options, expanded. Raises Invalid when a value of the message does not fit."""
    try:
        return FileTarget.model_validate(delivery.target)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors(include_url=False)
        )
        raise _unfit(f"the route's target does not fit: {wrong}") from error


def _place(delivery: Delivery) -> tuple[str, str]:
    """(name, path) of a delivery. Raises Invalid for what would leave the folder or hide in it."""
    target = _target(delivery)
    folders = [part for part in target.folder.split("/") if part]
    if target.folder.startswith("/"):
        raise _unfit(f"the target's folder {target.folder!r} is not below the adapter's")
    for part in (*folders, target.name):
        fault = unsafe(part) or ("it starts with a dot" if part.startswith(".") else "")
        if fault:
            raise _unfit(f"{part!a} cannot be a file name: {fault}")
    return target.name, "/".join((*folders, target.name))


def _unfit(message: str) -> Invalid:
    return Invalid(message, code="target", stage=Stage.SENDING)


def _other_name(name: str, delivery: Delivery) -> str:
    return suffixed(name, delivery.idempotency_key, delivery.payload)


def _beside(path: str, name: str) -> str:
    folder, slash, _ = path.rpartition("/")
    return f"{folder}{slash}{name}"
