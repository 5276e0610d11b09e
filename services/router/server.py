"""Composes the router."""

import asyncio
import gc
import logging
import secrets
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import redis.asyncio as aioredis
from messplus.router.v1 import router_service_pb2_grpc

from services.common.decision_token import DecisionTokens
from services.common.keys import Keys
from services.common.learning import feature_count_of, policy_of, priors_of
from services.common.redis_client import connect, or_unavailable
from services.common.rpc import instrument
from services.common.server import (
    ServiceServer,
    cancel,
    forever,
    wait_for_stop_signal,
)
from services.common.zoo import Zoo
from services.common.zoo_file import load_zoo
from services.core.errors import StateUnavailableError
from services.router.adapters.grpc_energy import GrpcEnergyFigures
from services.router.adapters.grpc_worker import GrpcWorker
from services.router.adapters.redis_claims import RedisClaims
from services.router.adapters.redis_event_log import RedisEventLog
from services.router.adapters.redis_state import RedisConversations, RedisLoads, RedisSnapshots, RedisTexts
from services.router.adapters.static_embedding import CompactFeatures, EmbeddingFeatures, StaticEmbedding
from services.router.choosing import Chooser
from services.router.claiming import Claiming
from services.router.class_states import ClassStates
from services.router.commits import Commits
from services.router.decide import Decide
from services.router.deciding import Deciding, StrictDeciding
from services.router.fleet import Fleet, poll_loads, watch_worker
from services.router.generate import Generate
from services.router.instruments import Instruments
from services.router.outcomes import Outcomes
from services.router.ports import FeatureSource
from services.router.report import ReportOutcome
from services.router.running import Explorations, Running
from services.router.servicer import SERVICE, RouterServicer
from services.router.serving import Serving
from services.router.settings import RouterSettings
from services.router.snapshots import Snapshots, follow_snapshots
from services.router.validation import Validation
from services.router.views import Views

_log = logging.getLogger(__name__)
_SNAPSHOT_INTERVAL_SECONDS = 1.0
_LOAD_INTERVAL_SECONDS = 0.5
_SECRET_RETRY_SECONDS = 0.2


async def serve(settings: RouterSettings) -> None:
    """Runs the router until a stop signal, then drains it."""
    router = await Router.composed(settings)
    server = ServiceServer(
        settings.address or router.zoo.router_addresses[0], [SERVICE], settings.drain_seconds
    )
    router_service_pb2_grpc.add_RouterServiceServicer_to_server(await router.servicer(), server.tolerant)
    await server.start()
    tasks = router.background()
    _spare_the_collector()
    await server.set_ready(True)
    _log.info("serving on port %d", server.port)
    await wait_for_stop_signal()
    await server.drain()
    await router.drain(settings.drain_seconds)
    await cancel(tasks)
    await router.close()


