"""A server of the OpenAI API whose chunks say when they were sent. Run with a port and seconds per chunk.

Every chunk's text is the monotonic time in nanoseconds, which all processes of a machine share.
"""

import asyncio
import json
import sys
import time

import uvloop

_MODELS = {"object": "list", "data": [{"id": "stamps", "object": "model", "owned_by": "bench"}]}


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pause: float) -> None:
    try:
        while line := await reader.readline():
            length = 0
            while header := (await reader.readline()).decode().strip().lower():
                length = int(header.split(":")[1]) if header.startswith("content-length:") else length
            body = await reader.readexactly(length)
            if line.startswith(b"POST"):
                await _stream(writer, json.loads(body)["max_tokens"], pause)
            else:
                data = json.dumps(_MODELS).encode()
                head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(data)}"
                writer.write(head.encode() + b"\r\n\r\n" + data)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def _stream(writer: asyncio.StreamWriter, chunks: int, pause: float) -> None:
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    writer.write(head.encode())
    due = time.monotonic()
    for index in range(chunks):
        due += pause
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        reason = "length" if index == chunks - 1 else None
        delta = {"index": 0, "delta": {"content": f"{time.monotonic_ns()} "}, "finish_reason": reason}
        _send(writer, {"choices": [delta]})
        await writer.drain()
    usage = {"prompt_tokens": 1, "completion_tokens": chunks, "total_tokens": chunks + 1}
    _send(writer, {"choices": [], "usage": usage})
    _write(writer, b"data: [DONE]\n\n")
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _send(writer: asyncio.StreamWriter, chunk: dict[str, object]) -> None:
    full = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "stamps", **chunk}
    _write(writer, b"data: " + json.dumps(full).encode() + b"\n\n")


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


async def main(port: str, pause: str) -> None:
    seconds = float(pause)
    server = await asyncio.start_server(lambda r, w: _serve(r, w, seconds), "127.0.0.1", int(port))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
