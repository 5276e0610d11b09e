"""Profiles: HELM's format and lookup, the default estimator, fits of timed requests."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from planner.runtime.evaluation import ESTIMATORS, leave_one_out
from planner.runtime.fitting import Measurement, fit_profile, read_measurements
from planner.runtime.helm import profiles_text, read_profiles
from planner.runtime.profile import (
    Hardware,
    Linear,
    Mode,
    Profile,
    Tier,
    helm_lookup,
    idealized,
    predicted,
)
from planner.runtime.prompt_term import fit_prompt_term
from planner.runtime.study import efficient
from services.core.errors import ConfigError

LENGTHS = (1, 16, 32, 64, 128, 192, 256, 320, 384, 428, 472, 512, 576, 640, 704, 768, 832, 896, 960, 1024)


def tiled(length: int, noise: float = 0.0) -> float:
    """An accelerator's time: a floor, then mostly steps of 128 tokens, to the millisecond."""
    work = 0.0002 * (0.3 * length + 0.7 * 128 * math.ceil(length / 128))
    return round(max(0.04, work) * (1 + noise * math.sin(length)), 3)


TABLE = {length: tiled(length, 0.01) for length in LENGTHS}
HELM_TEXT = json.dumps(
    {
        "a/idealized": {
            "runtime_per_output_token": 0.021,
            "runtime_for_prompt_tokens": {str(length): seconds for length, seconds in TABLE.items()},
        },
        "b/denoised": {
            "runtime_per_output_token": 0.016,
            "runtime_for_prompt_tokens": {"1": 0.016, "256": 0.065, "512": 0.184},
            "overhead": 0.237,
        },
    },
    indent=2,
)


@pytest.fixture
def helm_file(tmp_path: Path) -> Path:
    path = tmp_path / "helm.json"
    path.write_text(HELM_TEXT)
    return path


def test_helm_s_json_comes_out_as_it_went_in(helm_file: Path) -> None:
    assert profiles_text(read_profiles(helm_file)) == HELM_TEXT


def test_helm_s_lookup_is_exact_to_the_last_bit() -> None:
    table = Linear({1: 0.016, 256: 0.065, 512: 0.184}, 0.016, 0.0, 0.237)
    assert helm_lookup(table, 100, 7) == 0.065 * (100 / 256) + 0.016 * 6 + 0.237
    assert helm_lookup(table, 256, 1) == 0.065 * 1.0 + 0.016 * 0 + 0.237
    assert helm_lookup(table, 257, 0) == 0.184 * (257 / 512) + 0.237
    assert helm_lookup(table, 900, 3) == 0.184 * (900 / 512) + 0.016 * 2 + 0.237
    # Without an overhead none is added, which would round.
    assert helm_lookup(Linear({1: 0.1, 3: 0.7}, 0.3), 2, 2) == 0.7 * (2 / 3) + 0.3


def test_the_default_prompt_term_beats_both_others_on_unseen_lengths() -> None:
    found = {name: leave_one_out([TABLE], term) for name, term in ESTIMATORS.items()}
    default, helm, linear = found["default"], found["helm"], found["linear"]
    assert default is not None
    assert helm is not None
    assert linear is not None
    assert default.points == len(LENGTHS) - 2
    assert default.mean < 0.04
    assert default.p95 < 0.12
    assert default.mean < linear.mean < helm.mean
    assert fit_prompt_term(TABLE).tile == 128


def test_leaving_out_needs_three_lengths() -> None:
    assert leave_one_out([{1: 0.1, 2: 0.2}], ESTIMATORS["default"]) is None


@given(
    st.dictionaries(st.integers(1, 4000), st.floats(1e-3, 10), min_size=2, max_size=30),
    st.lists(st.integers(1, 8000), min_size=2, max_size=20),
)
def test_the_prompt_term_never_falls_and_keeps_measured_monotone_points(
    table: dict[int, float], asked: list[int]
) -> None:
    term = fit_prompt_term(table)
    values = term.at(np.array(sorted(asked), np.float64))
    assert (np.diff(values) >= -1e-9).all()
    rising = dict(zip(sorted(table), sorted(table.values()), strict=True))
    exact = fit_prompt_term(rising).at(np.array(sorted(rising), np.float64))
    assert exact == pytest.approx(np.array(sorted(rising.values())))


