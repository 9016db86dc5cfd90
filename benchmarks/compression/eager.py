"""Median microseconds of one row in torch eager: `python -m benchmarks.compression.eager WEIGHTS`."""

import sys
from statistics import median
from time import perf_counter

import torch
from safetensors.torch import load_file

from benchmarks.compression.networks import perceptron

CALLS = 3000


def main(path: str) -> float:
    """Time the perceptron of the benchmark, one thread, without gradients."""
    torch.set_num_threads(1)
    network = perceptron().eval()
    network.load_state_dict(load_file(path))
    row = {"numeric": torch.randn(1, 784)}
    times = []
    with torch.inference_mode():
        for _ in range(CALLS):
            before = perf_counter()
            network(row)
            times.append(perf_counter() - before)
    return 1e6 * median(times[CALLS // 10 :])


if __name__ == "__main__":
    print(main(sys.argv[1]))
