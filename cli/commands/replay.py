"""`messplus replay`: policies on recorded outcomes, beside everything that hindsight could have done."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.checks import check_targets, stated
from cli.console import command_console
from cli.failure import config_error
from cli.progress import progress
from cli.replay.embedding import compact_features
from cli.replay.loading import load_log, load_outcomes
from cli.replay.summary import baseline_table, study_table
from cli.written_files import check_written_files, say_written, write_asked
from planner.replay.labels import LabelRegime, parse_labels
from planner.replay.outcomes import Outcomes
from planner.replay.priors import PriorKind
from planner.replay.streams import Order
from planner.replay.study import (
    Question,
    Study,
    combinations,
    default_policies,
    default_targets,
    document,
    run_study,
)
from services.core.policies.parameters import PolicyConfigError
from services.core.policies.registry import policy_from_config

DEFAULT_SEEDS = 5
MAX_SEEDS = 1000
_SHOWN_EVERY = 250


def replay(
    outcomes: Annotated[
        Path | None,
        typer.Option(
            "--outcomes",
            help="What every model made of every request: .parquet, MESS+'s or RouteLLM's .csv, "
            "RouterBench's .pkl.",
            metavar="FILE",
        ),
    ] = None,
    from_log: Annotated[
        Path | None,
        typer.Option("--from-log", help="A recorded event log of this system instead.", metavar="FILE"),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            help=f"{', '.join(default_policies())} (the default: all of them) or single:MODEL; repeat.",
            metavar="NAME",
        ),
    ] = None,
    min_satisfaction: Annotated[
        list[float] | None,
        typer.Option(
            "--min-satisfaction",
            help="The target, in (0, 1); repeat for several. Default: the quarters between the cheapest and "
            "the best single model.",
            metavar="A",
        ),
    ] = None,
    order: Annotated[
        Order, typer.Option("--order", help="random; sorted by benchmark; drift in mid-stream.")
    ] = Order.RANDOM,
    labels: Annotated[
        str,
        typer.Option(
            "--labels",
            help="full; partial:0.2 (share); delayed:200 (requests); biased:3 (dissatisfied users answer "
            "three times as often); biased:3+audit:0.02 (and 2 % are judged whatever users do).",
        ),
    ] = "full",
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, max=MAX_SEEDS, help="Runs of each, from seed 0.")
    ] = DEFAULT_SEEDS,
    prior: Annotated[
        PriorKind,
        typer.Option("--prior", help="rough: mean satisfaction known to 10 points; none: nothing is known."),
    ] = PriorKind.ROUGH,
    class_per_benchmark: Annotated[
        bool, typer.Option("--class-per-benchmark", help="An SLA class with the target for every benchmark.")
    ] = False,
    snapshot_every: Annotated[
        int,
        typer.Option(
            "--snapshot-every",
            min=1,
            help="Requests that the router decides on one snapshot of what is learned.",
        ),
    ] = 1,
    energy: Annotated[
        list[str] | None,
        typer.Option(
            "--energy", help="Joules per request of a model whose file has none; repeat.", metavar="MODEL=J"
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write every run and baseline here.", metavar="OUT.json")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write figures and tables here.", metavar="OUT.html")
    ] = None,
) -> None:
    """Run policies over recorded outcomes, with the decision function and the fold that run live.

    Every request goes through decision, joules, label and learning as in a
    running system; all joules count, those of exploration too. Beside each
    policy stand single models, the cheapest static mixture, a mixture per
    benchmark and a clairvoyant, which all know in hindsight what a policy has
    to learn. The same seed gives the same numbers.

    A .parquet FILE has one row per request and model: request_id, benchmark,
    prompt, model, correct (0 to 1), energy_joules, and if known prompt_tokens
    and completion_tokens; other columns are ignored.

    Examples:

      messplus replay --outcomes outcomes.parquet

      messplus replay --outcomes outcomes.parquet --policy messplus-2025 \\
          --min-satisfaction 0.6 --seeds 1

      messplus replay --outcomes outcomes.parquet --labels partial:0.2 \\
          --order drift --json runs.json

      messplus replay --outcomes two_models.csv --energy small=90 \\
          --energy large=700 --report replay.html
    """
    console = command_console(markup=False)
    data = _load(outcomes, from_log, energy or [])
    question = Question(
        tuple(dict.fromkeys(policy or default_policies())),
        tuple(dict.fromkeys(min_satisfaction or default_targets(data))),
        order,
        _labels(labels),
        seeds,
        prior,
        class_per_benchmark,
        snapshot_every,
    )
    _check(question, data)
    read = [path for path in (outcomes, from_log) if path is not None]
    check_written_files("replay", {"--json": json_file, "--report": report}, read)
    study = _run(data, question, console)
    _show(study, json_file, report, console)


def _load(outcomes: Path | None, from_log: Path | None, energy: Sequence[str]) -> Outcomes:
    if (outcomes is None) == (from_log is None):
        value = "neither" if outcomes is None else "both"
        raise config_error("replay", "--outcomes, --from-log", value, "exactly one is needed")
    joules = stated("replay", "--energy", energy, "J")
    if from_log is not None:
        return load_log(from_log, joules)
    return load_outcomes(outcomes or Path(), joules)


def _labels(text: str) -> LabelRegime:
    try:
        return parse_labels(text)
    except ValueError as error:
        raise config_error("replay", "--labels", text, str(error)) from None


def _check(question: Question, data: Outcomes) -> None:
    """What can be wrong is found before hours of runs, not after. Raises ConfigError."""
    check_targets("replay", question.targets)
    for name in question.policies:
        try:
            policy_from_config(name, {}, data.model_ids)
        except PolicyConfigError as error:
            # Without parameters, only the name can be wrong.
            raise config_error("replay", "--policy", name, error.problems[0].allowed) from None


def _run(data: Outcomes, question: Question, console: Console) -> Study:
    runs = len(list(combinations(question)))
    with progress(console, "features", len(data), _SHOWN_EVERY) as advance:
        features = compact_features(data, advance)
    with progress(console, f"{runs} runs", runs * len(data), _SHOWN_EVERY) as advance:
        return run_study(data, features, question, advance)


def _show(study: Study, json_file: Path | None, report: Path | None, console: Console) -> None:
    write_asked(json_file, lambda: document(study), report, lambda path: _write_report(path, study))
    console.print(study_table(study))
    console.print(baseline_table(study))
    for note in study.notes:
        console.print(note, highlight=False, markup=False)
    say_written(console, json_file, report)


def _write_report(path: Path, study: Study) -> None:
    # Matplotlib takes a second to import, which only those who want figures should pay for.
    from cli.replay.report import write_report

    write_report(path, study)