def test_below_the_smallest_length_time_is_flat_and_beyond_the_largest_it_is_marked() -> None:
    profile = Profile("m", Linear({16: 0.1, 256: 0.2, 512: 0.4}, 0.01))
    assert predicted(profile.seconds, 1, 1) == pytest.approx(0.1)
    beyond = idealized(profile, 1024, 1, Hardware())
    assert beyond.seconds == pytest.approx(0.8)
    assert beyond.extrapolated == ("1024 prompt tokens are outside the measured 16 to 512",)
    assert idealized(profile, 512, 1, Hardware()).extrapolated == ()


def test_joules_and_dollars_say_where_they_are_from() -> None:
    seconds = Linear({1: 1.0, 10: 2.0}, 0.5)
    found = idealized(Profile("m", seconds), 10, 3, Hardware(2, 3.6, 400.0))
    assert (found.seconds, found.joules, found.dollars) == pytest.approx((3.0, 2400.0, 0.006))
    assert found.tier is Tier.ESTIMATED
    metered = idealized(Profile("m", seconds, Linear({1: 5.0, 10: 7.0}, 2.0)), 10, 3, Hardware(2, 3.6, 400.0))
    assert (metered.joules, metered.tier) == (pytest.approx(11.0), Tier.MEASURED)
    bare = idealized(Profile("m", seconds), 10, 3, Hardware())
    assert (bare.joules, bare.tier, bare.dollars) == (None, None, None)


def timed(kv: float = 0.0, overhead: float = 0.0, joules: bool = False, trials: int = 3) -> list[Measurement]:
    """Requests of a model whose alpha is .05 + .0002 p and beta .02, with noise that only adds."""
    rng = np.random.default_rng(0)
    found = []
    for prompt in (1, 64, 256, 512, 1024):
        for output in (1, 16, 64):
            for _ in range(trials):
                seconds = 0.02 + 0.0002 * prompt + (0.02 + kv * prompt) * (output - 1) + overhead
                seconds *= 1.0 + (0.02 * rng.random() if trials > 1 else 0.0)
                found.append(Measurement(prompt, output, seconds, 100 * seconds if joules else None))
    return found


def test_a_fit_recovers_alpha_beta_and_joules() -> None:
    profile = fit_profile("m", timed(joules=True), "test")
    assert profile.seconds.per_output_token == pytest.approx(0.02, rel=0.03)
    assert profile.seconds.for_prompt[512] == pytest.approx(0.02 + 0.1024, rel=0.03)
    assert profile.joules is not None
    assert profile.joules.per_output_token == pytest.approx(2.0, rel=0.03)
    assert profile.seconds.per_output_token_and_prompt_token == pytest.approx(0.0, abs=1e-6)
    assert idealized(profile, 64, 65, Hardware()).extrapolated == (
        "65 output tokens are outside the measured 1 to 64",
    )
    for prompt, output in ((64, 16), (700, 40)):
        truth = 0.02 + 0.0002 * prompt + 0.02 * (output - 1)
        assert predicted(profile.seconds, prompt, output) == pytest.approx(truth, rel=0.04)


def test_the_kv_term_stays_where_it_pays() -> None:
    profile = fit_profile("m", timed(kv=1e-5), "test")
    assert profile.seconds.per_output_token_and_prompt_token == pytest.approx(1e-5, rel=0.05)


def test_denoised_takes_the_least_trial_and_splits_off_the_overhead() -> None:
    profile = fit_profile("m", timed(overhead=0.3), "test", denoised=True)
    assert profile.seconds.overhead == pytest.approx(0.3, rel=0.05)
    assert predicted(profile.seconds, 512, 16) == pytest.approx(0.3 + 0.1224 + 0.3, rel=0.02)
    again = fit_profile("m", timed(overhead=0.3), "test")
    assert predicted(again.seconds, 512, 16) > predicted(profile.seconds, 512, 16)


def test_time_that_falls_with_the_prompt_is_noted() -> None:
    rows = [Measurement(1, 1, 0.3), Measurement(64, 1, 0.2), Measurement(64, 9, 0.4), Measurement(1, 9, 0.5)]
    profile = fit_profile("m", rows, "test")
    assert "Time falls at 64 prompt tokens" in profile.notes[0]
    assert predicted(profile.seconds, 64, 1) == pytest.approx(0.25)


