"""A neural network in NumPy alone with every gradient written by hand: tests compare the torch engine with it.

All numbers are float64. Letters of shapes: B rows, F features that enter a layer, K values that leave it.
Shapes and formulas follow torch (a weight is (K, F)), so that weights pass between the two as they are.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Arrays: TypeAlias = dict[str, Array]
"""Parameters or gradients by name: "0.weight" (K, F), "0.bias" (K,), "1.weight", and so on."""
Loss: TypeAlias = Callable[[Array, Array], tuple[float, Array]]
"""Map (B, K) logits z and (B, K) targets t to the () loss L and the (B, K) gradient dL/dz."""
Pair: TypeAlias = tuple[Array, Array]
"""f(z) and f'(z) of an activation, both in the shape of z; at a kink the slope is torch's."""


def sigmoid(z: Array) -> Pair:
    """Return f = 1 / (1 + exp(-z)) and f' = f(z) f(-z); f is exp(-log(1 + exp(-z))), which never overflows."""
    value, rest = np.exp(-np.logaddexp(0.0, -z)), np.exp(-np.logaddexp(0.0, z))
    return value, value * rest


def tanh(z: Array) -> Pair:
    """Return f and f' = 1 - f^2."""
    return np.tanh(z), 1 - np.tanh(z) ** 2


def relu(z: Array, leak: float = 0.0) -> Pair:
    """Return f = z, f' = 1 where z > 0, else f = leak z, f' = leak (Nair & Hinton 2010; leaky: Maas et al. 2013)."""
    slope = np.where(z > 0, 1.0, leak)
    return slope * z, slope


def elu(z: Array, alpha: float = 1.0, scale: float = 1.0) -> Pair:
    """Return f = s z, f' = s where z > 0, else f = s a (exp(z) - 1), f' = s a exp(z).

    Clevert et al. 2016 (arXiv:1511.07289); with its two constants selu: Klambauer et al. 2017 (arXiv:1706.02515).
    """
    below = np.minimum(z, 0.0)
    value, slope = np.where(z > 0, z, alpha * np.expm1(below)), np.where(z > 0, 1.0, alpha * np.exp(below))
    return scale * value, scale * slope


def gelu(z: Array) -> Pair:
    """Return f = z P(z) and f' = P(z) + z p(z) (Hendrycks & Gimpel 2016, arXiv:1606.08415).

    P = (1 + erf(z / sqrt(2))) / 2 and p are the standard normal's; erf goes value by value, for NumPy has none.
    """
    cumulative = (1 + np.vectorize(math.erf, otypes=[np.float64])(z / math.sqrt(2))) / 2
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return z * cumulative, cumulative + z * density


def silu(z: Array) -> Pair:
    """Return f = z s(z) and f' = s + z s', with s the sigmoid (Elfwing et al. 2018, arXiv:1702.03118)."""
    value, slope = sigmoid(z)
    return z * value, value + z * slope


def binary_cross_entropy(z: Array, t: Array) -> tuple[float, Array]:
    """L = mean of -t log p - (1 - t) log(1 - p) = log(1 + exp(z)) - t z, p = sigmoid(z); dL/dz = (p - t) / (B K)."""
    return float(np.mean(np.logaddexp(0.0, z) - t * z)), (sigmoid(z)[0] - t) / z.size


def cross_entropy(z: Array, t: Array) -> tuple[float, Array]:
    """L = mean over B of -sum_k t_k log p_k, p = softmax(z); dL/dz = (p - t) / B, as each row of t sums to 1."""
    log_p = log_softmax(z)
    return float(-np.sum(t * log_p) / len(z)), (np.exp(log_p) - t) / len(z)


def mean_squared_error(z: Array, t: Array) -> tuple[float, Array]:
    """L = mean over B and K of (z - t)^2; dL/dz = 2 (z - t) / (B K)."""
    return float(np.mean((z - t) ** 2)), 2 * (z - t) / z.size


