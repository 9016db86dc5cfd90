"""Learning-rate schedules, value by value, against the formula written another way, or torch's own."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from ann.config.schedules import Constant, Cosine, Exponential, OneCycle, Plateau, ScheduleOfLR, Step
from ann.config.train import TrainParams
from ann.training.schedules import PlateauState, lr_factor

CASES = [(1, 0.0, 0), (2, 0.0, 0), (40, 0.0, 0), (40, 0.05, 2), (40, 0.25, 10), (100, 0.9, 90), (3, 0.34, 1)]
"""Steps in all, share of warmup, steps of warmup."""
EPOCH = 4
"""Steps an epoch."""


def factors(schedule: ScheduleOfLR, total: int) -> list[float]:
    return [lr_factor(step, total, EPOCH, schedule) for step in range(total)]


def rise(warmup: int) -> np.ndarray:
    return np.arange(1, warmup + 1) / warmup if warmup else np.empty(0)


def torch_factors(make, total: int) -> list[float]:
    """Return what a scheduler of torch gives with a peak of 1."""
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    scheduler = make(optimizer)
    values = []
    for _ in range(total):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(("total", "share", "warmup"), CASES)
def test_every_step_of_cosine_follows_the_formula(total: int, share: float, warmup: int, final: float) -> None:
    angle = np.linspace(0, np.pi / 2, total - warmup)
    fall = final + (1 - final) * np.cos(angle) ** 2  # (1 + cos 2x) / 2 = cos(x)^2
    expected = np.concatenate([rise(warmup), fall])
    np.testing.assert_allclose(factors(Cosine(warmup=share, final=final), total), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("total", "share", "warmup"), CASES)
def test_every_step_of_constant_follows_the_formula(total: int, share: float, warmup: int) -> None:
    expected = np.concatenate([rise(warmup), np.ones(total - warmup)])
    np.testing.assert_allclose(factors(Constant(name="constant", warmup=share), total), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("total", "share", "warmup"), CASES)
def test_every_step_of_exponential_follows_the_formula(total: int, share: float, warmup: int) -> None:
    schedule = Exponential(name="exponential", decay_rate=0.7, decay_epochs=2.5, warmup=share)
    epochs = np.arange(total - warmup) / EPOCH
    expected = np.concatenate([rise(warmup), np.exp(epochs / 2.5 * np.log(0.7))])
    np.testing.assert_allclose(factors(schedule, total), expected, rtol=1e-12)


@pytest.mark.parametrize(("total", "share", "warmup"), CASES)
def test_every_step_of_step_follows_the_formula(total: int, share: float, warmup: int) -> None:
    schedule = Step(name="step", every=3, factor=0.5, warmup=share)
    falls = np.repeat(np.arange(100), 3 * EPOCH)[: total - warmup]
    expected = np.concatenate([rise(warmup), 2.0**-falls])
    np.testing.assert_allclose(factors(schedule, total), expected, rtol=1e-12)


def test_step_falls_exactly_at_the_end_of_an_epoch_whatever_its_length() -> None:
    for steps in (3, 7, 49, 938):  # 1 / 49 * 49 is less than 1 in floating point
        schedule = Step(name="step", every=1, factor=0.5)
        values = [lr_factor(step, 10 * steps, steps, schedule) for step in range(3 * steps)]
        assert values == [1.0] * steps + [0.5] * steps + [0.25] * steps


@pytest.mark.parametrize(("total", "share"), [(40, 0.25), (100, 0.3), (200, 0.9)])
def test_every_step_of_one_cycle_is_that_of_torch(total: int, share: float) -> None:
    expected = torch_factors(
        lambda optimizer: lr_scheduler.OneCycleLR(
            optimizer, 1.0, total_steps=total + 1, pct_start=share * total / (total + 1), cycle_momentum=False
        ),
        total,
    )
    mine = [
        lr_factor(step, total + 1, EPOCH, OneCycle(name="one_cycle", warmup=share * total / (total + 1)))
        for step in range(total)
    ]
    np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-9)


def test_one_cycle_starts_peaks_and_ends_where_it_should() -> None:
    values = factors(OneCycle(name="one_cycle", warmup=0.25, start=0.1, final=0.01), 80)
    assert values[0] == pytest.approx(0.1)
    assert values[19] == max(values) == 1.0
    assert values[79] == pytest.approx(0.01)


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_plateau_falls_as_torchs_does_once_the_warmup_is_over(share: float) -> None:
    losses = [1.0, 0.9, 0.9, 0.95, 0.9, 0.8, 0.85, 0.81, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]
    schedule = Plateau(name="plateau", factor=0.5, patience=2, min_lr=0.05, warmup=share)
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.4)
    theirs = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, threshold=0.0, min_lr=0.05)
    mine, total = PlateauState(), 100 * EPOCH
    for epoch, loss in enumerate(losses):
        mine.update(loss, schedule, peak=0.4)
        theirs.step(loss)
        step = total // 2 + epoch
        rate = 0.4 * lr_factor(step, total, EPOCH, schedule) * mine.factor
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"]), epoch
    assert mine.factor == 0.05 / 0.4  # it fell to the floor and stayed


def test_a_plateau_is_multiplied_with_the_warmup() -> None:
    schedule = Plateau(name="plateau", warmup=0.5)
    np.testing.assert_allclose(factors(schedule, 20), np.concatenate([rise(10), np.ones(10)]))


def test_an_improvement_within_min_delta_does_not_hold_the_plateau_back() -> None:
    state, schedule = PlateauState(), Plateau(name="plateau", factor=0.1, patience=2, min_delta=0.1)
    for value in (1.0, 0.95, 0.92):
        state.update(value, schedule, peak=1.0)
    assert state.factor == pytest.approx(0.1)
    assert math.isclose(state.best, 1.0)


@pytest.mark.parametrize("final", [0.0, 0.3])
def test_cosine_ends_exactly_at_its_final_share(final: float) -> None:
    assert lr_factor(99, 100, EPOCH, Cosine(warmup=0.1, final=final)) == pytest.approx(final, abs=1e-15)


@pytest.mark.parametrize("name", ["constant", "cosine", "exponential", "plateau", "step"])
def test_warmup_reaches_the_peak_at_its_last_step_and_never_exceeds_it(name: str) -> None:
    schedule = TrainParams(schedule={"name": name, "warmup": 0.2}).schedule
    values = factors(schedule, 50)
    assert values[9] == 1.0
    assert values[:10] == sorted(values[:10])
    assert values[10:] == sorted(values[10:], reverse=True)
    assert max(values) == 1.0


def test_a_warmup_over_all_steps_only_rises() -> None:
    assert factors(Cosine(warmup=0.99), 4) == [0.25, 0.5, 0.75, 1.0]


def test_a_step_beyond_the_last_stays_at_the_final_share() -> None:
    assert lr_factor(150, 100, EPOCH, Cosine(warmup=0.0, final=0.2)) == pytest.approx(0.2)
