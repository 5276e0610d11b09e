"""When to explore, and random numbers that replay can repeat."""

import hashlib
import math
from typing import Protocol

_MASK = 0xFFFFFFFFFFFFFFFF


def exploration_probability(exploration_scale: float, step: int, root: int) -> float:
    """min(1, c / t^(1/root)), for exploration scale c >= 0 and step t >= 1.

    The root is 3 in MESS+ of 2024 and 4 in MESS+ of 2025.
    """
    return float(min(1.0, exploration_scale / step ** (1.0 / root)))


def decision_seed(zoo: str, request_id: str) -> int:
    """64 bits that every replica and every replay derive alike from a request's id."""
    digest = hashlib.blake2b(f"{zoo}\0{request_id}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


class DecisionRandom:
    """Uniform numbers of one decision: splitmix64 (Steele, Lea and Flood 2014) counting up from a seed.

    A decision draws one or two numbers, and creating a numpy generator for them takes longer than deciding.
    """

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def random(self) -> float:
        """The next number in [0, 1), of 53 bits."""
        self._state = z = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((z ^ (z >> 31)) >> 11) * 2.0**-53


class UniformSource(Protocol):
    """Where uniform numbers come from."""

    def random(self) -> float:
        """The next number in [0, 1)."""


def normals(source: UniformSource, count: int) -> list[float]:
    """Independent standard normal numbers, two from two uniform ones (Box and Muller 1958)."""
    result: list[float] = []
    for _ in range(0, count, 2):
        radius = math.sqrt(-2.0 * math.log(1.0 - source.random()))
        angle = math.tau * source.random()
        result += radius * math.cos(angle), radius * math.sin(angle)
    return result[:count]