@dataclass(slots=True)
class Router:
    """A composed router: what the RPCs use, and what runs beside them."""

    zoo: Zoo
    keys: Keys
    instance_id: str
    instruments: Instruments
    fleet: Fleet
    snapshots: Snapshots
    classes: ClassStates
    commits: Commits
    running: Running
    outcomes: Outcomes
    log: RedisEventLog
    source: RedisSnapshots
    workers: list[GrpcWorker]
    energy: GrpcEnergyFigures
    client: aioredis.Redis
    explorations: Explorations = field(init=False)

    def __post_init__(self) -> None:
        self.explorations = Explorations(self.running)

    @classmethod
    async def composed(cls, settings: RouterSettings) -> "Router":
        """Makes the parts for a zoo. Raises ConfigError."""
        zoo = load_zoo(settings.zoo_file)
        client, keys, instruments = connect(settings.redis_url), Keys(zoo.name), Instruments()
        # A restarted process may have the same instance id, but its batches are numbered anew.
        writer_id = f"{settings.instance_id}-{secrets.token_hex(4)}"
        log = RedisEventLog(client, keys, writer_id, zoo.routing.decided_ttl_seconds)
        workers = [GrpcWorker(worker.address, worker.model) for worker in zoo.workers]
        fleet, classes = Fleet(zoo, workers), ClassStates(tuple(c.name for c in zoo.sla_classes))
        snapshots = Snapshots(
            policy_of(zoo),
            priors_of(zoo),
            feature_count_of(zoo),
            zoo.learning.energy_prior_requests,
            instruments,
        )
        commits = Commits(log, classes, instruments, zoo.routing.degraded_buffer_decisions)
        outcomes = Outcomes(commits, RedisTexts(client, keys, zoo.routing.text_ttl_seconds), instruments)
        return cls(
            zoo,
            keys,
            settings.instance_id,
            instruments,
            fleet,
            snapshots,
            classes,
            commits,
            Running(fleet, outcomes, zoo.routing.request_timeout_seconds),
            outcomes,
            log,
            RedisSnapshots(client, keys),
            workers,
            GrpcEnergyFigures(zoo.energy.address),
            client,
        )

    async def servicer(self) -> RouterServicer:
        """The RPCs over these parts. Waits for Redis; raises ConfigError."""
        zoo, tokens = self.zoo, await _tokens(self.client, self.keys)
        claims = RedisClaims(self.client, self.keys, zoo.routing.claim_ttl_seconds)
        claiming = Claiming(claims, zoo.routing.request_timeout_seconds)
        deciding = self._deciding()
        serving = Serving(deciding, self.fleet, self.running, self.explorations, self.commits, self.energy)
        servicer = RouterServicer(
            Validation(zoo),
            Decide(deciding, claiming),
            Generate(serving, claiming, self.explorations, zoo.routing.max_in_flight),
            ReportOutcome(self.log, tokens),
            Views(zoo, policy_of(zoo), self.fleet, self.snapshots, self.classes, self.commits, self.log),
            tokens,
            zoo.model_ids,
        )
        instrument(servicer, SERVICE)
        return servicer

    def _deciding(self) -> Deciding:
        zoo, conversations = self.zoo, RedisConversations(self.client, self.keys)
        chooser = Chooser(
            zoo,
            policy_of(zoo),
            priors_of(zoo),
            _feature_source(zoo),
            self.fleet,
            self.snapshots,
            self.classes,
            self.instance_id,
        )
        if zoo.routing.consistency != "strict":
            return Deciding(chooser, self.commits, conversations)
        return StrictDeciding(
            chooser, self.commits, conversations, self.log, self.classes, self.snapshots, self.source
        )

    def background(self) -> list["asyncio.Task[Any]"]:
        """Starts what runs beside the RPCs: workers' health and load, snapshots."""
        names = tuple(sla_class.name for sla_class in self.zoo.sla_classes)
        loads = RedisLoads(self.client, self.keys)
        return [
            *(
                forever(f"worker {state.address}", partial(watch_worker, self.fleet, state), 0.2)
                for state in self.fleet.workers
            ),
            forever("load of workers", partial(poll_loads, self.fleet, loads, _LOAD_INTERVAL_SECONDS)),
            forever(
                "snapshots",
                partial(
                    follow_snapshots,
                    self.snapshots,
                    self.source,
                    self.log,
                    self.classes,
                    names,
                    _SNAPSHOT_INTERVAL_SECONDS,
                ),
            ),
        ]

    async def drain(self, seconds: float) -> None:
        """Lets explorations end and brings every event into the log, each for at most this time."""
        try:
            await asyncio.wait_for(self.explorations.drain(), seconds)
        except TimeoutError:
            await self.explorations.stop()
        await self.outcomes.drain()
        await self.commits.close(seconds)

    async def close(self) -> None:
        """Ends all connections."""
        for worker in self.workers:
            await worker.close()
        await self.energy.close()
        await self.client.aclose()


def _spare_the_collector() -> None:
    """What was made until now lives as long as the process: no collection needs to look at it again."""
    gc.collect()
    gc.freeze()


def _feature_source(zoo: Zoo) -> FeatureSource:
    embedding = StaticEmbedding()
    return CompactFeatures(embedding) if zoo.features == "compact" else EmbeddingFeatures(embedding)


async def _tokens(client: aioredis.Redis, keys: Keys) -> DecisionTokens:
    """The zoo's key for decision ids: nothing can be served without it, so its store is waited for."""
    announced = False
    while True:
        try:
            return await or_unavailable(DecisionTokens.for_zoo(client, keys))
        except StateUnavailableError as error:
            if not announced:
                announced = True
                _log.warning("waiting for Redis: %s", error)
            await asyncio.sleep(_SECRET_RETRY_SECONDS)
