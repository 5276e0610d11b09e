"""Sizes, latency and cost of serving, and what the study makes of them."""

import math
from dataclasses import replace

import pytest

from planner.moe.architecture import Architecture, Workload
from planner.moe.findings import evaluate
from planner.moe.forms import Counted
from planner.moe.latency import MeasuredStep, fit_latency, h100_latency
from planner.moe.laws import published_laws
from planner.moe.serving import Machine, cost_per_token, max_batch, serving_cost
from planner.moe.study import Question, best, cheapest, run_study
from services.core.errors import ConfigError

WORK = Workload(128, 512)
MACHINE = Machine(80e9, 2.5, (1, 2, 4, 8, 16, 32), h100_latency())
QUESTION = Question(published_laws()["joint-moe"], (1e22,), (1, 2, 4, 8, 16, 32), WORK, MACHINE)


def test_sizes_are_counted_as_in_the_paper() -> None:
    model = Architecture(3e9, 4)
    assert model.total_params == pytest.approx(6e9)
    assert model.active_params == pytest.approx(4e9)
    assert Architecture(3e9, 1).active_params == Architecture(3e9, 1).total_params == 3e9
    assert Architecture.of(4e9, 4, Counted.ACTIVE) == model
    assert Architecture.of(3e9, 4, Counted.BASE) == model


def test_width_times_depth_follows_mu_n_to_two_thirds() -> None:
    # Llama-2-13B: h l = 5120 * 40, .037 N^(2/3).
    model = Architecture(13e9, 1)
    per_token = model.kv_bytes_per_sequence(Workload(1, 0)) / 2 / 2
    assert per_token == pytest.approx(0.038 * 13e9 ** (2 / 3), rel=0.01)
    assert per_token == pytest.approx(5120 * 40, rel=0.05)


def test_a_few_tokens_leave_experts_unread() -> None:
    model = Architecture(3e9, 32)
    assert model.touched_bytes(1) == pytest.approx(2 * model.active_params)
    assert model.touched_bytes(1e4) == pytest.approx(model.total_bytes)


def test_batch_fills_what_the_weights_leave() -> None:
    model = Architecture(7e9, 1)
    batch = max_batch(model, MACHINE, 1, WORK)
    assert model.total_bytes + batch * model.kv_bytes_per_sequence(WORK) == pytest.approx(0.9 * 80e9)
    assert max_batch(Architecture(60e9, 1), MACHINE, 1, WORK) < 0


def test_cost_is_the_price_over_the_throughput_of_the_cheapest_count() -> None:
    model = Architecture(60e9, 1)
    cost = serving_cost(model, MACHINE, WORK)
    assert cost is not None
    assert cost.gpus > 1
    assert cost.dollars_per_million_tokens == pytest.approx(
        cost.gpus * 2.5 / 3600 / cost.tokens_per_second * 1e6
    )
    for gpus in MACHINE.gpu_counts:
        fixed = serving_cost(model, replace(MACHINE, gpu_counts=(gpus,)), WORK)
        assert fixed is None or fixed.dollars_per_million_tokens >= cost.dollars_per_million_tokens


def test_what_fits_nowhere_costs_infinitely_much() -> None:
    assert math.isinf(cost_per_token(Architecture(60e9, 1), replace(MACHINE, gpu_counts=(1,)), WORK))


def test_latency_is_recovered_from_what_it_predicts() -> None:
    true = h100_latency()
    points = [
        MeasuredStep(n, b, WORK, true.decode_seconds(m, b, 1, WORK) + true.prefill_seconds(m, b, 1, WORK))
        for n in (1.3e9, 7e9, 13e9)
        for b in (1.0, 8.0, 64.0, 256.0)
        for m in [Architecture(n, 1)]
    ]
    found = fit_latency(points, "test")
    assert found.seconds_per_weight_byte == pytest.approx(true.seconds_per_weight_byte)
    assert found.seconds_per_sequence == pytest.approx(true.seconds_per_sequence)
    assert found.mean_error < 1e-9
    assert found.outside(7e9, 512) == ("latency: batch 512 is outside the measured 1 to 256",)
    with pytest.raises(ConfigError, match="more than 4 are needed"):
        fit_latency(points[:3], "test")


def test_a_study_keeps_every_bound() -> None:
    answer = run_study(QUESTION).answers[0]
    dense = answer.optimal[1].allocation
    for choice in answer.within_loss.values():
        assert choice is not None
        assert choice.allocation.loss <= dense.loss * (1 + 1e-9)
    for experts, choice in answer.within_cost.items():
        assert choice is not None
        assert QUESTION.cost_of(choice.allocation.params, experts) <= answer.max_cost * (1 + 1e-9)
    smallest, least = cheapest(list(answer.within_loss.values())), best(list(answer.within_cost.values()))
    assert smallest is not None
    assert least is not None
    assert smallest.allocation.experts == 32
    assert least.allocation.loss < dense.loss


def test_findings_carry_numbers_and_verdicts() -> None:
    findings = evaluate(run_study(QUESTION))
    assert len(findings) == 5
    by_statement = {finding.statement.split(",")[0]: finding for finding in findings}
    better = by_statement["16 or 32 experts"]
    assert better.verdict == "agree"
    assert "loss 16 experts 2.0896" in better.numbers[0]
    assert by_statement["and are 70 to 85 % smaller than their loss-optimal size"].verdict == "differ"


def test_findings_are_left_out_where_their_experts_are() -> None:
    assert evaluate(run_study(replace(QUESTION, experts=(1, 8)))) == ()


def test_what_cannot_be_reached_is_none() -> None:
    answer = run_study(replace(QUESTION, max_loss=1.5, max_cost=1e-6)).answers[0]
    assert set(answer.within_loss.values()) == {None}
    assert set(answer.within_cost.values()) == {None}
