"""An engine that is a server elsewhere, or several replicas of one: what all kinds of servers share."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from services.common.outages import OutageLog
from services.common.server import forever
from services.common.server_settings import ServerSettings
from services.core.errors import (
    ConfigError,
    ConfigProblem,
    EngineError,
    EngineTimeoutError,
    EngineUnreachableError,
    MessPlusError,
    ServerBusyError,
)
from services.worker.generation import EngineFinished, EngineInfo, GenerationTask, TextDelta
from services.worker.patience import Patience
from services.worker.ports import ServerClient, ServerLoad, WorkMeter
from services.worker.replicas import Replica, ReplicaPool
from services.worker.steps import StepTier

PROBE_SECONDS = 1.0
PAUSE_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 2.0
"""A server that asks for more patience than this is left to the caller, who may know a better place."""
_PASSING = (EngineUnreachableError, ServerBusyError)
_log = logging.getLogger(__name__)


class RemoteEngine:
    """`Engine` over servers that all serve the same model.

    Args:
        info: what the zoo file says of it.
        client: how to talk to one kind of server.
        settings: time-outs and retries.
        urls: the replicas.
        clock: monotonic seconds.

    """

    def __init__(
        self,
        info: EngineInfo,
        client: ServerClient,
        settings: ServerSettings,
        urls: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.info, self.active = info, 0
        self.server_load: ServerLoad | None = None
        self._client, self._settings, self._urls, self._clock = client, settings, urls, clock
        self._pool = ReplicaPool(urls, clock)
        self._watch: asyncio.Task[None] | None = None
        self._mute: set[str] = set()

    @property
    def available(self) -> bool:
        """See Engine."""
        return bool(self._pool.available)

    @property
    def step_tier(self) -> StepTier:
        """See Engine."""
        return self._client.step_tier

    async def load(self) -> None:
        """See Engine. Waits until a server is up. Raises ConfigError where its contexts are shorter."""
        began = self._clock()
        outage = OutageLog(_log, "the server", "the worker waits for it")
        while not await self._any_up():
            if self._clock() > began + self._settings.start_timeout_seconds:
                raise self._pool.why_none()
            outage.failed(self._pool.why_none())
            await asyncio.sleep(PROBE_SECONDS)
        outage.worked()
        self._watch = forever("watch over servers", self._keep_watch, PROBE_SECONDS)

    async def close(self) -> None:
        """See Engine."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        await self._client.close()

    async def generate(
        self, task: GenerationTask, meter: WorkMeter
    ) -> AsyncGenerator[TextDelta | EngineFinished, None]:
        """See Engine. Closing it closes the connection, which is what stops a server's work.

        Before the first token it is tried again: on another replica, or here after the time that the
        server asked for. A server that sent nothing in time is not asked twice.
        """
        self.active += 1
        tried: set[str] = set()
        try:
            for left in range(self._settings.retries, -1, -1):
                replica = await self._next(tried)
                sent = False
                try:
                    async with aclosing(self._attempt(replica, task, meter)) as events:
                        async for event in events:
                            sent = True
                            yield event
                    return
                except EngineError as error:
                    if sent or not left or isinstance(error, EngineTimeoutError):
                        raise
                    tried.add(replica.url)
        finally:
            self.active -= 1

    async def _attempt(
        self, replica: Replica, task: GenerationTask, meter: WorkMeter
    ) -> AsyncGenerator[TextDelta | EngineFinished, None]:
        """One try on one replica, with a time limit on every wait for it; the pool hears how it went."""
        limits, url = self._settings, replica.url
        wait = ("first token", limits.first_token_timeout_seconds, "server.first_token_timeout_seconds")
        patience = Patience()
        try:
            with self._pool.using(replica):
                async with aclosing(self._client.generate(url, task, meter)) as events:
                    while True:
                        with patience.at_most(wait[1]):
                            event = await anext(events, None)
                        if event is None:
                            break
                        wait = (
                            "more of an answer",
                            limits.stall_timeout_seconds,
                            "server.stall_timeout_seconds",
                        )
                        yield event
        except TimeoutError:
            error = EngineTimeoutError(url, *wait)
            self._pool.failed(replica, error)
            raise error from None
        except EngineError as error:
            self._pool.failed(replica, error)
            raise
        finally:
            patience.close()
        self._pool.worked(replica)

    async def _next(self, tried: set[str]) -> Replica:
        """The replica to ask: an untried one, else the first to have room again, after a pause."""
        if (replica := self._pool.pick(tried)) is not None:
            return replica
        wait = self._pool.seconds_until_room()
        if wait is None or wait > LONGEST_WAIT_SECONDS:
            raise self._pool.why_none()
        await asyncio.sleep(max(wait, PAUSE_SECONDS) if tried else wait)
        if (replica := self._pool.pick()) is None:
            raise self._pool.why_none()
        return replica

    async def _any_up(self) -> bool:
        """Probes every replica. Raises what makes no sense to wait for."""
        for replica in self._pool.available + self._pool.due():
            try:
                await self._probe(replica)
            except _PASSING as error:
                self._pool.failed(replica, error, fatal=True)
        return self.available and self._pool.pick() is not None

    async def _probe(self, replica: Replica) -> None:
        facts = await self._client.probe(replica.url)
        own = self.info.context_window_tokens
        if facts.context_window_tokens is not None and facts.context_window_tokens < own:
            allowed = f"must be at most {facts.context_window_tokens}, what {replica.url} takes"
            where = f"model {self.info.model_name}"
            raise ConfigError([ConfigProblem(where, "context_window_tokens", str(own), allowed)])
        self._pool.worked(replica)
        self._mute.discard(replica.url)
        _log.info("%s serves %s (%s)", replica.url, facts.model, facts.version or "version not told")

    async def _keep_watch(self) -> None:
        """Brings back ejected replicas that are well again and reads what the servers say of their load."""
        for replica in self._pool.due():
            try:
                await self._probe(replica)
            except EngineError as error:
                self._pool.failed(replica, error)
            except MessPlusError as error:
                self._pool.failed(replica, EngineError(str(error)))
        self.server_load = await self._read_loads()
        await asyncio.sleep(PROBE_SECONDS)

    async def _read_loads(self) -> ServerLoad | None:
        """Of all replicas that tell; one that told nothing is asked again after its next probe."""
        known = []
        for url in [replica.url for replica in self._pool.available if replica.url not in self._mute]:
            if (load := await self._client.load(url)) is not None:
                known.append(load)
            else:
                self._mute.add(url)
        return ServerLoad.sum_of(known) if known else None
