"""Predictors of satisfaction: one vector of features in, one estimate per model out.

Two verbs, as in online learning: `predict_one` never changes the predictor, `learn_one` does.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from services.core.errors import InvalidSnapshotError
from services.core.events import FloatArray
from services.core.model_change import ModelChange

_LAYER_NORM_EPSILON = 1e-5


class Predictor(Protocol):
    """What both published modes ask of their predictor."""

    def predict_one(self, features: FloatArray) -> FloatArray:
        """A^_m in [0, 1] per model, shape (M,), for features of shape (d,)."""

    def learn_one(self, features: FloatArray, satisfaction: FloatArray) -> None:
        """One step on labels of shape (M,), in [0, 1]; NaN: no label. All NaN changes nothing."""

    def arrays(self) -> dict[str, FloatArray]:
        """The state by name; not to be written to."""


class LinearPredictor:
    """One linear model per language model, squared loss, plain SGD (MESS+ of 2024).

    Args:
        weights: shape (M, d).
        bias: shape (M,).
        learning_rate: eta, > 0.

    """

    def __init__(self, weights: FloatArray, bias: FloatArray, learning_rate: float) -> None:
        self._weights, self._bias, self._learning_rate = weights, bias, learning_rate

    @classmethod
    def initial(
        cls, priors: Sequence[float | None], feature_count: int, learning_rate: float, scale: float, seed: int
    ) -> "LinearPredictor":
        """All models start from one common random vector of standard deviation `scale`.

        The bias starts at the prior mean satisfaction, 0 where there is none.
        """
        common = np.random.Generator(np.random.PCG64(seed)).normal(0.0, scale, feature_count)
        return cls(
            np.tile(common, (len(priors), 1)), np.array([float(p or 0.0) for p in priors]), learning_rate
        )

    def predict_one(self, features: FloatArray) -> FloatArray:
        """A^_m = w_m . x + b_m, clipped to [0, 1]."""
        raw: FloatArray = self._weights @ features + self._bias
        return np.minimum(np.maximum(raw, 0.0), 1.0)

    def learn_one(self, features: FloatArray, satisfaction: FloatArray) -> None:
        """One step per labelled model on (w_m . x + b_m - y)^2 / 2, unclipped."""
        error = self._weights @ features + self._bias - satisfaction
        step = self._learning_rate * np.where(np.isnan(error), 0.0, error)
        self._weights -= np.outer(step, features)
        self._bias -= step

    def carried_over(self, initial: "LinearPredictor", change: ModelChange) -> "LinearPredictor":
        """For another list of models: kept ones keep their row, new ones have that of `initial`."""
        return LinearPredictor(
            change.rows(self._weights, initial._weights),
            change.rows(self._bias, initial._bias),
            self._learning_rate,
        )

    def arrays(self) -> dict[str, FloatArray]:
        """`weights` (M, d) and `bias` (M,)."""
        return {"weights": self._weights, "bias": self._bias}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, FloatArray], model_count: int, feature_count: int, learning_rate: float
    ) -> "LinearPredictor":
        """Inverse of `arrays`. Raises InvalidSnapshotError."""
        checked = checked_arrays(arrays, {"weights": (model_count, feature_count), "bias": (model_count,)})
        return cls(checked["weights"], checked["bias"], learning_rate)


class NetworkPredictor:
    """Linear(d, d), LayerNorm, ReLU, Linear(M), sigmoid on frozen features (MESS+ of 2025).

    Binary cross-entropy, averaged over the labelled models; SGD with momentum, weight decay and the
    gradient's norm clipped, in the order and form of PyTorch's SGD.

    Args:
        parameters: all weights in one vector, see `parameter_count`.
        momentum: the momentum buffer, same shape.
        model_count: M.
        feature_count: d.
        learning_rate: > 0.
        momentum_decay: in [0, 1).
        weight_decay: >= 0.
        gradient_clip: largest gradient norm, > 0.

    """

    def __init__(
        self,
        parameters: FloatArray,
        momentum: FloatArray,
        model_count: int,
        feature_count: int,
        *,
        learning_rate: float,
        momentum_decay: float,
        weight_decay: float,
        gradient_clip: float,
    ) -> None:
        self._parameters, self._momentum = parameters, momentum
        self._model_count, self._feature_count = model_count, feature_count
        self._learning_rate, self._momentum_decay = learning_rate, momentum_decay
        self._weight_decay, self._gradient_clip = weight_decay, gradient_clip
        # Views: a step on the vector is a step on every layer.
        self._layers = _layers(parameters, model_count, feature_count)

    def predict_one(self, features: FloatArray) -> FloatArray:
        """A^_m = sigmoid(logit_m)."""
        _, _, rectified = self._hidden(features)
        logits = self._layers[4] @ rectified + self._layers[5]
        return _sigmoid(logits)

    def learn_one(self, features: FloatArray, satisfaction: FloatArray) -> None:
        """One optimiser step; labels strictly between 0 and 1 are soft targets."""
        gradient = self.gradient(features, satisfaction)
        if gradient is None:
            return
        norm = math.sqrt(float(gradient @ gradient))
        if norm > self._gradient_clip:
            gradient *= self._gradient_clip / norm
        gradient += self._weight_decay * self._parameters
        self._momentum *= self._momentum_decay
        self._momentum += gradient
        self._parameters -= self._learning_rate * self._momentum

    def loss(self, features: FloatArray, satisfaction: FloatArray) -> float:
        """Binary cross-entropy in nats, averaged over the labelled models; there must be one."""
        labelled = ~np.isnan(satisfaction)
        predicted, wanted = self.predict_one(features)[labelled], satisfaction[labelled]
        return -float(np.mean(wanted * np.log(predicted) + (1 - wanted) * np.log(1 - predicted)))

    def gradient(self, features: FloatArray, satisfaction: FloatArray) -> FloatArray | None:
        """Of `loss` by the parameters, same shape as they; None without any label."""
        labelled = ~np.isnan(satisfaction)
        if not labelled.any():
            return None
        normalised, deviation, rectified = self._hidden(features)
        error = _sigmoid(self._layers[4] @ rectified + self._layers[5]) - satisfaction
        error = np.where(labelled, error, 0.0) / labelled.sum()
        by_rectified = (self._layers[4].T @ error) * (rectified > 0.0)
        by_normalised = by_rectified * self._layers[2]
        by_linear = (
            by_normalised - by_normalised.mean() - normalised * (by_normalised * normalised).mean()
        ) / deviation
        pieces = (
            np.outer(by_linear, features),
            by_linear,
            by_rectified * normalised,
            by_rectified,
            np.outer(error, rectified),
            error,
        )
        return np.concatenate([piece.ravel() for piece in pieces])

    def _hidden(self, features: FloatArray) -> tuple[FloatArray, float, FloatArray]:
        """Normalised activations, their standard deviation before that, and the rectified ones."""
        weights, bias, gain, shift = self._layers[:4]
        linear = weights @ features
        linear += bias
        # Plain sums, since the mean and var of such short vectors spend their time on the call.
        linear -= float(linear.sum()) / self._feature_count
        deviation = math.sqrt(float(linear @ linear) / self._feature_count + _LAYER_NORM_EPSILON)
        linear /= deviation
        rectified = linear * gain
        rectified += shift
        return linear, deviation, np.maximum(rectified, 0.0, out=rectified)

    def carried_over(self, initial: "NetworkPredictor", change: ModelChange) -> "NetworkPredictor":
        """For another list of models: `initial` with this one's hidden layer and kept output rows."""
        d = self._feature_count
        for old, new in (
            (self._parameters, initial._parameters),
            (self._momentum, initial._momentum),
        ):
            old_layers = _layers(old, self._model_count, d)
            *hidden, weights, bias = _layers(new, initial._model_count, d)
            for layer, old_layer in zip(hidden, old_layers, strict=False):
                layer[:] = old_layer
            weights[:] = change.rows(old_layers[4], weights)
            bias[:] = change.rows(old_layers[5], bias)
        return initial

    def arrays(self) -> dict[str, FloatArray]:
        """`parameters` and `momentum`, each of shape (`parameter_count`,)."""
        return {"parameters": self._parameters, "momentum": self._momentum}