def log_softmax(z: Array) -> Array:
    """(B, K) -> log p_k = z_k - log sum_j exp(z_j); taking off the largest z first prevents overflow."""
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


class Network:
    """Dense layers z_n = x_n W_n^T + b_n with x_0 = x and x_(n+1) = f(z_n); the last z are the logits.

    `parameters` holds the weights by name: change them there, in place or by other arrays of the same shape.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        generator: np.random.Generator,
        *,
        hidden: str = "relu",
        output: str = "softmax",
        initialiser: str = "he_uniform",
        l2: float = 0.0,
    ) -> None:
        """`sizes`: features, hidden widths, outputs. Biases start at 0. `l2` adds l2 / 2 sum W^2 to the loss."""
        self.depth, self.l2 = len(sizes) - 1, l2
        self._activation, (self._predict, self._output_loss) = ACTIVATIONS[hidden], OUTPUTS[output]
        self.parameters: Arrays = {}
        for n, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            self.parameters[f"{n}.weight"] = INITIALISERS[initialiser](fan_in, fan_out, generator)
            self.parameters[f"{n}.bias"] = np.zeros(fan_out)

    def forward(self, x: Array) -> Array:
        """(B, F) -> (B, K) logits."""
        return self._pass(x)[2]

    def predict(self, x: Array) -> Array:
        """(B, F) -> (B, K) probabilities; the logits themselves where the output is linear."""
        return self._predict(self.forward(x))

    def loss(self, x: Array, targets: Array) -> float:
        """(B, F), (B, K) -> mean loss + l2 / 2 sum W^2; biases are not penalised."""
        squares = sum(float(np.sum(value**2)) for value in self.parameters.values() if value.ndim == 2)
        return self._loss(self.forward(x), targets)[0] + self.l2 / 2 * squares

    def backward(self, x: Array, targets: Array) -> Arrays:
        """(B, F), (B, K) -> dL/dW and dL/db by name (backpropagation: Rumelhart, Hinton & Williams 1986).

        delta_n = dL/dz_n, (B, K), starts at the loss and goes down: delta_(n-1) = (delta_n W_n) f'(z_(n-1)).
        """
        inputs, slopes, logits = self._pass(x)
        delta = self._loss(logits, targets)[1]
        gradients: Arrays = {}
        for n in reversed(range(self.depth)):
            weight = self.parameters[f"{n}.weight"]
            gradients[f"{n}.weight"] = delta.T @ inputs[n] + self.l2 * weight
            gradients[f"{n}.bias"] = delta.sum(axis=0)
            if n > 0:
                delta = (delta @ weight) * slopes[n - 1]
        return gradients

    def _pass(self, x: Array) -> tuple[list[Array], list[Array], Array]:
        """(B, F) -> what enters each layer, f'(z) between each two, (B, K) logits."""
        inputs, slopes = [np.asarray(x, dtype=np.float64)], []
        for n in range(self.depth):
            z = inputs[n] @ self.parameters[f"{n}.weight"].T + self.parameters[f"{n}.bias"]
            if n < self.depth - 1:
                value, slope = self._activation(z)
                inputs.append(value)
                slopes.append(slope)
        return inputs, slopes, z

    def _loss(self, z: Array, t: Array) -> tuple[float, Array]:
        if z.shape != t.shape:  # NumPy would broadcast (B,) and (B, 1) to (B, B), and learn nonsense
            raise ValueError(f"targets must be {z.shape}, not {t.shape}: write np.eye(K)[labels] or targets[:, None]")
        return self._output_loss(z, t)


def clip_by_norm(gradients: Arrays, max_norm: float) -> Arrays:
    """Return g min(1, max_norm / (||g|| + 1e-6)), one norm over all (Pascanu et al. 2013; torch's clip_grad_norm_)."""
    norm = math.sqrt(sum(float(np.sum(gradient**2)) for gradient in gradients.values()))
    share = min(1.0, max_norm / (norm + 1e-6))
    return {name: gradient * share for name, gradient in gradients.items()}


