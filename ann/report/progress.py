"""A progress bar over epochs on a terminal, plain lines elsewhere."""

import sys
from time import perf_counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ann.training.state import EpochRecord

LINE_EVERY = 5
"""Epochs between two plain lines."""


class EpochProgress:
    """A training callback that shows loss, accuracy and rows per second."""

    def __init__(self, epochs: int, rows: int) -> None:
        self._rows, self._done = rows, 0.0
        self._console = Console(file=sys.stderr)
        columns = (
            TextColumn("  epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console, transient=True) if self._console.is_terminal else None
        self._task = self._bar.add_task("", total=epochs) if self._bar else None
        self._since = perf_counter()

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        self._since = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)

    def resume(self, epoch: int, done: float, *, finished: bool = False) -> None:
        """Go on in an epoch of which the share `done` was trained before, or say that nothing is left to train."""
        if finished:
            self.say("this network was trained to its end before: its checkpoint holds it")
            return
        self._done = done
        self._since = perf_counter()
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=epoch - 1)
        self.say(f"resumed in epoch {epoch}, {done:.0%} of which is done")

    def __call__(self, record: EpochRecord) -> None:
        """Show an epoch."""
        now = perf_counter()
        rate, self._since = self._rows * (1 - self._done) / (now - self._since), now
        self._done = 0.0
        metrics = "  ".join(f"{name} {value:.4f}" for name, value in record.metrics.items())
        text = f"train {record.train_loss:.4f}  valid {record.valid_loss:.4f}  {metrics}  {rate:,.0f} rows/s"
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=record.epoch, description=text)
        elif record.epoch % LINE_EVERY == 0 or record.epoch == 1:
            self._console.print(f"  epoch {record.epoch:3d}  {text}", highlight=False, soft_wrap=True)
