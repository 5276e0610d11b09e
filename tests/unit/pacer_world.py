"""A made-up zoo whose truth is known, and the sequential loop around a policy and its ledger."""

from dataclasses import dataclass, field

import numpy as np

from services.core.exploration import DecisionRandom, decision_seed
from services.core.ledger import Ledger
from services.core.policies.base import ClassView, Context, ModelPrior
from services.core.policies.pacer import Pacer
from services.core.policies.pacer_parameters import PacerParameters

MODELS = ("small", "medium", "large")
JOULES = (1.0, 4.0, 16.0)
FEATURES = 6


def requests(seed, count, *, level=0.0):
    """Features (n, d), satisfaction 0/1 (n, M) and joules (n, M); larger models answer more."""
    rng = np.random.default_rng(seed)
    features = np.hstack([np.ones((count, 1)), rng.normal(size=(count, FEATURES - 1))])
    features = features.astype(np.float16).astype(float)
    hard = features[:, 1] + 0.5 * features[:, 2]
    logits = np.array([-0.5, 0.5, 1.5]) + level - 1.5 * hard[:, None]
    satisfied = rng.random((count, 3)) < 1 / (1 + np.exp(-logits))
    lengths = np.exp(0.4 * features[:, 3] + 0.5 * rng.normal(size=count))
    return features, satisfied.astype(float), lengths[:, None] * np.array(JOULES)


def priors(scale=1.0, names=MODELS):
    return [ModelPrior(n, s, j * scale) for n, s, j in zip(names, (0.4, 0.55, 0.7), JOULES, strict=True)]


@dataclass
class Loop:
    """Decides and learns request by request, labels at once unless told otherwise."""

    alpha: float = 0.6
    scale: float = 1.0
    policy: Pacer = field(default_factory=lambda: Pacer(PacerParameters()))
    ledger: Ledger = field(default_factory=Ledger)
    sla_class: str = "standard"
    state: object = None
    served: list = field(default_factory=list)
    satisfactions: list = field(default_factory=list)
    joules: list = field(default_factory=list)
    log_lambdas: list = field(default_factory=list)
    load_factors: object = None

    def __post_init__(self):
        if self.state is None:
            self.state = self.policy.initial_state(priors(self.scale), FEATURES)

    def view(self):
        ledger = self.ledger
        return ClassView(
            self.alpha,
            ledger.decisions + 1,
            0.0,
            ledger.decision_debt,
            self.sla_class,
            ledger.label_credit,
            ledger.label_rate,
            ledger.labels,
        )

    def decide(self, features):
        seed = decision_seed("world", str(len(self.served)))
        models = len(self.state.satisfaction.mean)
        eligible, loads = np.ones(models, bool), self.load_factors
        context = Context(features, np.ones(models), eligible, self.view(), load_factors=loads)
        return self.policy.decide(context, self.state, DecisionRandom(seed))

    def run(self, features, satisfied, joules, labelled=None):
        for t, x in enumerate(features):
            action = self.decide(x)
            m = action.model_index
            charged = float(action.satisfaction_means[m])
            number = self.ledger.decide(0.0, self.alpha - charged)
            self.clip()
            self.policy.learn_decision(self.state, x, m, self.view(), self.load_factors)
            self.policy.learn_energy(self.state, x, m, joules[t, m] * self.scale)
            if labelled is None or labelled[t]:
                self.ledger.credit(number, charged, satisfied[t, m])
                self.clip()
                self.policy.learn_label(self.state, x, m, satisfied[t, m])
            self.served.append(m)
            self.satisfactions.append(satisfied[t, m])
            self.joules.append(joules[t, m])
            self.log_lambdas.append(self.state.classes[self.sla_class].log_lambda)
        return self

    def clip(self):
        self.ledger.clip(*self.policy.debt_bounds(self.state, self.view()))
