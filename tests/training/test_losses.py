"""Each loss against its formula in NumPy float64."""

from collections.abc import Callable
from itertools import groupby, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_expit, log_softmax, softmax
from torch import Tensor

from ann.config.losses import (
    BCE,
    NLL,
    CrossEntropy,
    Focal,
    Huber,
    LossParams,
    Quantile,
)
from ann.training.losses import (
    bce,
    bce_with_logits,
    build_loss,
    cross_entropy,
    ctc_loss,
    distillation_loss,
    focal,
    huber,
    mae,
    mse,
    nll,
    padded_ctc,
    quantile,
)

RANDOM = np.random.default_rng(0)
ROWS = 7
LOGITS = RANDOM.normal(size=(ROWS, 3)) * 3
CLASSES = np.array([0, 2, 1, 1, 0, 2, 2])
BLENDED = RANDOM.dirichlet([1, 1, 1], ROWS)
PAIRS = RANDOM.normal(size=(ROWS, 2)) * 3
SIGNS = np.array([0, 1, 1, 0, 1, 0, 0])
LABELS = RANDOM.integers(0, 2, (ROWS, 3)).astype(float)
NUMBERS = RANDOM.normal(size=(ROWS, 2))
QUANTILES = np.array([0.1, 0.5, 0.75])
WORDS = np.array([[1, 0], [2, 1], [1, 1], [0, 0], [2, 0], [2, 2], [1, 2]])
WEIGHTS = np.array([0.5, 2.0, 3.0])

Oracle = Callable[[np.ndarray, np.ndarray], float]


def one_hot(target: np.ndarray, count: int) -> np.ndarray:
    return np.eye(count)[target] if target.ndim == 1 else target


def np_cross_entropy(
    logits: np.ndarray, target: np.ndarray, weights: np.ndarray | float = 1.0, smoothing: float = 0.0
) -> float:
    count = logits.shape[1]
    wanted = (1 - smoothing) * one_hot(target, count) + smoothing / count
    return -(weights * wanted * log_softmax(logits, axis=1)).sum(axis=1).mean()


def np_focal(logits: np.ndarray, target: np.ndarray, gamma: float, alpha: float | None = None) -> float:
    p = softmax(logits, axis=1)[np.arange(len(target)), target]
    a = 1.0 if alpha is None else np.where(target == 1, alpha, 1 - alpha)
    return -(a * (1 - p) ** gamma * np.log(p)).mean()


def np_bce(z: np.ndarray, target: np.ndarray, negative: float = 1.0, positive: float = 1.0) -> float:
    return -(positive * target * log_expit(z) + negative * (1 - target) * log_expit(-z)).mean()


def np_bce_of_two(logits: np.ndarray, target: np.ndarray) -> float:
    return np_bce(logits[:, 1] - logits[:, 0], target, 0.5, 2.0)


def np_huber(output: np.ndarray, target: np.ndarray, delta: float) -> float:
    size = np.abs(output - target)
    return np.where(size <= delta, size**2 / 2, delta * (size - delta / 2)).mean()


def np_quantile(output: np.ndarray, target: np.ndarray) -> float:
    losses = []
    for row, time, i in product(range(len(target)), range(target.shape[1]), range(len(QUANTILES))):
        error = target[row, time] - output[row, time * len(QUANTILES) + i]
        losses.append(QUANTILES[i] * error if error > 0 else (QUANTILES[i] - 1) * error)
    return np.mean(losses)


def np_ctc(logits: np.ndarray, target: np.ndarray) -> float:
    """Sum the probability of every path that says the labels once repeats are merged and blanks are dropped."""
    losses = []
    for log_probs, padded in zip(log_softmax(logits, axis=2), target, strict=True):
        times, classes = log_probs.shape
        paths = [
            log_probs[range(times), path].sum()
            for path in product(range(classes), repeat=times)
            if [label for label, _ in groupby(path) if label] == [label for label in padded if label]
        ]
        losses.append(-np.log(np.exp(paths).sum()))
    return np.mean(losses)


def double(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=float))


