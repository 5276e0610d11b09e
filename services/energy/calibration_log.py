"""Says in the log what was learned."""

import logging
from dataclasses import asdict

from services.energy.metering import MeteredLedger

_log = logging.getLogger(__name__)


def report_calibration(metered: MeteredLedger) -> None:
    """Logs versions, residuals and coefficients of a meter; ever more rarely as they settle."""
    calibration = metered.calibration
    for model_id, model in calibration.models.items():
        is_news = model.version and model.version & (model.version - 1) == 0
        _log.log(
            logging.INFO if is_news else logging.DEBUG,
            "step costs of model %s on meter %s: version %d after %d windows, residual %.1f %%, %s; "
            "lag %.0f ms, idle %.4g W",
            model_id,
            metered.meter.meter_id,
            model.version,
            model.windows,
            100 * model.residuals.total_ratio,
            ", ".join(f"{name} {value:.3g}" for name, value in asdict(model.coefficients).items()),
            calibration.lag.nanoseconds / 1e6,
            calibration.idle.watts,
        )
