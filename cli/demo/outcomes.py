"""The demo's measurements as a table that `messplus replay --outcomes` reads."""

from collections.abc import Mapping
from typing import Any

from cli.demo.prompts import DemoPrompt
from cli.demo.records import Baselines


def outcome_columns(prompts: Mapping[str, DemoPrompt], baselines: Baselines) -> dict[str, list[Any]]:
    """One row per request and model; the kind of a prompt is its benchmark. `prompts` is by request id."""
    rows = [
        (
            request_id,
            prompts[request_id].kind,
            prompts[request_id].text,
            model,
            float(answer.satisfaction),
            float(answer.energy_joules),
        )
        for model, answers in baselines.items()
        for request_id, answer in answers.items()
    ]
    names = ("request_id", "benchmark", "prompt", "model", "correct", "energy_joules")
    return {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
