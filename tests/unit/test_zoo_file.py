"""The zoo file: what is right is read, and everything that is wrong is named at once with its line."""

from pathlib import Path

import pytest

from services.common.zoo_file import load_zoo
from services.core.errors import ConfigError

GOOD = """\
name: test
models:
  - {id: small, engine: echo}
  - {id: large, engine: echo}
workers:
  - {model: small, address: "127.0.0.1:6001"}
  - {model: large, address: "127.0.0.1:6002"}
sla_classes:
  - {name: standard, min_satisfaction: 0.7}
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "zoo.yaml"
    file.write_text(text)
    return file


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_zoo(written(folder, text))
    return [str(problem) for problem in caught.value.problems]


def test_a_good_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    zoo = load_zoo(written(tmp_path, GOOD))
    assert zoo.model_ids == ("small", "large")
    assert zoo.sla_class("").name == "standard"
    assert zoo.routing.consistency == "eventual"


def test_the_shipped_zoo_is_valid() -> None:
    assert len(load_zoo(Path("cli/default_zoo.yaml")).models) == 3


def test_every_problem_is_named_with_line_key_value_and_what_is_allowed(tmp_path: Path) -> None:
    bad = GOOD.replace("engine: echo}", "engine: warp}", 1).replace("0.7", "1.7").replace("6002", "66002")
    found = problems(tmp_path, bad + "colour: blue\n")
    assert len(found) == 4
    file = tmp_path / "zoo.yaml"
    assert any(p.startswith(f"{file}:3: models[0].engine = 'warp': ") and "'llamacpp'" in p for p in found)
    assert any(p.startswith(f"{file}:7: workers[1].address = '127.0.0.1:66002': ") for p in found)
    assert any(p.startswith(f"{file}:9: sla_classes[0].min_satisfaction = 1.7: ") for p in found)
    assert any(p.startswith(f"{file}:10: colour = 'blue': ") for p in found)


def test_wrong_values_and_wrong_references_are_named_together(tmp_path: Path) -> None:
    bad = GOOD.replace("{id: large, engine: echo}", "{id: small, source: {hub: {repository: x, file: y}}}")
    found = problems(tmp_path, bad.replace("0.7", "2, fallback_model: huge") + "router_addresses: []\n")
    keys = [problem.split(": ")[1].split(" = ")[0] for problem in found]
    assert keys == [
        "models[1].source.hub.repository",
        "sla_classes[0].min_satisfaction",
        "router_addresses",
        "models[1].id",
        "workers[1].model",
        "sla_classes[0].fallback_model",
    ]


@pytest.mark.parametrize("alpha", ["0", "1", "-0.1", ".nan", ".inf", "'high'"])
def test_min_satisfaction_lies_strictly_between_0_and_1(tmp_path: Path, alpha: str) -> None:
    (problem,) = problems(tmp_path, GOOD.replace("0.7", alpha))
    assert "sla_classes[0].min_satisfaction" in problem


@pytest.mark.parametrize(
    ("change", "key", "allowed"),
    [
        (("id: large", "id: small"), "models[1].id", "unique"),
        (("model: large", "model: huge"), "workers[1].model", "small, large"),
        (("6002", "6001"), "workers[1].address", "address of its own"),
        (("0.7}", "0.7, fallback_model: huge}"), "sla_classes[0].fallback_model", "small, large"),
        (("0.7}", "0.7, labeler: judge}"), "sla_classes[0].labeler", "judge section"),
        (("id: small, engine: echo", "id: small"), "models[0].source", "llamacpp needs a source"),
        (("sla_classes", "policy: {name: oracle}\nsla_classes"), "policy", "messplus-2025"),
        (("sla_classes", "policy: {name: static-mixture}\nsla_classes"), "policy", "prior"),
    ],
)
def test_sections_must_fit_each_other(
    tmp_path: Path, change: tuple[str, str], key: str, allowed: str
) -> None:
    found = problems(tmp_path, GOOD.replace(*change))
    assert any(key in problem and allowed in problem for problem in found)


def test_policy_problems_are_named_once_each_with_their_own_line(tmp_path: Path) -> None:
    policy = "policy:\n  name: pacer\n  parameters:\n    window: many\n    warp: 9\n"
    window, warp = sorted(problems(tmp_path, GOOD + policy))
    file = tmp_path / "zoo.yaml"
    assert window.startswith(f"{file}:13: policy.parameters.window = 'many': allowed: an integer from ")
    assert warp.startswith(f"{file}:14: policy.parameters.warp = 9: allowed names: ")
    (name,) = problems(tmp_path, GOOD + "policy: {name: oracle}\n")
    assert name.startswith(f"{file}:10: policy.name = 'oracle': allowed: pacer, ")
    (needs,) = problems(tmp_path, GOOD + "policy: {name: static-mixture}\n")
    assert needs == (
        f"{file}:10: policy.name = 'static-mixture': needs prior satisfaction and joules of small, large"
    )


def test_a_missing_file_and_broken_yaml_are_one_line_each(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_zoo(tmp_path / "absent.yaml")
    (problem,) = problems(tmp_path, "name: [1, 2\nmodels: }")
    assert f"{tmp_path}/zoo.yaml:2" in problem
    assert "not valid YAML" in problem


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "")
    assert "must be a mapping" in problem


@pytest.mark.parametrize(
    ("energy", "key", "says"),
    [
        ("meter: joulemeter", "energy.meter", "'nvml', 'rapl', 'cpu-process' or 'replay'"),
        ("meter: nvml, poll_seconds: 0.001", "energy.poll_seconds", "0.02"),
        ("meter: nvml, poll_seconds: .nan", "energy.poll_seconds", "finite"),
        ("meter: nvml, poll_seconds: 0.2", "energy.poll_seconds", "0.05"),
        ("meter: nvml, devices: [GPU-a, GPU-a]", "energy", "must not repeat GPU-a"),
        ("meter: cpu-process, devices: [GPU-a]", "energy", "not with cpu-process"),
        ("watts_per_core: -3", "energy.watts_per_core", "greater than 0"),
        ("watts_per_core: .inf", "energy.watts_per_core", "finite"),
        ("meter: replay", "energy", "needs replay_file"),
        ("power_usage_effectiveness: 0.9", "energy.power_usage_effectiveness", "greater than or equal to 1"),
        ("power_usage_effectiveness: .nan", "energy.power_usage_effectiveness", "finite"),
        ("carbon_intensity_grams_per_kwh: -1", "energy.carbon_intensity_grams_per_kwh", "equal to 0"),
        ("carbon_intensity_grams_per_kwh: .inf", "energy.carbon_intensity_grams_per_kwh", "finite"),
    ],
)
def test_energy_settings_that_make_no_sense_are_refused(
    tmp_path: Path, energy: str, key: str, says: str
) -> None:
    (problem,) = problems(tmp_path, GOOD + f"energy: {{{energy}}}\n")
    assert problem.split(": ")[1].startswith(f"{key} = ")
    assert says in problem


@pytest.mark.parametrize(
    ("energy", "says"),
    [
        ("meter: cpu-process", "energy.meter cpu-process has no devices"),
        ("meter: nvml, devices: [GPU-a]", "must be one of energy.devices: GPU-a"),
    ],
)
def test_a_worker_names_only_counters_that_are_read(tmp_path: Path, energy: str, says: str) -> None:
    workers = GOOD.replace('6001"}', '6001", device_ids: [GPU-b]}')
    (problem,) = problems(tmp_path, workers + f"energy: {{{energy}}}\n")
    assert problem.split(": ", 1)[1] == f"workers[0].device_ids[0] = GPU-b: {says}" + (
        "" if "must" in says else ": leave device_ids empty"
    )


def test_a_tensor_parallel_worker_names_all_of_its_gpus(tmp_path: Path) -> None:
    workers = GOOD.replace('6001"}', '6001", device_ids: [GPU-a, GPU-b]}')
    zoo = load_zoo(written(tmp_path, workers + "energy: {meter: nvml}\n"))
    assert [worker.device_ids for worker in zoo.workers] == [("GPU-a", "GPU-b"), ()]
