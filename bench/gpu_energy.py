"""`python -m bench.gpu_energy`: what an NVIDIA GPU's counter is worth, and whether its joules are conserved.

Needs a GPU that NVML can meter (`messplus meters` lists it) and PyTorch of at least 2.5, which is no
dependency of this project: install it for this machine's CUDA. Takes about three minutes. In turn:

  counter   bursts of work until the start-up self-check knows the update period, the lag, and how far the
            counter is from the integrated power
  idle      the power of the GPU with the model loaded and nothing to do
  batches   a transformer with random weights serves requests with continuous batching; every engine step is
            reported to the real accounting; figures plus unattributed must be what was measured, to 1 uJ
  law       step coefficients fitted to the windows of all batches, and what they leave unexplained

The table is in the form of docs/benchmarks.md. Status: 0, 1 where a target was missed, 2 where this machine
cannot run it.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from bench.gpu_engine import BOOT, MAX_TOKENS, MODEL, Engine, Model, RecordedMeter
from bench.gpu_findings import Findings, Served, markdown, table
from bench.gpu_fit import fit_steps
from bench.gpu_transformer import SHAPES, TorchMissing, Transformer, import_torch
from services.core.energy_ledger import Reading
from services.core.events import EnergyAttributed
from services.core.steps import StepCoefficients
from services.energy.accounting import AccountingSettings, EnergyAccounting
from services.energy.meters.base import MICROJOULES_PER_JOULE, Unavailable
from services.energy.meters.nvml import nvml_meters
from services.energy.meters.sampled import MeterReadError, SampledMeter
from services.energy.recent import RecentEnergy
from services.energy.reports import ReportedStep

POLL_SECONDS = 0.02
_BURST_SECONDS, _SETTLE_SECONDS = 0.5, 5.0
_ROUGH_COSTS = StepCoefficients(0.02, 0.0, 0.05, 1e-6, 1.0)


@dataclass(frozen=True)
class Plan:
    """What to run, and for how long."""

    batches: Sequence[int]
    batch_seconds: float
    idle_seconds: float = 5.0
    check_seconds: float = 60.0
    """How long to try to learn the counter's lag."""


def main(arguments: Sequence[str] | None = None) -> int:
    wanted = _parsed(arguments)
    try:
        meter = chosen_meter(wanted.device)
        os.environ["CUDA_VISIBLE_DEVICES"] = meter.meter_id
        torch = import_torch()
    except (MeterReadError, TorchMissing) as error:
        print(f"gpu_energy: {error}", file=sys.stderr)
        return 2

    def model_for(batch: int) -> Model:
        torch.cuda.empty_cache()
        return Transformer(torch, SHAPES[wanted.shape], batch, MAX_TOKENS)

    findings = measure(meter, model_for, Plan(wanted.batch, wanted.seconds))
    lines = table(findings)
    print("\n".join(markdown(lines)))
    shape = f"{SHAPES[wanted.shape].parameters / 1e9:.1f}B parameters, random weights"
    print(f"\n{date.today()}, {meter.detail}, {shape}, PyTorch {torch.__version__},", end=" ")
    print(f"Python {platform.python_version()}, `python -m bench.gpu_energy`")
    return int(any(reached == "**no**" for *_, reached in lines))


def chosen_meter(uuid: str) -> SampledMeter:
    """The GPU of this UUID, the first one for "". Raises MeterReadError, with what to do."""
    found = {meter.meter_id: meter for meter in nvml_meters(POLL_SECONDS)}
    if not found:
        raise MeterReadError("this machine has no NVIDIA GPU; run it on one that `nvidia-smi` lists")
    meter = found.get(uuid or next(iter(found)))
    if meter is None:
        raise MeterReadError(f"no GPU is called {uuid}; there are: {', '.join(found)}")
    if not isinstance(meter, SampledMeter):
        shown = meter.read()
        why = shown.reason if isinstance(shown, Unavailable) else "it has no counter"
        raise MeterReadError(f"{meter.meter_id} cannot be metered: {why}")
    return meter


def measure(meter: SampledMeter, model_for: Callable[[int], Model], plan: Plan) -> Findings:
    """Runs all parts; the meter is started and stopped here."""
    findings = Findings(meter)
    meter.start()
    try:
        model = model_for(1)
        _vary_power(meter, model, plan.check_seconds)
        meter.read()
        time.sleep(plan.idle_seconds)
        findings.idle_watts = mean_watts(meter.read())
        for batch in plan.batches:
            del model
            model = model_for(batch)
            findings.served.append(serve(meter, model, batch, plan.batch_seconds, findings.idle_watts))
    finally:
        meter.stop()
    steps: list[ReportedStep] = [step for each in findings.served for step in each.engine.steps]
    readings = [reading for each in findings.served for reading in each.readings]
    findings.fit = fit_steps(readings, steps, findings.idle_watts)
    return findings


def serve(meter: SampledMeter, model: Model, batch: int, seconds: float, idle_watts: float) -> Served:
    """Serves at one batch size, and waits until every figure is final."""
    model.prefill(0, 16)
    meter.read()
    recorded, published = RecordedMeter(meter), list[EnergyAttributed]()
    settings = AccountingSettings(1.0, idle_watts, {MODEL: _ROUGH_COSTS}, BOOT, 60.0)
    accounting = EnergyAccounting(settings, [recorded], RecentEnergy(100_000), published.append, {})
    engine = Engine(model, accounting, meter.meter_id)
    engine.report()
    begin = time.monotonic()
    engine.run(batch, seconds)
    elapsed, deadline = time.monotonic() - begin, time.monotonic() + _SETTLE_SECONDS
    while len(published) < engine.generations and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        engine.report()
    accounting.close()
    return Served(batch, elapsed, engine, published, accounting.meters()[0], recorded.readings)


def mean_watts(shown: Sequence[Reading] | Unavailable) -> float:
    """Mean power over readings, W. Raises MeterReadError where there are not two in a row."""
    if isinstance(shown, Unavailable):
        raise MeterReadError(shown.reason)
    known = [pair for pair in pairwise(shown) if not pair[1].follows_gap]
    if not known:
        raise MeterReadError("the counter did not change while the GPU was idle: `messplus meters` says more")
    joules = (
        sum(b.cumulative_microjoules - a.cumulative_microjoules for a, b in known) / MICROJOULES_PER_JOULE
    )
    return joules / (sum(b.monotonic_nanoseconds - a.monotonic_nanoseconds for a, b in known) * 1e-9)


def _vary_power(meter: SampledMeter, model: Model, seconds: float) -> None:
    """Bursts of work with pauses: an even power would show no lag."""
    end = time.monotonic() + seconds
    while meter.observed.lag_seconds is None and time.monotonic() < end:
        pause = time.monotonic() + _BURST_SECONDS
        while time.monotonic() < pause:
            model.prefill(0, 256)
        time.sleep(_BURST_SECONDS)
        meter.read()


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.gpu_energy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--shape", choices=SHAPES, default="3b", help="of Llama 3.2-1B, 3.2-3B or 3.1-8B (3b)"
    )
    parser.add_argument("--batch", type=_positive, nargs="+", default=[1, 8, 64], help="sizes (1 8 64)")
    parser.add_argument("--seconds", type=float, default=30.0, help="per batch size (30)")
    parser.add_argument("--device", default="", metavar="UUID", help="which GPU (the first)")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"is {text!r}, must be a whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
