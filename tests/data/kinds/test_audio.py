"""The log-mel graph against SciPy's short-time Fourier transform and an explicit one in NumPy."""

import io
import tracemalloc
import wave

import numpy as np
import onnxruntime as ort
import pytest
from scipy import signal

from ann.config.kinds import AudioParams
from ann.data.graph import GraphBuilder
from ann.data.kinds.audio import AudioStatistics, audio_nodes, fit_audio, mel_filters
from ann.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
MELS = 13
PLAIN = AudioStatistics("x", 8000, 4000, 200, 80, 256, MELS, (0.0,) * MELS, (1.0,) * MELS)


def sound(samples: int) -> np.ndarray:
    """Return noise over two tones."""
    times = np.arange(samples) / 8000
    tones = 0.3 * np.sin(2 * np.pi * 440 * times) + 0.1 * np.sin(2 * np.pi * 2500 * times)
    return (tones + 0.02 * RNG.normal(size=samples)).astype(np.float32)


def prepare(statistics: AudioStatistics, clips: np.ndarray, lengths) -> tuple[np.ndarray, np.ndarray]:
    builder = GraphBuilder("ann:prepare")
    bands, frames = audio_nodes(builder, statistics)
    builder.output(bands, np.float32, ["N", "F", statistics.mels])
    builder.output(frames, np.int64, ["N"])
    session = ort.InferenceSession(builder.model().SerializeToString(), providers=["CPUExecutionProvider"])
    name = statistics.name
    return session.run(None, {name: clips, f"{name}_lengths": np.array(lengths, dtype=np.int64)})


