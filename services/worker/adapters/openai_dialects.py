"""How servers of the OpenAI API differ: what tells them apart, and what each has beyond the API."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.worker.generation import Sampling
from services.worker.steps import StepTier

_USAGE = {"include_usage": True}
_USAGE_PER_CHUNK = {"include_usage": True, "continuous_usage_stats": True}


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of server.

    Attributes:
        name: for people.
        step_tier: whether its chunks tell how many tokens they hold.
        stream_options: the API's, and the kind's own.
        fields: its own ones of a request.

    """

    name: str
    step_tier: StepTier
    stream_options: Mapping[str, bool]
    fields: Callable[[Sampling], dict[str, Any]]


def _llamacpp(sampling: Sampling) -> dict[str, Any]:
    return {"top_k": sampling.top_k, "timings_per_token": True, "return_progress": True}


def _all_unless_asked(sampling: Sampling) -> dict[str, Any]:
    """-1 is all tokens there; left out it would be what the model's authors recommend."""
    return {"top_k": sampling.top_k or -1}


def _only_if_asked(sampling: Sampling) -> dict[str, Any]:
    """Not part of the API: a server that does not know it says so."""
    return {"top_k": sampling.top_k} if sampling.top_k else {}


_PLAIN = Dialect("OpenAI API", StepTier.REQUEST_TIMES, _USAGE, _only_if_asked)
_BY_OWNER = {
    "vllm": Dialect("vLLM", StepTier.TOKEN_TIMES, _USAGE_PER_CHUNK, _all_unless_asked),
    "sglang": Dialect("SGLang", StepTier.TOKEN_TIMES, _USAGE_PER_CHUNK, _all_unless_asked),
    "llamacpp": Dialect("llama.cpp", StepTier.TOKEN_TIMES, _USAGE, _llamacpp),
}


def dialect_of(model: Mapping[str, Any]) -> Dialect:
    """By `owned_by` of its entry in the list of models, where these servers name themselves."""
    return _BY_OWNER.get(str(model.get("owned_by")), _PLAIN)


def context_window_of(model: Mapping[str, Any]) -> int | None:
    """Longest context in tokens: vLLM's and SGLang's `max_model_len`, llama.cpp's `meta.n_ctx`."""
    meta = model.get("meta")
    found = model.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else None)
    return found if isinstance(found, int) and found > 0 else None
