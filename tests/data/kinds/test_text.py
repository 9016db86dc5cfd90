"""The graph from raw texts to ids, against a tokenizer in Python."""

import unicodedata
from collections import Counter

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ann.config.kinds import TextParams
from ann.data.graph import MICROSOFT, GraphBuilder
from ann.data.kinds.text import TextStatistics, fit_text, text_nodes
from ann.errors import DataError

ALL = TextParams(min_count=1)


def texts(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def session(statistics: TextStatistics, missing: tuple[str, ...] = ()) -> ort.InferenceSession:
    builder = GraphBuilder("ann:prepare")
    builder.op("Identity", text_nodes(builder, statistics, missing), output="ids")
    builder.output("ids", np.int64, ["N", "T"])
    return ort.InferenceSession(builder.model().SerializeToString(), providers=["CPUExecutionProvider"])


def fit(*values: str, missing: tuple[str, ...] = (), **params) -> TextStatistics:
    return fit_text({"x": texts(*values)}, TextParams(**{"min_count": 1, **params}), missing)


def ids(statistics: TextStatistics, *values: str, missing: tuple[str, ...] = ()) -> list[list[int]]:
    return session(statistics, missing).run(None, {"x": texts(*values)})[0].tolist()


def kind(letter: str) -> str:
    category = unicodedata.category(letter)
    if category[0] in "LMN":
        return "letter"
    return "gap" if category[0] in "ZC" else "sign"


def words_of(text: str) -> list[str]:
    """Part a text letter by letter; an apostrophe between two letters belongs to their word."""
    kinds = [kind(letter) for letter in text]
    for at in range(1, len(text) - 1):
        if text[at] in "'\u2019" and kind(text[at - 1]) == kind(text[at + 1]) == "letter":
            kinds[at] = "letter"
    found, previous = [], "gap"
    for letter, now in zip(text, kinds, strict=True):
        if now == previous == "letter":
            found[-1] += letter
        elif now != "gap":
            found.append(letter)
        previous = now
    return found


def test_punctuation_stands_apart_and_apostrophes_hold_words_together():
    statistics = fit("Great!! 'Isn't it?' na\u00efve, a_b 3.14 don\u2019t")
    expected = {"great", "!", "'", "isn't", "it", "?", "na\u00efve", ",", "a", "_", "b", "3", ".", "14", "don\u2019t"}
    assert set(statistics.words) == expected


def test_letters_of_every_script_make_words_and_every_emoji_is_one():
    statistics = fit("\u65e5\u672c\u8a9e\u30c6\u30b9\u30c8\u3002\U0001f600\U0001f600 \u0417\u0434\u0440\u0430 e\u0301t")
    expected = {"\u65e5\u672c\u8a9e\u30c6\u30b9\u30c8", "\u3002", "\U0001f600", "\u0437\u0434\u0440\u0430", "e\u0301t"}
    assert set(statistics.words) == expected


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.text("aZ9\u00c9\u0434\u65e5\U0001f600'\u2019!-. \t\n\u00a0\u3000\u200b_\u0301", max_size=12), max_size=5
    )
)
def test_words_are_those_that_a_reading_letter_by_letter_finds(values):
    vocabulary = sorted({word for value in values for word in words_of(value)})
    statistics = TextStatistics(("x",), tuple(vocabulary), 128, lower=False, tokens="words")
    found = session(statistics).run(None, {"x": texts(*values)})[0]
    expected = [[vocabulary.index(word) + 2 for word in words_of(value)] for value in values]
    width = max([1, *map(len, expected)])
    assert found.tolist() == [row + [0] * (width - len(row)) for row in expected]


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_ids_count_from_two_unknown_is_one_and_padding_zero(rows):
    statistics = fit("a a a b b c")
    assert ids(statistics, *(["c b what a", "a"] * rows)[:rows]) == ([[4, 3, 1, 2], [2, 0, 0, 0]] * rows)[:rows]


def test_ids_have_the_width_of_the_longest_text_and_at_least_one_column():
    statistics = fit("a b")
    shapes = [
        session(statistics).run(None, {"x": texts(*batch)})[0].shape
        for batch in ([], [""], ["", " \t"], ["a a a", "b"])
    ]
    assert shapes == [(0, 1), (1, 1), (2, 1), (2, 3)]


def test_words_after_the_length_are_left_out_and_not_counted():
    statistics = fit("a b late", "a", length=2)
    assert statistics.words == ("a", "b")
    assert ids(statistics, "b a b a b") == [[3, 2]]


def test_the_vocabulary_is_the_most_frequent_words_with_ties_by_alphabet():
    rng = np.random.default_rng(0)
    values = [" ".join(rng.choice(list("abcdefghij"), 7)) for _ in range(2500)]  # more than one chunk
    counts = Counter(" ".join(values).split())
    expected = sorted(counts, key=lambda word: (-counts[word], word))[:4]
    assert fit(*values, words=4).words == tuple(expected)
    assert fit("z y x", "z x y w").words == ("x", "y", "z", "w")


def test_words_below_the_least_count_are_unknown():
    statistics = fit("a a b", min_count=2)
    assert ids(statistics, "a b") == [[2, 1]]


def test_capitals_are_read_as_small_letters_beyond_ascii_unless_told_otherwise():
    assert ids(fit("\u00e9t\u00e9"), "\u00c9T\u00c9") == [[2]]
    assert ids(fit("\u00e9t\u00e9", lower=False), "\u00c9T\u00c9") == [[1]]


def test_spaces_part_at_white_space_alone():
    assert set(fit("Great!\u00a0it's\tgood.\n great", tokens="spaces").words) == {"great!", "it's", "good.", "great"}


def test_missing_markers_that_fill_a_cell_give_no_word_and_inside_a_text_they_do():
    statistics = fit("NA", "a NA", "?", "", missing=("NA", "?"))
    assert statistics.words == ("a", "na")
    assert ids(statistics, "NA", "?", "", "a NA", missing=("NA", "?")) == [[0, 0], [0, 0], [0, 0], [2, 3]]


def test_several_columns_are_read_one_after_another():
    columns = {"title": texts("red", "NA", ""), "x": texts("fox", "hat", "?"), "end": texts("end", "end", "")}
    statistics = fit_text(columns, ALL, ("NA",))
    assert statistics.names == ("title", "x", "end")
    assert statistics.words == ("end", "?", "fox", "hat", "red")
    found = session(statistics, ("NA",)).run(None, columns)[0]
    assert found.tolist() == [[6, 4, 2], [5, 2, 0], [3, 0, 0]]


def test_the_network_is_told_the_number_of_ids_and_the_length():
    assert fit("a b", length=9).group() == {"words": 4, "length": 9}


def test_a_vocabulary_without_words_is_refused():
    with pytest.raises(DataError, match=r"no word of column 'x' appears 2 times .* prepare\.text\.min_count"):
        fit("a b c", min_count=2)


def test_the_graph_names_the_domain_that_it_needs():
    builder = GraphBuilder("ann:prepare")
    builder.output(text_nodes(builder, fit("a"), ()), np.int64, ["N", "T"])
    assert {opset.domain: opset.version for opset in builder.model().opset_import}[MICROSOFT] == 1


def test_columns_may_have_any_name():
    columns = {"words": texts("a"), "ann/slice": texts("b"), "N": texts("c")}
    assert fit_text(columns, ALL, ("?",)).words == ("a", "b", "c")
