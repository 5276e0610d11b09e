"""Published laws against what their papers print, and laws that are fitted again from their own samples."""

import numpy as np
import pytest

from planner.csv_table import table_from_lines
from planner.moe.allocation import (
    bounded_cost,
    bounded_loss,
    budget_for_loss,
    check_allocates,
    loss_optimal,
)
from planner.moe.fitting import fit_law, optimum_interval
from planner.moe.forms import DENSE, JOINT, YUN, Form, saturated_experts
from planner.moe.laws import Law, published_laws
from planner.moe.runs import runs_from_table
from services.core.errors import ConfigError
from tests.unit.moe_runs import YUN_LAW, csv_text, sampled

LAWS = published_laws()


@pytest.mark.parametrize(
    ("experts", "params", "tokens", "loss"),
    [(1, 1.73e9, 9.65e9, 2.590), (8, 0.99e9, 16.8e9, 2.529), (32, 0.674e9, 24.7e9, 2.472)],
)
def test_joint_law_gives_the_published_optima_at_1e20_flops(
    experts: int, params: float, tokens: float, loss: float
) -> None:
    best = loss_optimal(LAWS["joint-moe"], 1e20, experts)
    assert (best.params, best.tokens, best.loss) == pytest.approx((params, tokens, loss), rel=0.015)
    assert best.training_flops == pytest.approx(1e20)


def test_fine_grained_law_gives_its_paper_s_optimum() -> None:
    # Table 2 of Krajewski et al.: 64 x 1 B, 28.94 B tokens, 1.93e20 operations, loss 2.491 at granularity 16.
    best = loss_optimal(LAWS["krajewski-64"], 1.93e20, 64)
    assert best.params == pytest.approx(1e9, rel=0.1)
    assert best.loss == pytest.approx(2.491, rel=0.015)


def test_chinchilla_s_own_budget_gives_a_model_of_its_size() -> None:
    # Approach 3 of Hoffmann et al. predicts 40 B at Gopher's budget; the rounded constants give less.
    assert 25e9 < loss_optimal(LAWS["chinchilla"], 5.76e23, 1).params < 45e9


def test_routing_helps_a_small_model_more_than_a_large_one() -> None:
    law = LAWS["clark-s-base"]
    gains = [float(law.loss(n, 1.3e11, 1) / law.loss(n, 1.3e11, 64)) for n in (1.5e7, 1.3e9)]
    assert gains[0] > gains[1] > 1.0


def test_saturated_experts_start_and_end_where_they_should() -> None:
    assert saturated_experts(1.0, 2.0, 300.0) == pytest.approx(2.0)
    assert saturated_experts(1e9, 2.0, 300.0) == pytest.approx(300.0, rel=1e-5)


