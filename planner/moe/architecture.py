"""Sizes of a dense or mixture-of-experts transformer, as Yun et al. 2024 (section 4) count them."""

from dataclasses import dataclass

from planner.moe.forms import Counted

EXPERT_SHARE = 1.0 / 3.0
"""a: the part of a dense model that every further expert repeats (feed-forward of every second layer)."""
ACTIVE_EXPERTS = 2
"""K: experts that work on one token."""
WIDTH_PER_LAYER = 128.0
"""Width over depth of the model family; with 12 l h^2 parameters it makes h l = .038 N^(2/3)."""
BYTES_PER_ELEMENT = 2.0
"""bf16 weights and keys and values."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Mean tokens of a request: p of the prompt and n of the output, both >= 1."""

    prompt_tokens: float
    output_tokens: float


@dataclass(frozen=True, slots=True)
class Architecture:
    """A dense model of `base_params` (N), or that model with experts added."""

    base_params: float
    experts: int

    @classmethod
    def of(cls, params: float, experts: int, counted: Counted) -> "Architecture":
        """The model whose N is `params` as a law counts it."""
        if counted is Counted.BASE:
            return cls(params, experts)
        return cls(params / cls(1.0, experts).active_params, experts)

    @property
    def total_params(self) -> float:
        """N_MoE = (1 + (E - 1) a) N: what must lie in memory."""
        return (1.0 + (self.experts - 1) * EXPERT_SHARE) * self.base_params

    @property
    def active_params(self) -> float:
        """(K a + 1 - a) N: what works on one token; N where there is one expert only."""
        working = min(ACTIVE_EXPERTS, self.experts)
        return (working * EXPERT_SHARE + 1.0 - EXPERT_SHARE) * self.base_params

    @property
    def layers(self) -> float:
        """l of a dense model of this size: N = 12 l h^2."""
        return float((self.base_params / (12.0 * WIDTH_PER_LAYER**2)) ** (1.0 / 3.0))

    @property
    def hidden_bytes(self) -> float:
        """Bytes of one activation of width h."""
        return WIDTH_PER_LAYER * self.layers * BYTES_PER_ELEMENT

    @property
    def total_bytes(self) -> float:
        """Of all weights."""
        return self.total_params * BYTES_PER_ELEMENT

    def touched_bytes(self, batch: float) -> float:
        """Bytes of the weights that an iteration of `batch` tokens reads: few tokens leave experts unused."""
        unused = float((1.0 - min(ACTIVE_EXPERTS, self.experts) / self.experts) ** batch)
        experts = EXPERT_SHARE * self.experts * (1.0 - unused)
        return (1.0 - EXPERT_SHARE + experts) * self.base_params * BYTES_PER_ELEMENT

    def kv_bytes_per_sequence(self, work: Workload) -> float:
        """2 h l elements a token, over half of the output on average: (2p + n) h l elements."""
        per_token = WIDTH_PER_LAYER * self.layers**2
        return (2.0 * work.prompt_tokens + work.output_tokens) * per_token * BYTES_PER_ELEMENT
