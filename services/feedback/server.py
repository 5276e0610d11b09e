"""Puts the feedback service together and runs it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import redis.asyncio as aioredis
from messplus.feedback.v1 import feedback_service_pb2, feedback_service_pb2_grpc

from services.common.keys import Keys
from services.common.live_zoo import LiveZoo, zoo_name
from services.common.redis_client import connect, or_unavailable
from services.common.rpc import instrument
from services.common.server import ServiceServer, cancel, forever, wait_for_stop_signal
from services.common.zoo import JudgeSettings, Zoo
from services.core.errors import StateUnavailableError
from services.feedback.adapters.openai_judge import OpenAiJudge
from services.feedback.adapters.redis_decision_check import RedisDecisionCheck
from services.feedback.adapters.redis_label_log import RedisLabelLog
from services.feedback.adapters.redis_learner_store import (
    RedisLabelerProgress,
    RedisLearnerStore,
    RedisLog,
)
from services.feedback.adapters.redis_texts import RedisServedGenerations, RedisTextStore
from services.feedback.configuration import empty_fold, fingerprint
from services.feedback.instruments import Instruments
from services.feedback.labelers import Labelers
from services.feedback.labeling import Labeling
from services.feedback.learner import Learner
from services.feedback.learner_term import LearnerSettings
from services.feedback.servicer import FeedbackServicer
from services.feedback.settings import FeedbackSettings
from services.feedback.submit import SubmitFeedback
from services.feedback.submit_batch import SubmitFeedbackBatch

SERVICE = feedback_service_pb2.DESCRIPTOR.services_by_name["FeedbackService"].full_name
_HEALTH_SECONDS = 1.0


async def serve(settings: FeedbackSettings) -> None:
    """Serves until told to stop. Raises ConfigError for a wrong zoo file or a taken address."""
    live = LiveZoo(settings.zoo_file)
    zoo = live.zoo
    client = connect(settings.redis_url)
    judge = _judge(zoo.judge, settings)
    server = ServiceServer(settings.address or zoo.feedback_address, [SERVICE], settings.drain_seconds)
    with ThreadPoolExecutor(1, "labeler") as executor:
        servicer, learner = compose(zoo, client, Labelers(executor, judge), settings)
        instrument(servicer, SERVICE)
        feedback_service_pb2_grpc.add_FeedbackServiceServicer_to_server(servicer, server.tolerant)
        await server.start()
        await server.tell_zoo(zoo_name(zoo))
        tasks = [
            forever("learner", learner.run),
            forever("health", partial(_report_health, server, client)),
            forever("zoo file", partial(live.follow, partial(change_zoo, learner, settings), server)),
        ]
        await wait_for_stop_signal()
        await server.drain()
        await cancel(tasks)
    if judge is not None:
        await judge.close()
    await client.aclose()


def compose(
    zoo: Zoo, client: aioredis.Redis, labelers: Labelers, settings: FeedbackSettings
) -> tuple[FeedbackServicer, Learner]:
    """The RPCs and the learner over one Redis."""
    keys, instruments = Keys(zoo.name), Instruments()
    log, texts = RedisLabelLog(client, keys), RedisTextStore(client, keys)
    store = RedisLearnerStore(client, keys)
    labeling = Labeling(
        RedisLog(client, keys), RedisLabelerProgress(client, keys), texts, labelers, log, instruments
    )
    learner = Learner(
        store, partial(empty_fold, zoo), _learner_settings(zoo, settings), labeling.follow, instruments
    )
    submit = SubmitFeedback(
        RedisDecisionCheck(client, keys),
        log,
        texts,
        RedisServedGenerations(client, keys),
        labelers,
        instruments,
    )
    batch = SubmitFeedbackBatch(submit, log, instruments)
    return FeedbackServicer(submit, batch, store, learner), learner


async def change_zoo(learner: Learner, settings: FeedbackSettings, zoo: Zoo) -> None:
    """Of a changed zoo, only the learner needs to know."""
    await learner.renew(partial(empty_fold, zoo), _learner_settings(zoo, settings))


def _learner_settings(zoo: Zoo, settings: FeedbackSettings) -> LearnerSettings:
    return LearnerSettings(
        settings.learner_id, settings.lease_seconds, zoo.learning.retention_entries, fingerprint(zoo)
    )


async def _report_health(server: ServiceServer, client: aioredis.Redis) -> None:
    """Serving means that labels can be recorded: while the log is away, nothing here works."""
    try:
        await or_unavailable(client.ping())
        await server.set_ready(True)
    except StateUnavailableError:
        await server.set_ready(False)
    await asyncio.sleep(_HEALTH_SECONDS)


def _judge(judge: JudgeSettings | None, settings: FeedbackSettings) -> OpenAiJudge | None:
    if judge is None:
        return None
    return OpenAiJudge(
        judge.base_url,
        judge.model,
        settings.judge_api_key.get_secret_value(),
        judge.timeout_seconds,
        settings.judge_max_concurrent,
    )
