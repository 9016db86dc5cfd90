"""Texts: the words of one or several columns become ids, padded with zeros.

Everything from the raw text to the ids happens inside the graph, and the vocabulary is counted on what those nodes
give, so that no word is parted or written otherwise in training than in serving.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort

from ann.config.kinds import TextParams
from ann.data.graph import MICROSOFT, GraphBuilder
from ann.data.kinds import PREFIX
from ann.errors import DataError

PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2
"""Ids after the end of a text, of a word that the vocabulary lacks, and of its first word."""
ROWS_AT_ONCE = 1024
_SIGN = r"\p{L}\p{M}\p{N}"
TOKENS = {
    # Letters with their accents, and digits; apostrophes hold a word together; control signs part like white space.
    "words": rf"[{_SIGN}]+(?:['\x{{2019}}][{_SIGN}]+)*|[^{_SIGN}\s\p{{Z}}\p{{C}}]",
    "spaces": r"[^\s\p{Z}]+",
}
"""What a word is, as a regular expression of RE2."""


@dataclass(frozen=True)
class TextStatistics:
    """Word i of `words` gets id i + FIRST_WORD; the columns `names` are read one after another."""

    names: tuple[str, ...]
    words: tuple[str, ...]
    length: int
    lower: bool
    tokens: str

    @property
    def size(self) -> int:
        """Number of ids, the two reserved ones included."""
        return len(self.words) + FIRST_WORD

    def group(self) -> dict[str, Any]:
        """Return what a network must know of the group `text`."""
        return {"words": self.size, "length": self.length}


def fit_text(texts: dict[str, np.ndarray], params: TextParams, missing: tuple[str, ...]) -> TextStatistics:
    """Take the most frequent words of the training texts, (N,) strings a column; equal counts go by alphabet.

    Only words within `params.length` count, since no other reaches the network.

    Raises:
        DataError: no word is frequent enough.
    """
    empty = TextStatistics(tuple(texts), (), params.length, params.lower, params.tokens)
    counts = _count(texts, empty, missing)
    frequent = [word for word, count in counts.items() if count >= params.min_count]
    if not frequent:
        raise DataError(
            f"no word of {_listed(empty.names)} appears {params.min_count} times in the training rows: "
            f"lower prepare.text.min_count, or give the column the role `drop`"
        )
    words = sorted(frequent, key=lambda word: (-counts[word], word))[: params.words]
    return TextStatistics(empty.names, tuple(words), params.length, params.lower, params.tokens)


def _count(texts: dict[str, np.ndarray], statistics: TextStatistics, missing: tuple[str, ...]) -> Counter[str]:
    builder = GraphBuilder(PREFIX.removesuffix("/"))
    words = _word_nodes(builder, statistics, missing)
    builder.output(words, object, ["N", "T"])
    session = ort.InferenceSession(builder.model().SerializeToString(), providers=["CPUExecutionProvider"])
    counts: Counter[str] = Counter()
    for start in range(0, len(next(iter(texts.values()))), ROWS_AT_ONCE):
        chunk = {name: column[start : start + ROWS_AT_ONCE] for name, column in texts.items()}
        counts.update(session.run([words], chunk)[0].ravel().tolist())
    del counts[""]
    return counts


def _listed(names: tuple[str, ...]) -> str:
    return ("column " if len(names) == 1 else "the columns ") + ", ".join(map(repr, names))


def text_nodes(builder: GraphBuilder, statistics: TextStatistics, missing: tuple[str, ...]) -> str:
    """Append the nodes from (N,) strings a column to ids; return their name.

    The ids are (N, T) int64, T being the words of the batch's longest text, at least 1 and at most `length`.
    """
    return builder.op(
        "LabelEncoder",
        _word_nodes(builder, statistics, missing),
        domain="ai.onnx.ml",
        keys_strings=["", *statistics.words],
        values_int64s=[PADDING, *range(FIRST_WORD, statistics.size)],
        default_int64=UNKNOWN,
    )


def _word_nodes(builder: GraphBuilder, statistics: TextStatistics, missing: tuple[str, ...]) -> str:
    """Append the nodes from raw columns to (N, T) words, "" after the end of a text; return their name."""
    columns = [_known(builder, builder.input(name, object, ["N"]), missing) for name in statistics.names]
    text, *more = columns
    for column in more:
        spaced = builder.op("StringConcat", text, builder.op("Constant", value_string=" "))
        text = builder.op("StringConcat", spaced, column)
    # A row of one word more keeps a batch of no rows, or of no words, two-dimensional and T at least 1.
    text = builder.op("Concat", text, builder.op("Constant", value_strings=["a"]), axis=0)
    if statistics.lower:
        # The default locale, en_US.UTF-8, is not installed everywhere.
        text = builder.op("StringNormalizer", text, case_change_action="LOWER", locale="C.UTF-8")
    words = builder.op(
        "Tokenizer",
        text,
        domain=MICROSOFT,
        mark=0,
        mincharnum=1,
        pad_value="",
        tokenexp=TOKENS[statistics.tokens],
    )
    words = builder.cast(words, object)  # the checker of ONNX dies of a LabelEncoder whose input has no known type
    start, end, axes = (
        builder.op("Constant", value_ints=values) for values in ((0, 0), (-1, statistics.length), (0, 1))
    )
    return builder.op("Slice", words, start, end, axes)


def _known(builder: GraphBuilder, text: str, missing: tuple[str, ...]) -> str:
    """Append nodes that empty the cells that hold a missing marker."""
    if not missing:
        return text
    marked = builder.op(
        "LabelEncoder",
        text,
        domain="ai.onnx.ml",
        keys_strings=sorted(set(missing)),
        values_int64s=[1] * len(set(missing)),
        default_int64=0,
    )
    return builder.op("Where", builder.cast(marked, bool), builder.op("Constant", value_string=""), text)