@dataclass(kw_only=True)
class SGD:
    """w <- w - lr d with d = g (Robbins & Monro 1951); on all rows at once it is `gd`.

    Each class below says its own d, in torch's formula and with torch's defaults. Weight decay c w enters the
    gradient, g <- g + c w, or, where it is decoupled, the step, w <- w - lr (d + c w); biases do not decay.
    """

    decoupled: ClassVar[bool] = False
    weight_decay: float = 0.0
    decay_biases: bool = False
    _v: Arrays = field(default_factory=dict, init=False, repr=False)

    def step(self, parameters: Arrays, gradients: Arrays, lr: float) -> None:
        """Change `parameters` in place; v and m below are 0 at first and remembered by name."""
        for name, w in parameters.items():
            g, decay = gradients[name], self.weight_decay * w * (w.ndim >= 2 or self.decay_biases)
            w -= lr * (self._direction(name, g) + decay if self.decoupled else self._direction(name, g + decay))

    def _direction(self, _name: str, g: Array) -> Array:
        return g


@dataclass(kw_only=True)
class Momentum(SGD):
    """v <- mu v + g; d = v (Polyak 1964). A change of lr acts on all of v, unlike in Sutskever et al. 2013."""

    momentum: float = 0.9

    def _direction(self, name: str, g: Array) -> Array:
        self._v[name] = self.momentum * self._v.get(name, np.zeros_like(g)) + g
        return self._v[name]


class Nesterov(Momentum):
    """v <- mu v + g; d = g + mu v (Nesterov 1983, in torch's form)."""

    def _direction(self, name: str, g: Array) -> Array:
        return g + self.momentum * super()._direction(name, g)


@dataclass(kw_only=True)
class RMSprop(SGD):
    """v <- a v + (1 - a) g^2; d = g / (sqrt(v) + eps) (Tieleman & Hinton 2012, Coursera lecture 6.5)."""

    alpha: float = 0.99
    eps: float = 1e-8

    def _direction(self, name: str, g: Array) -> Array:
        self._v[name] = self.alpha * self._v.get(name, np.zeros_like(g)) + (1 - self.alpha) * g**2
        return g / (np.sqrt(self._v[name]) + self.eps)


