"""What an answer, or its absence, says about a delivery; pure.

Status codes as RFC 9110 and RFC 6585 mean them, and as servers use them: a 503 is the whole
server, a 409 one document, a 500 either.
"""

from __future__ import annotations

import email.utils
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from adapters.rest.body import excerpt
from canonical.errors import CrossplantError, Rejected, TransientError, Unauthorized
from canonical.ports import Accepted, Failed, SinkOutcome, Unknown

__all__ = ["judge", "retry_after_s", "unanswered"]

_OUTAGE = frozenset({502, 503, 504})
_BUSY = frozenset({409, 423, 429})
_PARTLY = 207
_LATER = frozenset({408, 425})  # time-out of the request, too early: the server did nothing with it
_LONGEST_PAUSE_S = 86_400.0


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds ≥ 0 until the moment of a Retry-After header (RFC 9110 10.2.3), a day at most."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_PAUSE_S)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), _LONGEST_PAUSE_S)


def judge(
    status: int, headers: Mapping[str, str], body: bytes, *, now: datetime, success: Collection[int] = ()
) -> Accepted | Failed:
    """The outcome of an answered request. ``success`` replaces the usual codes when it names any.

    These are 200 to 299 but for 207 (RFC 4918, 13), which says of the parts of a request, unread here, that
    some may have failed. An accepted delivery has no receipt yet. ``body`` is the start of the answer, for
    the message.
    """
    if status in success if success else 200 <= status < 300 and status != _PARTLY:
        return Accepted()
    return Failed(_error(status, headers, body, now))


def _error(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> CrossplantError:
    code, context = f"http_{status}", {"status": status}
    said = excerpt(body)
    answer = f"the server answered {status}" + (f": {said}" if said else "")
    if status in {401, 403, 407}:
        return Unauthorized(f"{answer}. Check the adapter's credentials", code=code, context=context)
    if 300 <= status < 400:
        target = excerpt(headers.get("Location", "nowhere").encode())
        return Rejected(
            f"the server redirects ({status}) to {target}; redirects are not followed: correct the url",
            code=code,
            context=context,
        )
    if status == _PARTLY:
        advice = "It may have taken a part. Where it means all of it, name 207 in `success`"
        return Rejected(f"{answer}. {advice}", code=code, context=context)
    if status in _BUSY | _LATER or status >= 500:
        return TransientError(
            answer,
            code=code,
            context=context,
            retry_after_s=retry_after_s(headers.get("Retry-After"), now),
            outage=status in _OUTAGE,
            busy=status in _BUSY,
        )
    return Rejected(answer, code=code, context=context)


def unanswered(code: str, text: str, *, maybe_sent: bool) -> SinkOutcome:
    """The outcome of a request without a complete answer.

    Never sent: the peer cannot be reached, an outage. Maybe sent: unknown.
    """
    if maybe_sent:
        return Unknown(TransientError(f"{text}, after it was sent: it may have arrived", code=code))
    return Failed(TransientError(text, code=code, outage=True))
