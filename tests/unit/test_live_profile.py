"""Live profiles over an endpoint whose law is known: what is sent, kept, resumed and fitted."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from cli.measure.endpoint import EndpointError
from cli.measure.profiling import Budget, Profiling
from cli.measure.prompts import PROBE_REQUESTS, Prompts, token_scale
from cli.measure.timed_file import TimedFile
from planner.replies import Reply
from planner.runtime.fitting import fit_profile
from planner.runtime.grid import Grid, same_length
from planner.runtime.profile import predicted
from services.core.errors import ConfigError

GRID = Grid((64, 128, 512), (1, 32), 2)
BUDGET = Budget(requests=100, seconds=60.0, warm_up=1)
TEMPLATE_TOKENS, TOKENS_PER_WORD = 30, 2


class KnownEndpoint:
    """Counts two tokens a word and a cached template; time is a law, no clock. Fails after some answers."""

    def __init__(self, fails_after: int = 1_000) -> None:
        self.prompts: list[str] = []
        self._left = fails_after

    @staticmethod
    def seconds(prompt: int, output: int) -> float:
        return 0.1 + 0.002 * prompt + (0.02 + 1e-5 * prompt) * (output - 1)

    async def answer(self, prompt: str, max_tokens: int) -> Reply:
        if self._left == 0:
            raise EndpointError("it went away.")
        self._left -= 1
        self.prompts.append(prompt)
        tokens = TEMPLATE_TOKENS + TOKENS_PER_WORD * len(prompt.split())
        return Reply("", 0.0, self.seconds(tokens, max_tokens), tokens, max_tokens, ())

    async def close(self) -> None:
        return None


def profile(endpoint: KnownEndpoint, kept: TimedFile, budget: Budget = BUDGET) -> bool:
    return asyncio.run(Profiling(endpoint, None, kept, Prompts(0)).run(GRID, budget, lambda: None))


def test_the_law_of_an_endpoint_is_found_at_the_measured_lengths(tmp_path: Path) -> None:
    kept = TimedFile(tmp_path / "timed.csv", "m", with_joules=False)
    assert profile(KnownEndpoint(), kept)
    assert len(kept.timed) == GRID.requests
    assert {timed.measurement.prompt_tokens for timed in kept.timed} == {64, 128, 512}
    fitted = fit_profile("m", [timed.measurement for timed in kept.timed], "test")
    for prompt, output in ((96, 16), (300, 20), (512, 100)):
        assert predicted(fitted.seconds, prompt, output) == pytest.approx(
            KnownEndpoint.seconds(prompt, output), rel=1e-6
        )


def test_no_two_prompts_share_their_beginning(tmp_path: Path) -> None:
    endpoint = KnownEndpoint()
    profile(endpoint, TimedFile(tmp_path / "timed.csv", "m", with_joules=False))
    beginnings = [tuple(prompt.split()[:4]) for prompt in endpoint.prompts]
    assert len(set(beginnings)) == len(beginnings)


def test_an_endpoint_that_fails_half_way_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "timed.csv"
    with pytest.raises(EndpointError, match=r"it went away\. 5 requests are measured and kept in "):
        profile(KnownEndpoint(fails_after=9), TimedFile(path, "m", with_joules=False))
    again = KnownEndpoint()
    kept = TimedFile(path, "m", with_joules=False)
    assert profile(again, kept)
    assert len(again.prompts) == GRID.requests - 5 + BUDGET.warm_up + PROBE_REQUESTS
    counts = {cell: sum(timed.cell == cell for timed in kept.timed) for cell in GRID.cells}
    assert set(counts.values()) == {GRID.repeats}


def test_a_budget_ends_a_profile_between_two_requests(tmp_path: Path) -> None:
    kept = TimedFile(tmp_path / "timed.csv", "m", with_joules=False)
    assert not profile(KnownEndpoint(), kept, Budget(len(GRID.cells), 60.0, 0))
    assert {timed.cell for timed in kept.timed} == set(GRID.cells)
    assert not profile(KnownEndpoint(), kept, Budget(100, 0.0, 0))
    assert len(kept.timed) == len(GRID.cells)


def test_a_file_of_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "timed.csv"
    profile(KnownEndpoint(), TimedFile(path, "m", with_joules=False))
    with pytest.raises(ConfigError, match=r"model = m: only other"):
        TimedFile(path, "other", with_joules=False)
    with pytest.raises(ConfigError, match=r"columns = model, .*: a file of this profile"):
        TimedFile(path, "m", with_joules=True)


def test_tokens_are_counted_as_the_endpoint_counts_them() -> None:
    scale = asyncio.run(token_scale(KnownEndpoint(), Prompts(0)))
    assert scale.per_word == TOKENS_PER_WORD
    text = Prompts(0).of_words(scale.words(200))
    assert TEMPLATE_TOKENS + TOKENS_PER_WORD * len(text.split()) == 200


@given(st.integers(1, 5), st.integers(0, 3), st.integers())
def test_every_cell_is_measured_as_often_as_asked(repeats: int, done: int, seed: int) -> None:
    grid = Grid((8, 16), (1, 4), repeats)
    left = list(grid.rounds({(8, 1): done}, seed))
    assert left.count((8, 1)) == max(0, repeats - done)
    assert all(left.count(cell) == repeats for cell in grid.cells[1:])
    # Cut short anywhere, no cell is more than one round ahead of another that was begun as often.
    counts = np.array([left[: len(left) // 2].count(cell) for cell in grid.cells[1:]])
    assert counts.max() - counts.min() <= 1


def test_lengths_a_token_apart_count_as_one() -> None:
    assert same_length([512], 513) == 512
    assert same_length([512], 530) == 530
    assert same_length([], 7) == 7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--model = not given: a model to measure"),
        (["--model", "nix"], "--model = nix: a model of the zoo (smollm2-135m"),
        (["--model", "a", "--prompt-lengths", "8,x"], "--prompt-lengths = 8,x: different whole numbers"),
        (["--model", "a", "--output-lengths", "1"], "--output-lengths = 1: two different lengths"),
        (
            ["--from", "a.csv", "--save", "b.csv"],
            "--save = b.csv: says how to measure, and --from measures",
        ),
        (["--worker", "h:1", "--endpoint", "http://h"], "--worker, --endpoint = given together: only one"),
        (["--worker", "h:1", "--model", "a"], "--model = a: a worker says itself"),
        (["--model", "a", "--energy", "h:1"], "--energy = h:1: goes with --worker"),
        (["--model", "a", "--model", "b", "--save", "x.csv"], "--save = 2 models: one --model"),
    ],
)
def test_options_that_do_not_fit_end_with_status_2(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["profile", *arguments])
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
