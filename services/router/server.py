"""Composes the router."""

import asyncio
import gc
import logging
import secrets
from dataclasses import dataclass
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
    router_service_pb2_grpc.add_RouterServiceServicer_to_server(router.servicer, server.tolerant)
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
    servicer: RouterServicer
    fleet: Fleet
    snapshots: Snapshots
    classes: ClassStates
    commits: Commits
    explorations: Explorations
    outcomes: Outcomes
    log: RedisEventLog
    loads: RedisLoads
    source: RedisSnapshots
    workers: list[GrpcWorker]
    energy: GrpcEnergyFigures
    client: aioredis.Redis

    @classmethod
    async def composed(cls, settings: RouterSettings) -> "Router":
        """Wires everything for a zoo. Waits for Redis; raises ConfigError."""
        zoo = load_zoo(settings.zoo_file)
        policy, priors, features = policy_of(zoo), priors_of(zoo), _feature_source(zoo)
        client, keys, instruments = connect(settings.redis_url), Keys(zoo.name), Instruments()
        tokens = await _tokens(client, keys)
        # A restarted process may have the same instance id, but its batches are numbered anew.
        writer_id = f"{settings.instance_id}-{secrets.token_hex(4)}"
        log = RedisEventLog(client, keys, writer_id, zoo.routing.decided_ttl_seconds)
        source = RedisSnapshots(client, keys)
        workers = [GrpcWorker(worker.address, worker.model) for worker in zoo.workers]
        energy = GrpcEnergyFigures(zoo.energy.address)
        fleet, classes = Fleet(zoo, workers), ClassStates(tuple(c.name for c in zoo.sla_classes))
        snapshots = Snapshots(
            policy, priors, feature_count_of(zoo), zoo.learning.energy_prior_requests, instruments
        )
        commits = Commits(log, classes, instruments, zoo.routing.degraded_buffer_decisions)
        chooser = Chooser(zoo, policy, priors, features, fleet, snapshots, classes, settings.instance_id)
        conversations = RedisConversations(client, keys)
        deciding = (
            StrictDeciding(chooser, commits, conversations, instruments, log, classes, snapshots, source)
            if zoo.routing.consistency == "strict"
            else Deciding(chooser, commits, conversations, instruments)
        )
        claims = RedisClaims(client, keys, zoo.routing.claim_ttl_seconds)
        claiming = Claiming(claims, zoo.routing.request_timeout_seconds)
        outcomes = Outcomes(commits, RedisTexts(client, keys, zoo.routing.text_ttl_seconds), instruments)
        running = Running(fleet, outcomes, zoo.routing.request_timeout_seconds)
        explorations = Explorations(running)
        serving = Serving(deciding, fleet, running, explorations, commits, energy)
        servicer = RouterServicer(
            Validation(zoo),
            Decide(deciding, claiming),
            Generate(serving, claiming, explorations, zoo.routing.max_in_flight),
            ReportOutcome(log, tokens),
            Views(zoo, policy, fleet, snapshots, classes, commits, log),
            tokens,
            zoo.model_ids,
        )
        instrument(servicer, SERVICE)
        return cls(
            zoo,
            servicer,
            fleet,
            snapshots,
            classes,
            commits,
            explorations,
            outcomes,
            log,
            RedisLoads(client, keys),
            source,
            workers,
            energy,
            client,
        )

    def background(self) -> list["asyncio.Task[Any]"]:
        """Starts what runs beside the RPCs: workers' health and load, snapshots."""
        names = tuple(sla_class.name for sla_class in self.zoo.sla_classes)
        return [
            *(
                forever(f"worker {state.address}", partial(watch_worker, self.fleet, state), 0.2)
                for state in self.fleet.workers
            ),
            forever("load of workers", partial(poll_loads, self.fleet, self.loads, _LOAD_INTERVAL_SECONDS)),
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
