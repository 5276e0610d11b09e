"""Follows the power that the energy service reads while the demo measures."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import grpc
from google.protobuf.duration_pb2 import Duration
from messplus.energy.v1 import energy_service_pb2, energy_service_pb2_grpc

_INTERVAL = Duration(nanos=500_000_000)
_RETRY_SECONDS = 0.5
_SECONDS_PER_MILLISECOND = 1e-3


async def follow_power(address: str, take: Callable[[float, float], None]) -> None:
    """Gives `take` the wall-clock time (s) and the power of all meters (W), twice a second, until cancelled.

    A stream that breaks is opened anew: what it missed is missing in a figure, and nowhere else.
    """
    async with grpc.aio.insecure_channel(address) as channel:
        stub = energy_service_pb2_grpc.EnergyServiceStub(channel)
        while True:
            with suppress(grpc.aio.AioRpcError):
                async for now in stub.WatchPower(energy_service_pb2.WatchPowerRequest(interval=_INTERVAL)):
                    take(now.read_at.ToMilliseconds() * _SECONDS_PER_MILLISECOND, now.power_watts)
            await asyncio.sleep(_RETRY_SECONDS)
