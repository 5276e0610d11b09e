"""Small recorded outcomes for tests of replay."""

from typing import Any

import numpy as np

from planner.replay.outcomes import Outcomes, outcomes_from_columns
from services.core.events import FloatArray

MODELS = ("small", "medium", "large")


def columns(count: int = 40, seed: int = 0) -> dict[str, list[Any]]:
    """A table of `count` requests x 3 models: dearer models are right more often, topics differ."""
    rng = np.random.default_rng(seed)
    table: dict[str, list[Any]] = {
        name: []
        for name in (
            "request_id",
            "benchmark",
            "prompt",
            "model",
            "correct",
            "energy_joules",
            "prompt_tokens",
            "completion_tokens",
            "answer",
        )
    }
    for request in range(count):
        hard = request % 2 == 1
        for index, model in enumerate(MODELS):
            tokens = int(rng.integers(5, 50)) + (40 if hard else 0)
            chance = (0.3, 0.5, 0.8)[index] + (-0.2 if hard else 0.2)
            values = (
                f"r{request}",
                "hard" if hard else "easy",
                f"{'prove it: ' if hard else ''}question {request}",
                model,
                int(rng.random() < chance),
                tokens * (1.0, 3.0, 10.0)[index],
                10,
                tokens,
                "text that nobody reads",
            )
            for column, value in zip(table.values(), values, strict=True):
                column.append(value)
    return table


def outcomes(count: int = 40, seed: int = 0) -> Outcomes:
    return outcomes_from_columns("test", "test", columns(count, seed))


class LengthFeatures:
    """A bias, and whether the prompt is long."""

    def features(self, text: str) -> FloatArray:
        return np.array([1.0, 1.0 if text.startswith("prove") else -1.0])


def features(of: Outcomes) -> FloatArray:
    return np.array([LengthFeatures().features(prompt) for prompt in of.prompts])
