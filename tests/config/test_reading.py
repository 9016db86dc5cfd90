"""`data.reading`: what is accepted, and what each refusal says."""

import pytest
from pydantic import ValidationError

from ann.config.reading import Reading


def test_everything_is_looked_at_by_default():
    reading = Reading()
    assert (reading.format, reading.separator, reading.encoding, reading.header) == ("auto",) * 4
    assert (reading.names, reading.decimal, reading.pattern) == ((), ".", None)


@pytest.mark.parametrize("header", ["auto", True, False])
def test_a_header_is_there_or_not_or_looked_for(header):
    assert Reading(header=header, names=("a",)).header is header


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "xml"}, "'auto', 'csv', 'parquet', 'idx', 'pixels', 'images' or 'audio'"),
        ({"separator": ", "}, "separator must be auto or one character, a tab is written"),
        ({"separator": '"'}, "separator must be auto or one character"),
        ({"encoding": "utf-88"}, "encoding 'utf-88' is no text codec of Python: try utf-8 or cp1252"),
        ({"encoding": "hex"}, "encoding 'hex' is no text codec"),
        ({"names": ("a", "b", "a")}, "names must differ; doubled: a"),
        ({"names": ("a", " ")}, "names must not be empty"),
        ({"pattern": "(?P<digit"}, "is no regular expression: "),
        ({"pattern": r"(\d)_(\w+)"}, r"names no group: write \(\?P<name>\.\.\.\) around"),
        ({"header": False}, "header is false, so the columns have no names: give them in names"),
        ({"separator": ",", "decimal": ","}, "separator and decimal cannot both be ','"),
    ],
)
def test_a_mistake_is_refused_with_the_rule(values, message):
    with pytest.raises(ValidationError, match=message):
        Reading(**values)
