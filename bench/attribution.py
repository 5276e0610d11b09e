"""`python -m bench.attribution [--json]`: joules per request against the truth of a simulated GPU.

At each rate three GPUs whose counters differ in period and lag, which the attributor does not know. It starts
from a zoo file's default coefficients and calibrates itself; the first two minutes are left out. Takes about
a minute.
"""

import json
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date

import numpy as np

from bench.attribution_cost import cpu_fraction
from bench.attribution_methods import OTHERS, Attributed, attribute, window_energies
from bench.gpu_law import StepLaw
from bench.gpu_simulation import Counter, readings, serve
from bench.run import processor

POLL_SECONDS = 0.02
WARM_UP_SECONDS = 120.0
OURS = "ours, calibrated"
OURS_CAUSAL = "ours, if time a prompt adds were its own"
SEED = 2026
RATES = {0.5: (160, 0.08), 4.0: (1100, 0.08), 20.0: (4500, 0.15)}
"""Requests per second -> requests simulated, target of the p95 error."""
COUNTERS = ((0.02, 0.05), (0.05, 0.12), (0.1, 0.03))
"""Update period and lag, s."""


@dataclass(frozen=True)
class Errors:
    """Relative errors of requests, and what a method hands out in all as a fraction of what it should."""

    median: float
    p95: float
    sum_ratio: float


@dataclass(frozen=True)
class Outcome:
    """One rate on one GPU."""

    rate: float
    period_seconds: float
    lag_seconds: float
    found_lag_seconds: float
    relative_errors: Mapping[str, list[float]]
    sum_ratios: Mapping[str, float]
    covered: list[bool]
    unbalanced_microjoules: int


def simulate(rate: float, count: int, period_seconds: float, lag_seconds: float, seed: int) -> Outcome:
    random = np.random.default_rng(seed)
    run = serve(StepLaw(wave_phase=random.uniform(0, 2 * np.pi)), rate, count, random)
    counter = Counter(run, period_seconds, lag_seconds, random)
    seen = readings(counter, run.seconds + 0.9, POLL_SECONDS, random)
    ours = attribute(run, seen)
    found = ours.lag_seconds
    pieces = window_energies(run, seen, found)
    joules = {name: method(run, seen, pieces) for name, method in OTHERS.items()}
    joules[OURS] = {request_id: figure.energy_joules for request_id, figure in ours.figures.items()}
    judged = [r for r in run.requests if r.arrival_seconds > min(WARM_UP_SECONDS, run.seconds / 2)]
    true = {r.request_id: r.true_joules for r in judged}
    causal = {r.request_id: r.prolonging_joules for r in judged}
    errors = {name: _errors(got, true) for name, got in joules.items()}
    errors[OURS_CAUSAL] = _errors(joules[OURS], causal)
    ratios = {name: sum(got[i] for i in true) / sum(true.values()) for name, got in joules.items()}
    return Outcome(
        rate,
        period_seconds,
        lag_seconds,
        found,
        errors,
        {**ratios, OURS_CAUSAL: ratios[OURS]},
        _covered(ours, true),
        ours.unbalanced_microjoules,
    )


def _errors(got: Mapping[str, float], true: Mapping[str, float]) -> list[float]:
    return [abs(got[request_id] / joules - 1) for request_id, joules in true.items()]


def _covered(ours: Attributed, true: Mapping[str, float]) -> list[bool]:
    """Whether the truth lies within the uncertainty; a figure without one does not cover it."""
    figures = ours.figures
    return [
        abs(figures[i].energy_joules - joules) <= (figures[i].uncertainty_joules or 0.0)
        for i, joules in true.items()
    ]


def summarise(outcomes: Iterable[Outcome]) -> dict[str, Errors]:
    """Per method, over all requests of some outcomes."""
    outcomes = list(outcomes)
    return {
        name: Errors(
            float(np.median(errors := np.concatenate([o.relative_errors[name] for o in outcomes]))),
            float(np.quantile(errors, 0.95)),
            float(np.mean([o.sum_ratios[name] for o in outcomes])),
        )
        for name in outcomes[0].relative_errors
    }


