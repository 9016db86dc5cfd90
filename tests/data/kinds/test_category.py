"""Ids and one-hot columns of categories, against pandas."""

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest

from ann.data.graph import GraphBuilder
from ann.data.kinds import COLUMN
from ann.data.kinds.category import CategoryStatistics, category_nodes, fit_category, one_hot_nodes

WORDS = ["b", "a", "a", "b", "c", None, "c", "rare", "?", "?"]


def fit(values, *, min_count: int = 2, missing: tuple[str, ...] = ("?",)) -> CategoryStatistics:
    return fit_category(pd.Series(values), "x", min_count=min_count, missing=missing)


def prepare(statistics: CategoryStatistics, values, *, one_hot: bool = False, missing: tuple[str, ...] = ("?",)):
    builder = GraphBuilder("ann:prepare")
    builder.constant(COLUMN, np.array([-1, 1], dtype=np.int64))
    name = category_nodes(builder, 0, statistics, missing)
    if one_hot:
        name = one_hot_nodes(builder, 0, statistics, name)
    builder.output(name, np.float32 if one_hot else np.int64, ["N", statistics.size if one_hot else 1])
    session = ort.InferenceSession(builder.model().SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([name], {"x": np.array(values, dtype=object)})[0]


def test_levels_are_those_seen_often_enough_in_order_of_the_alphabet():
    assert fit(WORDS).levels == ("a", "b", "c")
    assert fit(WORDS, min_count=1).levels == ("a", "b", "c", "rare")
    assert fit(WORDS, min_count=1, missing=()).levels == ("?", "a", "b", "c", "rare")
    assert fit(WORDS, min_count=3).levels == ()
    assert [fit(WORDS, min_count=count).size for count in (1, 2, 3)] == [6, 5, 2]


def test_ids_are_zero_for_unknown_one_for_missing_and_then_the_levels():
    found = prepare(fit(WORDS), ["c", "b", "a", "rare", "A", "?", "", " a"])
    assert found.dtype == np.int64
    assert found[:, 0].tolist() == [4, 3, 2, 0, 0, 1, 1, 0]


def test_ids_are_the_codes_of_pandas():
    words = np.random.default_rng(0).choice(["red", "green", "blue", "\u00e9"], 200)
    codes = pd.Categorical(words).codes
    np.testing.assert_array_equal(prepare(fit(words), words)[:, 0], codes + 2)


def test_one_hot_columns_are_the_dummies_of_pandas_behind_unknown_and_missing():
    words = np.random.default_rng(1).choice(["red", "green", "blue"], 50)
    found = prepare(fit(words), [*words, "new", ""], one_hot=True)
    assert found.shape == (52, 5)
    np.testing.assert_array_equal(found[:50, 2:], pd.get_dummies(words).to_numpy(np.float32))
    assert found[50:].tolist() == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]]
    assert (found.sum(axis=1) == 1).all()


@pytest.mark.parametrize("one_hot", [False, True])
def test_no_rows_give_no_rows(one_hot):
    assert len(prepare(fit(WORDS), [], one_hot=one_hot)) == 0


def test_a_column_without_a_frequent_level_still_tells_missing_from_unknown():
    assert prepare(fit(["a", "b", "c"]), ["a", "", "?"])[:, 0].tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("values", "levels"), [([1.0, np.nan, 1.0], ("1",)), ([True, True, False, False], ("False", "True"))]
)
def test_values_that_are_no_texts_are_levels_by_their_text(values, levels):
    assert fit(values).levels == levels
