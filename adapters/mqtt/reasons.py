"""MQTT's reason codes: what they mean, and what becomes of what they were the answer to.

Source: MQTT 5.0, 2.4. The codes of MQTT 3.1.1 arrive here as their MQTT 5 counterparts.
"""

from __future__ import annotations

from adapters.mqtt.config import MqttOptions
from canonical.errors import CrossplantError, Rejected, TransientError, Unauthorized

__all__ = [
    "NO_MATCHING_SUBSCRIBERS",
    "REFUSED",
    "SESSION_TAKEN_OVER",
    "login_refused",
    "publish_refused",
    "reason_text",
]

REFUSED = 0x80
"""From here on a code means failure."""
NO_MATCHING_SUBSCRIBERS = 0x10
SESSION_TAKEN_OVER = 0x8E
UNSUPPORTED_VERSION, BAD_CLIENT_ID, BAD_LOGIN, NOT_AUTHORIZED, BANNED, BAD_METHOD = (
    0x84,
    0x85,
    0x86,
    0x87,
    0x8A,
    0x8C,
)
SERVER_BUSY, QUOTA_EXCEEDED, IDENTIFIER_IN_USE, IMPLEMENTATION_SPECIFIC = 0x89, 0x97, 0x91, 0x83

TEXTS = {
    0x10: "no matching subscribers",
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "implementation specific error",
    0x84: "unsupported protocol version",
    0x85: "client identifier not valid",
    0x86: "bad user name or password",
    0x87: "not authorized",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8A: "banned",
    0x8B: "server shutting down",
    0x8C: "bad authentication method",
    0x8D: "keep alive timeout",
    0x8E: "session taken over",
    0x8F: "topic filter invalid",
    0x90: "topic name invalid",
    0x91: "packet identifier in use",
    0x93: "receive maximum exceeded",
    0x94: "topic alias invalid",
    0x95: "packet too large",
    0x96: "message rate too high",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x99: "payload format invalid",
    0x9A: "retain not supported",
    0x9B: "QoS not supported",
    0x9C: "use another server",
    0x9D: "server moved",
    0x9E: "shared subscriptions not supported",
    0x9F: "connection rate exceeded",
    0xA0: "maximum connect time",
    0xA1: "subscription identifiers not supported",
    0xA2: "wildcard subscriptions not supported",
}


def reason_text(code: int) -> str:
    """The code's name and number, for people."""
    return f"{TEXTS.get(code, 'unknown reason')} (0x{code:02X})"


def login_refused(code: int, options: MqttOptions) -> CrossplantError:
    """Why the broker did not let us in, and what to do about it."""
    message = f"{options.host}:{options.port} refuses the login: {reason_text(code)}"
    if code in (BAD_LOGIN, NOT_AUTHORIZED, BANNED, BAD_METHOD):
        return Unauthorized(
            f"{message}; check username, password and client certificate", code="login_refused"
        )
    if code == UNSUPPORTED_VERSION:
        message += f"; try protocol: {'3.1.1' if options.protocol == '5' else '5'}"
    if code == BAD_CLIENT_ID:
        message += "; set another client_id"
    return TransientError(message, code="login_refused", outage=True)


def publish_refused(code: int, text: str, topic: str) -> CrossplantError:
    """What a negative acknowledgement of a message means. ``text`` is the broker's own reason, if any."""
    message = f"the broker refuses a message to {topic!r}: {reason_text(code)}{f': {text}' if text else ''}"
    context = {"topic": topic, "reason_code": code}
    if code in (QUOTA_EXCEEDED, SERVER_BUSY, IDENTIFIER_IN_USE):
        return TransientError(message, code=f"mqtt_{code:02x}", context=context, busy=True)
    if code in (REFUSED, IMPLEMENTATION_SPECIFIC):
        return TransientError(message, code=f"mqtt_{code:02x}", context=context)
    return Rejected(message, code=f"mqtt_{code:02x}", context=context)
