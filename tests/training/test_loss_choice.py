"""Which loss fits a task, what `auto` takes, how classes are weighed, and what is refused."""

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from ann.config.losses import (
    BCE,
    CTC,
    MAE,
    MSE,
    NLL,
    AutoLoss,
    CrossEntropy,
    Focal,
    Huber,
    LossParams,
    Quantile,
)
from ann.errors import ConfigError, DataError
from ann.training.losses import (
    FITTING,
    build_loss,
    check_classes,
    check_target,
    choose_loss,
    class_weights,
    focal,
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(1, 10_000), st.floats(0.01, 100)), min_size=2, max_size=6))
def test_class_weights_have_mean_one_over_the_rows(classes: list[tuple[int, float]]) -> None:
    counts, wanted = np.array([count for count, _ in classes]), tuple(weight for _, weight in classes)
    balanced = class_weights("balanced", torch.from_numpy(counts))
    given_ones = class_weights(wanted, torch.from_numpy(counts))
    assert balanced is not None
    assert given_ones is not None
    for weights in (balanced.numpy(), given_ones.numpy()):
        assert np.average(weights, weights=counts) == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(given_ones.numpy() / given_ones.numpy()[0], np.array(wanted) / wanted[0], rtol=1e-5)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    target = np.array([0, 0, 0, 1, 2, 2])
    weights = class_weights("balanced", torch.bincount(torch.from_numpy(target)))
    expected = compute_class_weight("balanced", classes=np.arange(3), y=target)
    assert weights is not None
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert class_weights(None, torch.tensor([1, 2])) is None


def test_a_class_without_a_row_leaves_the_weights_finite() -> None:
    weights = class_weights("balanced", torch.tensor([6, 0]))
    assert weights is not None
    assert weights.isfinite().all()


def test_a_wrong_number_of_weights_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        class_weights((1.0, 2.0), torch.tensor([5, 5, 5]))
    assert str(caught.value) == (
        "train.loss.class_weights: 2 weights for 3 classes; write 3 in the order of the classes, balanced, or null"
    )


TARGETS = {
    "binary": torch.tensor([0, 1, 1]),
    "multiclass": torch.tensor([0, 1, 2]),
    "multilabel": torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]),
    "regression": torch.tensor([1.0, 2.5, 4.0]),
    "sequence": torch.tensor([[1, 2], [2, 0], [1, 0]]),
}
OUTPUTS = {
    "binary": torch.zeros(3, 2),
    "multiclass": torch.zeros(3, 3),
    "multilabel": torch.zeros(3, 2),
    "regression": torch.zeros(3, 1),
    "sequence": torch.zeros(3, 4, 3),
}
PARAMS: dict[str, LossParams] = {
    "auto": AutoLoss(),
    "bce": BCE(name="bce"),
    "bce_with_logits": BCE(name="bce_with_logits"),
    "cross_entropy": CrossEntropy(name="cross_entropy"),
    "ctc": CTC(name="ctc"),
    "focal": Focal(name="focal"),
    "huber": Huber(name="huber"),
    "mae": MAE(name="mae"),
    "mse": MSE(name="mse"),
    "nll": NLL(name="nll"),
    "quantile": Quantile(name="quantile"),
}


@pytest.mark.parametrize("task", FITTING)
@pytest.mark.parametrize("params", list(PARAMS.values())[1:], ids=list(PARAMS)[1:])
def test_a_task_takes_the_losses_that_fit_it_and_names_them(params: LossParams, task: str) -> None:
    if params.name in FITTING[task]:
        quantiles = (0.3,) if params.name == "quantile" else ()
        value = build_loss(params, task=task, target=TARGETS[task], quantiles=quantiles)(OUTPUTS[task], TARGETS[task])
        assert value.shape == ()
        assert value.item() > 0
    else:
        with pytest.raises(ConfigError) as caught:
            build_loss(params, task=task, target=TARGETS[task])
        assert str(caught.value).startswith(
            f"train.loss: {params.name} does not fit a {task} target; write one of auto"
        )


def test_the_quantile_loss_and_quantiles_of_the_data_need_each_other() -> None:
    numbers = TARGETS["regression"]
    with pytest.raises(ConfigError, match=r"train\.loss: quantile needs data\.quantiles"):
        build_loss(PARAMS["quantile"], task="regression", target=numbers)
    for name in ("mse", "mae", "huber"):
        with pytest.raises(ConfigError, match=rf"train\.loss: {name} cannot learn data\.quantiles; write auto"):
            build_loss(PARAMS[name], task="regression", target=numbers, quantiles=(0.1, 0.5, 0.9))


def test_every_loss_of_the_configuration_fits_some_task() -> None:
    names = {name for section in get_args(get_args(LossParams)[0]) for name in names_of(section)}
    assert names == PARAMS.keys() == {"auto"}.union(*FITTING.values())


def names_of(section: type) -> tuple[str, ...]:
    return get_args(section.model_fields["name"].annotation)


def test_what_fits_is_listed_in_order() -> None:
    with pytest.raises(ConfigError) as caught:
        build_loss(MSE(name="mse"), task="multiclass", target=TARGETS["multiclass"])
    assert str(caught.value) == (
        "train.loss: mse does not fit a multiclass target; write one of auto, cross_entropy, focal, nll"
    )
    assert all(list(names) == sorted(names) for names in FITTING.values())


