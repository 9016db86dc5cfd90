"""The graph from pixels to normalised images, against torch and Pillow."""

import io
import tracemalloc

import numpy as np
import onnxruntime as ort
import pytest
import torch
from PIL import Image
from torch.nn import functional

from ann.config.kinds import ImageParams
from ann.data.graph import GraphBuilder
from ann.data.kinds.image import ImageStatistics, fit_image, image_nodes
from ann.errors import DataError

RNG = np.random.default_rng(0)


def pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def plain(height: int, width: int, channels: int = 3) -> ImageStatistics:
    return ImageStatistics("x", height, width, channels, (0.0,) * channels, (1.0,) * channels)


def prepare(statistics: ImageStatistics, images: np.ndarray) -> np.ndarray:
    builder = GraphBuilder("ann:prepare")
    builder.op("Identity", image_nodes(builder, statistics), output="y")
    builder.output("y", np.float32, ["N", statistics.channels, statistics.height, statistics.width])
    session = ort.InferenceSession(builder.model().SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {statistics.name: images})[0]


def resized(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """(N, H, W, C) uint8 -> (N, C, height, width) of [0, 1] by torch."""
    values = torch.from_numpy(images.transpose(0, 3, 1, 2) / np.float32(255))
    return functional.interpolate(values, (height, width), mode="bilinear", antialias=True).numpy()


@pytest.mark.parametrize("rows", [1, 3, 64])
@pytest.mark.parametrize("size", [(48, 64), (50, 33), (10, 100), (10, 12), (1, 1), (24, 16)])
def test_images_are_resized_as_torch_does_with_antialiasing(rows, size):
    images = pixels(rows, *size, 3)
    np.testing.assert_allclose(prepare(plain(24, 32), images), resized(images, 24, 32), atol=1e-5)


def test_shrinking_agrees_with_pillow():
    image = pixels(50, 70)
    expected = np.asarray(Image.fromarray(image.astype(np.float32)).resize((16, 20), Image.Resampling.BILINEAR)) / 255
    np.testing.assert_allclose(prepare(plain(20, 16, 1), image[None, :, :, None])[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_of_the_right_size_passes_unchanged(channels):
    images = pixels(3, 24, 32, channels)
    expected = images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(prepare(plain(24, 32, channels), images), expected)


def test_no_images_give_no_images():
    assert prepare(plain(24, 32), pixels(0, 10, 10, 3)).shape == (0, 3, 24, 32)


def test_training_images_have_mean_zero_and_deviation_one_in_each_channel():
    images = [pixels(8 + i % 3, 9, 3) // np.array([1, 2, 4], np.uint8) for i in range(20)]
    statistics = fit_image(images, "x", ImageParams(height=8, width=9))
    found = np.concatenate([prepare(statistics, image[None]) for image in images]).astype(np.float64)
    np.testing.assert_allclose(found.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=(0, 2, 3)), 1, atol=1e-5)


def test_statistics_are_those_of_the_resized_pixels():
    images = [pixels(16, 12, 3) for _ in range(5)]
    statistics = fit_image(images, "x", ImageParams(height=8, width=6))
    expected = resized(np.stack(images), 8, 6).astype(np.float64)
    np.testing.assert_allclose(statistics.mean, expected.mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(statistics.std, expected.std(axis=(0, 2, 3)), rtol=1e-5)


def test_images_of_one_colour_become_zero():
    images = [np.full((5, 5, 3), 77, np.uint8)] * 3
    statistics = fit_image(images, "x", ImageParams())
    assert statistics.std == (1.0, 1.0, 1.0)
    np.testing.assert_allclose(prepare(statistics, np.stack(images)), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("sizes", "params", "expected"),
    [
        ([(30, 40), (30, 40), (90, 90)], {}, (30, 40)),
        ([(30, 40), (30, 50)], {}, (30, 50)),
        ([(448, 896)], {}, (112, 224)),
        ([(300, 200)], {}, (224, 149)),
        ([(448, 896)], {"height": 300}, (300, 600)),
        ([(448, 896)], {"width": 56}, (28, 56)),
        ([(1, 900)], {}, (1, 224)),
        ([(448, 896)], {"height": 7, "width": 9}, (7, 9)),
    ],
)
def test_the_size_is_the_commonest_one_at_most_224_with_its_ratio(sizes, params, expected):
    statistics = fit_image([pixels(*size) for size in sizes], "x", ImageParams(**params))
    assert (statistics.height, statistics.width) == expected


def test_channels_are_one_where_all_images_are_grey_and_can_be_chosen():
    grey, colour = pixels(4, 4), pixels(4, 4, 3)
    found = {
        "grey": fit_image([grey, grey], "x", ImageParams()).channels,
        "mixed": fit_image([grey, colour], "x", ImageParams()).channels,
        "chosen": fit_image([colour], "x", ImageParams(channels=1)).channels,
    }
    assert found == {"grey": 1, "mixed": 3, "chosen": 1}


def test_images_are_decoded_one_after_another():
    files = [encoded(pixels(200, 200, 3)) for _ in range(60)]
    tracemalloc.start()
    fit_image(files, "x", ImageParams(height=8, width=8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 200 * 200 * 3  # all at once are 60


def encoded(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_files_and_arrays_teach_the_same():
    images = [pixels(9, 7, 3) for _ in range(4)]
    assert fit_image([encoded(image) for image in images], "x", ImageParams()) == fit_image(images, "x", ImageParams())


def test_a_broken_image_is_refused():
    with pytest.raises(DataError, match="cannot be read as an image"):
        fit_image([pixels(4, 4), b"no image"], "x", ImageParams())


def test_the_network_is_told_the_shape():
    assert plain(24, 32).group() == {"channels": 3, "height": 24, "width": 32}
