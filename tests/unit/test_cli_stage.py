"""The demo's own zoo: the chosen one on other ports, with what the command line changes."""

from pathlib import Path

import pytest

from cli.demo import stage
from cli.demo.stage import run_settings, staged_zoo, write_zoo
from cli.options import embedded_zoo_file
from services.common.zoo import PolicySettings, PriorSettings, Zoo
from services.common.zoo_file import load_zoo
from services.core.errors import ConfigError


@pytest.fixture(autouse=True)
def _ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "free_addresses", lambda n: [f"127.0.0.1:{4000 + i}" for i in range(n)])


def staged(**changes: object) -> Zoo:
    options = {"min_satisfaction": None, "policy": None, "cold": False} | changes
    return staged_zoo(load_zoo(embedded_zoo_file()), **options)  # type: ignore[arg-type]


def test_only_places_differ_without_options(tmp_path: Path) -> None:
    zoo, original = staged(), load_zoo(embedded_zoo_file())
    assert zoo.router_addresses == ("127.0.0.1:4000",)
    assert len({w.address for w in zoo.workers} | {zoo.feedback_address, zoo.energy.address}) == 5
    assert (zoo.models, zoo.policy, zoo.sla_classes) == (
        original.models,
        original.policy,
        original.sla_classes,
    )
    write_zoo(zoo, tmp_path / "zoo.yaml")
    assert load_zoo(tmp_path / "zoo.yaml") == zoo


def test_a_cold_start_knows_nothing() -> None:
    zoo = staged(cold=True)
    assert {model.prior for model in zoo.models} == {PriorSettings()}
    assert run_settings(zoo, 10, 0)["start"].startswith("cold")
    assert run_settings(staged(), 10, 0)["start"].startswith("from the zoo's priors")


def test_another_policy_keeps_the_zoos_energy_weight_alone() -> None:
    parameters = {"energy_weight": 0.03, "exploration_scale": 0.1}
    published = PolicySettings(name="messplus-2025", parameters=parameters)
    zoo = load_zoo(embedded_zoo_file()).model_copy(update={"policy": published})
    kept = staged_zoo(zoo, min_satisfaction=None, policy="messplus-2024", cold=False).policy
    assert kept.parameters == {"energy_weight": 0.03}
    for other in ("single:smollm2-135m", "pacer"):
        staged_other = staged_zoo(zoo, min_satisfaction=None, policy=other, cold=False)
        assert staged_other.policy.parameters == {}


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, float("nan")])
def test_a_target_outside_the_open_unit_interval_is_refused(alpha: float) -> None:
    with pytest.raises(ConfigError, match="--min-satisfaction"):
        staged(min_satisfaction=alpha)


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({"policy": "best"}, ["demo: --policy = best: allowed: pacer, messplus-2024, "]),
        ({"policy": "single:gpt"}, ["demo: --policy = single:gpt: allowed: single:smollm2-135m, "]),
        ({"policy": "static-mixture", "cold": True}, ["demo: --policy = static-mixture: needs prior "]),
        ({"min_satisfaction": 2.0}, ["demo: --min-satisfaction = 2.0: must be between 0 and 1"]),
    ],
)
def test_a_wrong_option_is_named_once_with_its_value_and_what_is_allowed(
    changes: dict[str, object], problems: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        staged(**changes)
    for problem, start in zip(map(str, refused.value.problems), problems, strict=True):
        assert problem.startswith(start)
        assert problem.count(" = ") == 1


@pytest.mark.parametrize(
    "changes", [{"policy": "best"}, {"policy": "single:gpt"}, {"policy": "static-mixture", "cold": True}]
)
def test_a_policy_that_cannot_run_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="policy"):
        staged(**changes)
