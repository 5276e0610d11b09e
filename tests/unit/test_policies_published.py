"""The two published modes, step by step, against traces worked out by hand.

One feature, always 1, keeps the predictors small enough for pencil and paper, and no energy event comes, so
that E stays at the prior joules. Steps run through the real decision function and the real fold. A row is:

    (t, uniform draw, labels A_m of all models, explored?, predictions A^_m, served model, Q before, Q after)
"""

import numpy as np
import pytest
from fold_events import MODELS, at, decision, label

from services.core.fold import Fold
from services.core.learner_state import energy_means_joules
from services.core.policies.base import ClassView, Context, ModelPrior
from services.core.policies.registry import policy_from_config

# messplus-2024: two models of 1 J and 4 J, V = .125/J, so V*E = (.125, .5); alpha = .75; c = 1.
# It explores while t^(-1/3) > draw: .6 does up to t = 4 (.630; t = 5: .585), and .3 at t = 20 (.368).
# eta = .25 moves weight and bias by .25 * (y - A^) each, so an exploration halves the distance to y:
# A^ goes (0, 0), (.5, .5), (.25, .75), (.625, .875), (.3125, .9375).
# From t = 5 the large model wins once .125 + Q(.75 - .3125) > .5 + Q(.75 - .9375), that is Q > .6.
# Q: t = 5 serves the small, wrong: 0 + .75 - 0 = .75; t = 6 the large, right: .75 + .75 - 1 = .5; and so on.
TRACE_2024_TWO = [
    (1, 0.6, (1, 1), True, (0.0, 0.0), 1, 0.0, 0.0),
    (2, 0.6, (0, 1), True, (0.5, 0.5), 1, 0.0, 0.0),
    (3, 0.6, (1, 1), True, (0.25, 0.75), 1, 0.0, 0.0),
    (4, 0.6, (0, 1), True, (0.625, 0.875), 1, 0.0, 0.0),
    (5, 0.6, (0, 1), False, (0.3125, 0.9375), 0, 0.0, 0.75),
    (6, 0.6, (0, 1), False, (0.3125, 0.9375), 1, 0.75, 0.5),
    (7, 0.6, (0, 0), False, (0.3125, 0.9375), 0, 0.5, 1.25),
    (8, 0.6, (0, 1), False, (0.3125, 0.9375), 1, 1.25, 1.0),
    (9, 0.6, (1, 0), False, (0.3125, 0.9375), 1, 1.0, 1.75),
    (10, 0.6, (0, 0), False, (0.3125, 0.9375), 1, 1.75, 2.5),
    (11, 0.6, (0, 1), False, (0.3125, 0.9375), 1, 2.5, 2.25),
    (12, 0.6, (1, 1), False, (0.3125, 0.9375), 1, 2.25, 2.0),
    (13, 0.6, (0, 1), False, (0.3125, 0.9375), 1, 2.0, 1.75),
    (14, 0.6, (0, 0), False, (0.3125, 0.9375), 1, 1.75, 2.5),
    (15, 0.6, (1, 1), False, (0.3125, 0.9375), 1, 2.5, 2.25),
    (16, 0.6, (1, 1), False, (0.3125, 0.9375), 1, 2.25, 2.0),
    (17, 0.6, (0, 0), False, (0.3125, 0.9375), 1, 2.0, 2.75),
    (18, 0.6, (0, 1), False, (0.3125, 0.9375), 1, 2.75, 2.5),
    (19, 0.6, (1, 1), False, (0.3125, 0.9375), 1, 2.5, 2.25),
    (20, 0.3, (0, 0), True, (0.3125, 0.9375), 1, 2.25, 3.0),
]

