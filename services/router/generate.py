"""The story of one `Generate`: admit, claim the request id, serve, remember the answer for repeats."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from services.core.errors import OverloadedError, StateUnavailableError, WorkerFailedError
from services.router.claiming import Claiming
from services.router.decide import not_generated
from services.router.requests import Ended, Failure, Generation, Piece, Record, RouteRequest, Started, Text
from services.router.running import Explorations
from services.router.serving import Serving

_RETRY_SECONDS = 1.0
_CUT_OFF = Failure("", 0, "the first request of this id was cancelled")


@dataclass(slots=True)
class InFlight:
    """Requests that one router serves now, whatever zoo they began with.

    Attributes:
        limit: requests and explorations at once; one more request is refused.
        requests: requests now.

    """

    limit: int
    requests: int = 0


class Generate:
    """Routes and answers.

    Args:
        serving: routes and runs one request.
        claiming: client-supplied request ids.
        explorations: generations in the background, which take room as well.
        in_flight: how many requests there are and may be.

    """

    def __init__(
        self, serving: Serving, claiming: Claiming, explorations: Explorations, in_flight: InFlight
    ) -> None:
        self._serving, self._claiming, self._explorations = serving, claiming, explorations
        self._in_flight = in_flight

    async def generate(
        self, request: RouteRequest, work: Generation, timeout_seconds: float | None
    ) -> AsyncGenerator[Piece, None]:
        """The decision (once a model has begun to answer), texts, then the end.

        A repeated request id gets what its first call got, and generates nothing. Raises
        NoEligibleModelError, OverloadedError, WorkerFailedError, StateUnavailableError.
        """
        if self._in_flight.requests + len(self._explorations) >= self._in_flight.limit:
            raise OverloadedError("the router", _RETRY_SECONDS)
        self._in_flight.requests += 1
        serve = self._serve_once if request.supplied else self._serving.serve
        try:
            async with aclosing(serve(request, work, timeout_seconds)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self._in_flight.requests -= 1

    async def _serve_once(
        self, request: RouteRequest, work: Generation, timeout_seconds: float | None
    ) -> AsyncGenerator[Piece, None]:
        record = Record("generate")
        first = await self._claiming.claim(request.request_id, record)
        if first is None:
            pieces = self._recorded(request, work, timeout_seconds, record)
        else:
            pieces = self._replay(request.request_id, first)
        async with aclosing(pieces) as stream:
            async for piece in stream:
                yield piece

    async def _recorded(
        self, request: RouteRequest, work: Generation, timeout_seconds: float | None, record: Record
    ) -> AsyncGenerator[Piece, None]:
        """Serves the first call of an id and keeps what it gets. A call that is cut off has failed."""
        failure = _CUT_OFF
        try:
            async with aclosing(self._serving.serve(request, work, timeout_seconds)) as pieces:
                async for piece in pieces:
                    _keep(record, piece)
                    yield piece
        except WorkerFailedError as error:
            failure = Failure(error.model_id, error.tokens_sent, error.reason)
            raise
        finally:
            if record.started is None:
                await self._claiming.release(request.request_id)
            else:
                record.failure = None if record.ended else failure
                await self._claiming.finish(request.request_id, record)

    async def _replay(self, request_id: str, first: Record) -> AsyncGenerator[Piece, None]:
        if first.kind != "generate":
            raise not_generated(request_id)
        record = await self._claiming.completed(request_id, first)
        if record.started is None or not record.complete:
            raise StateUnavailableError("the first request of this id has not finished yet; try again")
        yield replace(record.started, replayed=True)
        if record.text:
            yield Text("".join(record.text))
        if record.failure is not None:
            raise WorkerFailedError(
                record.failure.model_id, record.failure.tokens_sent, record.failure.reason
            )
        if record.ended is not None:
            yield record.ended


def _keep(record: Record, piece: Piece) -> None:
    match piece:
        case Started():
            record.started = piece
        case Text(text):
            record.text.append(text)
        case Ended():
            record.ended = piece