CASES = {
    "cross_entropy": (cross_entropy, np_cross_entropy, LOGITS, CLASSES),
    "cross_entropy, weighted and smoothed": (
        lambda output, target: cross_entropy(output, target, double(WEIGHTS), 0.2),
        lambda output, target: np_cross_entropy(output, target, WEIGHTS, 0.2),
        LOGITS,
        CLASSES,
    ),
    "cross_entropy, smoothed": (
        lambda output, target: cross_entropy(output, target, label_smoothing=0.2),
        lambda output, target: np_cross_entropy(output, target, 1.0, 0.2),
        LOGITS,
        CLASSES,
    ),
    "cross_entropy, blended": (cross_entropy, np_cross_entropy, LOGITS, BLENDED),
    "cross_entropy, blended, weighted and smoothed": (
        lambda output, target: cross_entropy(output, target, double(WEIGHTS), 0.2),
        lambda output, target: np_cross_entropy(output, target, WEIGHTS, 0.2),
        LOGITS,
        BLENDED,
    ),
    "nll": (nll, np_cross_entropy, LOGITS, CLASSES),
    "nll, weighted": (
        lambda output, target: nll(output, target, double(WEIGHTS)),
        lambda output, target: np_cross_entropy(output, target, WEIGHTS),
        LOGITS,
        CLASSES,
    ),
    "focal": (focal, lambda output, target: np_focal(output, target, 2.0), LOGITS, CLASSES),
    "focal, of two": (
        lambda output, target: focal(output, target, 0.5, 0.25),
        lambda output, target: np_focal(output, target, 0.5, 0.25),
        PAIRS,
        SIGNS,
    ),
    "bce_with_logits, of two": (
        lambda output, target: bce_with_logits(output, target, double(np.array([0.5, 2.0]))),
        np_bce_of_two,
        PAIRS,
        SIGNS,
    ),
    "bce_with_logits, of labels": (bce_with_logits, np_bce, LOGITS, LABELS),
    "bce, of two": (
        lambda output, target: bce(output, target, double(np.array([0.5, 2.0]))),
        np_bce_of_two,
        PAIRS,
        SIGNS,
    ),
    "bce, of labels": (bce, np_bce, LOGITS, LABELS),
    "mse": (mse, lambda output, target: ((output - target) ** 2).mean(), NUMBERS + PAIRS, NUMBERS),
    "mae": (mae, lambda output, target: np.abs(output - target).mean(), NUMBERS + PAIRS, NUMBERS),
    "huber": (
        lambda output, target: huber(output, target, 1.5),
        lambda output, target: np_huber(output, target, 1.5),
        NUMBERS + PAIRS,
        NUMBERS,
    ),
    "quantile": (
        lambda output, target: quantile(output, target, double(QUANTILES)),
        np_quantile,
        RANDOM.normal(size=(ROWS, 2 * len(QUANTILES))),
        NUMBERS,
    ),
    "ctc": (padded_ctc, np_ctc, RANDOM.normal(size=(ROWS, 4, 3)), WORDS),
}
Case = tuple[Callable[[Tensor, Tensor], Tensor], Oracle, np.ndarray, np.ndarray]


