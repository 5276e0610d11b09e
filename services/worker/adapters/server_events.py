"""Server-sent events, as far as servers of models use them: the data of each, one after the other."""

from collections.abc import AsyncGenerator, AsyncIterator

from services.core.errors import BrokenStreamError

MAX_EVENT_BYTES = 1 << 20


async def event_data(url: str, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The data of each event in a body that comes in pieces; other fields and comments are left out.

    Raises BrokenStreamError for an event without end.
    """
    rest = b""
    data: list[bytes] = []
    async for piece in pieces:
        lines = (rest + piece).splitlines(keepends=True)
        # A line is whole once it has its end, and "\r" may be half of one.
        rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        for line in lines:
            if (text := line.rstrip(b"\r\n")).startswith(b"data:"):
                data.append(text[5:].removeprefix(b" "))
            elif not text and data:
                yield b"\n".join(data)
                data = []
        if len(rest) + sum(map(len, data)) > MAX_EVENT_BYTES:
            raise BrokenStreamError(url, f"an event of more than {MAX_EVENT_BYTES} bytes")
