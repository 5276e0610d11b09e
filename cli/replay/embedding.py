"""Features of recorded prompts by the embedding that routers use."""

from collections.abc import Callable, Iterable, Iterator

from planner.replay.features import request_features
from planner.replay.outcomes import Outcomes
from services.core.events import FloatArray


def compact_features(data: Outcomes, advance: Callable[[], None]) -> FloatArray:
    """One row per request; `advance` is called once for each that is computed."""

    def watch(prompts: Iterable[str]) -> Iterator[str]:
        for prompt in prompts:
            advance()
            yield prompt

    if data.features is not None:
        return data.features
    # The embedding and its tokenizer take a second to read, which other commands should not pay for.
    from services.router.adapters.static_embedding import CompactFeatures, StaticEmbedding

    return request_features(data, CompactFeatures(StaticEmbedding()), watch)