def slopes(oracle: Oracle, output: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the gradient by central differences."""
    result, step = np.empty_like(output), 1e-5
    for index in np.ndindex(output.shape):
        there, back = output.copy(), output.copy()
        there[index] += step
        back[index] -= step
        result[index] = (oracle(there, target) - oracle(back, target)) / (2 * step)
    return result


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_value_and_gradient_follow_the_formula(case: Case) -> None:
    loss, oracle, numbers, target = case
    output = torch.from_numpy(numbers.copy()).requires_grad_()
    value = loss(output, torch.from_numpy(target))
    value.backward()
    assert value.shape == ()
    np.testing.assert_allclose(value.item(), oracle(numbers, target), rtol=1e-12)
    np.testing.assert_allclose(output.grad, slopes(oracle, numbers, target), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_parts_of_a_batch_add_up_to_it(case: Case) -> None:
    loss, _, output, target = case
    whole = loss(torch.from_numpy(output), torch.from_numpy(target)).item()
    parts = zip(torch.from_numpy(output).split([2, 5]), torch.from_numpy(target).split([2, 5]), strict=True)
    assert sum(loss(*part).item() * len(part[1]) / ROWS for part in parts) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("loss", [cross_entropy, nll, focal, bce_with_logits, bce])
def test_huge_logits_have_a_finite_loss_and_gradient(loss: Callable[..., Tensor], dtype: torch.dtype) -> None:
    logits = torch.tensor([[4e4, -4e4], [-4e4, 4e4]], dtype=dtype, requires_grad=True)
    value = loss(logits, torch.tensor([0, 0]))
    value.backward()
    far = -np.log(np.finfo(np.float32).eps) if loss is bce else 8e4  # more than fp16 holds
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(far / 2, rel=0.01)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_of_a_certain_row_is_flat_and_not_nan(gamma: float) -> None:
    logits = torch.tensor([[60.0, 0.0, -30.0]], requires_grad=True)
    focal(logits, torch.tensor([0]), gamma).backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-9


@pytest.mark.parametrize("loss", [bce, bce_with_logits, quantile])
def test_losses_run_under_autocast_in_full_precision(loss: Callable[..., Tensor]) -> None:
    output = torch.tensor([[0.5, 1.0], [2.0, -1.0]])
    target = torch.tensor([0.25, -3.0]) if loss is quantile else torch.tensor([0, 1])
    extra = (torch.tensor([0.1, 0.9]),) if loss is quantile else ()
    plain = loss(output, target, *extra)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(loss(output.bfloat16(), target, *extra), plain)


def test_nll_takes_log_probabilities_as_well() -> None:
    log_p = double(log_softmax(LOGITS, axis=1))
    assert nll(log_p, torch.from_numpy(CLASSES)).item() == pytest.approx(np_cross_entropy(LOGITS, CLASSES), rel=1e-12)


@pytest.mark.parametrize("name", ["bce", "bce_with_logits"])
@pytest.mark.parametrize("weights", [None, (1.0, 3.0)])
def test_two_classes_blended_by_mixup_are_weighted_like_cross_entropy(
    name: str, weights: tuple[float, float] | None
) -> None:
    loss = build_loss(BCE(name=name, class_weights=weights), task="binary", target=torch.from_numpy(SIGNS))
    blended = np.random.default_rng(1).dirichlet([1, 1], ROWS)
    scaled = 1.0 if weights is None else np.array(weights) / np.array(weights)[SIGNS].mean()
    value = loss(double(PAIRS), double(blended)).item()
    assert value == pytest.approx(np_cross_entropy(PAIRS, blended, scaled), rel=1e-6)


@pytest.mark.parametrize("loss", [mse, mae, huber])
def test_a_column_of_outputs_meets_its_own_target_only(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    output, target = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([1.0, 2.0, 3.0])
    assert loss(output, target).item() == loss(output.squeeze(1), target).item() == 0.0
    assert loss(output.squeeze(1), target.unsqueeze(1)).item() == 0.0
    with pytest.raises(ValueError, match=r"output \(3, 1\) does not fit target \(3, 2\)"):
        loss(output, target.unsqueeze(1).expand(3, 2))
    with pytest.raises(ValueError, match=r"output \(3, 1\) does not fit target \(1, 3\)"):
        loss(output, target.unsqueeze(0))


def test_quantiles_of_one_time_and_of_a_wrong_number() -> None:
    quantiles = torch.tensor([0.1, 0.9])
    output = torch.tensor([[0.0, 2.0], [0.0, 2.0]])
    value = quantile(output, torch.tensor([1.0, 3.0]), quantiles).item()
    assert value == pytest.approx((0.1 * 1 + 0.1 * 1 + 0.1 * 3 + 0.9 * 1) / 4)
    with pytest.raises(ValueError, match="does not fit"):
        quantile(output, torch.ones(2, 2), quantiles)


def test_ctc_reads_only_the_given_lengths() -> None:
    logits = np.random.default_rng(1).normal(size=(2, 4, 3))
    log_probs = double(log_softmax(logits, axis=2)).transpose(0, 1)
    value = ctc_loss(log_probs, torch.tensor([[1, 2], [2, 1]]), torch.tensor([4, 2]), torch.tensor([2, 1]))
    rows = [np_ctc(logits[:1], np.array([[1, 2]])), np_ctc(logits[1:, :2], np.array([[2]]))]
    assert value.item() == pytest.approx(np.mean(rows), rel=1e-12)


def test_ctc_counts_a_row_that_cannot_hold_its_labels_as_zero() -> None:
    logits = double(np.random.default_rng(1).normal(size=(2, 2, 3))).requires_grad_()
    value = padded_ctc(logits, torch.tensor([[1, 1], [1, 2]]))  # the same label twice needs a blank between
    value.backward()
    assert value.item() == pytest.approx(np_ctc(logits.detach().numpy()[1:], np.array([[1, 2]])) / 2, rel=1e-12)
    assert logits.grad is not None
    assert not logits.grad[0].any()
    assert logits.grad[1].all()


@pytest.mark.parametrize("target", [CLASSES, BLENDED], ids=["classes", "blended"])
def test_distillation_follows_its_formula_and_leaves_the_teacher_alone(target: np.ndarray) -> None:
    temperature, alpha, other = 4.0, 0.7, np.random.default_rng(1).normal(size=(ROWS, 3)) * 3

    def oracle(logits: np.ndarray, target: np.ndarray) -> float:
        teacher, student = softmax(other / temperature, axis=1), softmax(logits / temperature, axis=1)
        divergence = (teacher * np.log(teacher / student)).sum(axis=1).mean()
        return alpha * temperature**2 * divergence + (1 - alpha) * np_cross_entropy(logits, target)

    student, teacher = double(LOGITS).clone().requires_grad_(), double(other).requires_grad_()
    value = distillation_loss(student, teacher, torch.from_numpy(target), temperature, alpha)
    value.backward()
    np.testing.assert_allclose(value.item(), oracle(LOGITS, target), rtol=1e-12)
    np.testing.assert_allclose(student.grad, slopes(oracle, LOGITS, target), rtol=1e-6, atol=1e-9)
    assert teacher.grad is None


LOGITS_AND_CLASSES = st.integers(2, 5).flatmap(
    lambda count: st.tuples(
        arrays(float, (4, count), elements=st.floats(-30, 30)),
        arrays(np.int64, 4, elements=st.integers(0, count - 1)),
    )
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(LOGITS_AND_CLASSES)
def test_focal_without_focus_is_cross_entropy(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    logits, target = drawn
    value = focal(torch.from_numpy(logits), torch.from_numpy(target), gamma=0.0).item()
    assert value == pytest.approx(np_cross_entropy(logits, target), rel=1e-9, abs=1e-12)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(LOGITS_AND_CLASSES)
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    logits, target = map(torch.from_numpy, drawn)
    student = logits.clone().requires_grad_()
    value = distillation_loss(student, logits, target, temperature=1.0, alpha=1.0)
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-12)
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-12


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (CrossEntropy(name="cross_entropy", label_smoothing=0.2), np_cross_entropy(LOGITS, CLASSES, 1.0, 0.2)),
        (
            CrossEntropy(name="cross_entropy", class_weights="balanced"),
            np_cross_entropy(LOGITS, CLASSES, ROWS / (3 * np.array([2, 2, 3]))),
        ),
        (
            NLL(name="nll", class_weights=(1.0, 2.0, 3.0)),
            np_cross_entropy(LOGITS, CLASSES, np.array([1, 2, 3]) * 7 / 15),
        ),
        (Focal(name="focal", gamma=3.0), np_focal(LOGITS, CLASSES, 3.0)),
    ],
)
def test_parameters_reach_the_loss_of_classes(params: LossParams, expected: float) -> None:
    loss = build_loss(params, task="multiclass", target=torch.from_numpy(CLASSES))
    assert loss(double(LOGITS).float(), torch.from_numpy(CLASSES)).item() == pytest.approx(expected, rel=1e-5)


def test_parameters_reach_the_loss_of_two_classes_and_of_numbers() -> None:
    signs, numbers = torch.from_numpy(SIGNS), double(NUMBERS)
    loss = build_loss(Focal(name="focal", gamma=1.0, alpha=0.25), task="binary", target=signs)
    assert loss(double(PAIRS), signs).item() == pytest.approx(np_focal(PAIRS, SIGNS, 1.0, 0.25))
    loss = build_loss(Huber(name="huber", delta=0.3), task="regression", target=numbers)
    assert loss(numbers + double(PAIRS), numbers).item() == pytest.approx(np_huber(NUMBERS + PAIRS, NUMBERS, 0.3))
    quantiles = tuple(QUANTILES)
    loss = build_loss(Quantile(name="quantile"), task="regression", target=numbers, quantiles=quantiles)
    output = np.random.default_rng(1).normal(size=(ROWS, 2 * len(QUANTILES)))
    assert loss(double(output), numbers).item() == pytest.approx(np_quantile(output, NUMBERS), rel=1e-6)
