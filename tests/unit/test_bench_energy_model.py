"""`bench.energy_model`: on data that follows the law its error is nothing, and missing data is named."""

from pathlib import Path

import numpy as np
import pytest

from bench.energy_model import joules_at_once, judge, main, rows, step_law_errors, tokens_then_joules
from tests.unit.replay_data import MODELS, features, outcomes


def test_a_group_that_follows_the_law_is_predicted_and_a_small_one_left_out() -> None:
    exact = [(size, 3.0 / size + 0.1) for size in (4.0, 16.0, 64.0)]
    errors, groups = step_law_errors({("a",): exact, ("b",): exact[:2]})
    assert groups == 1
    assert errors == pytest.approx([0.0] * 3, abs=1e-9)


def test_lengths_and_joules_are_learned_online_and_every_model_is_judged() -> None:
    data = outcomes(600)
    order = np.random.default_rng(0).permutation(600)
    for learn in (tokens_then_joules, joules_at_once):
        judged = judge(data, order, *learn(data, features(data), order))
        found = rows("it", MODELS, [judged])
        assert [row.what.split(":")[0] for row in found[::2]] == [f"it, {model}" for model in MODELS]
        assert (np.abs(judged.sum_ratio - 1.0) < 0.1).all()
        assert (judged.median_error < 0.5).all()


def test_missing_data_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path)]) == 2
    assert "llm_joules_a100_h100.csv" in capsys.readouterr().out
