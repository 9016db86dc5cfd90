"""The table of variants, on a terminal and as Markdown: every figure of every variant, and the verdict."""

import io

import pytest
from rich.console import Console

from ann.report.variants import variants_markdown, variants_table


def candidate(name: str, **changes: object) -> dict[str, object]:
    plain = {
        "name": name,
        "quality": {"value": 0.9123, "low": 0.9, "high": 0.92},
        "drop": {"value": 0.001, "low": -0.001, "high": 0.0021},
        "bytes": 56596,
        "packed_bytes": 40321,
        "memory_mb": 12.34,
        "load_ms": 5.67,
        "latency_ms": {"1": {"p50": 0.0123, "p95": 0.02}, "256": {"p50": 1.5, "p95": 2.0}},
        "allowed": True,
        "chosen": False,
        "why": "allowed; int8 preferred",
    }
    return {**plain, **changes}


CONTENT = {
    "metric": "auc",
    "max_drop": 0.003,
    "machine": {"processor": "x86_64", "cores": 2, "threads": 1, "onnxruntime": "1.24"},
    "candidates": [
        candidate("fp32"),
        candidate("int8", chosen=True, bytes=1234567, why="best in latency of those that may be shipped"),
        candidate("pruned", allowed=False, why="may lose 0.0040, over max_drop 0.003"),
    ],
}


def printed(width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(variants_table(CONTENT))
    return console.file.getvalue()


def test_a_terminal_shows_every_figure_of_every_variant() -> None:
    lines = printed().splitlines()
    assert "Variants on validation rows (auc)" in lines[1]
    assert " ".join(lines[2].split()) == "variant quality drop up to bytes as .xz MB load ms ms at 1 ms at 256"
    rows = {line.split()[0]: line.split() for line in lines[3:]}
    assert rows["fp32"][1:9] == ["0.9123", "0.0021", "56,596", "40,321", "12.3", "5.7", "0.012", "1.500"]
    assert rows["int8"][3] == "1,234,567"
    assert rows["int8"][-2:] == ["<-", "shipped"]
    assert " ".join(rows["pruned"][9:]) == "may lose 0.0040, over max_drop 0.003"


def test_a_narrow_terminal_loses_no_name() -> None:
    assert all(name in printed(width=110) for name in ("fp32", "int8", "pruned"))


def test_markdown_is_a_table_without_html_and_says_how_it_was_measured() -> None:
    text = variants_markdown(CONTENT)
    lines = text.splitlines()
    assert {line.count("|") for line in lines[:5]} == {11}
    assert lines[3].startswith("| int8 | 0.9123 | 0.0021 | 1,234,567 |")
    assert lines[3].endswith("| **shipped** |")
    assert lines[4].endswith("| may lose 0.0040, over max_drop 0.003 |")
    assert "auc on validation rows" in text
    assert "at most 0.003" in text
    assert "x86_64, one thread, ONNX Runtime 1.24" in text
    assert "<" not in text


@pytest.mark.parametrize("batches", [("1",), ("1", "32", "256")])
def test_there_is_a_column_for_each_batch_size(batches: tuple[str, ...]) -> None:
    times = {batch: {"p50": 1.0, "p95": 2.0} for batch in batches}
    content = {**CONTENT, "candidates": [candidate("fp32", latency_ms=times)]}
    head = variants_markdown(content).splitlines()[0]
    assert all(f"| ms at {batch} |" in head for batch in batches)
