"""SIGINT and SIGTERM end a training between two steps, when its state is whole and can be saved."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

TERMINATED = 128 + signal.SIGTERM
"""Exit code of a process that ends because it was asked to."""


class Interrupts:
    """While the block runs, the first signal is only noted; a second one acts at once, as it always did.

    Outside the main thread Python delivers no signals, so nothing is done there.
    """

    def __init__(self) -> None:
        self._noted: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if (before := signal.getsignal(number)) is not signal.SIG_IGN:
                    self._before[number] = before
                    signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()

    @property
    def pending(self) -> bool:
        """Whether a signal came."""
        return self._noted is not None

    def act(self) -> None:
        """Do what the noted signal would have done: call the earlier handler, or end the process by an exception."""
        if self._noted is None:
            return
        self._give_back()
        if callable(self._before[self._noted]):
            signal.raise_signal(self._noted)
        raise SystemExit(TERMINATED)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._noted = number
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
