"""The library's socket with a short way for what comes and goes all the time.

A message in one chunk reaches who waits for it without the library's objects, and a PublishRequest is
written straight to bytes. Whatever is not as expected, down to a single number, goes the library's way,
which judges it. Source: OPC 10000-6, 6.7.2 (chunks), 6.7.4 (their numbers); OPC 10000-4, 5.14.5 (Publish).
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Sequence
from typing import Any, Final

from asyncua import ua
from asyncua.client.ua_client import UaClient, UASocketProtocol
from asyncua.common.utils import Buffer
from asyncua.crypto.uacrypto import InvalidSignature
from asyncua.ua.ua_binary import nodeid_from_binary, nodeid_to_binary, struct_from_binary

__all__ = ["Acknowledgement", "OwnClient", "OwnSocket", "dismiss", "read_answer"]

Acknowledgement = tuple[int, int]
"""Subscription id and sequence number."""

_WHOLE: Final = b"MSGF"
_LEAST: Final = 8
_UNIX: Final = 116_444_736_000_000_000
_SPARE: Final = 1024
"""More than headers, padding and signature add to a body."""

_u32 = struct.Struct("<I").unpack_from
_pair = struct.Struct("<II")
_header = struct.Struct("<4sIII")
_request = struct.Struct("<qIIiI3x")  # time, handle, no diagnostics, no audit entry, time-out, nothing more
_PUBLISH: Final = b"\x01\x00\x3a\x03"
_PUBLISHED: Final = b"\x01\x00\x3d\x03"
_GOOD: Final = frozenset(bytes(5) + table + bytes(3) for table in (bytes(4), b"\xff\xff\xff\xff"))
"""A ResponseHeader after its time and handle: result Good, no diagnostics, no texts, nothing more."""


class Answer(asyncio.Future[bytes]):
    """A response's bytes after its header, or its bad result; the library gives it the whole response."""

    def set_result(self, data: Any) -> None:
        """Takes the header off."""
        try:
            body = read_answer(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for whoever asked
            self.set_exception(error)
        else:
            super().set_result(body)


class OwnSocket(UASocketProtocol):
    """The library's protocol, with the short way in and out."""

    _token: tuple[ua.NodeId | None, bytes] = None, b""

    def data_received(self, data: bytes) -> None:
        """Hands on every message that is complete; the rest waits for more."""
        if self.receive_buffer:
            data = self.receive_buffer + data
            self.receive_buffer = None
        at = 0
        while len(data) - at >= _LEAST:
            size: int = _u32(data, at + 4)[0]
            if not _LEAST <= size <= len(data) - at:
                break
            chunk = data[at : at + size]
            at += size
            if not self._answered(chunk):
                self._process_received_data(chunk)
                if self.transport is None or self.transport.is_closing():
                    return  # it was no message
        if at < len(data):
            self._process_received_data(data[at:])

    def _answered(self, chunk: bytes) -> bool:
        """Whether this was a whole and proper answer; it has reached who waits for it, then."""
        channel = self._connection
        token, limits = channel.security_token, channel._limits
        if len(chunk) > limits.max_recv_buffer or (0 < limits.max_message_size < len(chunk)):
            return False
        if not chunk.startswith(_WHOLE) or channel._incoming_parts or len(chunk) < _header.size:
            return False
        if _pair.unpack_from(chunk, 8) != (token.ChannelId, token.TokenId):
            return False
        plain = self._opened(chunk)
        if plain is None or len(plain) < _pair.size:
            return False
        number, request = _pair.unpack_from(plain)
        future = self._callbackmap.get(request)
        if future is None or future.done() or number - 1 != channel._peer_sequence_number:
            return False
        channel._peer_sequence_number = number
        del self._callbackmap[request]
        future.set_result(Buffer(plain, _pair.size))
        return True

    def _opened(self, chunk: bytes) -> bytes | None:
        """What a chunk holds after its headers; None when the channel's present keys do not open it."""
        crypto: Any = self._connection.security_policy.symmetric_cryptography
        crypto.use_prev_key = False
        try:
            plain: bytes = crypto.decrypt(chunk[_header.size :])
            signed = crypto.vsignature_size()
            if signed:
                plain, signature = plain[:-signed], plain[-signed:]
                crypto.verify(chunk[: _header.size] + plain, signature)
            opened: bytes = crypto.remove_padding(plain)
        except (InvalidSignature, ValueError, IndexError):
            return None
        return opened

    def publish(self, acknowledgements: Sequence[Acknowledgement]) -> asyncio.Future[bytes]:
        """Sends a PublishRequest; gives the PublishResponse's bytes some day. Raises ConnectionError."""
        if self.transport is None:
            raise ConnectionError("Connection is not open")
        self.revolve_security_token()
        self._request_handle += 1
        self._request_id += 1
        message = self._sealed(self._asking(acknowledgements), self._request_id)
        answer = self._callbackmap[self._request_id] = Answer(loop=asyncio.get_running_loop())
        self.transport.write(message)
        return answer

    def _asking(self, acknowledgements: Sequence[Acknowledgement]) -> bytes:
        """The body of a PublishRequest."""
        if self._token[0] is not self.authentication_token:
            self._token = self.authentication_token, nodeid_to_binary(self.authentication_token)
        ticks = _UNIX + time.time_ns() // 100
        header = _request.pack(ticks, self._request_handle, 0, -1, 0)
        told = b"".join([_pair.pack(*acknowledgement) for acknowledgement in acknowledgements])
        return _PUBLISH + self._token[1] + header + struct.pack("<i", len(acknowledgements)) + told

    def _sealed(self, body: bytes, request: int) -> bytes:
        """The message with this body, as the channel wants it: padded, signed, encrypted."""
        channel = self._connection
        if len(body) + _SPARE > channel._limits.max_send_buffer:
            return channel.message_to_binary(body, request_id=request)
        channel._sequence_number = channel._sequence_number % 0xFFFFFFFF + 1
        crypto: Any = channel.security_policy.symmetric_cryptography
        token = channel.security_token
        plain = _pair.pack(channel._sequence_number, request) + body
        plain += crypto.padding(len(plain))
        blocks = (len(plain) + crypto.signature_size()) // crypto.plain_block_size()
        size = _header.size + blocks * crypto.encrypted_block_size()
        header = _header.pack(_WHOLE, size, token.ChannelId, token.TokenId)
        sealed: bytes = crypto.encrypt(plain + crypto.signature(header + plain))
        return header + sealed


class OwnClient(UaClient):
    """The library's transport with ``OwnSocket``."""

    def _make_protocol(self) -> UASocketProtocol:
        self.protocol = protocol = OwnSocket(self._timeout, security_policy=self.security_policy)
        protocol.pre_request_hook = self.pre_request_hook
        protocol.on_connection_lost = self._on_transport_lost
        protocol.is_session_closing = self._is_session_closing
        return protocol

    def ask_to_publish(self, acknowledgements: Sequence[Acknowledgement]) -> asyncio.Future[bytes]:
        """As ``OwnSocket.publish``."""
        if not isinstance(self.protocol, OwnSocket):
            raise ConnectionError("Connection is not open")
        return self.protocol.publish(acknowledgements)


def dismiss(answer: asyncio.Future[bytes]) -> None:
    """Nobody waits for it any more."""
    if not answer.cancel() and not answer.cancelled():
        answer.exception()  # seen: what went wrong was told by another


def read_answer(data: Buffer) -> bytes:
    """A response's bytes after its header. Raises the service's bad result, or what the library raises."""
    found = bytes(data)
    if found.startswith(_PUBLISHED) and found[16:28] in _GOOD:
        return found[28:]
    nodeid_from_binary(data)
    header = struct_from_binary(ua.ResponseHeader, data)
    header.ServiceResult.check()
    return bytes(data)
