"""Sounds: log-mel spectrograms, computed inside the graph from samples and standardised band by band.

N clips, T samples, F frames, B frequencies of the Fourier transform, M mel bands.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnxruntime as ort

from ann.config.kinds import AudioParams
from ann.data.graph import GraphBuilder
from ann.data.kinds import PREFIX
from ann.errors import ConfigError
from ann.media import audio_facts, decode_audio
from ann.names import LENGTHS

FLOOR = 1e-6
"""Added to the power before the logarithm."""
LEAST_STD = 1e-6
"""Of a band: less is what rounding leaves of one that never changes."""
UNCUT = 2**62
"""More samples than any clip has."""


@dataclass(frozen=True)
class AudioStatistics:
    """log(mel power + FLOOR) -> (x - mean) / std; `window` and `hop` in samples, `fft` points of the transform."""

    name: str
    rate: int
    """[Hz] of all clips."""
    samples: int
    """At which a clip is cut."""
    window: int
    hop: int
    fft: int
    mels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def frames(self) -> int:
        """Frames of a clip of `samples`."""
        return 1 + max(0, self.samples - self.window) // self.hop

    def group(self) -> dict[str, Any]:
        """Return what a network must know of the group `audio`."""
        return {"mels": self.mels, "frames": self.frames}


def fit_audio(cells: Iterable[Any], name: str, params: AudioParams) -> AudioStatistics:
    """Learn rate, length, and mean and deviation a band from the training clips, of which one is decoded at a time.

    Raises:
        DataError: a clip cannot be read.
        ConfigError: there are too many bands for so short a window.
    """
    cells = list(cells)
    rate = params.rate or _commonest([audio_facts(cell)[0] for cell in cells])
    window, hop = max(2, round(rate * params.window_ms / 1000)), max(1, round(rate * params.hop_ms / 1000))
    samples = max(1, round(params.seconds * rate)) if params.seconds else UNCUT
    fft, mels = _fft(rate, window, params.mels), params.mels
    plain = AudioStatistics(name, rate, samples, window, hop, fft, mels, (0.0,) * mels, (1.0,) * mels)
    builder = GraphBuilder(PREFIX.removesuffix("/"))
    spectrum, _ = audio_nodes(builder, plain)
    builder.output(spectrum, np.float32, ["N", "F", mels])
    session = ort.InferenceSession(builder.model().SerializeToString(), providers=["CPUExecutionProvider"])
    longest, frames, total, squares = 0, 0, np.zeros(mels), np.zeros(mels)
    for cell in cells:
        clip, _ = decode_audio(cell, rate)
        inputs = {name: clip[None], f"{name}{LENGTHS}": np.array([len(clip)])}
        bands = session.run([spectrum], inputs)[0][0].astype(np.float64)
        longest, frames = max(longest, len(clip)), frames + len(bands)
        total += bands.sum(axis=0)
        squares += (bands**2).sum(axis=0)
    mean = total / frames
    std = np.sqrt(np.maximum(squares / frames - mean**2, 0))
    std[std < LEAST_STD] = 1.0
    learnt = replace(plain, mean=tuple(mean.tolist()), std=tuple(std.tolist()))
    return learnt if params.seconds else replace(learnt, samples=longest)


def _commonest(rates: list[int]) -> int:
    """Return the most frequent rate, the higher of two."""
    counts = Counter(rates)
    return max(counts, key=lambda rate: (counts[rate], rate))


def _fft(rate: int, window: int, mels: int) -> int:
    """Return the least power of two, at most 16 windows, with which every mel band holds a frequency."""
    least = 1 << (window - 1).bit_length()
    for fft in (least, 2 * least, 4 * least, 8 * least):
        if mel_filters(rate, fft, mels).any(axis=1).all():
            return fft
    raise ConfigError(
        f"prepare.audio.mels: {mels} bands are too many for windows of {window} samples at {rate} Hz: "
        f"lower it, or raise prepare.audio.window_ms"
    )


def mel_filters(rate: int, fft: int, mels: int) -> np.ndarray:
    """Return the (M, B) weights of triangular bands of height 1, evenly spaced in mel from 0 Hz to half the rate.

    The scale is mel = 2595 log10(1 + f / 700), of the HTK Book (Young et al. 2006), section 5.4.
    """
    highest = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, highest, mels + 2) / 2595) - 1)
    left, peak, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    frequencies = np.arange(fft // 2 + 1) * (rate / fft)
    triangles = np.minimum((frequencies - left) / (peak - left), (right - frequencies) / (right - peak))
    return np.maximum(triangles, 0)


def audio_nodes(builder: GraphBuilder, statistics: AudioStatistics) -> tuple[str, str]:
    """Append the nodes from (N, T) float32 samples and (N,) int64 lengths; return bands and numbers of frames.

    Bands are (N, F, M) float32, zero in frames after a clip's end; numbers of frames are (N,) int64. A frame lies
    wholly inside its clip, but a clip shorter than the window is filled up with zeros to one frame.
    """
    samples, kept = _clip_nodes(builder, statistics)
    bands = _band_nodes(builder, statistics, samples)
    beyond = builder.op("Max", builder.op("Sub", kept, _whole(builder, statistics.window)), _whole(builder, 0))
    frames = builder.op("Add", builder.op("Div", beyond, _whole(builder, statistics.hop)), _whole(builder, 1))
    real = builder.op("Unsqueeze", _before(builder, bands, frames), _whole(builder, 2))
    return builder.op("Where", real, bands, builder.op("Constant", value_float=0.0)), frames


def _clip_nodes(builder: GraphBuilder, statistics: AudioStatistics) -> tuple[str, str]:
    """Append (N, T) samples, zero after a clip's end, T at least a window; and (N,) lengths of what is kept."""
    raw = builder.input(statistics.name, np.float32, ["N", "T"])
    lengths = builder.input(f"{statistics.name}{LENGTHS}", np.int64, ["N"])
    zero, end, axis = (_whole(builder, value) for value in (0, statistics.samples, 1))
    clips = builder.op("Slice", raw, zero, end, axis)
    clips = builder.op("Where", _before(builder, clips, lengths), clips, builder.op("Constant", value_float=0.0))
    width = builder.op("Shape", clips, start=1, end=2)
    lacking = builder.op("Max", builder.op("Sub", _whole(builder, statistics.window), width), zero)
    kept = builder.op("Min", builder.op("Max", lengths, zero), width)
    return builder.op("Pad", clips, builder.op("Concat", _whole(builder, 0, 0, 0), lacking, axis=0)), kept


