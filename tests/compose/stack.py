"""A started docker-compose.yml: a project of its own with free ports, and what tests do to its containers."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cli.local.ports import free_ports

TOP = Path(__file__).parents[2]
FILES = ("docker-compose.yml", "tests/compose/compose.e2e.yml")
BUILT = ("models-init", "energy", "feedback", "router-1", "redis")
"""Services whose images are built at once; the receiver's rests on the router's."""
SERVICES = (
    "energy",
    "worker-smollm2-135m",
    "worker-qwen2.5-coder-0.5b",
    "worker-qwen2.5-coder-1.5b",
    "feedback",
    "router-1",
    "router-2",
)
_KILL_ALL = "kill -KILL -1"


def compose_command() -> list[str]:
    """`docker compose` or `docker-compose`, whichever is there; $COMPOSE names another."""
    if named := os.environ.get("COMPOSE"):
        return named.split()
    if shutil.which("docker"):
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if plugin.returncode == 0:
            return ["docker", "compose"]
    return ["docker-compose"]


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"after {seconds:g} s still not: {what}"
        time.sleep(0.2)
    return value


def example_values() -> dict[str, str]:
    """What .env.example says."""
    lines = (TOP / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


class Stack:
    """One project; `values` go over those of .env.example. Call `down` at the end, whatever happened."""

    def __init__(self, project: str, folder: Path, values: Mapping[str, str]) -> None:
        names = ("ROUTER_1", "ROUTER_2", "FEEDBACK", "PROXY")
        ports = free_ports(len(names) + 1)
        self.redis_port = ports.pop()
        self.ports = dict(zip(names, ports, strict=True))
        own = {f"MESSPLUS_{name}_PORT": str(port) for name, port in self.ports.items()}
        own |= {"E2E_REDIS_PORT": str(self.redis_port), "MESSPLUS_VERSION": "e2e"}
        self.project, self._env_file = project, folder / f"{project}.env"
        lines = (f"{name}={value}\n" for name, value in (example_values() | own | dict(values)).items())
        self._env_file.write_text("".join(lines))

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs compose on the project's files; raises with its output where it fails and `check` is set."""
        files = [part for file in FILES for part in ("-f", file)]
        command = [
            *compose_command(),
            "--env-file",
            str(self._env_file),
            "-p",
            self.project,
            *files,
            *arguments,
        ]
        done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
        return done

    def build(self) -> None:
        self.compose("build", *BUILT)
        self.compose("build", "otel-collector")

    def up(self) -> None:
        self.compose("up", "-d", "--no-build")

    def down(self, *options: str) -> None:
        self.compose("down", "--remove-orphans", *options)

    def inspect(self, service: str) -> dict[str, Any]:
        return dict(json.loads(docker("inspect", self._container(service)))[0])

    def healthy(self, service: str) -> bool:
        return bool(self.inspect(service)["State"]["Health"]["Status"] == "healthy")

    def restarts(self, service: str) -> int:
        return int(self.inspect(service)["RestartCount"])

    def exec(self, service: str, *command: str, check: bool = True) -> str:
        return docker("exec", self._container(service), *command, check=check)

    def crash(self, service: str) -> None:
        """Kills every process of a container but its init, as a crash or a lack of memory would.

        `docker kill` would be the operator's wish, after which no restart policy applies.
        """
        self.exec(service, "sh", "-c", _KILL_ALL, check=False)

    def kill(self, service: str) -> None:
        """Kills a container for good."""
        docker("kill", self._container(service))

    def start(self, service: str) -> None:
        docker("start", self._container(service))

    def _container(self, service: str) -> str:
        filters = (f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}")
        options = [part for text in filters for part in ("--filter", f"label={text}")]
        names = docker("ps", "-a", "-q", *options).split()
        assert len(names) == 1, f"{len(names)} containers of {service}"
        return names[0]


def docker(*arguments: str, check: bool = True) -> str:
    """Runs docker; returns its output."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}:\n{done.stderr}"
    return done.stdout


def missing_parts() -> str:
    """Why no stack can be started here; "" where it can."""
    if not shutil.which("docker"):
        return "there is no docker command"
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        return "no container daemon answers: start one, or name it by DOCKER_HOST"
    return (
        "" if shutil.which(compose_command()[0]) else "there is neither `docker compose` nor `docker-compose`"
    )
