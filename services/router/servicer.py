"""The router's RPCs: wire to domain and back, nothing else."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc
from messplus.router.v1 import router_service_pb2 as pb
from messplus.router.v1 import router_service_pb2_grpc

from services.common.decision_token import DecisionTokens
from services.common.telemetry import current_traceparent
from services.router.decide import Decide
from services.router.generate import Generate
from services.router.report import ReportOutcome
from services.router.translation import (
    class_to_proto,
    decided_to_proto,
    explanation_to_proto,
    model_to_proto,
    outcome_from_proto,
    piece_to_proto,
)
from services.router.validation import Validation, interval_seconds
from services.router.views import Views

SERVICE = "messplus.router.v1.RouterService"
Context = grpc.aio.ServicerContext[Any, Any]


class RouterServicer(router_service_pb2_grpc.RouterServiceServicer):
    """`messplus.router.v1.RouterService`; the proto documents every RPC."""

    def __init__(
        self,
        validation: Validation,
        decide: Decide,
        generate: Generate,
        report: ReportOutcome,
        views: Views,
        tokens: DecisionTokens,
        model_ids: tuple[str, ...],
    ) -> None:
        self._validation, self._decide, self._generate = validation, decide, generate
        self._report, self._views, self._tokens, self._model_ids = report, views, tokens, model_ids

    async def Decide(self, request: pb.DecideRequest, context: Context) -> pb.DecideResponse:  # noqa: N802
        """Routes only."""
        started = await self._decide.decide(self._validation.decide(request))
        return decided_to_proto(started, self._tokens.mint(started.request_id))

    async def Generate(  # noqa: N802
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncGenerator[pb.GenerateResponse, None]:
        """Routes and answers."""
        route, work = self._validation.generate(request)
        decision_id = self._tokens.mint(route.request_id)
        pieces = self._generate.generate(route, work, context.time_remaining())
        async with aclosing(pieces) as stream:
            async for piece in stream:
                yield piece_to_proto(piece, decision_id)

    async def ReportOutcome(  # noqa: N802
        self, request: pb.ReportOutcomeRequest, context: Context
    ) -> pb.ReportOutcomeResponse:
        """Takes the outcome of a generation that the caller ran."""
        self._validation.outcome(request)
        outcome, energy = outcome_from_proto(request, current_traceparent())
        return pb.ReportOutcomeResponse(
            log_position=await self._report.report(request.decision_id, outcome, energy)
        )

    async def ExplainDecision(  # noqa: N802
        self, request: pb.ExplainDecisionRequest, context: Context
    ) -> pb.ExplainDecisionResponse:
        """Why a request went where it went."""
        return explanation_to_proto(await self._views.explain(request.request_id))

    async def ListModels(  # noqa: N802
        self, request: pb.ListModelsRequest, context: Context
    ) -> pb.ListModelsResponse:
        """The zoo's models."""
        return pb.ListModelsResponse(models=map(model_to_proto, self._views.models()))

    async def GetSlaStatus(  # noqa: N802
        self, request: pb.GetSlaStatusRequest, context: Context
    ) -> pb.GetSlaStatusResponse:
        """Where the SLA classes stand."""
        return self._status(request.sla_class)

    async def WatchSlaStatus(  # noqa: N802
        self, request: pb.WatchSlaStatusRequest, context: Context
    ) -> AsyncGenerator[pb.WatchSlaStatusResponse, None]:
        """Where the SLA classes stand, again and again."""
        seconds = interval_seconds(request.interval, request.HasField("interval"))
        while True:
            yield pb.WatchSlaStatusResponse(status=self._status(request.sla_class))
            await asyncio.sleep(seconds)

    def _status(self, sla_class: str) -> pb.GetSlaStatusResponse:
        return pb.GetSlaStatusResponse(
            classes=[class_to_proto(c, self._model_ids) for c in self._views.classes(sla_class)],
            snapshot_version=self._views.snapshot_version,
            degraded=self._views.degraded,
        )
