"""What the energy service learned goes on after a restart, and is never overwritten by what knows less."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from bench.attribution_methods import METER, MODEL, ROUGH_PRIOR, RecordedMeter, attribute
from bench.gpu_law import StepLaw
from bench.gpu_simulation import Counter, readings, serve
from services.core.errors import StateUnavailableError
from services.energy.accounting import AccountingSettings, EnergyAccounting
from services.energy.calibration_keeper import CalibrationKeeper
from services.energy.recent import RecentEnergy


class FakeStore:
    """A store that can be away and holds JSON."""

    def __init__(self) -> None:
        self.data = "{}"
        self.away = False

    async def save(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        self._reach()
        self.data = json.dumps(states)

    async def load(self) -> Mapping[str, Any]:
        self._reach()
        return json.loads(self.data)  # type: ignore[no-any-return]

    def _reach(self) -> None:
        if self.away:
            raise StateUnavailableError("away")


def learned() -> EnergyAccounting:
    random = np.random.default_rng(1)
    run = serve(StepLaw(), 8.0, 500, random)
    seen = readings(Counter(run, 0.05, 0.06, random), run.seconds + 0.9, 0.02, random)
    accounting = attribute(run, seen).accounting
    assert accounting.calibrations()[METER]["models"][MODEL]["version"] > 0
    return accounting


def fresh() -> EnergyAccounting:
    settings = AccountingSettings(1.0, 100.0, {MODEL: ROUGH_PRIOR}, "boot", 10.0)
    return EnergyAccounting(settings, [RecordedMeter([])], RecentEnergy(10), lambda _: None, {})


async def test_a_restart_goes_on_with_what_was_learned() -> None:
    store, before, after = FakeStore(), learned(), fresh()
    keeper = CalibrationKeeper(before, store, 0.0)
    await keeper.keep()
    await CalibrationKeeper(after, store, 0.0).keep()
    assert after.calibrations() == before.calibrations()


async def test_nothing_is_saved_before_the_store_was_read() -> None:
    store = FakeStore()
    await CalibrationKeeper(learned(), store, 0.0).keep()
    kept, store.away = store.data, True
    late = CalibrationKeeper(learned(), store, 0.0)
    with pytest.raises(StateUnavailableError):
        await late.keep()
    store.away = False
    await late.save()
    assert store.data == kept


async def test_a_stored_calibration_of_another_kind_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    store, accounting = FakeStore(), fresh()
    before = accounting.calibrations()
    for data in ({METER: {"models": 3}}, {METER: []}, {METER: {}}):
        store.data = json.dumps(data)
        await CalibrationKeeper(accounting, store, 0.0).keep()
    assert accounting.calibrations() == before
    assert caplog.text.count("of another kind") == 3
