"""What servers say of their batch on their Prometheus page."""

import re

import httpx2

from services.worker.ports import ServerLoad

_READ_SECONDS = 2.0
_RUNNING = (
    "vllm:num_requests_running",
    "sglang:num_running_reqs",
    "llamacpp:requests_processing",
    "tgi_batch_current_size",
)
_WAITING = (
    "vllm:num_requests_waiting",
    "sglang:num_queue_reqs",
    "llamacpp:requests_deferred",
    "tgi_queue_size",
)
_SAMPLE = re.compile(r"^(?P<name>[A-Za-z_:][\w:]*)(?:\{[^\n]*\})?[ \t]+(?P<value>[^\s]+)", re.MULTILINE)


async def read_load(http: httpx2.AsyncClient, url: str, headers: dict[str, str]) -> ServerLoad | None:
    """Running and waiting requests; None where the page, or the figure, is not there."""
    try:
        response = await http.get(f"{url}/metrics", headers=headers, timeout=_READ_SECONDS)
    except httpx2.HTTPError:
        return None
    return parse_load(response.text) if response.is_success else None


def parse_load(page: str) -> ServerLoad | None:
    """The sums over all labels, for example over vLLM's engines."""
    sums: dict[str, float] = {}
    for sample in _SAMPLE.finditer(page):
        if sample["name"] in _RUNNING or sample["name"] in _WAITING:
            try:
                value = float(sample["value"])
            except ValueError:
                return None
            sums[sample["name"]] = sums.get(sample["name"], 0.0) + value
    running = [sums[name] for name in _RUNNING if name in sums]
    waiting = [sums[name] for name in _WAITING if name in sums]
    if not running or not all(0 <= value < 1e9 for value in running + waiting):
        return None
    return ServerLoad(int(running[0]), int(waiting[0]) if waiting else 0)
