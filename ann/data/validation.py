"""Run a reviewed suite against a table with Great Expectations, in memory: it keeps no folder of its own."""

import logging
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.exceptions import GreatExpectationsError
from great_expectations.expectations.registry import get_expectation_impl

from ann.artifacts import load_json, save_json
from ann.data.expectations import Entry
from ann.errors import DataError

SEVERITY = {"error": "critical", "warning": "warning"}
MASK = "***"


@dataclass(frozen=True)
class Verdict:
    """What one expectation found."""

    expectation: str
    column: str
    """Empty for an expectation of the whole table."""
    level: str
    success: bool
    expected: str
    observed: str
    rows: list[dict[str, str]]
    """Offending rows, values of sensitive columns masked."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)

    def line(self) -> str:
        """Return one readable line."""
        where = f"column {self.column!r}" if self.column else "the table"
        return f"{self.level}: {self.expectation} of {where}: expected {self.expected}, observed {self.observed}"


def load_suite(path: Path) -> list[Entry]:
    """Read the reviewed expectations.

    Raises:
        DataError: the file is missing or an entry lacks a field.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist: write a first suite with `ann suite propose`, then review it")
    entries: list[Entry] = load_json(path).get("expectations", [])
    for number, entry in enumerate(entries):
        if set(entry) != {"type", "level", "kwargs"} or entry["level"] not in SEVERITY:
            raise DataError(
                f"{path} expectation {number} must hold type, kwargs and level (error or warning), got {entry}"
            )
    if not entries:
        raise DataError(f"{path} holds no expectation: write a first suite with `ann suite propose`")
    return entries


def save_suite(path: Path, entries: list[Entry]) -> None:
    """Write the suite for review."""
    save_json(path, {"expectations": entries})


def validate_table(
    table: pd.DataFrame, entries: list[Entry], *, examples: int, sensitive: tuple[str, ...]
) -> list[Verdict]:
    """Return a verdict for each entry, in order; `examples` bounds the offending rows shown for each.

    Raises:
        DataError: an entry is of a type or has arguments that Great Expectations does not know.
    """
    for name in ("great_expectations", "great_expectations.data_context.types.base"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # verdicts are told by the caller
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own use of deprecated pandas and numpy calls
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        asset = context.data_sources.add_pandas("memory").add_dataframe_asset("table")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": table})
        result = batch.validate(
            _suite(entries), result_format={"result_format": "SUMMARY", "partial_unexpected_count": max(1, examples)}
        )
    # The library answers in its own order; the position that each expectation carries brings the suite's back.
    by_number = {found.expectation_config.meta["number"]: found for found in result.results}
    return [_verdict(entry, by_number[i], table, examples, sensitive) for i, entry in enumerate(entries)]


def errors(verdicts: list[Verdict]) -> list[Verdict]:
    """Return the failures that stop the pipeline."""
    return [verdict for verdict in verdicts if not verdict.success and verdict.level == "error"]


def explain(failures: list[Verdict]) -> str:
    """Return failures with example rows as text."""
    lines = []
    for verdict in failures:
        lines.append(verdict.line())
        lines += ["    " + ", ".join(f"{name}={value}" for name, value in row.items()) for row in verdict.rows]
    return "\n".join(lines)


def _suite(entries: list[Entry]) -> Any:
    """Build each expectation by itself: handed over as a list, the library only logs those that it cannot build."""
    return gx.ExpectationSuite(name="suite", expectations=[_expectation(i, entry) for i, entry in enumerate(entries)])


def _expectation(number: int, entry: Entry) -> Any:
    try:
        build = get_expectation_impl(entry["type"])
        return build(**entry["kwargs"], severity=SEVERITY[entry["level"]], meta={"number": number})
    except (GreatExpectationsError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"suite expectation {number}, {entry['type']}: {reason}; mend or remove it") from None


def _verdict(entry: Entry, found: Any, table: pd.DataFrame, examples: int, sensitive: tuple[str, ...]) -> Verdict:
    column = str(entry["kwargs"].get("column", ""))
    result = found.result or {}
    masked = column in sensitive
    present = not column or column in table.columns  # the library would also take a column of another case
    return Verdict(
        expectation=entry["type"],
        column=column,
        level=entry["level"],
        success=bool(found.success) and present,
        expected=MASK if masked else _expected(entry["kwargs"]),
        observed=_observed(result, found.exception_info, column, masked) if present else "no such column",
        rows=[] if found.success or not present else _rows(result, table, examples, sensitive),
    )


def _expected(kwargs: dict[str, Any]) -> str:
    parts = [f"{name}={_short(value)}" for name, value in kwargs.items() if name != "column"]
    return ", ".join(parts) or "yes"


def _observed(result: dict[str, Any], exception: Any, column: str, masked: bool) -> str:
    """Return what was found; values of several columns at once are left to the rows, which are masked one by one."""
    if "unexpected_count" in result:
        text = f"{result['unexpected_count']} of {result.get('element_count')} rows"
        values = list(dict.fromkeys(map(str, result.get("partial_unexpected_list") or [])))
        shown = f" ({_short(', '.join(values[:5]))})" if values and column and not masked else ""
        return text + shown if result["unexpected_count"] else "as expected"
    if result.get("observed_value") is not None:
        return MASK if masked else _short(result["observed_value"])
    return _short(_exception_text(exception) or "nothing to compare: a value stands outside the reference")


def _exception_text(exception: Any) -> str:
    """Return the message of a metric that could not be computed; the library nests it by metric."""
    if not isinstance(exception, dict):
        return ""
    if exception.get("exception_message"):
        return str(exception["exception_message"])
    return next((text for value in exception.values() if (text := _exception_text(value))), "")


def _rows(
    result: dict[str, Any], table: pd.DataFrame, examples: int, sensitive: tuple[str, ...]
) -> list[dict[str, str]]:
    index = (result.get("partial_unexpected_index_list") or [])[:examples]
    return [
        {"row": str(row)}
        | {str(name): MASK if name in sensitive else str(table.at[row, name]) for name in table.columns}
        for row in index
    ]


def _short(value: Any, limit: int = 200) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
