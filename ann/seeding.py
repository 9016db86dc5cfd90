"""One seed gives named, independent streams of random numbers.

A stream is named by what it is for (`"split"`, `"dropout"`), so a new consumer of randomness never shifts an old one.
"""

from hashlib import sha256

import numpy as np


def stream_seed(seed: int, name: str) -> int:
    """Derive a 63-bit seed for the stream `name`; the same on every machine and Python version."""
    digest = sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, name: str) -> np.random.Generator:
    """Return NumPy's PCG64 generator of the stream `name`."""
    return np.random.default_rng(stream_seed(seed, name))
