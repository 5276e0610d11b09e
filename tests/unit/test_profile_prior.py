"""A profile as the prior of a zoo's model."""

import json
from pathlib import Path

import pytest

from planner.runtime.helm import read_profiles
from planner.runtime.profile import predicted
from services.common.learning import priors_of
from services.common.profile_prior import request_prior
from services.common.zoo_file import load_zoo
from services.core.errors import ConfigError
from services.router.fleet import Fleet

TABLE = {"32": 1.0, "64": 2.5, "128": 2.4}
PROFILE = {
    "small": {
        "runtime_per_output_token": 0.02,
        "runtime_for_prompt_tokens": TABLE,
        "joules": {"runtime_per_output_token": 0.5, "runtime_for_prompt_tokens": TABLE},
    },
    "unmetered": {"runtime_per_output_token": 0.02, "runtime_for_prompt_tokens": TABLE},
    "broken": {"joules": {"runtime_for_prompt_tokens": {}}},
}
ZOO = """\
name: test
models:
  - id: small
    engine: echo
    prior: {satisfaction: 0.5, profile: {file: profiles/p.json, PROMPT, output_tokens: 3}}
workers:
  - {model: small, address: "127.0.0.1:6001"}
sla_classes:
  - {name: standard, min_satisfaction: 0.7}
"""


def zoo_file(folder: Path, prompt: str = "prompt_tokens: 48") -> Path:
    (folder / "profiles").mkdir(exist_ok=True)
    (folder / "profiles" / "p.json").write_text(json.dumps(PROFILE))
    file = folder / "zoo.yaml"
    file.write_text(ZOO.replace("PROMPT", prompt))
    return file


@pytest.mark.parametrize("tokens", [8, 32, 48, 64, 100, 128, 300])
def test_the_prior_is_what_the_planner_predicts(tokens: int, tmp_path: Path) -> None:
    zoo = load_zoo(zoo_file(tmp_path, f"prompt_tokens: {tokens}"))
    (tmp_path / "one.json").write_text(json.dumps({"small": PROFILE["small"]}))
    profile = read_profiles(tmp_path / "one.json")["small"]
    assert profile.joules is not None
    expected = predicted(profile.joules, tokens, 3)
    # Pooling and the running maximum, and what lies beyond the largest length, differ by a little.
    assert priors_of(zoo)[0].energy_joules == pytest.approx(expected, rel=0.03)


def test_a_model_is_too_slow_by_its_profile_until_a_first_token_was_seen(tmp_path: Path) -> None:
    now = [0.0]
    fleet = Fleet(load_zoo(zoo_file(tmp_path)), [], lambda: now[0])
    assert fleet.first_token_seconds(0) == pytest.approx(1.75)
    fleet.saw_first_token("small", 0.25)
    assert fleet.first_token_seconds(0) == 0.25
    now[0] = 1e6
    assert fleet.first_token_seconds(0) == pytest.approx(1.75)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("prompt_tokens: 48, model: other", "has no profile of other, only of small, unmetered, broken"),
        ("prompt_tokens: 48, model: unmetered", "has no joules of unmetered: profile it with a meter"),
        ("prompt_tokens: 48, model: broken", "is no profile as `messplus profile --json` writes it"),
        ("prompt_tokens: 0", "prior.profile.prompt_tokens = 0"),
    ],
)
def test_a_wrong_profile_is_named_with_its_line(prompt: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_zoo(zoo_file(tmp_path, prompt))
    (problem,) = caught.value.problems
    assert words in str(problem)
    assert str(problem).startswith(f"{tmp_path / 'zoo.yaml'}:5: models[0].prior.profile.")


def test_a_file_that_is_not_there_or_no_json_is_named(tmp_path: Path) -> None:
    file = zoo_file(tmp_path)
    (tmp_path / "profiles" / "p.json").write_text("no")
    with pytest.raises(ConfigError, match="is no JSON"):
        load_zoo(file)
    (tmp_path / "profiles" / "p.json").unlink()
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_zoo(file)


def test_joules_have_one_source(tmp_path: Path) -> None:
    file = zoo_file(tmp_path)
    file.write_text(file.read_text().replace("satisfaction: 0.5", "energy_joules: 2.0"))
    with pytest.raises(ConfigError, match="energy_joules and profile exclude each other"):
        load_zoo(file)


def test_the_embedded_zoo_has_a_measured_prior_of_every_model() -> None:
    zoo = load_zoo(Path("cli/default_zoo.yaml"))
    priors = [request_prior(model) for model in zoo.models]
    joules = [prior.energy_joules for prior in priors]
    assert None not in joules
    assert joules == sorted(joules)  # type: ignore[type-var]
    assert all(prior.first_token_seconds for prior in priors)