@dataclass(kw_only=True)
class Adam(SGD):
    """m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g^2; d = m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps).

    The step t counts from 1 (Kingma & Ba 2015, arXiv:1412.6980).
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    _moments: dict[str, tuple[int, Array, Array]] = field(default_factory=dict, init=False, repr=False)

    def _direction(self, name: str, g: Array) -> Array:
        (b1, b2), (t, m, v) = self.betas, self._moments.get(name, (0, np.zeros_like(g), np.zeros_like(g)))
        t, m, v = t + 1, b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        self._moments[name] = t, m, v
        return m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + self.eps)


@dataclass(kw_only=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    decoupled: ClassVar[bool] = True
    weight_decay: float = 0.01


@dataclass(kw_only=True)
class Muon(AdamW):
    """v <- mu v + (1 - mu) g; d = r O((1 - mu) g + mu v) for hidden matrices (Jordan et al. 2024); else AdamW.

    All matrices but the last are hidden. O is `orthogonalise`; r, of MUON_RATIOS, gives d the size of AdamW's
    (Liu et al. 2025, arXiv:2502.16982). torch computes O in bfloat16 and so differs by some 1 to 7 % of the norm of d.
    """

    momentum: float = 0.95
    adjust_lr_fn: str = "match_rms_adamw"

    def step(self, parameters: Arrays, gradients: Arrays, lr: float) -> None:
        """Change `parameters` in place."""
        self._hidden = [name for name, w in parameters.items() if w.ndim == 2][:-1]
        super().step(parameters, gradients, lr)

    def _direction(self, name: str, g: Array) -> Array:
        if name not in self._hidden:
            return super()._direction(name, g)
        self._v[name] = self.momentum * self._v.get(name, np.zeros_like(g)) + (1 - self.momentum) * g
        ahead = (1 - self.momentum) * g + self.momentum * self._v[name]
        return MUON_RATIOS[self.adjust_lr_fn](*g.shape) * orthogonalise(ahead)


def orthogonalise(g: Array, steps: int = 5) -> Array:
    """(K, F) -> nearly U V^T of g = U S V^T, by Newton-Schulz: singular values come near 1, not to it.

    X <- g / ||g||, on its side where K > F; then `steps` times A = X X^T, X <- a X + (b A + c A^2) X.
    """
    if g.shape[0] > g.shape[1]:
        return orthogonalise(g.T, steps).T
    a, b, c = 3.4445, -4.7750, 2.0315  # steepest at 0: kellerjordan.github.io/posts/muon
    x = g / max(float(np.linalg.norm(g)), 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def train(
    network: Network,
    optimizer: SGD,
    x: Array,
    targets: Array,
    generator: np.random.Generator,
    *,
    lr: float,
    epochs: int,
    batch_size: int | None = None,
    clip_norm: float = math.inf,
) -> list[float]:
    """(N, F), (N, K) -> the loss on all rows after each epoch; every epoch shuffles the rows anew.

    Without a `batch_size` a batch is all rows, one step an epoch; the last batch may be smaller than the others.
    """
    losses, size = [], batch_size or len(x)
    for _ in range(epochs):
        order = generator.permutation(len(x))
        for start in range(0, len(x), size):
            rows = order[start : start + size]
            gradients = clip_by_norm(network.backward(x[rows], targets[rows]), clip_norm)
            optimizer.step(network.parameters, gradients, lr)
        losses.append(network.loss(x, targets))
    return losses


ACTIVATIONS: dict[str, Callable[[Array], Pair]] = {
    "elu": elu,
    "gelu": gelu,
    "leaky_relu": lambda z: relu(z, leak=0.01),
    "linear": lambda z: (z, np.ones_like(z)),
    "relu": relu,
    "selu": lambda z: elu(z, alpha=1.6732632423543773, scale=1.0507009873554805),
    "sigmoid": sigmoid,
    "silu": silu,
    "tanh": tanh,
}
OUTPUTS: dict[str, tuple[Callable[[Array], Array], Loss]] = {
    "linear": (lambda z: z, mean_squared_error),
    "sigmoid": (lambda z: sigmoid(z)[0], binary_cross_entropy),
    "softmax": (lambda z: np.exp(log_softmax(z)), cross_entropy),
}
"""What (B, K) logits predict, and their loss."""
INITIALISERS: dict[str, Callable[[int, int, np.random.Generator], Array]] = {
    "he_normal": lambda f, k, generator: generator.normal(0, math.sqrt(2 / f), (k, f)),
    "he_uniform": lambda f, k, generator: generator.uniform(-1, 1, (k, f)) * math.sqrt(6 / f),
    "xavier_normal": lambda f, k, generator: generator.normal(0, math.sqrt(2 / (f + k)), (k, f)),
    "xavier_uniform": lambda f, k, generator: generator.uniform(-1, 1, (k, f)) * math.sqrt(6 / (f + k)),
}
"""Variance 2 / F for rectifiers (He et al. 2015), else 2 / (F + K) (Glorot & Bengio 2010); U(-b, b) has b^2 / 3."""
MUON_RATIOS: dict[str, Callable[[int, int], float]] = {
    "match_rms_adamw": lambda k, f: 0.2 * math.sqrt(max(k, f)),
    "original": lambda k, f: math.sqrt(max(1, k / f)),
}
OPTIMIZERS: dict[str, type[SGD]] = {
    "adam": Adam,
    "adamw": AdamW,
    "gd": SGD,
    "momentum": Momentum,
    "muon": Muon,
    "nesterov": Nesterov,
    "rmsprop": RMSprop,
    "sgd": SGD,
}
