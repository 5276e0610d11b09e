"""The truth of the simulated GPU is the Shapley value; a small run of the benchmark keeps its promises."""

from itertools import permutations
from math import factorial

import numpy as np
import pytest

from bench.attribution import OURS, simulate, summarise
from bench.gpu_law import StepLaw, step_joules, true_shares
from services.core.steps import GenerationWork


def _seconds(law: StepLaw, work: list[GenerationWork]) -> float:
    return law.seconds(sum(w.prefill_tokens for w in work), sum(w.decode_tokens > 0 for w in work))


def shapley(law: StepLaw, work: list[GenerationWork], prolonging: bool) -> list[float]:
    """The definition: what each adds, over all orders in which they may come."""
    shares, standing = dict.fromkeys(range(len(work)), 0.0), law.idle_watts * _seconds(law, work)
    for order in permutations(range(len(work))):
        before = 0.0
        for i in range(len(order)):
            members = [work[j] for j in order[: i + 1]]
            now = step_joules(law, members)
            now += law.idle_watts * _seconds(law, members) if prolonging else standing
            shares[order[i]] += (now - before) / factorial(len(work))
            before = now
    if not prolonging:
        shares = {i: share - standing / len(work) for i, share in shares.items()}
    return list(shares.values())


@pytest.mark.parametrize("prolonging", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_closed_form_is_the_shapley_value(seed: int, prolonging: bool) -> None:
    random = np.random.default_rng(seed)
    law = StepLaw(wave_phase=seed)
    work = [
        GenerationWork(str(i), int(prompt), int(random.integers(0, 2)) if prompt else 1, 300 + 10 * i)
        for i, prompt in enumerate(random.choice([0, 0, 700, 1200], 5))
    ]
    assert true_shares(law, work, prolonging) == pytest.approx(shapley(law, work, prolonging), rel=1e-9)


def test_a_calibrated_run_is_closer_to_the_truth_than_any_other_way_and_conserves() -> None:
    outcome = simulate(4.0, 500, 0.1, 0.06, seed=1)
    errors = summarise([outcome])
    assert outcome.unbalanced_microjoules == 0
    assert errors[OURS].median <= 0.03
    assert errors[OURS].p95 <= 0.08
    assert outcome.found_lag_seconds == pytest.approx(0.06 + 0.01, abs=0.006)
    assert all(
        errors[OURS].p95 < other.p95 / 2 for name, other in errors.items() if not name.startswith("ours")
    )
