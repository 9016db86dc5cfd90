"""The look of what commands print: one console, one kind of table."""

import sys

from rich.console import Console
from rich.table import Table

WIDTH = 110
"""Columns, where the output is no terminal."""


def console() -> Console:
    """Return the console of standard output."""
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else WIDTH)


def table(title: str, first: str, *numbers: str) -> Table:
    """Return an empty table: names in the first column, numbers in the others."""
    found = Table(title=title, title_justify="left", box=None, pad_edge=False)
    found.add_column(first)
    for name in numbers:
        found.add_column(name, justify="right")
    return found
