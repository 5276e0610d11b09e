"""What a step of the simulated GPU truly costs, and what of it each generation truly causes.

The truth is the Shapley value of the step's energy v(S) over the generations S that are active in it:

    v(S) = P t [S not empty]
         + z * (F [S not empty] + sum_i mu_i + h(decoding(S)) + g * prompt(S) * decoding(S) - q * prompt(S)^2)

with P the idle power and t the time that the step took, prompt(S) the uncached prompt tokens and decoding(S)
the number of generations that decode. The standing cost of a step, P t and F, exists once if anyone is there.
The value is exact, in closed form: the standing cost goes equally to all, mu_i to i, h equally to those who
decode (by symmetry), of the product g*P*D half follows the prompt tokens and half the decoding, of q*P^2 each
gets q * p_i * P. A factor z (temperature, clocks) scales everyone alike.
`tests/unit/test_bench_attribution.py` checks this against the definition over all permutations.

One may argue with t as given: without a long prompt the step would have been shorter. `prolonging=True` takes
it as a function of S, so that P times the time that it adds is a generation's own. The benchmark states both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from services.core.steps import GenerationWork

__all__ = ["StepLaw", "step_joules", "true_shares"]


@dataclass(frozen=True)
class StepLaw:
    """Llama-3.1-8B in 16 bits on one H100; all energies are the board's, idle power included.

    Affine part: F = 3.16 J/step and m = 0.0665 J per decoded token fit ML.ENERGY's measurements
    (leaderboard v2); m is split at a mean context of 900 tokens into what a token costs and what reading its
    context costs. Reading: 128 KiB of keys and values per token of context at 128 pJ/B (430 W at 3.35 TB/s).
    Prompt tokens: 16 GFLOP each, and 0.52 MFLOP per token of context, at 1.44 pJ/FLOP (650 W at 450 TFLOP/s).

    Not affine: `wave` makes the decode energy of a batch deviate from the affine law by 3.2 % at the median,
    as the published measurements do (94 groups of model and GPU); prompts get cheaper in larger chunks, and
    prompts and decoding in one step get into each other's way.
    """

    step: float = 3.16
    decode: float = 0.0665 - 900 * 1.7e-5
    context: float = 1.7e-5
    prefill: float = 0.0231
    prefill_context: float = 7.5e-7
    wave: float = 0.045
    wave_phase: float = 0.0
    prefill_saving: float = 1.5e-6
    """q: J per squared prompt token of a step: a chunk of 2,048 costs 13 % less than the affine law says."""
    mixing: float = 1e-5
    """g: J per prompt token and decoding generation."""
    idle_watts: float = 118.0
    """P, with the model loaded and the clocks up."""
    step_seconds: float = 8e-3
    """For the weights and the launch. Times keep the board below its 700 W."""
    decode_seconds: float = 8e-5
    prefill_seconds: float = 3.6e-5

    def seconds(self, prompt_tokens: int, decoding: int) -> float:
        """How long a step takes."""
        return self.step_seconds + self.decode_seconds * decoding + self.prefill_seconds * prompt_tokens


def step_joules(law: StepLaw, work: Sequence[GenerationWork]) -> float:
    """v(S) less P t, with z = 1, J."""
    if not work:
        return 0.0
    prompt, decoding = _sums(work)
    bends = _bend(law, decoding) + law.mixing * prompt * decoding - law.prefill_saving * prompt * prompt
    published = law.step + sum(_own(law, w) for w in work) + bends
    return published - law.idle_watts * law.seconds(prompt, decoding)


def true_shares(law: StepLaw, work: Sequence[GenerationWork], prolonging: bool = False) -> list[float]:
    """Shapley value of each entry of `work` (not empty) with z = 1, J; they add up to `step_joules`.

    With `prolonging`, to `step_joules` + P * `law.seconds`, whose parts go to those who cause them.
    """
    prompt, decoding = _sums(work)
    watts = 0.0 if prolonging else law.idle_watts
    fixed = (law.step - watts * law.step_seconds) / len(work)
    per_decoding = _bend(law, decoding) / decoding if decoding else 0.0
    per_decoding += law.mixing * prompt / 2 - watts * law.decode_seconds
    per_token = law.mixing * decoding / 2 - law.prefill_saving * prompt - watts * law.prefill_seconds
    return [
        fixed + _own(law, w) + per_token * w.prefill_tokens + (per_decoding if w.decode_tokens else 0.0)
        for w in work
    ]


def _sums(work: Sequence[GenerationWork]) -> tuple[int, int]:
    return sum(w.prefill_tokens for w in work), sum(w.decode_tokens > 0 for w in work)


def _own(law: StepLaw, w: GenerationWork) -> float:
    prompt = w.prefill_tokens * (law.prefill + law.prefill_context * w.context_tokens)
    return prompt + w.decode_tokens * law.decode + w.context_tokens * law.context


def _bend(law: StepLaw, decoding: int) -> float:
    """h: what `decoding` generations cost beyond the affine law, J; smooth in log batch, 0 for none."""
    if not decoding:
        return 0.0
    affine = law.step + 0.0665 * decoding
    return law.wave * affine * math.sin(2 * math.pi * math.log2(decoding) / 3 + law.wave_phase)
