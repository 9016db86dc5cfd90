"""Reading images and sounds, against what was written, by Pillow and by the wave module."""

import io
import struct
import wave

import numpy as np
import pytest
from PIL import Image

from ann.errors import DataError
from ann.media import audio_facts, decode_audio, decode_image, fingerprint, image_size

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = COLOUR[:, :, 0]
UPRIGHT = {
    1: (0, False),
    2: (0, True),
    3: (2, False),
    4: (2, True),
    5: (3, True),
    6: (3, False),
    7: (1, True),
    8: (1, False),
}
"""EXIF orientation: quarter turns to the left, and then whether left and right are swapped."""


def saved(image: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(file, kind, **options)
    return file.getvalue()


def wav(values: np.ndarray, width: int, rate: int = 8000) -> bytes:
    """Write (T, channels) whole numbers of `width` bytes."""
    raw = values.astype("<i4").view(np.uint8).reshape(*values.shape, 4)[..., :width]
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(values.shape[1])
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(raw.tobytes())
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_a_file_bytes_and_an_array_give_the_same_image(tmp_path, kind):
    path = tmp_path / "image"
    path.write_bytes(saved(COLOUR, kind))
    for cell in (path, path.read_bytes(), COLOUR):
        np.testing.assert_array_equal(decode_image(cell, 3), COLOUR)
        assert image_size(cell) == (6, 9, 3)


@pytest.mark.parametrize("cell", [GREY, GREY[:, :, None], saved(GREY), saved(GREY, "TIFF")])
def test_a_grey_image_has_one_channel_or_three_equal_ones(cell):
    assert image_size(cell) == (6, 9, 1)
    np.testing.assert_array_equal(decode_image(cell, 1), GREY[:, :, None])
    np.testing.assert_array_equal(decode_image(cell, 3), np.stack([GREY] * 3, axis=2))


def test_colours_become_grey_by_their_luminance():
    expected = COLOUR @ [0.299, 0.587, 0.114]  # ITU-R 601
    np.testing.assert_allclose(decode_image(COLOUR, 1)[:, :, 0], expected, atol=0.6)


def test_a_palette_gives_its_colours():
    palette = Image.fromarray(COLOUR).quantize(64)
    cell = saved(palette)
    assert image_size(cell) == (6, 9, 3)
    np.testing.assert_array_equal(decode_image(cell, 3), np.asarray(palette.convert("RGB")))


def test_what_is_transparent_stands_on_white():
    alpha = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
    alpha[0], alpha[1] = 0, 255
    cell = np.dstack([COLOUR, alpha])
    share = alpha[:, :, None] / 255
    for image in (decode_image(cell, 3), decode_image(saved(cell), 3)):
        np.testing.assert_allclose(image, COLOUR * share + 255 * (1 - share), atol=1)
        assert (image[0] == 255).all()
        np.testing.assert_array_equal(image[1], COLOUR[1])


def test_a_transparent_palette_entry_and_a_transparent_grey_stand_on_white():
    palette = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "L").convert("P")
    palette.putpalette([10, 20, 30, 200, 100, 50])
    image = decode_image(saved(palette, transparency=1), 3)
    assert image.tolist() == [[[10, 20, 30], [255] * 3], [[255] * 3, [10, 20, 30]]]
    assert decode_image(saved(Image.new("LA", (1, 1), (7, 0))), 1).tolist() == [[[255]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_become_eight(kind):
    deep = RNG.integers(0, 65_536, (6, 9), dtype=np.uint16)
    deep[0, :2] = 0, 65_535
    cell = saved(deep, kind)
    assert image_size(cell) == (6, 9, 1)
    np.testing.assert_allclose(decode_image(cell, 1)[:, :, 0], deep / 257, atol=0.51)
    assert decode_image(cell, 1)[0, :2, 0].tolist() == [0, 255]


@pytest.mark.parametrize(("orientation", "turn"), UPRIGHT.items())
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_images_stand_upright_as_their_orientation_says(kind, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    plain = decode_image(saved(COLOUR, kind, **options), 3)
    cell = saved(COLOUR, kind, exif=exif, **options)
    quarters, mirrored = turn
    expected = np.rot90(plain, quarters)
    expected = expected[:, ::-1] if mirrored else expected
    np.testing.assert_array_equal(decode_image(cell, 3), expected)
    assert image_size(cell)[:2] == expected.shape[:2]


def test_the_first_frame_of_an_animation_is_taken():
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (10, 200)]
    cell = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode_image(cell, 1) == 10).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_a_truncated_image_is_refused_wherever_it_ends(kind):
    whole = saved(RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8), kind)
    expected = decode_image(whole, 3)
    refused = 0
    for end in range(0, len(whole), 7):
        try:
            image = decode_image(whole[:end], 3)
        except DataError:
            refused += 1
        else:
            np.testing.assert_array_equal(image, expected)  # only the mark of the end is missing
    assert refused > 0.9 * len(whole) / 7


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (b"", "no format that Pillow knows"),
        (b"a text that is named .jpg", "no format that Pillow knows"),
        (saved(COLOUR)[:-40], "truncated"),
        (np.zeros((3, 3), np.float32), "must be uint8"),
        (np.zeros((3, 3, 2), np.uint8), "must be uint8"),
        (np.zeros((0, 3), np.uint8), "must be uint8"),
        (saved(Image.new("F", (2, 2)), "TIFF"), "pixels are fractions"),
        (saved(Image.new("I", (2, 2), 70_000), "TIFF"), "pixels have 32 bits"),
        (None, "must be a path, bytes or an array"),
        (float("nan"), "must be a path, bytes or an array"),
    ],
)
def test_what_is_no_image_is_refused_with_its_reason(cell, reason):
    with pytest.raises(DataError, match=f"cannot be read as an image .*{reason}.*: save it again as .png or .jpg"):
        decode_image(cell, 3)


