"""Whether what a zoo file says of its engines fits together."""

from collections.abc import Iterator

from services.common.zoo import ModelSettings, Zoo

REMOTE_ENGINES = ("openai", "tgi")
_SOURCES = {
    "llamacpp": "engine llamacpp needs a source: a catalogue name or a path",
    "transformers": "engine transformers needs a source: a local directory or a repository id of the hub",
}
Place = tuple[str | int, ...]


def engine_problems(zoo: Zoo) -> Iterator[tuple[Place, str, str]]:
    """Place, value and what is allowed of every setting that its engine needs or cannot use."""
    for i, model in enumerate(zoo.models):
        for key, value, allowed in (*_source_problems(model), *_server_problems(model)):
            yield ("models", i, key), value, allowed
    for i, worker in enumerate(zoo.workers):
        server = zoo.model(worker.model).server if worker.model in zoo.model_ids else None
        known = server.urls if server else ()
        for j, url in enumerate(worker.server_urls):
            if url not in known:
                allowed = f"must be one of server.urls of {worker.model}: {', '.join(known) or 'it has none'}"
                yield ("workers", i, "server_urls", j), url, allowed


def _source_problems(model: ModelSettings) -> Iterator[tuple[str, str, str]]:
    if not model.source and model.engine in _SOURCES:
        yield "source", "", _SOURCES[model.engine]
    if model.source and model.engine in REMOTE_ENGINES:
        yield "source", _shown(model), f"engine {model.engine}: the server has the weights, leave it out"
    if model.engine == "transformers" and not isinstance(model.source, str):
        yield "source", _shown(model), _SOURCES["transformers"]


def _shown(model: ModelSettings) -> str:
    return repr(model.source) if isinstance(model.source, str) else "mapping"


def _server_problems(model: ModelSettings) -> Iterator[tuple[str, str, str]]:
    if model.server is None and model.engine in REMOTE_ENGINES:
        yield "server", "(missing)", f"engine {model.engine} needs a server section with urls"
    if model.server is not None and model.engine not in REMOTE_ENGINES:
        yield "server", "mapping", f"only goes with engine {' or '.join(REMOTE_ENGINES)}"