def parameter_count(model_count: int, feature_count: int) -> int:
    """Length of the network's parameter vector: W1, b1, gain, shift, W2, b2."""
    return feature_count * feature_count + 3 * feature_count + model_count * (feature_count + 1)


def initial_network_parameters(priors: Sequence[float | None], feature_count: int, seed: int) -> FloatArray:
    """Start values: the hidden layer uniform in +-1/sqrt(d), the output layer zero but for its bias.

    So at first every request is predicted the prior mean satisfaction, .5 where there is none.
    """
    parameters = np.zeros(parameter_count(len(priors), feature_count))
    weights, bias, gain, _, _, output_bias = _layers(parameters, len(priors), feature_count)
    rng = np.random.Generator(np.random.PCG64(seed))
    bound = 1.0 / math.sqrt(feature_count)
    weights[:] = rng.uniform(-bound, bound, weights.shape)
    bias[:] = rng.uniform(-bound, bound, bias.shape)
    gain[:] = 1.0
    output_bias[:] = [logit(0.5 if prior is None else prior) for prior in priors]
    return parameters


def logit(probability: float) -> float:
    """ln(p / (1 - p)), for p in (0, 1)."""
    return math.log(probability / (1.0 - probability))


def checked_arrays(
    arrays: Mapping[str, FloatArray], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, FloatArray]:
    """Own copies of exactly these float64 arrays of these shapes, all finite.

    Raises InvalidSnapshotError naming the first that is not so.
    """
    if set(arrays) != set(shapes):
        raise InvalidSnapshotError(f"heads: arrays {sorted(arrays)}, expected {sorted(shapes)}")
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != np.float64:
            raise InvalidSnapshotError(
                f"heads: {name} is {array.dtype}{array.shape}, expected float64{shape}"
            )
        if not np.isfinite(array).all():
            raise InvalidSnapshotError(f"heads: {name} is not finite")
    return {name: arrays[name].copy() for name in shapes}


def _layers(parameters: FloatArray, model_count: int, feature_count: int) -> tuple[FloatArray, ...]:
    """Views of the vector: W1 (d, d), b1, gain and shift (d,), W2 (M, d), b2 (M,)."""
    d = feature_count
    shapes: list[tuple[int, ...]] = [(d, d), (d,), (d,), (d,), (model_count, d), (model_count,)]
    views, begin = [], 0
    for shape in shapes:
        end = begin + math.prod(shape)
        views.append(parameters[begin:end].reshape(shape))
        begin = end
    return tuple(views)


def _sigmoid(logits: FloatArray) -> FloatArray:
    # tanh never overflows, and costs one call instead of a guarded exponential.
    result: FloatArray = np.tanh(0.5 * logits)
    result *= 0.5
    result += 0.5
    return result
