"""Named streams of random numbers."""

import subprocess
import sys
from hashlib import sha256

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ann.seeding import generator, stream_seed


@given(st.integers(0, 2**31 - 1), st.text(max_size=20))
def test_a_stream_seed_is_the_upper_63_bits_of_a_digest(seed, name):
    expected = int(sha256(f"{seed}/{name}".encode()).hexdigest()[:16], 16) // 2
    assert stream_seed(seed, name) == expected < 2**63


def test_the_same_stream_gives_the_same_numbers():
    assert np.array_equal(generator(7, "split").random(100), generator(7, "split").random(100))


def test_streams_of_another_name_or_seed_are_independent():
    streams = [generator(7, "split"), generator(7, "dropout"), generator(8, "split"), generator(71, "split")]
    drawn = np.array([stream.standard_normal(20_000) for stream in streams])
    correlations = np.corrcoef(drawn)[np.triu_indices(len(streams), 1)]
    assert np.abs(correlations).max() < 0.04  # 5.6 standard errors


def test_drawing_from_one_stream_does_not_move_another():
    expected = generator(7, "split").random(5)
    generator(7, "dropout").random(1000)
    assert np.array_equal(generator(7, "split").random(5), expected)


def test_another_process_derives_the_same_seed():
    program = "from ann.seeding import stream_seed; print(stream_seed(7, 'split'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) == stream_seed(7, "split")