def targets(outcomes: list[Outcome], cpu: Mapping[int, float]) -> list[tuple[str, str, str, bool]]:
    """What, value, target, reached."""
    rows = []
    unbalanced = max(abs(o.unbalanced_microjoules) for o in outcomes)
    rows.append(("attributed + unattributed - measured", f"{unbalanced} uJ", "0 uJ", unbalanced == 0))
    for rate, (_, p95) in RATES.items():
        own = [o for o in outcomes if o.rate == rate]
        errors, covered = summarise(own)[OURS], float(np.mean([c for o in own for c in o.covered]))
        rows += [
            (f"p95 error, {rate:g} requests/s", f"{errors.p95:.1%}", f"<= {p95:.0%}", errors.p95 <= p95),
            (f"median error, {rate:g} requests/s", f"{errors.median:.1%}", "<= 3%", errors.median <= 0.03),
            (
                f"truth within uncertainty, {rate:g} requests/s",
                f"{covered:.1%}",
                "90-99%",
                0.9 <= covered <= 0.99,
            ),
        ]
    for windows, used in cpu.items():
        what = f"of one core: 50 Hz, {windows} windows/s, 64 running"
        rows.append((what, f"{used:.2%}", "<= 1%", used <= 0.01))
    return rows


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--json"]):
        print(f"unknown argument {' '.join(arguments)}; there is: --json")
        return 2
    outcomes = [
        simulate(rate, count, period, lag, SEED + 10 * i + j)
        for i, (rate, (count, _)) in enumerate(RATES.items())
        for j, (period, lag) in enumerate(COUNTERS)
    ]
    cpu = {windows: cpu_fraction(windows) for windows in (10, 50)}
    if arguments:
        print(json.dumps(_as_json(outcomes, cpu), indent=1))
        return 0
    _print_tables(outcomes, cpu)
    return 0


def _as_json(outcomes: list[Outcome], cpu: Mapping[int, float]) -> dict[str, object]:
    rows = targets(outcomes, cpu)
    return {
        "errors": {
            f"{rate:g}": {n: asdict(e) for n, e in summarise(o for o in outcomes if o.rate == rate).items()}
            for rate in RATES
        },
        "targets": [dict(zip(("what", "value", "target", "reached"), row, strict=True)) for row in rows],
    }


def _print_tables(outcomes: list[Outcome], cpu: Mapping[int, float]) -> None:
    for rate in RATES:
        own = [o for o in outcomes if o.rate == rate]
        count = sum(len(o.covered) for o in own)
        print(f"\n| {rate:g} requests/s: {count} on {len(own)} GPUs | median error | p95 error | sum/true |")
        print("|---|---|---|---|")
        for name, errors in sorted(summarise(own).items(), key=lambda item: item[1].p95):
            print(f"| {name} | {errors.median:.1%} | {errors.p95:.1%} | {errors.sum_ratio:.3f} |")
    print(
        "\n| GPU | lag found | median error | p95 error | truth within uncertainty |\n|---|---|---|---|---|"
    )
    for o in outcomes:
        errors = summarise([o])[OURS]
        gpu = f"{o.rate:g}/s, period {o.period_seconds * 1e3:g} ms, lag {o.lag_seconds * 1e3:g} ms"
        print(
            f"| {gpu} | {o.found_lag_seconds * 1e3:.0f} ms | {errors.median:.1%} | {errors.p95:.1%} "
            f"| {np.mean(o.covered):.1%} |"
        )
    print("\n| target | value | target | reached |\n|---|---|---|---|")
    for what, value, target, reached in targets(outcomes, cpu):
        print(f"| {what} | {value} | {target} | {'yes' if reached else '**no**'} |")
    print(f"\n{date.today()}, {processor()}, Python {platform.python_version()}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