@pytest.mark.parametrize("key", ["prompt_tokens", "output_tokens"])
def test_a_grid_with_one_point_is_refused(key: str) -> None:
    rows = [measurement for measurement in timed() if getattr(measurement, key) == 1]
    with pytest.raises(ConfigError, match=f"{key} = only 1 of m: two different lengths"):
        fit_profile("m", rows, "test")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON"),
        ("[]", "content = list: an object"),
        ('{"m": 3}', "m = int: an object with runtime_per_output_token"),
        ('{"m": {"runtime_for_prompt_tokens": {"1": 1, "2": 2}}}', "per_output_token = missing"),
        (
            '{"m": {"runtime_per_output_token": 1, "runtime_for_prompt_tokens": {"1": 1}}}',
            "two prompt lengths",
        ),
        (
            '{"m": {"runtime_per_output_token": NaN, "runtime_for_prompt_tokens": {"x": 1, "2": -1}}}',
            "x: 1: a whole number above 0",
        ),
    ],
)
def test_wrong_profiles_are_named(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_profiles(path)
    assert words in str(caught.value)


def test_wrong_measurements_are_named(tmp_path: Path) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text("model,prompt_tokens,output_tokens,seconds\nm,1.5,1,inf\n")
    with pytest.raises(ConfigError) as caught:
        read_measurements(path)
    assert "prompt_tokens = '1.5' in row 2: a whole number" in str(caught.value)
    assert "seconds = 'inf' in row 2" in str(caught.value)


def test_efficient_models_are_those_that_nobody_beats_in_both() -> None:
    costs, accuracy = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 2.0}, {"a": 0.5, "b": 0.4, "c": 0.9, "d": 0.7}
    assert efficient(costs, accuracy) == ("a", "d", "c")


def profile(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["profile", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def test_the_command_predicts_and_writes_what_helm_reads(helm_file: Path, tmp_path: Path) -> None:
    timed_file, accuracy = tmp_path / "timed.csv", tmp_path / "accuracy.csv"
    rows = [f"live,{m.prompt_tokens},{m.output_tokens},{m.seconds},{m.joules}" for m in timed(joules=True)]
    timed_file.write_text("\n".join(["model,prompt_tokens,output_tokens,seconds,joules", *rows]) + "\n")
    accuracy.write_text("model,accuracy\nlive,0.4\na/idealized,0.6\nelsewhere,0.9\n")
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    files = (
        "--from",
        helm_file,
        "--from",
        timed_file,
        "--accuracy",
        accuracy,
        "--json",
        out,
        "--report",
        page,
    )
    status, output = profile(*files, "--board-watts", 300, "--gpu-price", 2)
    assert status == 0
    assert "has the accuracy of elsewhere, which no profile here has" in output
    assert "measured" in output
    assert "estimated" in output
    written_profiles = read_profiles(out)
    assert set(written_profiles) == {"a/idealized", "b/denoised", "live"}
    assert written_profiles["live"].output_tokens == (1, 64)
    assert written_profiles["live"].joules is not None
    html = page.read_text()
    assert html.count('src="data:image/png;base64,') == 2
    assert not re.search(r'(?:src|href)="(?!data:)', html)


def test_helm_s_mode_is_the_published_lookup(helm_file: Path) -> None:
    status, output = profile(
        "--from", helm_file, "--model", "a/idealized", "--mode", "helm", "--prompt-tokens", 100
    )
    assert status == 0
    seconds = helm_lookup(read_profiles(helm_file)["a/idealized"].seconds, 100, 128)
    assert f"{seconds:.4g}" in output
    assert predicted(read_profiles(helm_file)["a/idealized"].seconds, 100, 128, Mode.HELM) == seconds


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "c"], "--model = c: allowed: a/idealized, b/denoised"),
        (["--from", "FILE"], "a/idealized is in another file as well"),
        (["--from", "x.txt"], ".json (a profile) or .csv (timed requests)"),
        (["--name", "x"], "--name = x: says how to measure, and --from measures nothing"),
        (["--max-requests", "9", "--zoo", "z.yaml"], "--max-requests = 9: says how to measure"),
        (["--board-watts", "0"], "--board-watts = 0.0: a finite number above 0"),
    ],
)
def test_wrong_arguments_end_with_status_2(arguments: list[str], words: str, helm_file: Path) -> None:
    asked = [str(helm_file) if argument == "FILE" else argument for argument in arguments]
    status, output = profile("--from", helm_file, *asked)
    assert status == 2
    assert words in output


def test_accuracies_of_other_models_alone_are_refused(helm_file: Path, tmp_path: Path) -> None:
    accuracy = tmp_path / "accuracy.csv"
    accuracy.write_text("model,accuracy\nx,0.4\ny,0.6\n")
    status, output = profile("--from", helm_file, "--accuracy", accuracy, "--report", tmp_path / "o.html")
    assert status == 2
    assert "model = x, y: profiles here: a/idealized, b/denoised" in output
