"""llama.cpp's own OpenAI listener in a process of its own. Run with weights, context, slots and a port."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cli.local.ports import free_ports

START_SECONDS = 60.0
MODEL = "smollm2-135m"


@contextmanager
def llamacpp_server(weights: Path, window_tokens: int, slots: int) -> Iterator[str]:
    """Base URL of its API."""
    (port,) = free_ports(1)
    arguments = [str(weights), str(window_tokens), str(slots), str(port)]
    process = subprocess.Popen([sys.executable, __file__, *arguments], stderr=subprocess.DEVNULL)
    try:
        _wait_until_healthy(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _wait_until_healthy(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"llama.cpp's server is not healthy; exit status {process.poll()}")


def main(weights: str, window_tokens: str, slots: str, port: str) -> None:
    import xllamacpp

    p = xllamacpp.CommonParams()
    p.model.path, p.model_alias = weights, {MODEL}
    p.n_parallel, p.n_ctx = int(slots), int(window_tokens) * int(slots)
    p.n_batch = p.n_ubatch = 128
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
    p.cache_ram_mib, p.verbosity, p.ui = 0, 0, False
    p.port, p.endpoint_metrics = int(port), True
    server = xllamacpp.Server(p)
    while server.listening_address:
        time.sleep(3600)


if __name__ == "__main__":
    main(*sys.argv[1:])