# messplus-2024: three models of 1, 2 and 8 J, V = .0625/J, so V*E = (.0625, .125, .5); alpha = .5; c = 1.
# After four explorations A^ = (.25, .5625, .9375). Medium beats small once Q * .3125 > .0625, Q > .2;
# large beats medium once Q * .375 > .375, Q > 1. At t = 7 Q is 1: a tie at .0625, which the cheaper wins.
TRACE_2024_THREE = [
    (1, 0.6, (0, 1, 1), True, (0.0, 0.0, 0.0), 2, 0.0, 0.0),
    (2, 0.6, (0, 0, 1), True, (0.0, 0.5, 0.5), 2, 0.0, 0.0),
    (3, 0.6, (1, 0, 1), True, (0.0, 0.25, 0.75), 2, 0.0, 0.0),
    (4, 0.6, (0, 1, 1), True, (0.5, 0.125, 0.875), 2, 0.0, 0.0),
    (5, 0.6, (0, 1, 1), False, (0.25, 0.5625, 0.9375), 0, 0.0, 0.5),
    (6, 0.6, (0, 0, 1), False, (0.25, 0.5625, 0.9375), 1, 0.5, 1.0),
    (7, 0.6, (0, 0, 1), False, (0.25, 0.5625, 0.9375), 1, 1.0, 1.5),
    (8, 0.6, (1, 1, 1), False, (0.25, 0.5625, 0.9375), 2, 1.5, 1.0),
    (9, 0.6, (0, 0, 0), False, (0.25, 0.5625, 0.9375), 1, 1.0, 1.5),
    (10, 0.6, (0, 0, 1), False, (0.25, 0.5625, 0.9375), 2, 1.5, 1.0),
    (11, 0.6, (0, 1, 1), False, (0.25, 0.5625, 0.9375), 1, 1.0, 0.5),
    (12, 0.6, (0, 0, 0), False, (0.25, 0.5625, 0.9375), 1, 0.5, 1.0),
    (13, 0.6, (1, 1, 1), False, (0.25, 0.5625, 0.9375), 1, 1.0, 0.5),
    (14, 0.6, (0, 1, 1), False, (0.25, 0.5625, 0.9375), 1, 0.5, 0.0),
    (15, 0.6, (0, 0, 1), False, (0.25, 0.5625, 0.9375), 0, 0.0, 0.5),
    (16, 0.6, (0, 1, 0), False, (0.25, 0.5625, 0.9375), 1, 0.5, 0.0),
    (17, 0.6, (1, 1, 1), False, (0.25, 0.5625, 0.9375), 0, 0.0, 0.0),
    (18, 0.6, (0, 0, 1), False, (0.25, 0.5625, 0.9375), 0, 0.0, 0.5),
    (19, 0.6, (0, 1, 1), False, (0.25, 0.5625, 0.9375), 1, 0.5, 0.0),
    (20, 0.3, (1, 0, 0), True, (0.25, 0.5625, 0.9375), 2, 0.0, 0.5),
]

# messplus-2025: the two models again, alpha = .75, V*E = (.125, .5), c = 1.
# It explores while t^(-1/4) > draw: .6 does up to t = 7 (.615; t = 8: .595), and .47 at t = 20 (.473).
# LayerNorm of a single number is 0, so the network is its output bias b, and A^ = sigmoid(b). With learning
# rate 4, no momentum and no decay, cross-entropy averaged over two models moves b by 2 * (y - A^):
# t = 1: b = 2 * (1 - .5) = 1, A^ = .73106 for both. t = 2: b = (1 - 2 * .73106, 1 + 2 * .26894)
# = (-.46212, 1.53788), A^ = (.38648, .82316). From t = 8 large wins once Q * (.66396 - .11566) > .375,
# that is Q > .684.
TRACE_2025_TWO = [
    (1, 0.6, (1, 1), True, (0.5, 0.5), 1, 0.0, 0.0),
    (2, 0.6, (0, 1), True, (0.73106, 0.73106), 1, 0.0, 0.0),
    (3, 0.6, (1, 1), True, (0.38648, 0.82316), 1, 0.0, 0.0),
    (4, 0.6, (0, 1), True, (0.68242, 0.86893), 1, 0.0, 0.0),
    (5, 0.6, (0, 1), True, (0.35436, 0.89601), 1, 0.0, 0.0),
    (6, 0.6, (0, 1), True, (0.21271, 0.91386), 1, 0.0, 0.0),
    (7, 0.6, (0, 0), True, (0.15007, 0.92649), 1, 0.0, 0.75),
    (8, 0.6, (0, 1), False, (0.11566, 0.66396), 1, 0.75, 0.5),
    (9, 0.6, (1, 0), False, (0.11566, 0.66396), 0, 0.5, 0.25),
    (10, 0.6, (0, 0), False, (0.11566, 0.66396), 0, 0.25, 1.0),
    (11, 0.6, (0, 1), False, (0.11566, 0.66396), 1, 1.0, 0.75),
    (12, 0.6, (1, 1), False, (0.11566, 0.66396), 1, 0.75, 0.5),
    (13, 0.6, (0, 1), False, (0.11566, 0.66396), 0, 0.5, 1.25),
    (14, 0.6, (0, 0), False, (0.11566, 0.66396), 1, 1.25, 2.0),
    (15, 0.6, (1, 1), False, (0.11566, 0.66396), 1, 2.0, 1.75),
    (16, 0.6, (1, 1), False, (0.11566, 0.66396), 1, 1.75, 1.5),
    (17, 0.6, (0, 0), False, (0.11566, 0.66396), 1, 1.5, 2.25),
    (18, 0.6, (0, 1), False, (0.11566, 0.66396), 1, 2.25, 2.0),
    (19, 0.6, (1, 1), False, (0.11566, 0.66396), 1, 2.0, 1.75),
    (20, 0.47, (0, 0), True, (0.11566, 0.66396), 1, 1.75, 2.5),
]

