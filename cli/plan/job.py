"""What `messplus plan` does once its options are checked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from cli.failure import config_error
from cli.plan.report import write_report
from cli.plan.study import PlanStudy, RouterResult, TargetPlan, document
from cli.plan.tables import MODEL_HEADINGS, PLAN_HEADINGS, model_rows, plan_rows, unreachable
from cli.progress import progress
from cli.replay.embedding import compact_features
from cli.tables import texts_table
from cli.written_files import say_written, write_asked
from planner.replay.labels import parse_labels
from planner.replay.outcomes import Outcomes
from planner.replay.streams import Order
from planner.replay.study import Question, run_one
from planner.runtime.helm import read_profiles
from planner.runtime.profile import predicted_all
from planner.zoo_plan import Candidates, ZooPlan, candidates_from, cheapest_zoo, only, stability
from services.core.events import FloatArray

RESAMPLES = 200
_POLICY = "pacer"
_SHOWN_EVERY = 250


@dataclass(frozen=True, slots=True)
class Options:
    """The command's options, checked one by one."""

    targets: tuple[float, ...]
    memory_limit_gb: float | None
    memory_gb: Mapping[str, float]
    profiles: Path | None
    board_watts: float | None
    router_seeds: int
    """0: no replay."""


def make_plan(outcomes: Outcomes, options: Options, console: Console) -> PlanStudy:
    """Plans every target. Raises ConfigError."""
    _check_memory(outcomes, options)
    joules = _profiled(outcomes, options)
    candidates = candidates_from(outcomes, options.memory_gb, joules)
    limit = np.inf if options.memory_limit_gb is None else options.memory_limit_gb
    plans = {target: cheapest_zoo(candidates, target, limit) for target in options.targets}
    found = {target: plan for target, plan in plans.items() if plan is not None}
    if not found:
        least = float(candidates.memory_gb.min())
        raise config_error("plan", "--memory-gb", limit, f"at least {least:g}: not even one model fits")
    routed = _routed(outcomes, candidates, found, options, limit, console)
    targets = tuple(
        TargetPlan(
            target, plan, stability(outcomes, candidates, target, limit, RESAMPLES), routed.get(target, ())
        )
        for target, plan in found.items()
    )
    source = str(options.profiles)
    notes = (*outcomes.notes, *_extrapolated(outcomes, options))
    joules_from = dict.fromkeys(joules, source)
    return PlanStudy(outcomes, candidates, options.memory_limit_gb, joules_from, targets, notes)


def _extrapolated(outcomes: Outcomes, options: Options) -> tuple[str, ...]:
    """Requests whose prompts lie outside of what a model's profile measured."""
    if options.profiles is None or outcomes.tokens is None:
        return ()
    profiles = read_profiles(options.profiles)
    notes = []
    for i, model in enumerate(outcomes.model_ids):
        if model in profiles:
            low, high = min(profiles[model].seconds.for_prompt), max(profiles[model].seconds.for_prompt)
            tokens = outcomes.tokens[:, i, 0]
            if count := int(((tokens < low) | (tokens > high)).sum()):
                notes.append(f"{model}: {count:,} prompts are outside the measured {low} to {high} tokens.")
    return tuple(notes)


def _check_memory(outcomes: Outcomes, options: Options) -> None:
    known = ", ".join(outcomes.model_ids)
    for model in options.memory_gb:
        if model not in outcomes.model_ids:
            raise config_error("plan", "--model-memory", model, f"models here: {known}")
    lacking = [model for model in outcomes.model_ids if model not in options.memory_gb]
    if options.memory_limit_gb is not None and lacking:
        allowed = f"MODEL=GB is needed for {', '.join(lacking)}"
        raise config_error("plan", "--model-memory", "(not given)", allowed)


def _profiled(outcomes: Outcomes, options: Options) -> dict[str, FloatArray]:
    """Idealized joules of every request by model, for the models that have a profile."""
    if options.profiles is None:
        return {}
    if outcomes.tokens is None:
        allowed = "outcomes with prompt_tokens and completion_tokens, which a profile needs"
        raise config_error("plan", "--profile", options.profiles, allowed)
    profiles = read_profiles(options.profiles)
    found = {}
    for i, model in enumerate(outcomes.model_ids):
        if model not in profiles:
            continue
        tokens = outcomes.tokens[:, i, 0], outcomes.tokens[:, i, 1]
        if (metered := profiles[model].joules) is not None:
            found[model] = predicted_all(metered, *tokens)
        elif options.board_watts is not None:
            found[model] = predicted_all(profiles[model].seconds, *tokens) * options.board_watts
        else:
            raise config_error("plan", "--board-watts", "(not given)", f"needed: {model} was not metered")
    if not found:
        allowed = f"a profile of {', '.join(outcomes.model_ids)}"
        raise config_error("plan", "--profile", ", ".join(profiles), allowed)
    return found


def _routed(
    outcomes: Outcomes,
    candidates: Candidates,
    plans: Mapping[float, ZooPlan],
    options: Options,
    limit: float,
    console: Console,
) -> dict[float, tuple[RouterResult, ...]]:
    """The router with the planned zoo, and with all models where they fit as well."""
    if not options.router_seeds:
        return {}
    zoos: dict[float, list[tuple[str, ...]]] = {
        target: [tuple(m for m in outcomes.model_ids if m in plan.shares)] for target, plan in plans.items()
    }
    for found in zoos.values():
        if candidates.memory_gb.sum() <= limit and found[0] != outcomes.model_ids:
            found.append(outcomes.model_ids)
    runs = sum(len(found) for found in zoos.values()) * options.router_seeds
    with progress(console, "features", len(outcomes), _SHOWN_EVERY) as advance:
        features = compact_features(outcomes, advance)
    with progress(console, f"{runs} runs of the router", runs) as advance:
        return {
            target: tuple(_route(outcomes, features, zoo, target, options, advance) for zoo in found)
            for target, found in zoos.items()
        }


def _route(
    outcomes: Outcomes,
    features: FloatArray,
    zoo: Sequence[str],
    target: float,
    options: Options,
    advance: Callable[[], None],
) -> RouterResult:
    question = Question((_POLICY,), (target,), Order.RANDOM, parse_labels("full"), options.router_seeds)
    kept = only(outcomes, zoo)
    results = []
    for seed in range(options.router_seeds):
        results.append(run_one(kept, features, question, _POLICY, target, seed).metrics)
        advance()
    joules = float(np.mean([result.energy_joules_per_request for result in results]))
    return RouterResult(tuple(zoo), joules, float(np.mean([result.satisfaction for result in results])))


def show(study: PlanStudy, json_file: Path | None, report: Path | None, console: Console) -> None:
    """Prints the tables and writes the files that were asked for."""
    write_asked(json_file, lambda: document(study), report, lambda path: write_report(path, study))
    title = f"{study.outcomes.dataset}: {len(study.outcomes):,} requests"
    console.print(texts_table(title, MODEL_HEADINGS, model_rows(study)))
    console.print(texts_table("Cheapest zoo", PLAN_HEADINGS, plan_rows(study)))
    for note in [*unreachable(study), *study.notes]:
        console.print(note, highlight=False, markup=False)
    say_written(console, json_file, report)
