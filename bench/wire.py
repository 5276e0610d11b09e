"""Clients that read a stream from the socket itself, so that nearly nothing of a delay is theirs.

Both take one wake-up of one thread per piece, as any client must: HTTP/1.1 with server-sent events, and just
so much HTTP/2 that a gRPC server answers one call.
"""

import asyncio
import json
import struct
import time
from collections.abc import Callable, Iterator
from typing import cast

from messplus.worker.v1 import worker_service_pb2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
WINDOW_BYTES = 1 << 30
_STARTING_WINDOW_BYTES = 65_535
Piece = tuple[str, int]
"""Text and when it came, monotonic ns."""


class Reader(asyncio.Protocol):
    """Feeds what comes to `parse`, which returns the texts in it, until `ended` or the connection ends."""

    def __init__(self, request: bytes, parse: "Callable[[bytes, asyncio.Transport], Iterator[str]]") -> None:
        self._request, self._parse = request, parse
        self.pieces: list[Piece] = []
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by name
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        came = time.monotonic_ns()
        for text in self._parse(data, self._transport):
            if text:
                self.pieces.append((text, came))
            elif not self.done.done():
                self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server ended the stream too early"))


async def read_events(address: str, chunks: int) -> list[Piece]:
    """Pieces of a chat completion, from an OpenAI server."""
    body = json.dumps({"max_tokens": chunks, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\ncontent-length: {len(body)}\r\n\r\n"
    return await _read(address, head.encode() + body, _EventParser().parse)


async def read_call(address: str, request: worker_service_pb2.GenerateRequest) -> list[Piece]:
    """Pieces of a worker's `Generate`."""
    return await _read(address, _call(address, request.SerializeToString()), _FrameParser().parse)


async def _read(
    address: str, request: bytes, parse: "Callable[[bytes, asyncio.Transport], Iterator[str]]"
) -> list[Piece]:
    host, port = address.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    transport, reader = await loop.create_connection(lambda: Reader(request, parse), host, int(port))
    try:
        async with asyncio.timeout(60):
            await reader.done
    finally:
        transport.close()
    return reader.pieces


class _EventParser:
    """Server-sent events in chunked encoding; only lines that begin with "data: " matter. "" is the end."""

    def __init__(self) -> None:
        self._rest = b""

    def parse(self, data: bytes, _transport: asyncio.Transport) -> Iterator[str]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: [DONE]"):
                yield ""
            elif line.startswith(b"data: "):
                for choice in json.loads(line[6:])["choices"]:
                    yield choice["delta"]["content"]


class _FrameParser:
    """Frames of HTTP/2 and the messages of gRPC in them. "" is the end."""

    def __init__(self) -> None:
        self._rest, self._message = b"", b""

    def parse(self, data: bytes, transport: asyncio.Transport) -> Iterator[str]:
        self._rest += data
        while len(self._rest) >= 9 and len(self._rest) >= 9 + (length := int.from_bytes(self._rest[:3])):
            kind, flags, payload = self._rest[3], self._rest[4], self._rest[9 : 9 + length]
            self._rest = self._rest[9 + length :]
            if kind == DATA:
                yield from self._texts(payload)
            elif kind in (SETTINGS, PING) and not flags & ACK:
                transport.write(_frame(kind, ACK, 0, payload if kind == PING else b""))
            elif kind == HEADERS and flags & END_STREAM:
                yield ""

    def _texts(self, payload: bytes) -> Iterator[str]:
        self._message += payload
        while len(self._message) >= 5 and len(self._message) >= 5 + (
            length := int.from_bytes(self._message[1:5])
        ):
            message = worker_service_pb2.GenerateResponse.FromString(self._message[5 : 5 + length])
            self._message = self._message[5 + length :]
            if message.HasField("delta"):
                yield message.delta.text


def _call(address: str, message: bytes) -> bytes:
    """The whole request: settings, headers without compression, the message."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/messplus.worker.v1.WorkerService/Generate",
        ":authority": address,
        "te": "trailers",
        "content-type": "application/grpc",
    }
    block = b"".join(b"\0" + _string(name) + _string(value) for name, value in headers.items())
    settings = struct.pack(">HI", 4, WINDOW_BYTES)
    window = struct.pack(">I", WINDOW_BYTES - _STARTING_WINDOW_BYTES)
    return (
        PREFACE
        + _frame(SETTINGS, 0, 0, settings)
        + _frame(WINDOW_UPDATE, 0, 0, window)
        + _frame(HEADERS, END_HEADERS, 1, block)
        + _frame(DATA, END_STREAM, 1, b"\0" + struct.pack(">I", len(message)) + message)
    )


def _string(text: str) -> bytes:
    """A string of HPACK, of less than 127 bytes."""
    return bytes([len(text)]) + text.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload
