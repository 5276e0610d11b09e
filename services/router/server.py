"""Composes the router."""

import asyncio
import gc
import logging
import secrets
from functools import partial
from typing import Any

import redis.asyncio as aioredis
from messplus.router.v1 import router_service_pb2_grpc

from services.common.decision_token import DecisionTokens
from services.common.keys import Keys
from services.common.live_zoo import LiveZoo, zoo_name
from services.common.redis_client import connect, or_unavailable
from services.common.rpc import instrument
from services.common.server import ServiceServer, cancel, forever, wait_for_stop_signal
from services.common.zoo import Zoo
from services.core.errors import StateUnavailableError
from services.router.adapters.grpc_energy import GrpcEnergyFigures
from services.router.adapters.grpc_worker import GrpcWorker
from services.router.adapters.redis_claims import RedisClaims
from services.router.adapters.redis_event_log import RedisEventLog
from services.router.adapters.redis_state import (
    RedisConversations,
    RedisLoads,
    RedisSnapshots,
    RedisStepLaws,
    RedisTexts,
)
from services.router.adapters.static_embedding import CompactFeatures, EmbeddingFeatures, StaticEmbedding
from services.router.claiming import LEASE_SECONDS, Claiming
from services.router.class_states import ClassStates
from services.router.commits import Commits
from services.router.fleet import poll_loads, poll_step_laws
from services.router.generate import InFlight
from services.router.instruments import Instruments
from services.router.outcomes import Outcomes
from services.router.ports import FeatureSource
from services.router.report import ReportOutcome
from services.router.routes import Shared
from services.router.running import Explorations
from services.router.servicer import SERVICE, RouterServicer
from services.router.settings import RouterSettings
from services.router.sla_gauges import show_classes
from services.router.snapshots import follow_snapshots
from services.router.workers import Workers

_log = logging.getLogger(__name__)
_SNAPSHOT_INTERVAL_SECONDS = 1.0
_LOAD_INTERVAL_SECONDS = 0.5
_STEP_LAWS_INTERVAL_SECONDS = 10.0
_SECRET_RETRY_SECONDS, _SECRET_SECONDS = 0.2, 5.0


async def serve(settings: RouterSettings) -> None:
    """Runs the router until a stop signal, then drains it."""
    live = LiveZoo(settings.zoo_file)
    router = Router(settings, live.zoo)
    server = ServiceServer(
        settings.address or live.zoo.router_addresses[0], [SERVICE], settings.drain_seconds
    )
    router_service_pb2_grpc.add_RouterServiceServicer_to_server(await router.servicer(), server.tolerant)
    await server.start()
    tasks = [*router.background(), forever("zoo file", partial(live.follow, router.change_zoo, server))]
    _spare_the_collector()
    await server.tell_zoo(zoo_name(live.zoo))
    await server.set_ready(True)
    _log.info("serving on port %d", server.port)
    await wait_for_stop_signal()
    await server.drain()
    await router.drain(settings.drain_seconds)
    await cancel(tasks)
    await router.close()


