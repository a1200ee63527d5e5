"""mq-bridge, a Rust core with Python bindings; run by the interpreter of its own environment.

usage: python bridge.py MQTT_PORT AMQP_URL QUEUE CAPACITY default|tuned
"""

import logging
import sys

from mq_bridge import Route, init_logging  # type: ignore[import-not-found,unused-ignore]  # of its own environment


def main(port: str, url: str, queue: str, capacity: str, how: str) -> None:
    """Runs until it is ended. ``capacity`` must exceed the backlog, or it does not start again."""
    logging.basicConfig()
    init_logging("warn")
    route: dict[str, object] = {
        "input": {
            "mqtt": {
                "url": f"tcp://127.0.0.1:{port}",
                "topic": f"{queue}/#",
                "client_id": f"bridge-{how}",
                "qos": 1,
                "clean_session": False,
                "queue_capacity": int(capacity),
            },
            "middlewares": [{"filter": "quality == 'good'"}],
        },
        "output": {
            "middlewares": [
                {
                    "transform": {
                        "mapping": {
                            "plant": {"path": "$.plant", "default": "brno"},
                            "tag": "$.tag",
                            "value": "$.value",
                            "uom": {"path": "$.uom", "default": "CEL"},
                            "at": "$.at",
                        }
                    }
                }
            ],
            "amqp": {"url": url, "queue": queue, "no_declare_queue": True},
        },
    }
    if how == "tuned":
        route |= {"concurrency": 4, "batch_size": 2000}
    Route.from_config({"routes": {"bench": route}}, "bench").run()


if __name__ == "__main__":
    main(*sys.argv[1:])
