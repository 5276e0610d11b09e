"""Which engine runs a model of the zoo."""

import logging
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from services.common.model_store import ModelStore, ModelStoreSettings, PullEvent, PullPhase, resolve
from services.common.server_settings import ServerSettings
from services.common.zoo import ModelSettings
from services.core.errors import ConfigError, ConfigProblem
from services.worker.adapters.echo_engine import EchoEngine
from services.worker.generation import EngineInfo
from services.worker.ports import Engine, ServerClient
from services.worker.remote_engine import RemoteEngine

_log = logging.getLogger(__name__)


def make_engine(
    model: ModelSettings, server_urls: Sequence[str] = (), environment: Mapping[str, str] = os.environ
) -> Engine:
    """The engine that the zoo file names, not yet loaded; `server_urls` are those to use of a model's.

    `environment` is where the keys of servers are. Raises ConfigError.
    """
    try:
        if model.engine == "echo":
            return EchoEngine(model.context_window_tokens, model.max_batch_size, model.echo_tokens_per_second)
        if model.server is not None:
            return _remote(model, model.server, server_urls or model.server.urls, environment)
        return _transformers(model) if model.engine == "transformers" else _llamacpp(model)
    except ModuleNotFoundError as error:
        extra = f"worker-{model.engine}"
        remedy = f"needs the package {error.name}: install messplus[{extra}]"
        raise ConfigError([ConfigProblem(f"model {model.id}", "engine", model.engine, remedy)]) from None


def _remote(
    model: ModelSettings, server: ServerSettings, urls: Sequence[str], environment: Mapping[str, str]
) -> Engine:
    key = environment.get(server.api_key_env, "") if server.api_key_env else ""
    if server.api_key_env and not key:
        allowed = f"must hold the key of the servers of {model.id}, or leave server.api_key_env out"
        raise ConfigError([ConfigProblem("environment", server.api_key_env, "(missing)", allowed)])
    client: ServerClient
    if model.engine == "tgi":
        from services.worker.adapters.tgi_server import TgiServers

        client = TgiServers(server.model, key, server.connect_timeout_seconds, model.context_window_tokens)
    else:
        from services.worker.adapters.openai_server import OpenAiServers

        client = OpenAiServers(server.model, key, server.connect_timeout_seconds)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs every request, and we ask every second
    package = {"openai": "openai", "tgi": "huggingface-hub"}[model.engine]
    release = f"{package} {version(package)}"
    window, slots = model.context_window_tokens, model.max_batch_size
    info = EngineInfo(model.engine, release, server.model or model.id, "", window, slots)
    return RemoteEngine(info, client, server, urls)


def _transformers(model: ModelSettings) -> Engine:
    from services.worker.adapters.transformers_engine import TransformersEngine

    window, slots = model.context_window_tokens, model.max_batch_size
    return TransformersEngine(str(model.source), window, slots, model.threads)


def _llamacpp(model: ModelSettings) -> Engine:
    from services.worker.adapters.llamacpp_engine import LlamacppEngine

    spec = resolve(model)
    store = ModelStore.from_settings(ModelStoreSettings())
    return LlamacppEngine(
        lambda: store.ensure(spec, _log_progress),
        spec.source.sha256,
        spec.file_name,
        model.context_window_tokens,
        model.max_batch_size,
        model.threads,
        model.prefill_chunk_tokens,
    )


def _log_progress(event: PullEvent) -> None:
    if event.phase in (PullPhase.WAITING, PullPhase.FAILED):
        _log.warning("model %s: %s %s %s", event.model, event.phase, event.origin, event.detail)
    if event.phase is PullPhase.READY:
        _log.info("model %s is at %s", event.model, event.origin)