def log_mel(clip: np.ndarray, statistics: AudioStatistics) -> np.ndarray:
    """(T,) -> (F, M) by a Fourier sum in double and triangles by interpolation."""
    window, fft = statistics.window, statistics.fft
    clip = np.pad(clip.astype(np.float64), (0, max(0, window - len(clip))))
    starts = range(0, len(clip) - window + 1, statistics.hop)
    frames = np.stack([clip[start : start + window] for start in starts]) * signal.get_window("hann", window)
    fourier = np.exp(-2j * np.pi * np.outer(np.arange(window), np.arange(fft // 2 + 1)) / fft)
    mel = np.linspace(0, 2595 * np.log10(1 + statistics.rate / 1400), statistics.mels + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    hertz = np.arange(fft // 2 + 1) * statistics.rate / fft
    bands = np.stack([np.interp(hertz, edges[i : i + 3], [0, 1, 0]) for i in range(statistics.mels)])
    return np.log(np.abs(frames @ fourier) ** 2 @ bands.T + 1e-6)


def wav(samples: np.ndarray, rate: int = 8000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_bands_are_those_of_a_fourier_sum_in_double(rows):
    clips = np.stack([sound(1500) for _ in range(rows)])
    bands, frames = prepare(PLAIN, clips, [1500] * rows)
    assert bands.shape == (rows, 17, MELS)
    assert frames.tolist() == [17] * rows
    np.testing.assert_allclose(bands, [log_mel(clip, PLAIN) for clip in clips], atol=1e-3)


def test_power_is_that_of_scipys_transform():
    clip = sound(1500)
    transform = signal.ShortTimeFFT(signal.get_window("hann", 200), 80, 8000, mfft=256, scale_to=None, phase_shift=None)
    power = np.abs(transform.stft(clip.astype(np.float64), p0=2, p1=15)) ** 2  # frames wholly inside the clip
    first = (2 * 80 - 100) // 1
    bands, _ = prepare(PLAIN, clip[None, first:], [1500 - first])
    np.testing.assert_allclose(bands[0, :13], np.log(mel_filters(8000, 256, MELS) @ power + 1e-6).T, atol=1e-3)


def test_a_tone_is_loudest_in_the_band_that_holds_it():
    times = np.arange(1600) / 8000
    for hertz in (300, 1000, 3000):
        bands, _ = prepare(PLAIN, np.sin(2 * np.pi * hertz * times).astype(np.float32)[None], [1600])
        weights = mel_filters(8000, 256, MELS)[:, round(hertz * 256 / 8000)]
        assert (bands[0].argmax(axis=1) == weights.argmax()).all()


def test_filters_are_triangles_of_height_one_evenly_spaced_in_mel():
    filters = mel_filters(16_000, 2**16, 20)
    peaks = filters.argmax(axis=1) * 16_000 / 2**16
    np.testing.assert_allclose(filters.max(axis=1), 1, atol=0.01)
    np.testing.assert_allclose(np.diff(np.log1p(peaks / 700), 2), 0, atol=1e-3)
    np.testing.assert_allclose(filters.sum(axis=0)[filters[0].argmax() : filters[-1].argmax()], 1, atol=1e-9)


@pytest.mark.parametrize("length", [200, 279, 280, 1000])
def test_padding_changes_nothing_whatever_it_holds(length):
    clip = sound(length)
    bands, frames = prepare(PLAIN, clip[None], [length])
    padded = np.concatenate([clip, np.full(777, np.nan, np.float32)])
    found, number = prepare(PLAIN, padded[None], [length])
    assert number.tolist() == frames.tolist() == [1 + (length - 200) // 80]
    np.testing.assert_allclose(found[:, : frames[0]], bands, atol=1e-5)
    assert (found[:, frames[0] :] == 0).all()
    assert found.shape[1] > bands.shape[1]


@pytest.mark.parametrize("length", [0, 1, 199])
def test_a_clip_shorter_than_the_window_is_filled_up_with_zeros_to_one_frame(length):
    clip = sound(length)
    bands, frames = prepare(PLAIN, clip[None], [length])
    assert frames.tolist() == [1]
    np.testing.assert_allclose(bands[0], log_mel(clip, PLAIN), atol=1e-3)


def test_a_clip_is_cut_at_the_greatest_length():
    clip = sound(6000)
    bands, frames = prepare(PLAIN, clip[None], [6000])
    expected, _ = prepare(PLAIN, clip[None, :4000], [4000])
    assert frames.tolist() == [PLAIN.frames] == [bands.shape[1]]
    np.testing.assert_array_equal(bands, expected)


def test_lengths_beyond_the_samples_count_as_all_and_no_rows_give_none():
    assert prepare(PLAIN, sound(1500)[None], [9999])[1].tolist() == [17]
    bands, frames = prepare(PLAIN, np.zeros((0, 1500), np.float32), [])
    assert (len(bands), len(frames)) == (0, 0)


def test_training_frames_have_mean_zero_and_deviation_one_in_each_band():
    clips = [sound(1000 + 100 * i) * (0.1 + 0.2 * i) for i in range(6)]
    statistics = fit_audio(clips, "x", AudioParams(rate=8000, mels=MELS))
    bands = np.concatenate([prepare(statistics, clip[None], [len(clip)])[0][0] for clip in clips]).astype(np.float64)
    np.testing.assert_allclose(bands.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(bands.std(axis=0), 1, atol=1e-5)
    assert statistics.mean == pytest.approx(
        np.concatenate([log_mel(clip, PLAIN) for clip in clips]).mean(axis=0), abs=1e-3
    )


def test_windows_hops_and_bands_follow_the_rate_and_the_parameters():
    statistics = fit_audio([wav(sound(16_000), 16_000)], "x", AudioParams())
    sizes = (statistics.rate, statistics.window, statistics.hop, statistics.fft, statistics.mels, statistics.samples)
    assert sizes == (16_000, 400, 160, 512, 40, 16_000)
    assert statistics.group() == {"mels": 40, "frames": 98}


def test_the_length_is_that_of_the_longest_training_clip_unless_given():
    clips = [wav(sound(3000)), wav(sound(5000)), wav(sound(10))]
    assert fit_audio(clips, "x", AudioParams()).samples == 5000
    cut = fit_audio(clips, "x", AudioParams(seconds=0.25))
    assert cut.samples == 2000
    expected = fit_audio([wav(sound(2000)) for _ in clips], "x", AudioParams())
    assert cut.frames == expected.frames == 23


def test_frames_beyond_the_cut_teach_nothing():
    clip = sound(4000)
    loud = np.concatenate([clip[:2000], 30 * clip[2000:]])
    found = [fit_audio([clip], "x", AudioParams(rate=8000, seconds=0.25)) for clip in (clip, loud)]
    assert found[0] == found[1]


def test_the_rate_is_the_commonest_one_the_higher_of_two_or_the_one_given():
    high, low = wav(sound(4000), 16_000), wav(sound(4000), 8000)
    assert fit_audio([high, low, low], "x", AudioParams()).rate == 8000
    assert fit_audio([low, high], "x", AudioParams()).rate == 16_000
    resampled = fit_audio([low, low], "x", AudioParams(rate=16_000))
    assert (resampled.rate, resampled.samples) == (16_000, 8000)


def test_silence_becomes_zero():
    statistics = fit_audio([np.zeros(1000, np.float32)], "x", AudioParams(rate=8000, mels=5))
    assert statistics.std == (1.0,) * 5
    np.testing.assert_allclose(prepare(statistics, np.zeros((1, 1000), np.float32), [1000])[0], 0, atol=1e-5)


def test_the_transform_grows_until_every_band_holds_a_frequency():
    statistics = fit_audio([sound(1000)], "x", AudioParams(rate=8000, mels=100))
    assert statistics.fft == 512 > 256
    assert mel_filters(8000, 512, 100).any(axis=1).all()
    assert not mel_filters(8000, 256, 100).any(axis=1).all()


def test_too_many_bands_are_refused():
    with pytest.raises(ConfigError, match="1000 bands are too many for windows of 200 samples at 8000 Hz: lower it"):
        fit_audio([sound(1000)], "x", AudioParams(rate=8000, mels=1000))


def test_arrays_need_a_rate():
    with pytest.raises(DataError, match=r"an array has no rate: give it as prepare\.audio\.rate"):
        fit_audio([sound(1000)], "x", AudioParams())


def test_clips_are_decoded_one_after_another():
    files = [wav(sound(100_000)) for _ in range(40)]
    tracemalloc.start()
    fit_audio(files, "x", AudioParams(seconds=0.1, mels=10))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 100_000 * 4  # all at once are 40 in float32
