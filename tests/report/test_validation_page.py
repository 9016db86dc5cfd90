"""Data docs: one page that needs no network, shows text as text, and begins with what failed."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ann.data.validation import Verdict
from ann.report.validation_page import write_validation_page

HOSTILE = "<script>alert(\"1\")</script> & 'quoted' {braces}"


def verdict(expectation: str, column: str, *, level: str = "error", success: bool = True, **texts: object) -> Verdict:
    fields = {"expected": "yes", "observed": "as expected", "rows": [], **texts}
    return Verdict(f"expect_{expectation}", column, level, success, **fields)


GOOD = verdict("column_values_to_be_unique", "id")
TABLE = verdict("table_row_count_to_be_between", "", expected="min_value=10")
BAD = verdict(
    "column_values_to_be_between",
    "age",
    success=False,
    expected="max_value=120",
    observed="2 of 9 rows (200, 300)",
    rows=[{"row": "4", "age": "200"}, {"row": "7", "age": "300"}],
)
UNUSUAL = verdict("column_mean_to_be_between", "income", level="warning", success=False)


def page_of(verdicts: list[Verdict], folder: Path, *, rows: int = 1234567) -> str:
    path = folder / "docs" / "index.html"
    write_validation_page(verdicts, data_md5="d41d8cd9", rows=rows, columns=4, path=path)
    return path.read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Collects the words of a page, its elements and their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_refers_to_nothing_outside_itself(tmp_path: Path) -> None:
    page = page_of([GOOD, BAD, UNUSUAL, TABLE], tmp_path)
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", page, re.IGNORECASE)
    reader = Reader(page)
    assert not {"script", "link", "img", "iframe", "object"} & set(reader.tags)
    assert not {name for name, _ in reader.attributes} & {"src", "href", "srcset", "onload"}


def test_every_element_is_closed(tmp_path: Path) -> None:
    reader = Reader(page_of([GOOD, BAD, UNUSUAL, TABLE], tmp_path))
    assert reader.open == []
    assert reader.tags[0] == "html"


def test_text_from_the_data_is_shown_and_never_run(tmp_path: Path) -> None:
    hostile = verdict(
        "column_values_to_be_in_set",
        HOSTILE,
        success=False,
        expected=HOSTILE,
        observed=HOSTILE,
        rows=[{"row": "1", HOSTILE: HOSTILE}],
    )
    page = page_of([hostile], tmp_path)
    reader = Reader(page)
    assert "<script" not in page
    assert "script" not in reader.tags
    assert "".join(reader.words).count(HOSTILE) == 2 * 5 + 1  # both tables, and the column's heading


def test_failures_come_first_and_again_under_their_column(tmp_path: Path) -> None:
    page = page_of([GOOD, TABLE, BAD, UNUSUAL], tmp_path)
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == ["Failures", "Column id", "Table", "Column age", "Column income"]
    failures = page.split("<h2>")[1]
    assert "values to be between" in failures
    assert "mean to be between" in failures
    assert "values to be unique" not in failures
    assert page.count("max_value=120") == 2


def test_failures_show_their_level_and_example_rows(tmp_path: Path) -> None:
    failures = page_of([BAD, UNUSUAL], tmp_path).split("<h2>")[1]
    assert '<td class="error">error</td>' in failures
    assert '<td class="warning">warning</td>' in failures
    assert "<code>row=4, age=200</code>" in failures
    assert "<code>row=7, age=300</code>" in failures


def test_without_failures_there_is_no_such_heading(tmp_path: Path) -> None:
    page = page_of([GOOD, TABLE], tmp_path)
    assert "Failures" not in page
    assert page.count('<td class="good">met</td>') == 2


@pytest.mark.parametrize(
    ("verdicts", "mood", "headline"),
    [
        ([GOOD, TABLE], "good", "2 of 2 expectations met"),
        ([GOOD, UNUSUAL], "warning", "1 of 2 expectations met"),
        ([GOOD, UNUSUAL, BAD], "error", "1 of 3 expectations met"),
    ],
)
def test_the_headline_counts_and_takes_the_colour_of_the_worst(
    verdicts: list[Verdict], mood: str, headline: str, tmp_path: Path
) -> None:
    assert f'<p class="{mood}">{headline}</p>' in page_of(verdicts, tmp_path)


def test_the_page_names_the_data(tmp_path: Path) -> None:
    words = "".join(Reader(page_of([GOOD], tmp_path)).words)
    assert "Data d41d8cd9, 1,234,567 rows, 4 columns." in words


def test_the_same_verdicts_give_the_same_page(tmp_path: Path) -> None:
    assert page_of([GOOD, BAD], tmp_path) == page_of([GOOD, BAD], tmp_path)
