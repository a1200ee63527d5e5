"""A connection test beside a running hub: under a client id of its own, in a session that ends with it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

from adapters.mqtt.config import MqttOptions
from adapters.mqtt.sink import MqttSink
from adapters.mqtt.source import MqttSource
from canonical.probing import Step, by_sink, by_source
from canonical.spec import AdapterContext

__all__ = ["probe"]

_SHARED = "$share/"
_SESSION_S = 1.0


def probe(options: MqttOptions, context: AdapterContext) -> AsyncIterator[Step]:
    """Logs in; subscribes, and waits for a message, where that takes none away from the hub.

    A shared subscription would; MQTT 3.1.1 would leave a session behind at the broker.
    """
    own = options.model_copy(
        update={"client_id": f"crossplant-probe-{secrets.token_hex(4)}", "session_expiry": _SESSION_S}
    )
    shared = any(each.topic.startswith(_SHARED) for each in options.subscribe)
    if options.subscribe and options.protocol == "5" and not shared:
        return by_source(MqttSource(own, context), context)
    return by_sink(MqttSink(own.model_copy(update={"subscribe": ()}), context), context)
