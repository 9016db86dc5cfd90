"""What is told of a training while it runs, where the output is no terminal."""

import re

import pytest

from ann.report.progress import EpochProgress
from ann.training.state import EpochRecord


def record(epoch: int) -> EpochRecord:
    return EpochRecord(epoch, 0.1, 0.5, 0.4, 1.0, {"auc": 0.9}, {})


def test_the_first_epoch_and_every_fifth_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with EpochProgress(11, rows=100) as progress:
        for epoch in range(1, 12):
            progress(record(epoch))
    told = capsys.readouterr().err.splitlines()
    assert [int(line.split()[1]) for line in told] == [1, 5, 10]
    assert "train 0.5000  valid 0.4000  auc 0.9000" in told[0]


def test_a_resumed_epoch_counts_only_the_rows_that_are_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 0.0, 10.0, 12.0, 13.0])
    monkeypatch.setattr("ann.report.progress.perf_counter", lambda: next(clock))
    with EpochProgress(20, rows=1000) as progress:
        progress.resume(10, 0.75)
        progress(record(10))
        progress(record(15))
    told = capsys.readouterr().err
    assert "resumed in epoch 10, 75% of which is done" in told
    assert re.findall(r"([\d,]+) rows/s", told) == ["125", "1,000"]


def test_a_finished_training_is_told_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    with EpochProgress(5, rows=10) as progress:
        progress.resume(6, 0.0, finished=True)
    assert capsys.readouterr().err.strip() == "this network was trained to its end before: its checkpoint holds it"