def test_what_weighs_two_classes_or_one_class_a_row_is_refused_elsewhere() -> None:
    with pytest.raises(ConfigError, match=r"train\.loss\.alpha: 0\.25 weighs two classes, not 3; write null"):
        build_loss(Focal(name="focal", alpha=0.25), task="multiclass", target=TARGETS["multiclass"])
    with pytest.raises(ConfigError, match=r"train\.loss\.class_weights: a row of many labels .* write null"):
        build_loss(BCE(name="bce", class_weights="balanced"), task="multilabel", target=TARGETS["multilabel"])
    with pytest.raises(ConfigError, match="3 weights for 2 classes"):
        build_loss(NLL(name="nll", class_weights=(1.0, 2.0, 3.0)), task="binary", target=TARGETS["binary"])


def test_focal_refuses_blended_classes() -> None:
    with pytest.raises(ConfigError, match=r"focal takes one class a row, .* write cross_entropy"):
        focal(torch.zeros(4, 3), torch.full((4, 3), 1 / 3))


def classes_of(*counts: int) -> Tensor:
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


@pytest.mark.parametrize(
    ("task", "target", "params", "why"),
    [
        (
            "binary",
            classes_of(950, 50),
            CrossEntropy(name="cross_entropy"),
            "cross_entropy, since the rarest of 2 classes holds 5.00% of 1000 training rows, not less than 5.00%",
        ),
        (
            "binary",
            classes_of(49, 951),
            Focal(name="focal", gamma=2.0),
            "focal with gamma 2, since the rarest of 2 classes holds 4.90% of 1000 training rows, less than 5.00%; "
            "its probabilities are too even",
        ),
        (
            "multiclass",
            classes_of(25, 500, 300, 175),
            CrossEntropy(name="cross_entropy"),
            "cross_entropy, since the rarest of 4 classes holds 2.50% of 1000 training rows, not less than 2.50%",
        ),
        (
            "multiclass",
            classes_of(500, 301, 175, 24),
            Focal(name="focal", gamma=2.0),
            "focal with gamma 2, since the rarest of 4 classes holds 2.40% of 1000 training rows, less than 2.50%; "
            "its probabilities are too even",
        ),
        (
            "multilabel",
            TARGETS["multilabel"],
            BCE(name="bce_with_logits"),
            "bce_with_logits, since every label of a row is a question of its own",
        ),
        (
            "sequence",
            TARGETS["sequence"],
            CTC(name="ctc"),
            "ctc, since the labels of a row do not say at which time each of them holds",
        ),
        (
            "regression",
            torch.tensor([0.0] * 6 + [1.0] * 4),
            MSE(name="mse"),
            "mse, since at least half of 10 targets are 0: no outlier scale",
        ),
    ],
)
def test_auto_takes_a_loss_that_fits_and_says_why(task: str, target: Tensor, params: LossParams, why: str) -> None:
    assert choose_loss(task, target) == (params, why)
    assert callable(build_loss(params, task=task, target=target))


@pytest.mark.parametrize(("outliers", "robust"), [(10, False), (11, True)])
def test_auto_takes_huber_for_more_outliers_than_one_percent(outliers: int, robust: bool) -> None:
    target = np.linspace(-2, 2, 1000)  # median 0, and 1 the median distance from it
    target[-outliers:] = 50.0
    deviation = np.median(np.abs(target - np.median(target)))
    params, why = choose_loss("regression", torch.from_numpy(target).reshape(500, 2).float())
    figures = f"{outliers / 10:.2f}% of 1000 targets are over 3 robust standard deviations (1.484) off the median"
    if robust:
        assert isinstance(params, Huber)
        assert params.delta == pytest.approx(1.345 * 1.4826 * deviation, rel=1e-6)
        assert why == f"huber with delta 1.996, since {figures}, more than 1%"
    else:
        assert (params, why) == (MSE(name="mse"), f"mse, since {figures}, not more than 1%")


def test_labels_outside_the_classes_are_named() -> None:
    check_target(torch.tensor([0, 1, 2]), 3)
    with pytest.raises(DataError) as caught:
        check_target(torch.tensor([0, 7, -1, 3, 2]), 3)
    assert str(caught.value) == (
        "target: 3 of 5 rows have a label outside 0..2 (least -1, greatest 7): run prepare again"
    )
    with pytest.raises(DataError, match="1 of 2 rows"):
        check_target(torch.tensor([[1, 0], [4, 4]]), 4)


@pytest.mark.parametrize(
    ("train", "valid", "message"),
    [
        (
            [0, 1, 1],
            [0, 1, 2],
            "no training row has the class 'c': lower prepare.split.valid or prepare.split.test, "
            "or drop the class from the data",
        ),
        (
            [0, 1, 2],
            [1, 1],
            "no validation row has the class 'a', 'c': raise prepare.split.valid, or drop the class from the data",
        ),
    ],
)
def test_a_class_without_a_row_is_named(train: list[int], valid: list[int], message: str) -> None:
    check_classes(torch.tensor([2, 1, 0]), torch.tensor([0, 1, 2, 2]), ("a", "b", "c"))
    with pytest.raises(DataError) as caught:
        check_classes(torch.tensor(train), torch.tensor(valid), ("a", "b", "c"))
    assert str(caught.value) == message
