"""What happens to a stack in `make compose-e2e`, and what must hold after each step."""

import tempfile
import time
from functools import partial
from pathlib import Path

from services.common.zoo_file import load_zoo
from tests.compose.checks import METRICS, TRACED, Log, check_trace, metric_names, trace_services
from tests.compose.clients import Clients
from tests.compose.stack import SERVICES, Stack, docker, wait_for

TARGET_SECONDS = 60.0
TARGET_ROUTER_BYTES = 350e6
IMAGES = ("router", "worker-llamacpp", "feedback", "energy")
QUESTIONS = {
    "What is the capital of Peru?": "Lima",
    "What is 2 + 2?": "4",
    "Name the largest planet.": "Jupiter",
}
TRACE_ID, ROOT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Story:
    """The steps, in their order, on one stack; each says what it saw."""

    def __init__(self, stack: Stack, zoo_file: Path) -> None:
        self.stack, self.clients, self._zoo_file = stack, Clients(stack), zoo_file
        self.log = Log(stack.redis_port, load_zoo(zoo_file))

    def images(self) -> str:
        self.stack.build()
        sizes = {name: int(docker("inspect", "-f", "{{.Size}}", f"messplus/{name}:e2e")) for name in IMAGES}
        assert sizes["router"] < TARGET_ROUTER_BYTES, sizes
        shown = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes.items())
        return f"{shown}; target of the router < {TARGET_ROUTER_BYTES / 1e6:.0f} MB, reached"

    def first_start(self) -> str:
        return f"{self._start()}; the models were copied into an empty volume and verified meanwhile"

    def health(self) -> str:
        for service in SERVICES:
            wait_for(lambda service=service: self.stack.healthy(service), 120, f"{service} healthy")
        return f"{len(SERVICES)} services healthy"

    def use(self) -> str:
        for router in ("ROUTER_1", "ROUTER_2"):
            self._ask(router, traceparent=f"00-{TRACE_ID}-{ROOT}-01" if router == "ROUTER_2" else "")
        self.clients.generate_by_name(6)
        seen = self.log.read().routers(set(self.clients.answers))
        assert seen == {"router-1", "router-2"}
        return f"{len(self.clients.answers)} prompts answered, by port and by name; both routers decided"

    def check_trace(self) -> str:
        # Before anything is killed, for spans leave in batches, every five seconds.
        received = self._received
        wait_for(lambda: trace_services(received(), TRACE_ID) == TRACED, 60, "spans of all services")
        return check_trace(received(), TRACE_ID, ROOT)

    def kill_learner(self) -> str:
        answer = self.clients.generate("ROUTER_1", "Name a river.")
        self.stack.crash("feedback")
        self._ask("ROUTER_1")
        self.clients.label(answer, satisfied=True)
        wait_for(lambda: self.clients.learner().is_leader, 60, "a learner leads again")
        assert self.stack.restarts("feedback") == 1
        return "restarted by its policy; prompts went on meanwhile, verdicts were taken after it"

    def kill_router(self) -> str:
        self.stack.kill("router-2")
        self._ask("ROUTER_1")
        self.clients.generate_by_name(4)
        self.stack.start("router-2")
        self.clients.first_answer("ROUTER_2")
        return "the other one served on, by port and by name; started again, it serves"

    def crash_redis(self) -> str:
        before = len(self.log.read().entries)
        self.stack.crash("redis")
        wait_for(
            lambda: self.stack.restarts("redis") == 1 and self.stack.healthy("redis"), 60, "Redis is back"
        )
        assert len(self.log.read().entries) >= before
        self._ask("ROUTER_1")
        self._ask("ROUTER_2")
        return f"killed and restarted; all {before} events are still there"

    def check_log(self) -> str:
        wait_for(
            lambda: self.log.is_complete(self.clients), 90, "joules, labels and a learner that covers the log"
        )
        return self.log.check(self.clients)

    def check_state(self) -> str:
        labels = self.log.labels()
        for router in ("ROUTER_1", "ROUTER_2"):
            learned = partial(self._labelled, router)
            wait_for(lambda learned=learned: learned() == labels, 30, f"{router} has the newest state")
        return self.log.check_state(self.clients)

    def proxy(self) -> str:
        self.stack.compose("build", "proxy")
        self.stack.compose("--profile", "proxy", "up", "-d", "--no-build", "proxy")
        self.clients.first_answer("PROXY")
        ids = self.clients.generate_on_one_connection("PROXY", 4)
        wait_for(lambda: ids <= self.log.read().decided(), 30, "the proxy's requests in the log")
        assert self.log.routers(ids) == {"router-1", "router-2"}
        return f"{len(ids)} calls of one connection reached both routers"

    def check_metrics(self) -> str:
        # They leave once a minute.
        wait_for(lambda: metric_names(self._received()) >= METRICS, 90, "the metrics of all services")
        return f"{len(metric_names(self._received()))} metrics, among them {', '.join(sorted(METRICS))}"

    def reload(self) -> str:
        zoo = self._zoo_file.read_text()
        self._zoo_file.write_text(
            zoo.replace("policy:", "  - {name: gold, min_satisfaction: 0.8}\n\npolicy:")
        )
        for service in ("energy", "feedback", "router-1", "router-2"):
            self.stack.exec(service, "sh", "-c", "kill -HUP 1")
        for router in ("ROUTER_1", "ROUTER_2"):
            names = partial(self.clients.class_names, router)
            wait_for(lambda names=names: names() == ["standard", "gold"], 30, f"{router} has the new class")
        return "an SLA class was added to the zoo file; both routers have it, nothing was restarted"

    def stop(self) -> str:
        self.stack.compose("stop")
        states = {service: self.stack.inspect(service)["State"]["ExitCode"] for service in SERVICES}
        assert set(states.values()) == {0}, states
        return f"{len(SERVICES)} services drained and ended with status 0"

    def second_start(self) -> str:
        self.stack.down()
        return f"{self._start()}; volumes kept"

    def wrong_values(self) -> str:
        with tempfile.TemporaryDirectory() as folder:
            wrong = Stack("messplus-e2e-wrong", Path(folder), {"MESSPLUS_DRAIN_SECONDS": "soon"})
            try:
                done = wrong.compose("up", "-d", "--no-build", check=False)
                said = done.stderr + wrong.compose("logs", "--no-color", "models-init").stdout
            finally:
                wrong.down("-v")
        assert done.returncode != 0
        assert "MESSPLUS_DRAIN_SECONDS" in said
        return "a wrong variable stops `up`: " + said[said.index("environment: ") :].splitlines()[0]

    def _labelled(self, router: str) -> int:
        return int(self.clients.status(router).classes[0].labelled)

    def _received(self) -> str:
        """What the receiver in the collector's place got."""
        return self.stack.exec("otel-collector", "cat", "/tmp/received.jsonl")

    def _start(self) -> str:
        began = time.monotonic()
        self.stack.up()
        self.clients.first_answer("ROUTER_1")
        seconds = time.monotonic() - began
        reached = "reached" if seconds < TARGET_SECONDS else "missed"
        return f"`up` to first answer {seconds:.1f} s, target < {TARGET_SECONDS:g} s, {reached}"

    def _ask(self, router: str, traceparent: str = "") -> None:
        """The first answer gets our verdict, the others name a reference and are judged; one is traced."""
        for number, (question, reference) in enumerate(QUESTIONS.items(), start=1):
            judged = "" if number == 1 else reference
            traced = traceparent if number == len(QUESTIONS) else ""
            answer = self.clients.generate(router, question, judged, traced)
            if not judged:
                self.clients.label(answer, satisfied=reference in answer.text)
