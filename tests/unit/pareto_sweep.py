"""A made-up sweep of one model: two sections of runs, as vLLMBatchingMemoryGap's table has them."""

from planner.pareto.sources import OWN_COLUMNS
from planner.pareto.sweep import Configuration, Run

VLLM_HEADER = (
    "section,sub,setting,model,num_prompts,in_tok,out_tok,out_tok_per_s,mean_ttft_ms,mean_itl_ms,"
    "median_itl_ms,p99_itl_ms,j_per_out_tok_est"
)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512)


def throughput(batch: int) -> float:
    """Saturates: 280 tokens/s alone, 8,400 at most."""
    return 280.0 * batch / (1.0 + batch / 30.0)


def vllm_line(
    batch: int, replicas: int = 0, factor: float = 1.0, energy: str = "0.05", sub: str = "toy"
) -> str:
    """A line of the table; without replicas one of the batch sweep."""
    rate = throughput(batch) * factor
    itl = 1e3 * batch * max(replicas, 1) / rate
    section = "replication" if replicas else "background"
    setting = f"_{batch}__{replicas}" if replicas else f"_{batch}_"
    return f"{section},{sub},{setting},toy,10,1000,3000,{rate},500,{itl},{itl},{2 * itl},{energy}"


def vllm_lines() -> list[str]:
    """A batch sweep and a study of replicas: two gain a third, four nothing more; two again."""
    sweep = [vllm_line(batch) for batch in BATCHES]
    replicated = [
        vllm_line(512, 1, 1.02, energy="0.052", sub="all/toy"),
        vllm_line(512, 1, 1.08, sub="all/toy_chunked"),
        vllm_line(256, 2, 1.35, energy="0.0525", sub="all/toy"),
        vllm_line(256, 4, 1.352, energy="0.08", sub="all/toy"),
    ]
    again = [
        vllm_line(256, 2, 1.35 * noise, str(0.0525 * noise), "again/toy")
        for noise in (0.98, 0.99, 1.01, 1.02)
    ]
    return [VLLM_HEADER, *sweep, *replicated, *again]


def run(batch: int, replicas: int, rate: float, itl: float, joules: float = 0.05) -> Run:
    """One run with what matters to frontier and rules."""
    found = Configuration("toy", "", batch, replicas)
    return Run(found, 100.0, 300.0, rate, 0.5, itl, itl, 2 * itl, joules)


def own_csv(runs: list[Run]) -> str:
    """A file of this project's own table."""
    names = [*OWN_COLUMNS, "joules_per_token"]
    rows = [
        [r.configuration.model, r.configuration.batch, r.configuration.replicas]
        + [getattr(r, name) for name in names[3:]]
        for r in runs
    ]
    return "\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]) + "\n"
