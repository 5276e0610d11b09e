"""The limits of `messplus pareto`, from its options."""

from cli.checks import check_positive
from cli.failure import config_error
from planner.pareto.rules import Limits, Memory


def limits_of(
    max_itl_ms: float | None,
    max_ttft_ms: float | None,
    memory_gb: float | None,
    weights_gb: float | None,
    kv_kb_per_token: float | None,
) -> Limits:
    """What a recommendation must keep. Raises ConfigError where a memory limit is not whole."""
    sizes = {"--memory-gb": memory_gb, "--weights-gb": weights_gb, "--kv-kb-per-token": kv_kb_per_token}
    check_positive("pareto", sizes)
    memory = None
    if memory_gb is not None and weights_gb is not None and kv_kb_per_token is not None:
        memory = Memory(memory_gb * 1e9, weights_gb * 1e9, kv_kb_per_token * 1e3)
    missing = [option for option, value in sizes.items() if value is None]
    if 0 < len(missing) < len(sizes):
        raise config_error("pareto", ", ".join(missing), "not given", "a memory limit needs all three")
    return Limits(_seconds(max_itl_ms), _seconds(max_ttft_ms), memory)


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1e3
