"""First weights of Linear and convolutional layers by name; biases start at zero.

fan_in and fan_out are the numbers of values that enter and leave a unit.
"""

import math
from collections.abc import Callable, Iterable

from torch import Tensor, nn

from ann.models.activations import LEAK

SMALL = 0.01
"""Standard deviation of `normal`."""
EMBEDDING_STD = 0.1
GAINS = {"leaky_relu": math.sqrt(2 / (1 + LEAK**2)), "linear": 1.0, "selu": 3 / 4, "sigmoid": 1.0, "tanh": 5 / 3}


def initialise(layers: Iterable[nn.Module], strategy: str, activation: str) -> None:
    """Draw the weights of every layer that has a matrix or kernel, from torch's global generator.

    `activation` is what follows the layers: `auto` picks by it, and he and orthogonal take its gain.
    """
    draw = STRATEGIES[automatic(activation) if strategy == "auto" else strategy]
    for layer in layers:
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            draw(layer.weight, activation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def automatic(activation: str) -> str:
    """Return what `auto` means: He for rectifiers, LeCun for selu, which needs it to keep its variance, else Xavier."""
    if activation == "selu":
        return "lecun"
    return "xavier_uniform" if activation in ("linear", "sigmoid", "tanh") else "he_uniform"


def initialise_embeddings(embeddings: Iterable[nn.Module]) -> None:
    """Draw embeddings from a narrow normal distribution, so that numbers weigh more at first."""
    for embedding in embeddings:
        if isinstance(embedding, nn.Embedding):
            nn.init.normal_(embedding.weight, std=EMBEDDING_STD)


def gain(activation: str) -> float:
    """Return torch's factor that keeps a variance of 1 through the activation; smooth rectifiers take relu's."""
    return GAINS.get(activation, math.sqrt(2))


def _he(draw: Callable[..., Tensor]) -> Callable[[Tensor, str], Tensor]:
    return lambda weight, activation: draw(weight, a=LEAK if activation == "leaky_relu" else 0.0)


STRATEGIES: dict[str, Callable[[Tensor, str], Tensor]] = {
    # He et al. 2015 (arXiv:1502.01852): variance 2 / fan_in, for leaky_relu 2 / ((1 + leak^2) fan_in)
    "he_normal": _he(nn.init.kaiming_normal_),
    "he_uniform": _he(nn.init.kaiming_uniform_),
    # LeCun et al. 1998, Efficient BackProp: variance 1 / fan_in
    "lecun": lambda weight, _: nn.init.kaiming_normal_(weight, nonlinearity="linear"),
    "normal": lambda weight, _: nn.init.normal_(weight, std=SMALL),
    # Saxe et al. 2014 (arXiv:1312.6120)
    "orthogonal": lambda weight, activation: nn.init.orthogonal_(weight, gain(activation)),
    # Glorot & Bengio 2010: variance 2 / (fan_in + fan_out)
    "xavier_normal": lambda weight, _: nn.init.xavier_normal_(weight),
    "xavier_uniform": lambda weight, _: nn.init.xavier_uniform_(weight),
    "zeros": lambda weight, _: nn.init.zeros_(weight),
}
