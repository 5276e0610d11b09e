"""Which processes a zoo needs, and where its routers listen."""

from pathlib import Path

from cli.local.data_directory import DataDirectory
from cli.local.plan import STOP_ORDER, addresses, plan_system
from cli.local.ports import router_addresses
from services.common.zoo import Zoo
from services.common.zoo_file import parse_zoo


def small_zoo() -> Zoo:
    return parse_zoo(
        {
            "name": "small",
            "models": [{"id": "a", "engine": "echo"}, {"id": "b", "engine": "echo"}],
            "workers": [
                {"model": "a", "address": "127.0.0.1:1001"},
                {"model": "b", "address": "127.0.0.1:1002"},
                {"model": "a", "address": "127.0.0.1:1003"},
            ],
            "sla_classes": [{"name": "standard", "min_satisfaction": 0.5}],
        },
        "test",
    )


def test_every_service_gets_a_process_with_its_place() -> None:
    data = DataDirectory(Path("/data"))
    specs = plan_system(small_zoo(), Path("/zoo.yaml"), data, ["127.0.0.1:1", "127.0.0.1:2"], 3.0)
    assert addresses(specs) == {
        "energy": "127.0.0.1:50081",
        "worker-a": "127.0.0.1:1001",
        "worker-b": "127.0.0.1:1002",
        "worker-a-2": "127.0.0.1:1003",
        "feedback": "127.0.0.1:50071",
        "router-1": "127.0.0.1:1",
        "router-2": "127.0.0.1:2",
    }
    assert {spec.kind for spec in specs} == set(STOP_ORDER)
    worker = next(spec for spec in specs if spec.name == "worker-a-2")
    assert worker.environment["MESSPLUS_MODEL"] == "a"
    assert worker.environment["MESSPLUS_ADDRESS"] == "127.0.0.1:1003"
    assert worker.environment["MESSPLUS_REDIS_URL"] == "unix:///data/valkey.sock"


def test_further_routers_take_the_next_ports_that_nobody_claims() -> None:
    assert router_addresses(["h:10", "h:11"], 1, []) == ("h:10",)
    assert router_addresses(["h:10"], 3, ["h:11"]) == ("h:10", "h:12", "h:13")
    assert router_addresses(["[::1]:10"], 2, []) == ("[::1]:10", "[::1]:11")
