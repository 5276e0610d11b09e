"""The demo's measurements can be replayed."""

from pathlib import Path

from cli.demo.outcomes import outcome_columns
from cli.demo.prompts import generate_prompts
from cli.demo.records import BaselineAnswer
from cli.replay.loading import load_outcomes
from planner.replay.sources.parquet import write_parquet


def test_what_the_demo_measured_is_what_replay_reads(tmp_path: Path) -> None:
    prompts = {f"id-{number}": prompt for number, prompt in enumerate(generate_prompts(5, 0))}
    baselines = {
        model: {name: BaselineAnswer(score, joules + i) for i, name in enumerate(prompts)}
        for model, score, joules in (("dear", 1.0, 50.0), ("cheap", 0.0, 2.0))
    }
    write_parquet(tmp_path / "outcomes.parquet", outcome_columns(prompts, baselines))
    found = load_outcomes(tmp_path / "outcomes.parquet", {})
    assert found.model_ids == ("cheap", "dear")
    assert found.request_ids == tuple(prompts)
    assert found.prompts == tuple(prompt.text for prompt in prompts.values())
    assert found.benchmarks == tuple(prompt.kind for prompt in prompts.values())
    assert found.satisfaction.tolist() == [[0.0, 1.0]] * 5
    assert found.energy_joules[:, 1].tolist() == [50.0, 51.0, 52.0, 53.0, 54.0]