@pytest.mark.parametrize(
    ("law", "form"), [(YUN_LAW, YUN), (LAWS["joint-moe"], JOINT), (LAWS["chinchilla"], DENSE)]
)
def test_a_law_fitted_to_its_own_noisy_samples_finds_the_optimum(law: Law, form: Form) -> None:
    experts = (1.0,) if form is DENSE else (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    fit = fit_law(sampled(law, noise=0.002, experts=experts), form, resamples=3)
    assert fit.rmsle < 0.0025
    for number in (1,) if form is DENSE else (1, 8, 32):
        true, found = loss_optimal(law, 1e20, number), loss_optimal(fit.law, 1e20, number)
        assert found.params == pytest.approx(true.params, rel=0.1)
        assert found.tokens == pytest.approx(true.tokens, rel=0.1)
    assert all(low <= high for low, high in fit.intervals.values())
    interval = optimum_interval(fit, 1e20, 1)
    assert interval is not None
    assert 0.8 * interval[0] < loss_optimal(fit.law, 1e20, 1).params < 1.2 * interval[1]


def test_a_fitted_law_says_where_it_extrapolates() -> None:
    fit = fit_law(sampled(LAWS["chinchilla"], 0.0, experts=(1.0,)), DENSE, resamples=0)
    assert optimum_interval(fit, 1e20, 1) is None
    assert fit.law.outside(1e9, 1e10, 1) == ()
    assert fit.law.outside(1e12, 1e10, 8) == (
        "law: N 1e+12 is outside the fitted 1e+08 to 2.7e+09",
        "law: E 8 is outside the fitted 1 to 1",
    )


@pytest.mark.parametrize("experts", [1, 4, 32])
def test_bounded_loss_is_the_smallest_model_that_reaches_it(experts: int) -> None:
    law = LAWS["joint-moe"]
    best = loss_optimal(law, 1e21, experts)
    found = bounded_loss(law, 1e21, experts, best.loss * 1.02)
    assert found is not None
    assert found.loss == pytest.approx(best.loss * 1.02)
    assert found.params < best.params
    assert found.training_flops == pytest.approx(1e21)
    sizes = np.geomspace(1e6, best.params, 4000)
    reaching = sizes[law.loss(sizes, 1e21 / 6 / sizes, experts) <= best.loss * 1.02]
    assert found.params == pytest.approx(reaching[0], rel=0.01)
    assert bounded_loss(law, 1e21, experts, best.loss * 0.99) is None


def test_bounded_cost_is_the_largest_model_that_is_cheap_enough() -> None:
    law = LAWS["joint-moe"]
    best = loss_optimal(law, 1e21, 8)

    def cost_of(params: float, experts: int) -> float:
        return params * experts

    found = bounded_cost(law, 1e21, 8, 8 * best.params / 3, cost_of)
    assert found is not None
    assert found.params == pytest.approx(best.params / 3)
    assert bounded_cost(law, 1e21, 8, 9 * best.params, cost_of) == best
    assert bounded_cost(law, 1e21, 8, 1.0, cost_of) is None


def test_the_budget_for_a_loss_gives_that_loss_back() -> None:
    law = LAWS["joint-moe"]
    budget = budget_for_loss(law, 16, 2.2)
    assert budget is not None
    assert loss_optimal(law, budget, 16).loss == pytest.approx(2.2)
    assert budget_for_loss(law, 16, 1.3) is None
    assert budget_for_loss(law, 16, loss_optimal(law, 1e12, 1).loss) is None


@pytest.mark.parametrize(
    ("law", "experts", "words"),
    [
        ("clark-s-base", 8, "--law = clark-s-base"),
        ("krajewski-64", 8, "knows only 64"),
        ("chinchilla", 2, "only 1"),
    ],
)
def test_a_law_that_cannot_divide_a_budget_says_so(law: str, experts: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_allocates(LAWS[law], experts)


GOOD = csv_text(sampled(YUN_LAW, 0.001)).splitlines()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["N,D,loss", "1,2,3"], "missing: params, tokens, experts; expected: params, tokens, experts, loss"),
        ([GOOD[0]], "rows = 0"),
        ([GOOD[0], "1e9,1e9,1,nan"], "loss = 'nan' in row 2: a finite number above 0"),
        ([GOOD[0], "1e9,-1,0.5,2", "x,1,1,2"], "params = 'x' in row 3"),
        ([GOOD[0], "1e9,1e9,1"], "row 2 has 3: 4 in every row"),
    ],
)
def test_wrong_runs_are_named(lines: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        runs_from_table(table_from_lines("runs.csv", lines, ("params", "tokens", "experts", "loss")))
    assert words in str(caught.value)


def test_runs_that_cannot_tell_a_law_are_refused() -> None:
    one_point = [GOOD[0], *["1e9,1e10,1,2.5"] * 3]
    runs = runs_from_table(table_from_lines("runs.csv", one_point, ("params", "tokens", "experts", "loss")))
    assert len(runs) == 1
    assert "2 rows stand twice" in runs.notes[0]
    with pytest.raises(ConfigError) as caught:
        fit_law(runs, YUN)
    for words in ("rows = 1: more runs than the law's 10", "params = 1 different", "experts = 1 different"):
        assert words in str(caught.value)


def test_a_run_that_diverged_is_noted() -> None:
    lines = [GOOD[0], "1e9,1e10,1,2.5", "2e9,1e10,1,2.9"]
    runs = runs_from_table(table_from_lines("runs.csv", lines, ("params", "tokens", "experts", "loss")))
    assert "1 runs lose more than one with less" in runs.notes[0]
