"""What a worker sends is handed on once, and nobody is woken for nothing."""

import asyncio
import time

from messplus.worker.v1 import worker_service_pb2

from services.router.adapters import grpc_worker


async def test_a_late_alarm_announces_nothing() -> None:
    inbox = grpc_worker._Inbox()
    first, held, late = (worker_service_pb2.TextDelta(text=text, token_count=1) for text in "abc")
    inbox._put(first)
    assert inbox.take() == ("a", 1)
    inbox._put(held)
    assert not inbox.news.is_set()
    time.sleep(2 * grpc_worker._GAP_SECONDS)  # noqa: ASYNC251 - a loop too busy to ring in time
    inbox._put(late)
    assert inbox.take() == ("bc", 2)
    await asyncio.sleep(2 * grpc_worker._GAP_SECONDS)
    assert not inbox.news.is_set()
