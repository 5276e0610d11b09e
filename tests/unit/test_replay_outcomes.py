"""What is wrong with a table of outcomes is said at once, with file, column, value and what is allowed."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from planner.replay.outcomes import outcomes_from_columns
from services.core.errors import ConfigError
from tests.unit.replay_data import MODELS, columns, outcomes

Table = dict[str, list[Any]]


def _set(name: str, row: int, value: object) -> Callable[[Table], None]:
    def change(table: Table) -> None:
        table[name][row] = value

    return change


def _drop_rows(model: str, first: int) -> Callable[[Table], None]:
    def change(table: Table) -> None:
        keep = [i for i, m in enumerate(table["model"]) if m != model or i < first]
        for name in table:
            table[name] = [table[name][i] for i in keep]

    return change


def _drop_columns(table: Table) -> None:
    del table["prompt"], table["energy_joules"]


def _empty(table: Table) -> None:
    for values in table.values():
        values.clear()


def _no_joules(table: Table) -> None:
    table["energy_joules"] = [
        0.0 if m == "large" else j for m, j in zip(table["model"], table["energy_joules"], strict=True)
    ]


def _repeat(table: Table) -> None:
    for values in table.values():
        values.append(values[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_drop_columns, ["columns", "missing: prompt, energy_joules"]),
        (_empty, ["rows = 0"]),
        (_set("energy_joules", 4, math.nan), ["energy_joules = nan in row 5", "from 0 to 1e+09"]),
        (_set("energy_joules", 4, -1.0), ["energy_joules = -1.0 in row 5", "from 0 to 1e+09"]),
        (_set("energy_joules", 4, None), ["energy_joules = None in row 5"]),
        (_set("energy_joules", 4, "much"), ["energy_joules = 'much' in row 5"]),
        (_set("correct", 0, 1.2), ["correct = 1.2 in row 1", "from 0 to 1"]),
        (_set("correct", 0, math.nan), ["correct = nan in row 1"]),
        (_set("completion_tokens", 2, -3), ["completion_tokens = -3 in row 3"]),
        (_set("request_id", 0, None), ["request_id = None in row 1"]),
        (_set("model", 0, ""), ["model = '' in row 1"]),
        (_drop_rows("large", 6), ["model large", "no row for 38 of 40 requests, first 'r2'"]),
        (_repeat, ["request_id = 2 rows of 'r0' by small"]),
        (_set("prompt", 1, "another"), ["prompt = row 2 of request 'r0'", "the same in all rows"]),
        (_set("benchmark", 1, "another"), ["benchmark = row 2 of request 'r0'"]),
        (_no_joules, ["energy_joules of large = 0 in every row"]),
    ],
)
def test_a_bad_table_is_refused_with_what_is_wrong(change: Callable[[Table], None], words: list[str]) -> None:
    table = columns()
    change(table)
    with pytest.raises(ConfigError) as caught:
        outcomes_from_columns("file.parquet", "file", table)
    message = str(caught.value)
    assert message.startswith("file.parquet: ")
    for word in words:
        assert word in message


def test_all_problems_of_the_values_come_at_once() -> None:
    table = columns()
    table["correct"][0], table["energy_joules"][3], table["energy_joules"][5] = 2, math.inf, -1
    with pytest.raises(ConfigError) as caught:
        outcomes_from_columns("f", "f", table)
    assert [problem.key for problem in caught.value.problems] == ["correct", "energy_joules"]
    assert "and in 1 more" in caught.value.problems[1].value


def test_rows_become_matrices_with_models_by_joules_per_token() -> None:
    table = columns(4)
    found = outcomes_from_columns("f", "f", table)
    assert found.model_ids == MODELS
    assert found.satisfaction.shape == found.energy_joules.shape == (4, 3)
    assert found.energy_joules[2].tolist() == table["energy_joules"][6:9]
    assert found.satisfaction[1].tolist() == table["correct"][3:6]
    assert found.benchmarks == ("easy", "hard", "easy", "hard")
    np.testing.assert_allclose(found.joules_per_token(), [1.0, 3.0, 10.0])


def test_a_rambling_small_model_stays_the_smallest_where_tokens_are_known() -> None:
    table = columns(6)
    for i, model in enumerate(table["model"]):
        if model == "small":
            table["energy_joules"][i] *= 100.0
            table["completion_tokens"][i] *= 100
    assert outcomes_from_columns("f", "f", table).model_ids == MODELS
    del table["completion_tokens"]
    without = outcomes_from_columns("f", "f", table)
    assert without.model_ids == ("medium", "large", "small")
    assert without.tokens is None
    assert without.joules_per_token() is None


def test_row_order_and_any_number_of_models_do_not_matter() -> None:
    table, shuffled = columns(10), columns(10)
    order = np.random.default_rng(1).permutation(30).tolist()
    for name, values in table.items():
        shuffled[name] = [values[i] for i in order]
    plain, mixed = (outcomes_from_columns("f", "f", t) for t in (table, shuffled))
    at = [mixed.request_ids.index(name) for name in plain.request_ids]
    np.testing.assert_array_equal(mixed.energy_joules[at], plain.energy_joules)
    one = {
        n: [v for v, m in zip(values, table["model"], strict=True) if m == "large"]
        for n, values in table.items()
    }
    assert outcomes_from_columns("f", "f", one).model_ids == ("large",)


def test_length() -> None:
    assert len(outcomes(7)) == 7


def test_joules_that_the_learner_would_not_take_are_refused() -> None:
    table = columns(2)
    table["energy_joules"][0] = 1e308
    with pytest.raises(ConfigError, match=r"energy_joules = 1e\+308 in row 1: a number from 0 to 1e\+09"):
        outcomes_from_columns("test", "test", table)
