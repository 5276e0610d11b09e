"""docker-compose.yml as compose itself understands it: profiles, required variables, and what it promises."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.common.profile_prior import request_prior
from services.common.zoo import Zoo
from services.common.zoo_file import load_zoo
from tests.compose.stack import TOP, compose_command, example_values

NO_COMPOSE = "neither `docker compose` nor `docker-compose` is installed"
OURS = ("router", "worker", "feedback", "energy", "models-init")
DEFAULT = {
    "redis",
    "models-init",
    "energy",
    "worker-smollm2-135m",
    "worker-qwen2.5-coder-0.5b",
    "worker-qwen2.5-coder-1.5b",
    "feedback",
    "router-1",
    "router-2",
    "otel-collector",
}
PROFILES = {
    "gpu": {"energy-gpu", "vllm-small", "vllm-large", "worker-small", "worker-large"},
    "observability": {"jaeger", "prometheus", "grafana"},
    "proxy": {"proxy"},
}


def config(folder: Path, values: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    env_file = folder / "values.env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    command = [*compose_command(), "--env-file", str(env_file), "-f", "docker-compose.yml"]
    for part in options:
        command += ["--profile", part]
    try:
        return subprocess.run([*command, "config"], cwd=TOP, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip(NO_COMPOSE)


def services(folder: Path, *profiles: str) -> dict[str, Any]:
    done = config(folder, example_values(), *profiles)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    # docker-compose 1.29 lists services of other profiles as well.
    return {
        name: s for name, s in found.items() if not s.get("profiles") or set(s["profiles"]) & set(profiles)
    }


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All services of all profiles."""
    return services(tmp_path_factory.mktemp("compose"), *PROFILES)


@pytest.mark.parametrize("profile", ["", *PROFILES])
def test_every_profile_is_valid_and_adds_its_services(tmp_path: Path, profile: str) -> None:
    chosen = (profile,) if profile else ()
    assert services(tmp_path, *chosen).keys() == DEFAULT | PROFILES.get(profile, set())


@pytest.mark.parametrize("name", ["MESSPLUS_OTLP_ENDPOINT", "MESSPLUS_ROUTER_1_PORT"])
def test_a_missing_variable_is_named(tmp_path: Path, name: str) -> None:
    values = example_values()
    del values[name]
    done = config(tmp_path, values)
    assert done.returncode != 0
    assert name in done.stderr


@pytest.mark.parametrize(
    ("name", "service"), [("MESSPLUS_ROUTER_1_PORT", "router-1"), ("MESSPLUS_CPU_REPLICAS", "energy")]
)
def test_a_value_that_compose_refuses_is_traced_to_its_service(
    tmp_path: Path, name: str, service: str
) -> None:
    done = config(tmp_path, example_values() | {name: "no-number"})
    assert done.returncode != 0
    assert service in done.stderr or "no-number" in done.stderr


def test_every_variable_is_required_and_has_an_example() -> None:
    used = re.findall(r"\$\{([A-Z0-9_]+)([^}]*)\}", (TOP / "docker-compose.yml").read_text())
    assert all(rest.startswith((":?", "?")) for _, rest in used)
    assert {name for name, _ in used} == example_values().keys() - {"COMPOSE_PROFILES"}


def test_our_containers_have_the_least_rights(everything: dict[str, Any]) -> None:
    ours = {name: service for name, service in everything.items() if name.startswith(OURS)}
    assert len(ours) == 11
    for name, service in ours.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert service["init"] is True, name
        assert service["mem_limit"], name
        assert name == "models-init" or "services.common.probe" in service["healthcheck"]["test"], name


def test_the_stop_grace_outlasts_a_drain() -> None:
    values = example_values()
    grace_seconds = float(values["MESSPLUS_STOP_GRACE"].removesuffix("s"))
    assert grace_seconds > 3 * float(values["MESSPLUS_DRAIN_SECONDS"])


def test_images_of_others_are_pinned(everything: dict[str, Any]) -> None:
    for name, service in everything.items():
        _, _, tag = service["image"].rpartition(":")
        assert tag[:1].isdigit() or tag[:2] in ("v0", "v3"), f"{name}: {service['image']}"


def test_the_zoo_in_containers_is_the_embedded_one() -> None:
    ours, embedded = load_zoo(TOP / "deploy/zoo/cpu.yaml"), load_zoo(TOP / "cli/default_zoo.yaml")
    assert without_addresses(ours) == without_addresses(embedded)
    # The joules that the embedded zoo takes from its profiles stand there as numbers.
    for here, there in zip(ours.models, embedded.models, strict=True):
        assert here.prior.satisfaction == there.prior.satisfaction
        assert here.prior.energy_joules == pytest.approx(request_prior(there).energy_joules, rel=0.01)


def test_the_zoo_of_the_gpu_profile_is_valid() -> None:
    zoo = load_zoo(TOP / "deploy/zoo/gpu.yaml")
    assert {worker.address for worker in zoo.workers} == {"worker-small:50061", "worker-large:50061"}


def test_services_are_called_what_the_zoo_calls_them() -> None:
    zoo, names = load_zoo(TOP / "deploy/zoo/cpu.yaml"), DEFAULT
    addresses = [worker.address for worker in zoo.workers]
    addresses += [*zoo.router_addresses, zoo.feedback_address, zoo.energy.address]
    assert {address.partition(":")[0] for address in addresses} <= names


def without_addresses(zoo: Zoo) -> dict[str, Any]:
    plain = zoo.model_dump()
    del plain["router_addresses"], plain["feedback_address"], plain["energy"]["address"]
    for worker in plain["workers"]:
        del worker["address"]
    for model in plain["models"]:
        del model["prior"]
    return plain
