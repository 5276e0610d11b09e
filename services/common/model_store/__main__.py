"""`python -m services.common.model_store`: checks a service's environment, then fetches the zoo's models.

It runs once before the services of a container network start, so that what is wrong with the settings or the
zoo file ends the start there, with every problem named, and so that a volume of models has one writer.
"""

import logging
import sys

from services.common.model_store.catalogue import ModelSpec, resolve
from services.common.model_store.progress import PullEvent, PullPhase
from services.common.model_store.settings import ModelStoreSettings
from services.common.model_store.store import ModelStore
from services.common.server import EXIT_CONFIG
from services.common.settings import ServiceSettings, read_settings
from services.common.zoo import Zoo
from services.common.zoo_file import load_zoo
from services.core.errors import ConfigError, ModelStoreError

EXIT_MODEL = 3
_TENTHS = 10
_log = logging.getLogger("models")


class ProgressLog:
    """Logs a pull, one line per tenth of a file."""

    def __init__(self) -> None:
        self._said: tuple[object, ...] = ()

    def __call__(self, event: PullEvent) -> None:
        """Takes a moment of a pull."""
        if event.phase in (PullPhase.WAITING, PullPhase.FAILED):
            _log.warning("%s: %s %s %s", event.model, event.phase, event.origin, event.detail)
        elif event.phase is not PullPhase.READY and event.total_bytes:
            tenths = event.done_bytes * _TENTHS // event.total_bytes
            step = (event.model, event.phase, event.origin, tenths)
            if step != self._said:
                self._said = step
                _log.info(
                    "%s: %s, %d %%, %s", event.model, event.phase, 100 * tenths // _TENTHS, event.origin
                )


def models_of(zoo: Zoo) -> list[ModelSpec]:
    """What a worker of this zoo loads itself. Raises ConfigError for an unknown source."""
    return [resolve(model) for model in zoo.models if model.engine == "llamacpp"]


def main() -> int:
    """Fetches what is missing; returns the exit status."""
    try:
        settings = read_settings(ServiceSettings)
        logging.basicConfig(
            level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        specs = models_of(load_zoo(settings.zoo_file))
        store = ModelStore.from_settings(ModelStoreSettings())
        for spec in specs:
            _log.info("%s is at %s", spec.name, store.ensure(spec, ProgressLog()))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONFIG
    except ModelStoreError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_MODEL
    return 0


if __name__ == "__main__":
    sys.exit(main())