def _before(builder: GraphBuilder, values: str, lengths: str) -> str:
    """Append (N, T) bool from (N, T) or (N, T, M) values: whether a time lies before its row's length."""
    width = builder.op("Squeeze", builder.op("Shape", values, start=1, end=2))
    first, step = (builder.op("Constant", value_int=value) for value in (0, 1))
    times = builder.op("Range", first, width, step)
    return builder.op("Less", times, builder.op("Unsqueeze", lengths, _whole(builder, 1)))


def _whole(builder: GraphBuilder, *values: int) -> str:
    return builder.op("Constant", value_ints=values)


def _band_nodes(builder: GraphBuilder, statistics: AudioStatistics, samples: str) -> str:
    """Append (N, F, M) standardised log-mel bands of (N, T) samples.

    The Fourier transform is a convolution with windowed waves: in ONNX Runtime that takes a third of STFT's time.
    """
    signal = builder.op("Unsqueeze", samples, _whole(builder, 1))
    waves = builder.op("Conv", signal, _constant(builder, "waves", _waves(statistics)), strides=[statistics.hop])
    power = builder.op("Mul", waves, waves)
    filters = mel_filters(statistics.rate, statistics.fft, statistics.mels).astype(np.float32)
    both = np.hstack([filters, filters])[:, :, None]  # of the squares of cosines, and of sines
    mel = builder.op("Conv", power, _constant(builder, "filters", both))
    floor = _constant(builder, "floor", np.array(FLOOR, dtype=np.float32))
    logarithm = builder.op("Log", builder.op("Add", mel, floor))
    mean = _constant(builder, "mean", np.array(statistics.mean, dtype=np.float32)[:, None])
    std = _constant(builder, "std", np.array(statistics.std, dtype=np.float32)[:, None])
    return builder.op("Transpose", builder.op("Div", builder.op("Sub", logarithm, mean), std), perm=[0, 2, 1])


def _waves(statistics: AudioStatistics) -> np.ndarray:
    """Return (2 B, 1, window) float32: cosines, then sines, under a periodic Hann window."""
    times = np.arange(statistics.window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * times / statistics.window)
    angles = 2 * np.pi / statistics.fft * np.outer(np.arange(statistics.fft // 2 + 1), times)
    return (np.concatenate([np.cos(angles), np.sin(angles)]) * hann)[:, None].astype(np.float32)


def _constant(builder: GraphBuilder, name: str, value: np.ndarray) -> str:
    return builder.constant(f"{PREFIX}audio_{name}", value)