# messplus-2025: the three models again, alpha = .5, V*E = (.0625, .125, .5), c = 1.
# Draw .7 explores up to t = 4 (.707; t = 5: .669); .48 does not at t = 20 (.473).
# Learning rate 3 over three models moves b by y - A^: t = 1: b = (-.5, .5, .5),
# A^ = (.37754, .62246, .62246). From t = 5 medium beats small once Q * .16514 > .0625, Q > .378;
# large beats medium once Q * .29045 > .375, Q > 1.291.
TRACE_2025_THREE = [
    (1, 0.7, (0, 1, 1), True, (0.5, 0.5, 0.5), 2, 0.0, 0.0),
    (2, 0.7, (0, 0, 1), True, (0.37754, 0.62246, 0.62246), 2, 0.0, 0.0),
    (3, 0.7, (1, 0, 1), True, (0.29369, 0.46942, 0.70631), 2, 0.0, 0.0),
    (4, 0.7, (0, 1, 1), True, (0.4573, 0.3562, 0.76337), 2, 0.0, 0.0),
    (5, 0.7, (0, 1, 1), False, (0.34784, 0.51298, 0.80343), 0, 0.0, 0.5),
    (6, 0.7, (0, 0, 1), False, (0.34784, 0.51298, 0.80343), 1, 0.5, 1.0),
    (7, 0.7, (0, 0, 1), False, (0.34784, 0.51298, 0.80343), 1, 1.0, 1.5),
    (8, 0.7, (1, 1, 1), False, (0.34784, 0.51298, 0.80343), 2, 1.5, 1.0),
    (9, 0.7, (0, 0, 0), False, (0.34784, 0.51298, 0.80343), 1, 1.0, 1.5),
    (10, 0.7, (0, 0, 1), False, (0.34784, 0.51298, 0.80343), 2, 1.5, 1.0),
    (11, 0.7, (0, 1, 1), False, (0.34784, 0.51298, 0.80343), 1, 1.0, 0.5),
    (12, 0.7, (0, 0, 0), False, (0.34784, 0.51298, 0.80343), 1, 0.5, 1.0),
    (13, 0.7, (1, 1, 1), False, (0.34784, 0.51298, 0.80343), 1, 1.0, 0.5),
    (14, 0.7, (0, 1, 1), False, (0.34784, 0.51298, 0.80343), 1, 0.5, 0.0),
    (15, 0.7, (0, 0, 1), False, (0.34784, 0.51298, 0.80343), 0, 0.0, 0.5),
    (16, 0.7, (0, 1, 0), False, (0.34784, 0.51298, 0.80343), 1, 0.5, 0.0),
    (17, 0.7, (1, 1, 1), False, (0.34784, 0.51298, 0.80343), 0, 0.0, 0.0),
    (18, 0.7, (0, 0, 1), False, (0.34784, 0.51298, 0.80343), 0, 0.0, 0.5),
    (19, 0.7, (0, 1, 1), False, (0.34784, 0.51298, 0.80343), 1, 0.5, 0.0),
    (20, 0.48, (1, 0, 0), False, (0.34784, 0.51298, 0.80343), 0, 0.0, 0.0),
]

CASES = [
    ("messplus-2024", {"learning_rate": 0.25, "initial_scale": 0.0}, 0.125, 0.75, (1.0, 4.0), TRACE_2024_TWO),
    (
        "messplus-2024",
        {"learning_rate": 0.25, "initial_scale": 0.0},
        0.0625,
        0.5,
        (1.0, 2.0, 8.0),
        TRACE_2024_THREE,
    ),
    (
        "messplus-2025",
        {"learning_rate": 4.0, "momentum": 0.0, "weight_decay": 0.0},
        0.125,
        0.75,
        (1.0, 4.0),
        TRACE_2025_TWO,
    ),
    (
        "messplus-2025",
        {"learning_rate": 3.0, "momentum": 0.0, "weight_decay": 0.0},
        0.0625,
        0.5,
        (1.0, 2.0, 8.0),
        TRACE_2025_THREE,
    ),
]


class ScriptedDraw:
    def __init__(self, value: float) -> None:
        self._value = value

    def random(self) -> float:
        return self._value


@pytest.mark.parametrize(("name", "parameters", "weight", "alpha", "joules", "trace"), CASES)
def test_published_mode_follows_the_trace(name, parameters, weight, alpha, joules, trace):
    models = MODELS[: len(joules)]
    policy = policy_from_config(
        name, {"energy_weight": weight, "exploration_scale": 1.0, **parameters}, models
    )
    fold = Fold(
        policy, [ModelPrior(m, None, e) for m, e in zip(models, joules, strict=True)], feature_count=1
    )
    for t, draw, labels, explored, predicted, served, queue_before, queue_after in trace:
        statistics = fold.state.sla_class("standard")
        assert statistics.virtual_queue == queue_before
        context = Context(
            np.ones(1),
            energy_means_joules(fold.state),
            np.ones(len(models), dtype=bool),
            ClassView(alpha, t, queue_before, 0.0),
        )
        action = policy.decide(context, fold.state.policy_state, ScriptedDraw(draw))
        assert (action.explored, action.model_index) == (explored, served), f"step {t}"
        assert action.satisfaction_means == pytest.approx(predicted, abs=6e-6), f"step {t}"
        event = decision(
            f"r{t}", models[served], explored=explored, alpha=alpha, features=(1.0,), step=t, models=models
        )
        fold.apply(at(t, event))
        for m in range(len(models)) if explored else [served]:
            fold.apply(at(t, label(float(labels[m]), models[m], f"r{t}"), sequence=m + 1))
        assert statistics.virtual_queue == queue_after, f"step {t}"
