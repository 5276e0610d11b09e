"""The router's RPCs: wire to domain and back, nothing else."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import grpc
from messplus.router.v1 import router_service_pb2 as pb
from messplus.router.v1 import router_service_pb2_grpc

from services.common.decision_token import DecisionTokens
from services.common.telemetry import current_traceparent
from services.router.report import ReportOutcome
from services.router.routes import Routes
from services.router.translation import (
    class_to_proto,
    decided_to_proto,
    explanation_to_proto,
    model_to_proto,
    outcome_from_proto,
    piece_to_proto,
)
from services.router.validation import interval_seconds

SERVICE = "messplus.router.v1.RouterService"
Context = grpc.aio.ServicerContext[Any, Any]


class RouterServicer(router_service_pb2_grpc.RouterServiceServicer):
    """`messplus.router.v1.RouterService`; the proto documents every RPC.

    Args:
        routes: those of today's zoo; a call stays with the ones that it began with.
        report: takes outcomes.
        tokens: decision ids.

    """

    def __init__(
        self,
        routes: Callable[[], Routes],
        report: ReportOutcome,
        tokens: DecisionTokens,
    ) -> None:
        self._routes, self._report, self._tokens = routes, report, tokens

    async def Decide(self, request: pb.DecideRequest, context: Context) -> pb.DecideResponse:  # noqa: N802
        """Routes only."""
        routes = self._routes()
        started = await routes.decide.decide(routes.validation.decide(request))
        return decided_to_proto(started, self._tokens.mint(started.request_id))

    async def Generate(  # noqa: N802
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncGenerator[pb.GenerateResponse, None]:
        """Routes and answers."""
        routes = self._routes()
        route, work = routes.validation.generate(request)
        decision_id = self._tokens.mint(route.request_id)
        pieces = routes.generate.generate(route, work, context.time_remaining())
        async with aclosing(pieces) as stream:
            async for piece in stream:
                yield piece_to_proto(piece, decision_id)

    async def ReportOutcome(  # noqa: N802
        self, request: pb.ReportOutcomeRequest, context: Context
    ) -> pb.ReportOutcomeResponse:
        """Takes the outcome of a generation that the caller ran."""
        self._routes().validation.outcome(request)
        outcome, energy = outcome_from_proto(request, current_traceparent())
        return pb.ReportOutcomeResponse(
            log_position=await self._report.report(request.decision_id, outcome, energy)
        )

    async def ExplainDecision(  # noqa: N802
        self, request: pb.ExplainDecisionRequest, context: Context
    ) -> pb.ExplainDecisionResponse:
        """Why a request went where it went."""
        return explanation_to_proto(await self._routes().views.explain(request.request_id))

    async def ListModels(  # noqa: N802
        self, request: pb.ListModelsRequest, context: Context
    ) -> pb.ListModelsResponse:
        """The zoo's models."""
        return pb.ListModelsResponse(models=map(model_to_proto, self._routes().views.models()))

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
        views, model_ids = self._routes().views, self._routes().zoo.model_ids
        return pb.GetSlaStatusResponse(
            classes=[class_to_proto(c, model_ids) for c in views.classes(sla_class)],
            snapshot_version=views.snapshot_version,
            degraded=views.degraded,
        )