def test_a_broken_or_absent_image_file_is_named(tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_text("no image")
    for path in (broken, tmp_path / "absent.png", tmp_path):
        for read in (image_size, lambda cell: decode_image(cell, 3)):
            with pytest.raises(DataError, match=f"{path.name} cannot be read as an image"):
                read(path)


def test_an_image_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(DataError, match="decompression bomb"):
        decode_image(saved(COLOUR), 3)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_samples_of_all_widths_are_fractions_with_channels_averaged(width, channels):
    top = 2 ** (8 * width - 1)
    values = RNG.integers(-top, top, (500, channels))
    values[0], values[1] = -top, top - 1
    stored = values + 128 if width == 1 else values
    samples, rate = decode_audio(wav(stored, width), None)
    assert (samples.dtype, rate, samples[0]) == (np.float32, 8000, -1)
    np.testing.assert_allclose(samples, (values / top).mean(axis=1), atol=1e-7)


def test_a_sound_from_a_file_is_that_of_its_bytes(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(RNG.integers(-99, 99, (500, 1)), 2))
    np.testing.assert_array_equal(decode_audio(path, None)[0], decode_audio(path.read_bytes(), None)[0])
    assert audio_facts(path) == audio_facts(path.read_bytes()) == (8000, 1, 500 / 8000)


def test_facts_are_rate_channels_and_seconds():
    assert audio_facts(wav(np.zeros((4410, 2)), 3, rate=44_100)) == (44_100, 2, 0.1)
    assert audio_facts(np.zeros(800, np.float32), 16_000) == (16_000, 1, 0.05)


@pytest.mark.parametrize(("own", "wanted"), [(8000, 16_000), (44_100, 16_000), (16_000, 8000)])
def test_another_rate_is_resampled(own, wanted):
    times = np.arange(own // 2) / own
    values = np.sin(2 * np.pi * 440 * times) * np.sin(np.pi * times * 2) ** 2 * 30_000
    samples, rate = decode_audio(wav(values[:, None].round(), 2, rate=own), wanted)
    later = np.arange(len(samples)) / wanted
    expected = np.sin(2 * np.pi * 440 * later) * np.sin(np.pi * later * 2) ** 2 * 30_000 / 2**15
    assert (rate, len(samples), samples.dtype) == (wanted, wanted // 2, np.float32)
    np.testing.assert_allclose(samples, expected, atol=2e-3)


def test_resampling_removes_what_the_lower_rate_cannot_hold():
    values = 30_000 * np.sin(2 * np.pi * 6000 * np.arange(8000) / 16_000)
    samples, _ = decode_audio(wav(values[:, None].round(), 2, rate=16_000), 8000)
    assert np.abs(samples[100:-100]).max() < 0.01


def test_an_array_is_a_sound_of_the_given_rate():
    clip = RNG.normal(size=100).astype(np.float32)
    samples, rate = decode_audio(clip, 16_000)
    assert rate == 16_000
    np.testing.assert_array_equal(samples, clip)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_truncated_sound_is_refused_wherever_it_ends(width):
    whole = wav(RNG.integers(0, 99, (101, 2)), width)
    for end in range(len(whole)):
        with pytest.raises(DataError, match="cannot be read as a sound"):
            decode_audio(whole[:end], None)


def header(kind: int = 1, rate: int = 8000) -> bytes:
    """Return a .wav file of one sample whose format is `kind`."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, kind, 1, rate, 4 * rate, 4, 32)
    content = b"WAVE" + form + struct.pack("<4sIf", b"data", 4, 0.5)
    return b"RIFF" + struct.pack("<I", len(content)) + content


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (b"", "ends too early"),
        (b"no sound at all", "RIFF"),
        (wav(np.zeros((0, 1)), 2), "no sample"),
        (header(kind=3), "unknown format: 3"),
        (header(rate=0), "no rate"),
        (np.zeros(5), "must be float32"),
        (np.array([0, np.nan], np.float32), "without NaN"),
        (np.zeros((5, 2), np.float32), r"float32 \(T,\)"),
        (None, "must be a path, bytes or an array"),
    ],
)
def test_what_is_no_sound_is_refused_with_its_reason(cell, reason):
    with pytest.raises(DataError, match=f"cannot be read as a sound .*{reason}.*: save it again as PCM .wav"):
        decode_audio(cell, 8000)


@pytest.mark.parametrize("read", [audio_facts, lambda cell: decode_audio(cell, None)])
def test_an_array_without_a_rate_is_refused(read):
    with pytest.raises(DataError, match=r"an array has no rate: give it as prepare\.audio\.rate"):
        read(np.zeros(5, np.float32))


def test_facts_of_what_is_no_sound_are_refused(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF")
    for cell in (path, tmp_path / "absent.wav", header(rate=0)):
        with pytest.raises(DataError, match="cannot be read as a sound"):
            audio_facts(cell)


def test_equal_content_has_one_fingerprint_and_different_content_another(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(saved(COLOUR))
    assert fingerprint(path) == fingerprint(saved(COLOUR))
    assert fingerprint(COLOUR[:, ::2]) == fingerprint(COLOUR[:, ::2].copy())
    cells = [saved(COLOUR), saved(GREY), COLOUR, GREY, GREY.T, GREY.reshape(9, 6), GREY.astype(np.float32)]
    assert len({fingerprint(cell) for cell in cells}) == len(cells)


def test_a_file_without_content_to_compare_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"absent\.png cannot be read as a file .*: put it back, or remove the row"):
        fingerprint(tmp_path / "absent.png")
