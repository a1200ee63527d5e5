"""The commands' own HTTP client, against a server that answers as told."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from canonical.errors import ConfigError
from gateway.commands.client import Client, GatewayError
from tests.servers import free_port, give_back

Answer = tuple[int, dict[str, str], bytes]


class Stub:
    """A gateway that answers each path as told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str, str, bytes]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                stub.asked.append((self.command, self.path, self.headers.get("Authorization", ""), body))
                status, headers, content = stub.answers[self.path.partition("?")[0]]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _answer  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *arguments: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def says(self, path: str, value: Any, *, status: int = 200, **headers: str) -> None:
        self.answers[path] = status, headers, json.dumps(value).encode()


@pytest.fixture
def gateway() -> Iterator[Stub]:
    stub = Stub()
    thread = threading.Thread(target=stub.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield stub
    stub.server.shutdown()
    thread.join()
    stub.server.server_close()


def test_the_key_goes_as_a_bearer_token_and_empty_parameters_are_left_out(gateway: Stub) -> None:
    gateway.says("/v1/routes", {"items": []})
    Client(gateway.url, "cp_x_y").get("/v1/routes", {"plant": "aachen", "type": None})
    assert gateway.asked == [("GET", "/v1/routes?plant=aachen", "Bearer cp_x_y", b"")]


def test_pages_are_followed_on_the_same_host_only(gateway: Stub) -> None:
    link = '<https://elsewhere.example/base/v1/more?cursor=7>; rel="next"'
    gateway.says("/v1/events", {"items": [1, 2]}, Link=link)
    gateway.says("/base/v1/more", {"items": [3]})
    assert list(Client(gateway.url, "k").items("/v1/events")) == [1, 2, 3]
    assert gateway.asked[1][1] == "/base/v1/more?cursor=7"


def test_no_more_pages_are_asked_for_than_wanted(gateway: Stub) -> None:
    gateway.says("/v1/events", {"items": [1, 2]}, Link='</v1/events>; rel="next"')
    assert list(Client(gateway.url, "k").items("/v1/events", at_most=3)) == [1, 2, 1]
    assert list(Client(gateway.url, "k").items("/v1/events", at_most=2)) == [1, 2]
    assert len(gateway.asked) == 3


def test_a_refusal_is_told_with_every_fault(gateway: Stub) -> None:
    problem = {"detail": "data is wrong", "errors": [{"pointer": "/data/item", "detail": "is missing"}]}
    gateway.says("/v1/events", problem, status=422)
    with pytest.raises(GatewayError, match=r"data is wrong\n  /data/item is missing"):
        Client(gateway.url, "k").post("/v1/events", {})


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "CROSSPLANT_API_KEY"), (403, "may not"), (302, "elsewhere"), (500, "500 the hub failed")],
)
def test_a_refusal_says_what_to_do(gateway: Stub, status: int, hint: str) -> None:
    gateway.says(
        "/v1/events", {"detail": "the hub failed"}, status=status, Location="https://elsewhere.example"
    )
    with pytest.raises(GatewayError, match=hint):
        Client(gateway.url, "k").get("/v1/events")


def test_a_page_that_is_no_gateway_is_told(gateway: Stub) -> None:
    gateway.answers["/v1/events"] = 200, {"Content-Type": "text/html"}, b"<html>"
    with pytest.raises(GatewayError, match="no gateway of Crossplant"):
        Client(gateway.url, "k").get("/v1/events")


def test_a_refused_connection_says_how_to_start_a_hub() -> None:
    port = free_port()
    try:
        with pytest.raises(GatewayError, match=r"connection refused.*crossplant run"):
            Client(f"http://127.0.0.1:{port}", "k").get("/v1/events")
    finally:
        give_back(port)


def test_a_server_that_never_answers_is_given_up(
    monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    import socket

    from gateway.commands import client

    monkeypatch.setattr(client, "_ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(GatewayError, match="did not answer in time"):
            Client(url, "k").get("/v1/events")


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://", "http://user:secret@host"])
def test_what_is_no_address_is_a_usage_error(url: str) -> None:
    with pytest.raises(ConfigError, match="not the address of a gateway"):
        Client(url, "k")


def test_server_sent_events_are_read_with_their_ids(gateway: Stub) -> None:
    stream = b': hello\n\nid: 7\nevent: event\ndata: {"a":\ndata: 1}\n\nid: 8\r\ndata: 2\r\n\r\ndata: cut'
    gateway.answers["/v1/events/stream"] = 200, {"Content-Type": "text/event-stream"}, stream
    assert list(Client(gateway.url, "k").stream("/v1/events/stream")) == [("7", {"a": 1}), ("8", 2)]
