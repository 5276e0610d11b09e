"""The story of one `Decide`: route a request that the caller runs himself."""

from dataclasses import replace

from services.core.errors import FieldViolation, InvalidRequestError, StateUnavailableError
from services.router.claiming import Claiming
from services.router.deciding import Deciding
from services.router.requests import Record, RouteRequest, Started


class Decide:
    """Routes only; a client-supplied request id is decided once."""

    def __init__(self, deciding: Deciding, claiming: Claiming) -> None:
        self._deciding, self._claiming = deciding, claiming

    async def decide(self, request: RouteRequest) -> Started:
        """The decision, the first one where the request id was decided before.

        Raises NoEligibleModelError, OverloadedError, StateUnavailableError (a repeat whose first call has
        not been decided in time).
        """
        if not request.supplied:
            return (await self._deciding.decide(request)).started
        record = Record("decide")
        first = await self._claiming.claim(request.request_id, record)
        if first is not None:
            return _replayed(await self._claiming.decided(request.request_id, first))
        try:
            record.started = (await self._deciding.decide(request)).started
        except BaseException:
            await self._claiming.release(request.request_id)
            raise
        await self._claiming.finish(request.request_id, record)
        return record.started


def _replayed(record: Record) -> Started:
    if record.started is None:
        raise StateUnavailableError("the first request of this id has not been decided yet; try again")
    return replace(record.started, replayed=True)


def not_generated(request_id: str) -> InvalidRequestError:
    """The error for a `Generate` that repeats the id of a `Decide`."""
    found = f"{request_id!r} was decided by Decide, which keeps no answer; allowed: a new id"
    return InvalidRequestError([FieldViolation("request_id", found)])
