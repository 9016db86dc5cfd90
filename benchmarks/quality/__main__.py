"""Test quality beside references on the same rows: `python -m benchmarks.quality [--only ROW] [--quick] [--seeds ..]`.

Settings were chosen on validation rows; test rows are only scored. A figure that was once measured stands in
build/benchmarks/quality/<row>.jsonl and is not measured again while its settings stay.
"""

import argparse
from collections.abc import Callable

from benchmarks.quality.adult_demo import adult_demo
from benchmarks.quality.images import fashion, mnist
from benchmarks.quality.series import etth1
from benchmarks.quality.sounds import speech
from benchmarks.quality.tables import adult, covertype, housing
from benchmarks.quality.texts import sst2

ROWS: dict[str, tuple[Callable[[list[int]], None], list[int]]] = {
    "adult": (adult, [1, 2, 3]),
    "adult-demo": (adult_demo, [1, 2, 3]),
    "covertype": (covertype, [1, 2, 3]),
    "etth1": (etth1, [1, 2, 3, 4, 5]),
    "fashion": (fashion, [1, 2, 3]),
    "housing": (housing, [1, 2, 3, 4, 5]),
    "mnist": (mnist, [1, 2, 3, 4, 5]),
    "speech": (speech, [1, 2, 3, 4, 5]),
    "sst2": (sst2, [1, 2, 3, 4, 5]),
}
"""What measures a row, and its seeds."""

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--only", choices=ROWS, help="measure this row alone")
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--seeds", type=int, nargs="+", help="these in place of the row's own")
    arguments = parser.parse_args()
    for name in [arguments.only] if arguments.only else ROWS:
        measure, seeds = ROWS[name]
        seeds = arguments.seeds or seeds
        try:
            measure(seeds[:1] if arguments.quick else seeds)
        except SystemExit as error:
            if arguments.only:
                raise
            print(f"{name} is not measured: {error}")  # the other rows do not need its data
