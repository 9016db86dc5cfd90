"""Media as plain columns: what can be told of an image or a sound without learning from it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ann.data.schema import media_type
from ann.media import audio_facts, fingerprint, image_size


def without_media(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a digest in place of each file, so that rows can be compared."""
    media = {name: table[name].map(_digest) for name in table if media_type(table[name].dropna())}
    return table.assign(**{str(name): column for name, column in media.items()})


def described(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with columns of facts in place of each media column, for expectations.

    An image is told by height, width and channels, a sound by rate [Hz] and seconds, each as `<column>.<fact>`.

    Raises:
        DataError: a file cannot be read.
    """
    columns: dict[str, pd.Series] = {}
    for name in table:
        kind = media_type(table[name].dropna())
        if kind is None:
            columns[str(name)] = table[name]
            continue
        facts, read = FACTS[kind]
        values = np.array([read(cell) if _known(cell) else [np.nan] * len(facts) for cell in table[name]], float)
        for number, fact in enumerate(facts):
            column = pd.Series(values[:, number], index=table.index)
            whole = not np.isnan(values[:, number]).any() and fact != "seconds"
            columns[f"{name}.{fact}"] = column.astype("int64") if whole else column
    return pd.DataFrame(columns)


def _digest(cell: Any) -> Any:
    return fingerprint(cell).hex() if _known(cell) else cell


def _known(cell: Any) -> bool:
    return cell is not None and not (isinstance(cell, float) and np.isnan(cell))


def _audio(cell: Any) -> tuple[float, float]:
    rate, _, seconds = audio_facts(cell)
    return rate, seconds


FACTS: dict[str, tuple[tuple[str, ...], Callable[[Any], tuple[float, ...]]]] = {
    "audio": (("rate", "seconds"), _audio),
    "image": (("height", "width", "channels"), image_size),
}
"""By kind of media: what is told, and how it is read from a cell."""
