"""What is predicted: how the target is stored, and how a network's outputs become answers.

N rows, K classes, L labels, M numbers a row (for a forecast H times x C channels), Q quantiles or 1.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

Task: TypeAlias = Literal["binary", "multiclass", "multilabel", "regression", "forecast"]
LEAST_PROBABILITY = 1e-7
"""Below it a probability in float32 has no logarithm worth learning."""


@dataclass(frozen=True)
class Target:
    """A task and what its answers mean.

    | task | stored target | outputs | answers |
    |---|---|---|---|
    | binary, multiclass | (N,) int64 classes | (N, K) logits | (N, K) probabilities |
    | multilabel | (N, L) float32, 0 or 1 | (N, L) logits | (N, L) probabilities |
    | regression | (N, M) float32, scaled | (N, M Q) | (N, M, Q) |
    | forecast | (N, H, C) float32, scaled | (N, H C Q) | (N, H C, Q) |

    Answers of a single number are in its own unit; several are in standard deviations of the training rows, so that
    units do not mix.
    """

    task: Task
    names: tuple[str, ...]
    """Columns that are predicted; the labels of a multilabel task, the channels of a forecast."""
    reason: str = ""
    """Why it is this task."""
    classes: tuple[str, ...] = ()
    """Class labels as text; with two the second is the positive one."""
    quantiles: tuple[float, ...] = ()
    horizon: int = 0
    """Times ahead, in a forecast."""
    shift: tuple[float, ...] = ()
    """Of each number: what scaling takes away."""
    scale: tuple[float, ...] = ()
    """Of each number: the unit of the stored target."""
    naive: tuple[float, ...] = ()
    """Of each channel: mean absolute error of repeating the last season over the training rows, scaled."""

    @property
    def has_classes(self) -> bool:
        """Whether each row belongs to one class."""
        return self.task in ("binary", "multiclass")

    @property
    def has_numbers(self) -> bool:
        """Whether numbers are predicted."""
        return self.task in ("regression", "forecast")

    @property
    def outputs(self) -> int:
        """Values that a network gives for a row."""
        if self.has_classes:
            return len(self.classes)
        return len(self.names) * max(1, self.horizon) * max(1, len(self.quantiles))

    @property
    def in_own_unit(self) -> bool:
        """Whether answers are in the unit of the column rather than in standard deviations."""
        return self.task == "regression" and len(self.names) == 1

    def fitted(self, values: np.ndarray) -> "Target":
        """Return the target with shift and scale of (N, M) training values; classes and labels have none."""
        if not self.has_numbers:
            return self
        varies = values.min(axis=0) < values.max(axis=0)  # rounding gives a constant a deviation, too
        scale = np.where(varies, values.std(axis=0), 1.0)
        return replace(self, shift=tuple(map(float, values.mean(axis=0))), scale=tuple(map(float, scale)))

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Return what training reads: classes and labels as they are, (N, M) numbers scaled to float32."""
        if not self.has_numbers:
            return values
        scaled: np.ndarray = ((values - np.array(self.shift)) / np.array(self.scale)).astype(np.float32)
        return scaled

    def truth(self, stored: np.ndarray) -> np.ndarray:
        """Return what answers are compared with: classes (N,), labels (N, L), or (N, M) float64 numbers."""
        if self.has_classes:
            return stored
        values = stored.reshape(len(stored), -1).astype(np.float64)
        return self.raised(values) if self.in_own_unit else values

    def answers(self, outputs: np.ndarray) -> np.ndarray:
        """Return the float64 answers of a network's (N, outputs)."""
        values = outputs.astype(np.float64)
        if self.has_classes:
            return softmax(values)
        if self.task == "multilabel":
            return sigmoid(values)
        values = values.reshape(len(values), -1, max(1, len(self.quantiles)))
        return self.raised(values) if self.in_own_unit else values

    def outputs_for(self, answers: np.ndarray) -> np.ndarray:
        """Return (N, outputs) for which `answers` gives these; of classes the logits whose softmax they are."""
        if not self.has_numbers:
            likely = np.clip(answers, LEAST_PROBABILITY, 1.0)
            unlikely = np.clip(1 - answers, LEAST_PROBABILITY, 1.0)
            return np.log(likely) if self.has_classes else np.log(likely) - np.log(unlikely)
        values = (answers - self.shift[0]) / self.scale[0] if self.in_own_unit else answers
        return values.reshape(len(values), -1)

    def raised(self, values: np.ndarray) -> np.ndarray:
        """Return scaled values of a single number in its own unit."""
        return values * self.scale[0] + self.shift[0]

    def read(self, found: dict[str, np.ndarray]) -> np.ndarray:
        """Return the answers in what the exported file gave: its outputs by name."""
        if not self.has_numbers:
            return found["probabilities"].astype(np.float64)
        quantiles = max(1, len(self.quantiles))
        values = found["prediction"].astype(np.float64)
        values = values.reshape(len(values), -1, len(self.names), quantiles)
        if not self.in_own_unit:
            values = (values - np.array(self.shift)[:, None]) / np.array(self.scale)[:, None]
        return values.reshape(len(values), -1, quantiles)

    def to_json(self) -> dict[str, Any]:
        """Return the target as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Target":
        """Read what `to_json` gave."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
        }
        return cls(**fields)


def classification(num_classes: int) -> Target:
    """Return a target of `num_classes` classes named 0, 1, ..."""
    task: Task = "binary" if num_classes == 2 else "multiclass"
    return Target(task, ("target",), classes=tuple(map(str, range(num_classes))))


def softmax(logits: np.ndarray) -> np.ndarray:
    """(N, K) logits -> (N, K) float64 probabilities."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
    return probabilities


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-logits)), without overflow."""
    probabilities: np.ndarray = np.exp(-np.logaddexp(0, -logits))
    return probabilities
