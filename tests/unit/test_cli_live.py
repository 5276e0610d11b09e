"""The demo's live view: where the run stands, on a terminal and in a pipe."""

import io

from rich.console import Console

from cli.demo.live import LiveView
from cli.demo.run_log import RunLog
from services.core.events import EnergyAttributed, Label
from tests.unit.test_cli_run_log import DECISION, log_of


def finished_log() -> RunLog:
    return log_of(DECISION, EnergyAttributed("r1", "g1", "large", 4.0), Label("r1", "g1", 1.0, "reference"))


def shown(*, terminal: bool, routed: bool = True) -> str:
    text = io.StringIO()
    view = LiveView(Console(file=text, force_terminal=terminal, width=140), finished_log(), 0.7)
    with view.stage("answers", 1, routed=routed):
        view.advance()
    return text.getvalue()


def test_a_pipe_gets_plain_lines() -> None:
    lines = shown(terminal=False).splitlines()
    standing = "satisfaction 1.000 (target 0.70)  queue 1.50  4.00 J/request  large 100 %"
    assert lines == ["answers: 1 answers", f"1/1  {standing}"]


def test_the_baselines_say_nothing_of_the_routed_run() -> None:
    assert shown(terminal=False, routed=False).splitlines()[1] == "1/1"


def test_a_terminal_gets_a_bar_and_the_standing() -> None:
    text = shown(terminal=True)
    assert "1/1" in text
    assert "satisfaction 1.000" in text


def test_nothing_is_claimed_before_the_first_answer() -> None:
    assert "satisfaction -" in LiveView(Console(file=io.StringIO()), RunLog(), 0.7).standing()
