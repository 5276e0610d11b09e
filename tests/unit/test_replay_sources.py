"""Every file format gives the same kind of outcomes, and a wrong file a clear error."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arro3.core import Array, DataType, Table
from arro3.io import write_parquet as write_arrow_parquet

from cli.replay.loading import load_outcomes
from planner.replay.sources.event_log import read_entries, read_event_log, write_event_log
from planner.replay.sources.parquet import read_parquet, write_parquet
from planner.replay.sources.routerbench import read_routerbench
from services.core.errors import ConfigError
from services.core.events import Decision, EnergyAttributed, Event, Label
from tests.unit.fold_events import MODELS, at, decision
from tests.unit.replay_data import columns, outcomes

DATA = Path(__file__).parent / "data"
HUGE = b"\x80\x04\x8e" + b"\xff" * 8
"""A pickle that announces more bytes than there is memory in the world."""


def test_parquet_goes_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    write_parquet(path, columns(8))
    found = load_outcomes(path, {})
    assert found.dataset == "mine"
    np.testing.assert_array_equal(found.energy_joules, outcomes(8).energy_joules)
    np.testing.assert_array_equal(found.tokens, outcomes(8).tokens)
    assert found.prompts == outcomes(8).prompts


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1 broken inside PAR1", b"PAR1\0\0\0\0PAR1"])
def test_a_file_that_is_no_parquet_is_refused(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.parquet"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.parquet: format = not readable as Parquet"):
        read_parquet(path)
    assert capfd.readouterr().err == "", "the reader's own stack is no message"


def test_parquet_of_another_kind_names_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    write_parquet(path, {"prompt": ["a"], "tokens": [1]})
    with pytest.raises(ConfigError, match="missing: request_id, benchmark, model, correct, energy_joules"):
        read_parquet(path)


def test_messplus_csv(tmp_path: Path) -> None:
    path = tmp_path / "boolq.csv"
    path.write_text(
        "doc_id,input_text,benchmark_name,label_small,energy_consumption_small,inference_time_small,"
        'label_large,energy_consumption_large\n0,"is it, so",boolq,1.0,2.5,0.1,True,20\n'
        "1,why,boolq,0.25,3.5,0.1,False,30\n"
    )
    found = load_outcomes(path, {})
    assert found.request_ids == ("boolq-0", "boolq-1")
    assert found.prompts == ("is it, so", "why")
    assert found.model_ids == ("small", "large")
    assert found.satisfaction.tolist() == [[1.0, 1.0], [0.25, 0.0]]
    assert found.energy_joules.tolist() == [[2.5, 20.0], [3.5, 30.0]]


def test_messplus_csv_without_energy_says_so(tmp_path: Path) -> None:
    path = tmp_path / "boolq.csv"
    path.write_text("doc_id,input_text,label_small\n0,why,1\n")
    with pytest.raises(ConfigError, match="missing: energy_consumption_small"):
        load_outcomes(path, {})
    assert load_outcomes(path, {"small": 2.0}).energy_joules.tolist() == [[2.0]]


def test_routellm_csv_and_folders_of_them(tmp_path: Path) -> None:
    head = "prompt,mixtral,gpt-4,mixtral_response,gpt-4_response\n"
    (tmp_path / "gsm8k.csv").write_text(head + "one,True,True,a,b\ntwo,False,True,a,b\n")
    (tmp_path / "mmlu.csv").write_text("prompt,mixtral,gpt-4\nthree,False,False\n")
    joules = {"mixtral": 90.0, "gpt-4": 700.0}
    alone = load_outcomes(tmp_path / "gsm8k.csv", joules)
    assert alone.satisfaction.tolist() == [[1.0, 1.0], [0.0, 1.0]]
    assert "no energy" in alone.notes[0]
    both = load_outcomes(tmp_path, joules)
    assert both.benchmarks == ("gsm8k", "gsm8k", "mmlu")
    assert both.energy_joules[2].tolist() == [90.0, 700.0]


@pytest.mark.parametrize(
    ("joules", "words"),
    [
        ({"mixtral": 1.0}, r"MODEL=JOULES is needed for gpt-4"),
        ({"mixtral": 1.0, "gpt-4": 2.0, "gtp": 3.0}, "--energy = gtp: models here: mixtral, gpt-4"),
    ],
)
def test_routellm_needs_joules_of_every_model(tmp_path: Path, joules: dict[str, float], words: str) -> None:
    path = tmp_path / "gsm8k.csv"
    path.write_text("prompt,mixtral,gpt-4\none,True,True\n")
    with pytest.raises(ConfigError, match=words):
        load_outcomes(path, joules)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "columns = none"),
        ("a,b\n1,2\n", "RouteLLM: prompt"),
        ("prompt,m\nx,True,True\n", "row 1 = 3 fields: 2 as in the header"),
        ("prompt,m,m\nx,True,True\n", "columns = m: each name once"),
        ("prompt,m\nx,maybe\n", "RouteLLM: prompt"),
    ],
)
def test_a_csv_of_neither_kind_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_outcomes(path, {})


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("nan,1,2,3", "label_a = 'nan' in row 2: a number from 0 to 1"),
        ("1,1,2,-3", "energy_consumption_b = '-3' in row 2: a number from 0 to 1e\\+09"),
        ("1,2,,3", "label_b = '2' in row 2: .*\n.*energy_consumption_a = '' in row 2"),
    ],
)
def test_a_wrong_cell_is_named_as_the_csv_has_it(tmp_path: Path, cells: str, words: str) -> None:
    path = tmp_path / "boolq.csv"
    head = "input_text,label_a,label_b,energy_consumption_a,energy_consumption_b\n"
    path.write_text(f"{head}why,1,1,2,3\nhow,{cells}\n")
    with pytest.raises(ConfigError, match=words):
        load_outcomes(path, {})


def test_a_routellm_model_with_a_blank_verdict_is_not_left_out(tmp_path: Path) -> None:
    path = tmp_path / "gsm8k.csv"
    path.write_text("prompt,mixtral,gpt-4\none,True,True\ntwo,,True\n")
    with pytest.raises(ConfigError, match="mixtral = '' in row 2: True or False"):
        load_outcomes(path, {"mixtral": 1.0, "gpt-4": 2.0})


def test_parquet_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.parquet"
    table = columns(1)
    arrays = [Array([float(i) for i in range(3)], type=DataType.float64()) for _ in (*table, "again")]
    write_arrow_parquet(Table.from_arrays(arrays, names=[*table, "correct"]), path)
    with pytest.raises(ConfigError, match="columns = correct: each name once"):
        read_parquet(path)


@pytest.mark.parametrize("name", ["routerbench_pandas1.pkl", "routerbench_pandas2.pkl"])
def test_routerbench_without_pandas(name: str) -> None:
    found = load_outcomes(DATA / name, {})
    assert found.request_ids == ("mmlu.1", "gsm.1", "gsm.2")
    assert found.benchmarks == ("mmlu", "gsm", "gsm")
    assert found.model_ids == ("a/small", "big")
    assert found.satisfaction.tolist() == [[1.0, 1.0], [0.0, 1.0], [0.5, 0.0]]
    assert found.energy_joules.tolist() == [[0.001, 0.01], [0.002, 0.02], [0.003, 0.03]]
    assert "dollars" in found.notes[0]


def test_routerbench_takes_stated_joules() -> None:
    stated = read_routerbench(DATA / "routerbench_pandas2.pkl", {"big": 7.0})
    assert stated.energy_joules[:, 1].tolist() == [7.0, 7.0, 7.0]
    with pytest.raises(ConfigError, match="models here: a/small, big"):
        read_routerbench(DATA / "routerbench_pandas2.pkl", {"bigger": 7.0})


class _Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def test_a_pickle_that_wants_to_run_something_is_refused(tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(_Attack(trace)))
    with pytest.raises(ConfigError, match="which is refused"):
        load_outcomes(path, {})
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"junk", pickle.dumps([1, 2]), pickle.dumps({"a": 1})[:-3], HUGE])
def test_a_pickle_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.pkl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.pkl: format"):
        load_outcomes(path, {})


def test_unknown_suffixes_and_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("")
    with pytest.raises(ConfigError, match="a recorded event log goes to --from-log"):
        load_outcomes(tmp_path / "data.txt", {})
    with pytest.raises(ConfigError, match="no such file"):
        load_outcomes(tmp_path / "none.parquet", {})


def _recorded(path: Path, events: list[Event]) -> Path:
    write_event_log(path, [at(number, event) for number, event in enumerate(events, start=1)])
    return path


def _answered(request_id: str, explored: bool) -> list[Event]:
    first = replace(decision(request_id, "large", explored=explored), sla_class="gold")
    generations = [first.generation_id, *(g.generation_id for g in first.explored_generations)]
    models = [first.model_id, *(g.model_id for g in first.explored_generations)]
    events: list[Event] = [first, Label(request_id, "", 1.0, "client")]
    for generation_id, model in zip(generations, models, strict=True):
        events.append(EnergyAttributed(request_id, generation_id, model, 2.0 + MODELS.index(model)))
        if generation_id != first.generation_id:
            events.append(Label(request_id, generation_id, 0.5, "judge"))
    return events


def test_an_event_log_gives_the_requests_that_every_model_answered(tmp_path: Path) -> None:
    events = [*_answered("a", explored=True), *_answered("b", explored=False)]
    found = read_event_log(_recorded(tmp_path / "events.jsonl", events))
    assert found.request_ids == ("a",)
    assert found.benchmarks == ("gold",)
    assert found.satisfaction.tolist() == [[0.5, 0.5, 1.0]]
    assert found.energy_joules.tolist() == [[2.0, 3.0, 4.0]]
    assert found.features is not None
    assert found.features.tolist() == [[1.0, 0.25]]
    assert "1 of 2 requests" in found.notes[0]


def test_a_log_comes_back_as_it_was_written(tmp_path: Path) -> None:
    events = _answered("a", explored=True)
    found = list(read_entries(_recorded(tmp_path / "events.jsonl", events)))
    assert [str(entry.position) for entry in found] == [f"{n}-0" for n in range(1, len(events) + 1)]
    assert [entry.event for entry in found[1:]] == events[1:]


def test_a_log_without_such_requests_or_with_junk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1, none of them answered by every model"):
        read_event_log(_recorded(tmp_path / "one.jsonl", _answered("b", explored=False)))
    junk = tmp_path / "junk.jsonl"
    junk.write_text('{"id": "1-0"}\n')
    with pytest.raises(ConfigError, match="line 1"):
        read_event_log(junk)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{}", "line 1 = {}: no log entry: lacks 'type'"),
        ("", "line 1 = empty"),
        ("[" * 10_000, "no log entry"),
        ("PAR1\udcb2", "line 1 = PAR1\ufffd: no log entry"),
    ],
)
def test_a_line_that_is_no_entry_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(line + "\n", errors="surrogateescape")
    with pytest.raises(ConfigError, match=words):
        read_event_log(path)


def test_decisions_with_different_features_are_no_stream(tmp_path: Path) -> None:
    events = [*_answered("a", explored=True), *_answered("b", explored=True)]
    events = [
        replace(e, features=np.ones(5)) if isinstance(e, Decision) and e.request_id == "b" else e
        for e in events
    ]
    with pytest.raises(ConfigError, match="features = 2, 5 per request"):
        read_event_log(_recorded(tmp_path / "events.jsonl", events))
