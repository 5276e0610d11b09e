"""Which engine runs a model of the zoo."""

import logging

from services.common.model_store import ModelStore, ModelStoreSettings, PullEvent, PullPhase, resolve
from services.common.zoo import ModelSettings
from services.core.errors import ConfigError, ConfigProblem
from services.worker.adapters.echo_engine import EchoEngine
from services.worker.ports import Engine

_log = logging.getLogger(__name__)


def make_engine(model: ModelSettings) -> Engine:
    """The engine that the zoo file names, not yet loaded. Raises ConfigError."""
    if model.engine == "echo":
        return EchoEngine(model.context_window_tokens, model.max_batch_size, model.echo_tokens_per_second)
    return _llamacpp(model)


def _llamacpp(model: ModelSettings) -> Engine:
    try:
        from services.worker.adapters.llamacpp_engine import LlamacppEngine
    except ModuleNotFoundError:
        remedy = "needs the package xllamacpp: install messplus[worker-llamacpp]"
        raise ConfigError([ConfigProblem(f"model {model.id}", "engine", "llamacpp", remedy)]) from None
    spec = resolve(model)
    store = ModelStore.from_settings(ModelStoreSettings())
    return LlamacppEngine(
        lambda: store.ensure(spec, _log_progress),
        spec.source.sha256,
        spec.file_name,
        model.context_window_tokens,
        model.max_batch_size,
        model.threads,
    )


def _log_progress(event: PullEvent) -> None:
    if event.phase in (PullPhase.WAITING, PullPhase.FAILED):
        _log.warning("model %s: %s %s %s", event.model, event.phase, event.origin, event.detail)
    if event.phase is PullPhase.READY:
        _log.info("model %s is at %s", event.model, event.origin)
