"""The errors that users see, and the suggestions in them."""

import pytest

from ann.errors import EXIT_USER_ERROR, AnnError, BusyError, ConfigError, DataError, StageError, did_you_mean


@pytest.mark.parametrize("kind", [ConfigError, DataError, StageError, BusyError])
def test_every_kind_is_one_that_the_user_can_mend(kind):
    with pytest.raises(AnnError, match="the way out"):
        raise kind("the way out")


def test_user_mistakes_exit_with_two():
    assert EXIT_USER_ERROR == 2


@pytest.mark.parametrize(("name", "close"), [("epoch", "epochs"), ("batchsize", "batch_size"), ("sede", "seed")])
def test_a_name_with_a_slip_gets_the_nearest_known_one(name, close):
    assert did_you_mean(name, ["seed", "epochs", "batch_size"]) == f" (did you mean {close!r}?)"


def test_a_name_that_resembles_none_gets_the_sorted_list():
    assert did_you_mean("zzzz", ["seed", "epochs"]) == " (known: epochs, seed)"


def test_where_nothing_is_known_nothing_is_suggested():
    assert did_you_mean("seed", []) == ""
