"""bench.gpu_energy without a GPU: what it says then, and all but PyTorch over a stand-in driver."""

import sys
import time
from collections.abc import Sequence

import numpy as np
import pytest

from bench.gpu_energy import Plan, chosen_meter, main, mean_watts, measure
from bench.gpu_findings import markdown, table
from bench.gpu_fit import NAMES, fit_steps
from bench.gpu_transformer import SHAPES, Shape, TorchMissing, Transformer, import_torch
from services.core.energy_ledger import Reading
from services.core.steps import GenerationWork, StepWork
from services.energy.meters.base import Unavailable
from services.energy.meters.sampled import MeterReadError
from services.energy.reports import ReportedStep
from tests.nvml_stand_in import StandIn

MILLISECOND = 1_000_000


class FakeModel:
    """Takes as long as a small model on a quick GPU; remembers the batches."""

    def __init__(self, slots: int) -> None:
        self.slots, self.batches = slots, set[int]()

    def prefill(self, slot: int, tokens: int) -> None:
        assert slot < self.slots
        time.sleep(0.002)

    def decode(self, slots: Sequence[int]) -> None:
        self.batches.add(len(slots))
        time.sleep(0.001)


def test_without_a_driver_or_a_gpu_it_says_what_to_do(
    gpu: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu.play(init_code=9)
    assert main([]) == 2
    assert "load the NVIDIA kernel driver" in capsys.readouterr().err
    gpu.begin(gpus=0)
    assert main([]) == 2
    assert "gpu_energy: this machine has no NVIDIA GPU; run it on one" in capsys.readouterr().err


def test_a_gpu_that_is_not_there_or_cannot_be_metered_is_refused(gpu: StandIn) -> None:
    with pytest.raises(MeterReadError, match="no GPU is called GPU-9; there are: GPU-00000000"):
        chosen_meter("GPU-9")
    gpu.play(mig=1)
    with pytest.raises(MeterReadError, match=r"GPU-00000000 cannot be metered: .*MIG"):
        chosen_meter("")


def test_without_pytorch_it_names_what_to_install(
    gpu: StandIn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main([]) == 2
    assert "pip install torch" in capsys.readouterr().err
    with pytest.raises(TorchMissing):
        import_torch()


@pytest.mark.parametrize("arguments", [["--batch", "0"], ["--shape", "900b"], ["--batch", "x"]])
def test_wrong_options_are_refused_and_help_teaches(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    with pytest.raises(SystemExit) as helped:
        main(["--help"])
    assert helped.value.code == 0
    printed = capsys.readouterr().out
    for words in ("conserved", "docs/benchmarks.md", "PyTorch", "Status: 0, 1 where", "--shape"):
        assert words in printed


def test_joules_are_conserved_and_every_request_has_its_figure(gpu: StandIn) -> None:
    gpu.play(rise_mj=2000)
    models: list[FakeModel] = []

    def model_for(batch: int) -> FakeModel:
        models.append(FakeModel(batch))
        return models[-1]

    plan = Plan((1, 4), batch_seconds=0.5, idle_seconds=0.3, check_seconds=0.0)
    findings = measure(chosen_meter(""), model_for, plan)
    assert findings.idle_watts > 0
    for served in findings.served:
        assert served.missing_microjoules == 0
        assert served.attributed_joules > 0
        assert len(served.published) == served.engine.generations > 0
        assert {figure.quality for figure in served.published} == {"MEASURED"}
        assert {figure.tier for figure in served.published} == {"A"}
    assert (max(models[1].batches), max(models[2].batches)) == (1, 4)
    lines = table(findings)
    judged = {name: reached for name, _, _, reached in lines if reached}
    assert set(judged.values()) == {"yes"}
    assert sum("measured - (figures" in name for name in judged) == 2
    text = "\n".join(markdown(lines))
    assert text.startswith("| measurement | value | target | reached |\n|---|---|---|---|\n| update period")
    assert all(line.count("|") == 5 for line in text.splitlines())


def test_a_joule_that_is_lost_is_not_reached(gpu: StandIn) -> None:
    gpu.play(rise_mj=2000)
    plan = Plan((1,), batch_seconds=0.2, idle_seconds=0.3, check_seconds=0.0)
    findings = measure(chosen_meter(""), FakeModel, plan)
    findings.served[0].published.pop()
    missed = [name for name, _, _, reached in table(findings) if reached == "**no**"]
    assert missed == [
        "batch 1: measured - (figures + unattributed)",
        "batch 1: requests with a figure",
    ]


COSTS = np.array([0.02, 1e-6, 0.05, 2e-6, 1.5])


def world(idle_watts: float) -> tuple[list[Reading], list[ReportedStep]]:
    """Steps of many kinds without a pause, and a counter that obeys the step law, every 100 ms."""
    rng, now, steps, done = np.random.default_rng(4), 0, [], [(0, 0.0)]
    for number in range(4000):
        batch, prompt = int(rng.integers(1, 40)), int(rng.integers(0, 2) * rng.integers(10, 500))
        contexts = rng.integers(50, 3000, batch)
        work = [
            GenerationWork(f"{number}-{i}", prompt if i == 0 else 0, 1, int(x))
            for i, x in enumerate(contexts)
        ]
        end = now + int(rng.integers(10, 30)) * MILLISECOND
        steps.append(ReportedStep(now, end, StepWork.of(*work)))
        features = [prompt, prompt * int(contexts[0]), batch, int(contexts.sum()), 1]
        joules = float(COSTS @ features) + idle_watts * (end - now) * 1e-9
        done.append((end, done[-1][1] + joules))
        now = end
    times, joules_done = np.array(done).T
    readings = [
        Reading(at, round(float(np.interp(at, times, joules_done)) * 1e6))
        for at in range(0, now, 100 * MILLISECOND)
    ]
    return readings, steps


def test_the_fit_finds_the_costs_of_a_law_that_holds() -> None:
    readings, steps = world(idle_watts=90.0)
    fit = fit_steps(readings, steps, 90.0)
    assert fit is not None
    assert fit.coefficients == pytest.approx(COSTS, rel=0.02)
    assert fit.median_residual < 1e-4
    assert fit.windows == len(readings) - 1
    assert len(fit.coefficients) == len(NAMES)


def test_the_fit_is_never_negative_and_leaves_out_what_is_not_known() -> None:
    readings, steps = world(idle_watts=90.0)
    fit = fit_steps(readings, steps, 400.0)
    assert fit is not None
    assert (fit.coefficients >= 0).all()
    assert fit.median_residual > 0.01
    unknown = [Reading(r.monotonic_nanoseconds, r.cumulative_microjoules, True) for r in readings]
    assert fit_steps(unknown, steps, 90.0) is None


def test_idle_power_skips_gaps_and_needs_two_readings() -> None:
    second = 1_000_000_000
    shown = [Reading(0, 0), Reading(second, 50_000_000), Reading(9 * second, 1, True)]
    assert mean_watts(shown) == 50.0
    with pytest.raises(MeterReadError, match="did not change"):
        mean_watts(shown[:1])
    with pytest.raises(MeterReadError, match="gone"):
        mean_watts(Unavailable("gone"))


def test_shapes_have_the_parameters_of_their_names() -> None:
    billions = {name: shape.parameters / 1e9 for name, shape in SHAPES.items()}
    assert billions == pytest.approx({"1b": 1.5, "3b": 3.6, "8b": 8.0}, rel=0.02)


def test_steps_over_the_cache_draw_what_whole_sequences_would() -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch, which only bench.gpu_energy uses")
    model = Transformer(torch, Shape(64, 3, 8, 2, 128, vocabulary=1000), slots=4, max_tokens=64, device="cpu")
    prompts = {slot: torch.randint(1000, (1, 5 + slot)) for slot in (0, 2, 3)}
    for slot, prompt in prompts.items():
        model.begin(slot, prompt)
    drawn = {slot: [model.drawn(slot)] for slot in prompts}
    for _ in range(6):
        model.decode(list(prompts))
        for slot in prompts:
            drawn[slot].append(model.drawn(slot))
    for slot, whole in prompts.items():
        for token in drawn[slot]:
            model.begin(1, whole)
            assert model.drawn(1) == token
            whole = torch.cat([whole, torch.tensor([[token]])], 1)