class Router:
    """A composed router: what stays as long as the process, and the routes of today's zoo.

    Make it in the running event loop.
    """

    def __init__(self, settings: RouterSettings, zoo: Zoo) -> None:
        self._client, self._keys = connect(settings.redis_url), Keys(zoo.name)
        self._energy = GrpcEnergyFigures(zoo.energy.address)
        self.shared = _shared(settings, zoo, self._client, self._keys, self._energy)
        self.workers = Workers(GrpcWorker, lambda: self.routes.fleet, zoo.routing.request_timeout_seconds)
        self.routes = self.shared.routes(zoo, self.workers.of(zoo))
        self._tokens = DecisionTokens.new()
        show_classes(lambda: self.routes.views.classes(""))

    async def servicer(self) -> RouterServicer:
        """The RPCs over these parts. Waits for Redis."""
        await _share(self._tokens, self._client, self._keys)
        report = ReportOutcome(self.shared.log, self._tokens)
        servicer = RouterServicer(lambda: self.routes, report, self._tokens)
        instrument(servicer, SERVICE)
        return servicer

    def background(self) -> list["asyncio.Task[Any]"]:
        """Starts what runs beside the RPCs: workers' health and load, snapshots."""
        self.workers.watch()
        return [
            forever("load of workers", partial(self._poll_loads, RedisLoads(self._client, self._keys))),
            forever(
                "measured step costs", partial(self._poll_step_laws, RedisStepLaws(self._client, self._keys))
            ),
            forever("snapshots", self._follow_snapshots),
            forever("key of decision ids", self._keep_tokens),
        ]

    async def _keep_tokens(self) -> None:
        """Gives a Redis that lost its data the key back."""
        await asyncio.sleep(_SECRET_SECONDS)
        await or_unavailable(self._tokens.share(self._client, self._keys))

    async def _poll_loads(self, loads: RedisLoads) -> None:
        await poll_loads(self.routes.fleet, loads, _LOAD_INTERVAL_SECONDS)

    async def _poll_step_laws(self, laws: RedisStepLaws) -> None:
        await poll_step_laws(self.routes.fleet, laws, _STEP_LAWS_INTERVAL_SECONDS)

    async def _follow_snapshots(self) -> None:
        routes, shared = self.routes, self.shared
        await follow_snapshots(
            routes.snapshots,
            shared.source,
            shared.log,
            shared.classes,
            routes.class_names,
            _SNAPSHOT_INTERVAL_SECONDS,
        )

    async def change_zoo(self, zoo: Zoo) -> None:
        """Makes routes over another zoo and serves new requests on them; the others end where they began.

        New workers are waited for a little first, so that nobody finds a model that cannot answer yet.
        """
        workers = self.workers.of(zoo)
        self.workers.watch()
        await self.workers.reached([state for state in workers if state not in self.routes.fleet.workers])
        self.shared.classes.add(tuple(sla_class.name for sla_class in zoo.sla_classes))
        self.routes = self.shared.routes(zoo, workers, self.routes)
        self.workers.keep_only(workers)

    async def drain(self, seconds: float) -> None:
        """Lets explorations end and brings every event into the log, each for at most this time."""
        explorations = self.shared.explorations
        try:
            await asyncio.wait_for(explorations.drain(), seconds)
        except TimeoutError:
            await explorations.stop()
        await self.shared.outcomes.drain()
        await self.shared.commits.close(seconds)

    async def close(self) -> None:
        """Ends all connections."""
        await self.workers.close()
        await self._energy.close()
        await self._client.aclose()


def _shared(
    settings: RouterSettings, zoo: Zoo, client: aioredis.Redis, keys: Keys, energy: GrpcEnergyFigures
) -> Shared:
    instruments, routing = Instruments(), zoo.routing
    # A restarted process may have the same instance id, but its batches are numbered anew.
    writer_id = f"{settings.instance_id}-{secrets.token_hex(4)}"
    log = RedisEventLog(client, keys, writer_id, routing.decided_ttl_seconds)
    classes = ClassStates(tuple(sla_class.name for sla_class in zoo.sla_classes))
    commits = Commits(log, classes, instruments, routing.degraded_buffer_decisions)
    claims = RedisClaims(client, keys, routing.claim_ttl_seconds, LEASE_SECONDS)
    return Shared(
        settings.instance_id,
        instruments,
        classes,
        commits,
        Outcomes(commits, RedisTexts(client, keys, routing.text_ttl_seconds), instruments),
        log,
        RedisSnapshots(client, keys),
        RedisConversations(client, keys),
        Claiming(claims, routing.request_timeout_seconds),
        Explorations(),
        InFlight(routing.max_in_flight),
        energy,
        _feature_source(zoo),
    )


def _spare_the_collector() -> None:
    """What was made until now lives as long as the process: no collection needs to look at it again."""
    gc.collect()
    gc.freeze()


def _feature_source(zoo: Zoo) -> FeatureSource:
    embedding = StaticEmbedding()
    return CompactFeatures(embedding) if zoo.features == "compact" else EmbeddingFeatures(embedding)


async def _share(tokens: DecisionTokens, client: aioredis.Redis, keys: Keys) -> None:
    """Takes the zoo's key for decision ids: nothing can be served without it, so its store is waited for."""
    announced = False
    while True:
        try:
            return await or_unavailable(tokens.share(client, keys))
        except StateUnavailableError as error:
            if not announced:
                announced = True
                _log.warning("waiting for Redis: %s", error)
            await asyncio.sleep(_SECRET_RETRY_SECONDS)
