"""What the router adds to a generation: `Generate` through it against the worker called directly."""

from pathlib import Path

from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2
from messplus.worker.v1 import worker_service_pb2

from bench.decide import CLIENT_CORE, ROUTER_CORE
from bench.load import h2load
from bench.report import Row
from bench.system import running_system

REQUESTS, ROUNDS = 1500, 3


def measure(folder: Path) -> list[Row]:
    """Alternates direct and routed calls, one in flight; keeps the median difference of the medians."""
    prompt = common_pb2.Prompt(text="one two three four five six seven eight")
    direct = worker_service_pb2.GenerateRequest(request_id="bench", generation_id="bench", prompt=prompt)
    routed = router_service_pb2.GenerateRequest(prompt=prompt)
    with running_system(folder, 1, ROUTER_CORE, CLIENT_CORE) as system:
        worker = str(system.zoo["workers"][0]["address"])
        router = str(system.zoo["router_addresses"][0])
        added = []
        for _ in range(ROUNDS + 1):
            alone = h2load(
                worker, "messplus.worker.v1.WorkerService/Generate", direct, REQUESTS, 1, CLIENT_CORE, folder
            )
            through = h2load(
                router, "messplus.router.v1.RouterService/Generate", routed, REQUESTS, 1, CLIENT_CORE, folder
            )
            added.append((through.median_microseconds - alone.median_microseconds) / 1000)
    return [Row("Generate, added by the router at p50", sorted(added[1:])[ROUNDS // 2], "ms", "<=", 1.2)]
