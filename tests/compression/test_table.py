"""candidates.json and front.csv: what a choice says, what was measured, and why."""

import json
from pathlib import Path

import pandas as pd
import pytest

from ann.artifacts import load_json
from ann.compression.choice import Candidate
from ann.compression.footprint import Footprint
from ann.compression.measure import Timing
from ann.compression.table import flat_row, write_table
from ann.config.compress import CompressParams
from ann.evaluation.intervals import Interval

PARAMS = CompressParams(max_drop=0.01, batches=(1, 256))


def entry(name: str, drop_high: float, size: int) -> dict[str, object]:
    """Return what choice.json says of a variant."""
    return {
        "name": name,
        "recipe": f"how {name} is made",
        "quantized": False,
        "quality": {"value": 0.9, "low": 0.88, "high": 0.92},
        "drop": {"value": 0.001, "low": -0.002, "high": drop_high},
        "bytes": size,
        "packed_bytes": size // 2,
        "parameters": size // 4,
        "flops": size // 4,
    }


ENTRIES = [entry("fp32", 0.0, 4000), entry("small", 0.005, 1000), entry("poor", 0.02, 500)]


def candidate(of: dict, ratio: float, footprint: Footprint) -> Candidate:
    timings = {batch: Timing(ratio * batch, 2 * ratio * batch, ratio, ratio, ratio) for batch in (1, 256)}
    quality, drop = Interval(**of["quality"]), Interval(**of["drop"])
    return Candidate(of["name"], quality, drop, of["bytes"], of["flops"], timings, footprint)


TAKEN = (Footprint(30.0, 9.0), Footprint(20.5, 4.25), Footprint(10.0, 2.0))
CANDIDATES = [candidate(of, ratio, taken) for of, ratio, taken in zip(ENTRIES, (1.0, 0.5, 0.25), TAKEN, strict=True)]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    choice = {"key": "k", "metric": "auc", "objective": "latency", "max_drop": 0.01, "chosen": "small"}
    write_table({**choice, "candidates": ENTRIES}, CANDIDATES, PARAMS, "stamp", tmp_path / "candidates.json")
    return tmp_path


def test_a_row_holds_what_the_choice_says_and_what_was_measured(written: Path) -> None:
    small = load_json(written / "candidates.json")["candidates"][1]
    assert {name: small[name] for name in ENTRIES[1]} == ENTRIES[1]
    assert (small["memory_mb"], small["load_ms"]) == (20.5, 4.25)
    assert small["latency_ms"]["256"] == {
        "p50": 128.0,
        "p95": 256.0,
        "ratio": 0.5,
        "ratio_low": 0.5,
        "ratio_high": 0.5,
    }


def test_each_row_says_whether_it_may_be_shipped_and_why(written: Path) -> None:
    rows = load_json(written / "candidates.json")["candidates"]
    assert {row["name"]: (row["allowed"], row["chosen"]) for row in rows} == {
        "fp32": (True, False),
        "small": (True, True),
        "poor": (False, False),
    }
    assert [row["why"] for row in rows] == [
        "allowed; small preferred",
        "best in latency of those that may be shipped",
        "may lose 0.0200, over max_drop 0.01",
    ]


def test_the_machine_and_the_choice_that_the_figures_belong_to_are_told(written: Path) -> None:
    table = load_json(written / "candidates.json")
    assert table["choice_sha256"] == "stamp"
    assert table["machine"]["threads"] == 1
    assert table["metric"] == "auc"


def test_the_spreadsheet_has_one_plain_column_a_figure(written: Path) -> None:
    rows = pd.read_csv(written / "front.csv")
    assert list(rows["name"]) == ["fp32", "small", "poor"]
    small = rows.iloc[1]
    assert (small["drop"], small["drop_high"], small["quality_low"]) == (0.001, 0.005, 0.88)
    assert (small["p50_ms_b1"], small["p95_ms_b256"]) == (0.5, 256.0)
    assert (small["bytes"], small["packed_bytes"], small["memory_mb"], small["load_ms"]) == (1000, 500, 20.5, 4.25)
    assert list(rows["allowed"]) == [True, True, False]
    assert all(isinstance(value, (str, int, float, bool)) for value in flat_row(_rows(written)[0]).values())


def _rows(folder: Path) -> list[dict]:
    return json.loads((folder / "candidates.json").read_text())["candidates"]
