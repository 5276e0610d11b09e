"""A thin client of MESS+ serving: ask, stream, decide, and say how good an answer was.

    from messplus_client import Client

    with Client("127.0.0.1:50051", feedback="127.0.0.1:50071") as messplus:
        answer = messplus.ask("What is the capital of Peru?")
        print(answer.text, answer.model_id, answer.energy_joules, answer.energy_quality)
        messplus.judge(answer, satisfied=True)

`AsyncClient` is the same for asyncio. Everything that the contract can do and this cannot is a message away:
both take the generated messages of `messplus.router.v1` too. Errors are `RequestFailed`.
"""

from messplus_client.aio import AsyncClient, AsyncStream
from messplus_client.answers import Answer
from messplus_client.errors import RequestFailed
from messplus_client.sync import Client, Stream

__all__ = ["Answer", "AsyncClient", "AsyncStream", "Client", "RequestFailed", "Stream"]
