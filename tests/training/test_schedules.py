"""Learning-rate schedules, value by value, against the formula written another way."""

import numpy as np
import pytest

from ann.config.train import Constant, Cosine
from ann.training.schedules import lr_factor

CASES = [(1, 0.0, 0), (2, 0.0, 0), (40, 0.0, 0), (40, 0.05, 2), (40, 0.25, 10), (100, 0.9, 90), (3, 0.34, 1)]
"""Steps in all, share of warmup, steps of warmup."""


def factors(schedule: Cosine | Constant, total: int) -> list[float]:
    return [lr_factor(step, total, schedule) for step in range(total)]


def rise(warmup: int) -> np.ndarray:
    return np.arange(1, warmup + 1) / warmup if warmup else np.empty(0)


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


@pytest.mark.parametrize("final", [0.0, 0.3])
def test_cosine_ends_exactly_at_its_final_share(final: float) -> None:
    assert lr_factor(99, 100, Cosine(warmup=0.1, final=final)) == pytest.approx(final, abs=1e-15)


def test_warmup_reaches_the_peak_at_its_last_step_and_never_exceeds_it() -> None:
    values = factors(Cosine(warmup=0.2), 50)
    assert values[9] == 1.0
    assert values[:10] == sorted(values[:10])
    assert values[10:] == sorted(values[10:], reverse=True)
    assert max(values) == 1.0


def test_a_warmup_over_all_steps_only_rises() -> None:
    assert factors(Cosine(warmup=0.99), 4) == [0.25, 0.5, 0.75, 1.0]


def test_a_step_beyond_the_last_stays_at_the_final_share() -> None:
    assert lr_factor(150, 100, Cosine(warmup=0.0, final=0.2)) == pytest.approx(0.2)
