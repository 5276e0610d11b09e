"""A decoder-only transformer of a real model's shape with random weights, in PyTorch.

What a step costs depends on shapes and lengths, not on what the weights say. Every slot holds one sequence in
a key-value cache; a step is either one slot's prompt or one token for each of the running slots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any


class TorchMissing(Exception):
    """PyTorch cannot be used here; the message says what to install."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a grouped-query transformer with gated feed-forward layers."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    vocabulary: int = 128_256

    @property
    def parameters(self) -> int:
        """Weights, with one matrix for tokens in and another for logits out."""
        kv_width = self.width // self.heads * self.kv_heads
        layer = 2 * self.width * (self.width + kv_width) + 3 * self.width * self.hidden
        return self.layers * layer + 2 * self.vocabulary * self.width


SHAPES = {
    "1b": Shape(2048, 16, 32, 8, 8192),
    "3b": Shape(3072, 28, 24, 8, 8192),
    "8b": Shape(4096, 32, 32, 8, 14_336),
}
"""As Llama-3.2-1B and -3B and Llama-3.1-8B have them."""


def import_torch(device: str = "cuda") -> Any:
    """PyTorch with a device to run on. Raises TorchMissing."""
    try:
        torch = import_module("torch")
    except ImportError as error:
        remedy = "install it beside this project, for this machine's CUDA: pip install torch"
        raise TorchMissing(f"PyTorch is not here ({error}); {remedy}") from error
    if device == "cuda" and not torch.cuda.is_available():
        remedy = f"install a build for this machine's CUDA driver (this one is for {torch.version.cuda})"
        raise TorchMissing(f"PyTorch {torch.__version__} sees no CUDA device; {remedy}")
    return torch


class Transformer:
    """`slots` sequences of at most `max_tokens`; every call returns once the device is done."""

    def __init__(self, torch: Any, shape: Shape, slots: int, max_tokens: int, device: str = "cuda") -> None:
        self._torch, self._shape, self._device = torch, shape, device
        self._dtype = torch.bfloat16 if device == "cuda" else torch.float32
        self._head = shape.width // shape.heads
        kv_width = self._head * shape.kv_heads
        self._embedding = self._random(shape.vocabulary, shape.width)
        self._out = self._random(shape.width, shape.vocabulary)
        sizes = {
            "q": (shape.width, shape.width),
            "k": (shape.width, kv_width),
            "v": (shape.width, kv_width),
            "o": (shape.width, shape.width),
            "gate": (shape.width, shape.hidden),
            "up": (shape.width, shape.hidden),
            "down": (shape.hidden, shape.width),
        }
        self._layers = [
            {name: self._random(*size) for name, size in sizes.items()} for _ in range(shape.layers)
        ]
        cache = (shape.layers, 2, slots, shape.kv_heads, max_tokens, self._head)
        self._cache = torch.zeros(cache, dtype=self._dtype, device=device)
        self._lengths = [0] * slots
        self._tokens = torch.zeros(slots, dtype=torch.long, device=device)

    def prefill(self, slot: int, tokens: int) -> None:
        """Begins a sequence with a random prompt in a slot and draws its first token."""
        self.begin(slot, self._torch.randint(self._shape.vocabulary, (1, tokens), device=self._device))

    def begin(self, slot: int, prompt: Any) -> None:
        """Begins a sequence with the token ids of `prompt`, shape (1, n)."""
        self._lengths[slot] = 0
        self._step([slot], prompt)

    def drawn(self, slot: int) -> int:
        """The token that was drawn last in a slot."""
        return int(self._tokens[slot])

    def decode(self, slots: Sequence[int]) -> None:
        """Draws one more token for each of these slots."""
        self._step(list(slots), self._tokens[list(slots)][:, None])

    def _step(self, slots: list[int], tokens: Any) -> None:
        torch = self._torch
        with torch.inference_mode():
            count = tokens.shape[1]
            begins = torch.tensor([self._lengths[slot] for slot in slots], device=self._device)
            positions = begins[:, None] + torch.arange(count, device=self._device)
            end = max(self._lengths[slot] for slot in slots) + count
            visible = torch.arange(end, device=self._device) <= positions[:, :, None]
            stream = self._embedding[tokens]
            for layer, weights in enumerate(self._layers):
                stream = stream + self._attend(layer, weights, _normed(stream), slots, positions, visible)
                inner = _normed(stream)
                gate = torch.nn.functional.silu(inner @ weights["gate"])
                stream = stream + (gate * (inner @ weights["up"])) @ weights["down"]
            drawn = (_normed(stream[:, -1]) @ self._out).argmax(-1)
            for row, slot in enumerate(slots):
                self._lengths[slot] += count
                self._tokens[slot] = drawn[row]
        if self._device == "cuda":
            torch.cuda.synchronize()

    def _attend(
        self, layer: int, weights: dict[str, Any], stream: Any, slots: list[int], positions: Any, visible: Any
    ) -> Any:
        torch, shape = self._torch, self._shape
        batch, count = stream.shape[:2]

        def split(name: str, heads: int) -> Any:
            return (stream @ weights[name]).view(batch, count, heads, self._head).transpose(1, 2)

        rows = torch.tensor(slots, device=self._device)
        at = rows[:, None], slice(None), positions
        keys, values = self._cache[layer]
        keys[at] = _turned(torch, split("k", shape.kv_heads), positions).transpose(1, 2)
        values[at] = split("v", shape.kv_heads).transpose(1, 2)
        end = visible.shape[-1]
        found = torch.nn.functional.scaled_dot_product_attention(
            _turned(torch, split("q", shape.heads), positions),
            keys[rows, :, :end],
            values[rows, :, :end],
            attn_mask=visible[:, None],
            enable_gqa=True,
        )
        return found.transpose(1, 2).reshape(batch, count, shape.width) @ weights["o"]

    def _random(self, *size: int) -> Any:
        return self._torch.randn(size, dtype=self._dtype, device=self._device) * 0.02


def _normed(stream: Any) -> Any:
    """Root mean square normalisation."""
    return stream * (stream.float().square().mean(-1, keepdim=True) + 1e-5).rsqrt().to(stream.dtype)


def _turned(torch: Any, heads: Any, positions: Any) -> Any:
    """Rotary position embedding; `heads` is (batch, heads, count, size), `positions` (batch, count)."""
    half = heads.shape[-1] // 2
    rates = 500_000.0 ** (-torch.arange(half, device=heads.device) / half)
    angles = positions[:, None, :, None] * rates
    cos, sin = angles.cos().to(heads.dtype), angles.sin().to(heads.dtype)
    left, right = heads[..., :half], heads[..., half:]
    return torch.cat([left * cos - right * sin, left * sin + right * cos], -1)
