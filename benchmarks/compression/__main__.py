"""How small and how fast: `python -m benchmarks.compression [--only ROW] [--quick] [--seeds ..]`.

A figure that was once measured stands in build/benchmarks/quality/<row>.jsonl and is not measured again while its
settings stay.
"""

import argparse
from collections.abc import Callable

from benchmarks.compression.drop import drop
from benchmarks.compression.size import size
from benchmarks.compression.speed import alone, int8, structured

ROWS: dict[str, Callable[[list[int]], None]] = {
    "alone": alone,
    "drop": drop,
    "int8": int8,
    "size": size,
    "structured": structured,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compression", description=__doc__)
    parser.add_argument("--only", choices=ROWS, help="measure this row alone")
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    arguments = parser.parse_args()
    for name in [arguments.only] if arguments.only else ROWS:
        ROWS[name](arguments.seeds[:1] if arguments.quick else arguments.seeds)
