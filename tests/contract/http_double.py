"""A small HTTP/1.1 server in the test's own event loop, for what no real server does on demand."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Json = Any


class Exchange:
    """One request and the way to answer it."""

    def __init__(
        self, method: str, path: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter
    ):
        self.method, self.path, self.headers, self.body, self._writer = method, path, headers, body, writer

    @property
    def json(self) -> Json:
        return json.loads(self.body)

    @property
    def gone(self) -> bool:
        """Whether the client has left."""
        return self._writer.transport.is_closing()

    async def answer(self, body: Json, status: int = 200, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "text/plain" if isinstance(body, bytes) else "application/json"
        await self._head(status, {"content-type": kind, "content-length": str(len(data)), **headers})
        self._writer.write(data)
        await self._writer.drain()

    async def begin_events(self) -> None:
        await self._head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})

    async def event(self, data: Json) -> None:
        await self.raw(b"data:" + json.dumps(data).encode() + b"\n\n")

    async def raw(self, data: bytes) -> None:
        self._writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await self._writer.drain()

    async def end_events(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def hang_up(self) -> None:
        """Breaks the connection in the middle."""
        self._writer.transport.abort()

    async def _head(self, status: int, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} x", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await self._writer.drain()


Handler = Callable[[Exchange], Awaitable[None]]


@dataclass
class HttpDouble:
    """Routes (method and path) to handlers; everything else is 404. `seen` holds what was asked."""

    routes: dict[str, Handler]
    url: str = ""
    seen: list[Exchange] = field(default_factory=list)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def asked(self, end: str = "completions") -> int:
        """Requests whose path ends so."""
        return sum(exchange.path.endswith(end) for exchange in self.seen)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while line := await reader.readline():
                method, path, _ = line.decode().split(" ")
                headers = {}
                while header := (await reader.readline()).decode().strip():
                    key, value = header.split(":", 1)
                    headers[key.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                exchange = Exchange(method, path, headers, body, writer)
                self.seen.append(exchange)
                handler = self.routes.get(f"{method} {path}")
                await (handler(exchange) if handler else exchange.answer({"error": "not found"}, 404))
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self.writers.discard(writer)
            writer.close()


@asynccontextmanager
async def running(double: HttpDouble, port: int = 0) -> AsyncIterator[HttpDouble]:
    server = await asyncio.start_server(double.serve, "127.0.0.1", port)
    double.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield double
    finally:
        server.close()
        for writer in list(double.writers):
            writer.transport.abort()
