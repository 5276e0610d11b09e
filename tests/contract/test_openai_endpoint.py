"""The planner's OpenAI-compatible endpoint, with the published client and a real HTTP server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.measure.endpoint import EndpointError
from cli.measure.openai_endpoint import OpenAiEndpoint

CACHED_TOKENS = 10
GRID = ("--prompt-lengths", "40,80", "--output-lengths", "1,4", "--repeats", "1", "--warm-up", "1")


class Server(ThreadingHTTPServer):
    """Streams one chunk per token; refuses `ignore_eos` if told so; fails from some request on."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[dict[str, Any]] = []
        self.knows_ignore_eos, self.reports_usage, self.fails_from = True, True, 1_000

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        if len(self.server.bodies) >= self.server.fails_from:
            return self._refuse(500, "out of memory")
        if "ignore_eos" in body and not self.server.knows_ignore_eos:
            return self._refuse(400, "unknown field ignore_eos")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for _ in range(body["max_tokens"]):
            self._send({"choices": [{"index": 0, "delta": {"content": "x"}}]})
        if self.server.reports_usage:
            self._send({"choices": [], "usage": self._usage(body)})
        self.wfile.write(b"data: [DONE]\n\n")
        return None

    def _usage(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = CACHED_TOKENS + len(body["messages"][0]["content"].split())
        tokens = {"prompt_tokens": prompt, "completion_tokens": body["max_tokens"]}
        details = {"prompt_tokens_details": {"cached_tokens": CACHED_TOKENS}}
        return {**tokens, "total_tokens": sum(tokens.values()), **details}

    def _send(self, chunk: dict[str, Any]) -> None:
        whole = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", **chunk}
        self.wfile.write(f"data: {json.dumps(whole)}\n\n".encode())

    def _refuse(self, status: int, message: str) -> None:
        content = json.dumps({"error": {"message": message}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        return None


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


async def test_tokens_are_those_of_the_endpoint_without_its_cache(server: Server) -> None:
    endpoint = OpenAiEndpoint(server.url, "m", "")
    reply = await endpoint.answer("five words are in here", 3)
    await endpoint.close()
    assert (reply.prompt_tokens, reply.output_tokens, len(reply.arrivals)) == (5, 3, 3)
    assert reply.sent_seconds <= reply.arrivals[0].seconds <= reply.ended_seconds
    assert server.bodies[0]["ignore_eos"] is True


async def test_an_endpoint_that_refuses_ignore_eos_is_asked_without(server: Server) -> None:
    server.knows_ignore_eos = False
    endpoint = OpenAiEndpoint(server.url, "m", "")
    for _ in range(2):
        assert (await endpoint.answer("hello", 2)).output_tokens == 2
    await endpoint.close()
    assert ["ignore_eos" in body for body in server.bodies] == [True, False, False]


async def test_an_endpoint_without_token_counts_cannot_be_measured(server: Server) -> None:
    server.reports_usage = False
    endpoint = OpenAiEndpoint(server.url, "m", "")
    with pytest.raises(EndpointError, match=r"reports no token counts: it must support stream_options"):
        await endpoint.answer("hello", 2)
    await endpoint.close()


def test_a_profile_that_fails_half_way_goes_on(server: Server, tmp_path: Path) -> None:
    save, out = tmp_path / "timed.csv", tmp_path / "profile.json"
    asked = ["profile", "--endpoint", server.url, "--model", "m", *GRID, "--save", str(save), "--denoised"]
    server.fails_from = 7
    broken = CliRunner().invoke(app, asked)
    assert broken.exit_code == 1
    assert "out of memory" in broken.stderr
    assert f"2 requests are measured and kept in {save}" in broken.stderr
    server.fails_from = 1_000
    done = CliRunner().invoke(app, [*asked, "--json", str(out)])
    assert done.exit_code == 0, done.stderr
    assert "2 are measured already" in " ".join(done.stdout.split())
    assert set(json.loads(out.read_text())["m"]["runtime_for_prompt_tokens"]) == {"40", "80"}
    assert len(save.read_text().splitlines()) == 1 + 4
