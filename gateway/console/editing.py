"""Editing a dead letter: checked against the schema, shown as a diff, approved by another person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.responses import RedirectResponse, Response

from canonical.errors import Invalid
from deadletter.dryrun import Verdict
from deadletter.edits import Change, Edit, SamePerson, original
from deadletter.entry import DeadLetter
from gateway.api.edits import APPROVE
from gateway.api.letters import one as letter_of
from gateway.auth import OPERATE, forbidden
from gateway.console.guard import room
from gateway.console.letters import fault_of, repair_of
from gateway.console.pages import page
from gateway.console.visitor import Acting, Looking, Visitor
from gateway.console.workbench import Number, map_of
from gateway.problems import Problem

__all__ = ["api"]

api = room()

_ROOM: Final = "/dead-letters"
_EDITABLE_BYTES: Final = 30_000
_LONGEST_REASON: Final = 2000


class Checked(Struct, frozen=True, kw_only=True):
    """What is known of content before it is proposed; ``verdict`` where nothing is wrong with it."""

    changes: Sequence[Change]
    faults: Sequence[tuple[str, str]]
    verdict: Verdict | None


@api.get("/dead-letters/{number}/edit")
async def form(visitor: Looking, number: Number) -> Response:
    """The content as it is, to be changed."""
    letter = await letter_of(visitor.hub, visitor.principal, number)
    return _form(visitor, letter, text=_shown(letter))


@api.post("/dead-letters/{number}/edit")
async def propose(visitor: Acting, number: Number) -> Response:
    """``act`` is ``check``, which keeps nothing, or ``propose``."""
    visitor.need(OPERATE)
    hub, fields = visitor.hub, visitor.fields
    letter = await letter_of(hub, visitor.principal, number)
    text, reason = fields.get("content", ""), fields.get("reason", "").strip()
    content = _content(letter, text)
    changes, faults = await hub.edits.review(number, content)
    verdict = None if faults else await hub.dry_run.one(number, content)
    checked = Checked(changes=changes, faults=faults, verdict=verdict)
    if fields.get("act") != "propose" or faults or not changes:
        status = 422 if fields.get("act") == "propose" else 200
        return _form(visitor, letter, text=text, reason=reason, checked=checked, status=status)
    if not reason or len(reason) > _LONGEST_REASON:
        wrong = f"Say why: 1 to {_LONGEST_REASON} characters, for whoever approves it."
        return _form(visitor, letter, text=text, reason=reason, checked=checked, wrong=wrong, status=422)
    try:
        await hub.edits.propose(number, content, by=visitor.principal.name, reason=reason)
    except Invalid as error:  # the configuration has changed since the check above
        raise Problem(422, error.code, error.message, errors=error.errors) from error
    return RedirectResponse(f"/dead-letters/{number}", 303)


@api.post("/dead-letters/{number}/edits/{edit}/approve")
async def approve(visitor: Acting, number: Number, edit: Number) -> Response:
    """Lets an edit take effect: the letter is retried with it."""
    visitor.need(APPROVE)
    await _edit(visitor, number, edit)
    try:
        await visitor.hub.edits.approve(edit, by=visitor.principal.name)
    except SamePerson as error:
        raise forbidden(f"{error.message}. Whoever has the role approver finds it here.") from error
    return RedirectResponse(f"/dead-letters/{number}", 303)


@api.post("/dead-letters/{number}/edits/{edit}/withdraw")
async def withdraw(visitor: Acting, number: Number, edit: Number) -> Response:
    """Gives an edit up; the letter stays as it is."""
    visitor.need(OPERATE | APPROVE)
    await _edit(visitor, number, edit)
    await visitor.hub.edits.withdraw(edit, by=visitor.principal.name)
    return RedirectResponse(f"/dead-letters/{number}", 303)


async def _edit(visitor: Visitor, number: int, edit: int) -> Edit:
    await letter_of(visitor.hub, visitor.principal, number)
    found = await visitor.hub.edits.show(edit)
    if found.dead_letter != number:
        raise LookupError(f"dead letter {number} has no edit {edit}")
    return found


def _form(
    visitor: Visitor, letter: DeadLetter, *, text: str | None, status: int = 200, **more: Any
) -> Response:
    told = {"reason": "", "checked": None, "wrong": "", **more}
    return page(
        visitor,
        "edit.html",
        room=_ROOM,
        status=status,
        letter=letter,
        title=fault_of(visitor.hub, letter),
        repair=repair_of(visitor.hub, letter),
        steps=map_of(visitor.hub, letter),
        text=text,
        most=_EDITABLE_BYTES,
        second_person=visitor.hub.edits.second_person,
        why_not=visitor.why_not(OPERATE),
        **told,
    )


# ── text in a form ──────────────────────────────────────────────────────────────────────────────


def _shown(letter: DeadLetter) -> str | None:
    """The content as text: of a delivery the event's data, indented. None for what no form can hold:
    no text, too much of it, or line ends of several kinds, which a browser would make one."""
    content = original(letter)
    if len(content) > _EDITABLE_BYTES:
        return None
    if letter.kind == "delivery":
        return msgspec.json.format(content, indent=2).decode()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text or _line_end(text) is None else text


def _line_end(text: str) -> str | None:
    """The one kind of line end of a text; None when there are several."""
    kinds = {"\r\n"} if "\r\n" in text else set()
    rest = text.replace("\r\n", "")
    kinds |= {end for end in "\r\n" if end in rest}
    return None if len(kinds) > 1 else next(iter(kinds), "\n")


def _content(letter: DeadLetter, text: str) -> bytes:
    """The bytes that a form's text stands for: browsers end lines with CR LF, messages as they did before."""
    plain = text.replace("\r\n", "\n")
    if letter.kind == "message":
        before = _shown(letter)
        if before is None:
            raise Problem(422, "invalid", "this message cannot be edited in a browser")
        return plain.replace("\n", _line_end(before) or "\n").encode()
    try:
        return msgspec.json.encode(msgspec.json.decode(plain))
    except msgspec.DecodeError:
        return plain.encode()  # the check says what is wrong with it
