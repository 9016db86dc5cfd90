"""`prepare.text:`, `prepare.image:`, `prepare.audio:` how columns of these kinds become tensors."""

from typing import Literal

from pydantic import Field

from ann.config.section import Section


class TextParams(Section):
    """How texts become ids of words."""

    length: int = Field(default=128, ge=1, le=65_536)
    """Words that are read of a text; what follows is left out."""
    words: int = Field(default=20_000, ge=1)
    """Greatest size of the vocabulary: the most frequent words of the training rows."""
    min_count: int = Field(default=2, ge=1)
    """A word seen less often in the training rows is treated as unknown."""
    lower: bool = True
    """Read capital letters as small ones."""
    tokens: Literal["words", "spaces"] = "words"
    """`words` parts runs of letters and digits from other signs, each a word of its own; `spaces` parts at white space
    only, so that "great!" is another word than "great"."""


class ImageParams(Section):
    """How images become arrays of one size."""

    height: int | None = Field(default=None, ge=1)
    """Height [pixels]; null takes it from the commonest size of the training images, with no side above 224."""
    width: int | None = Field(default=None, ge=1)
    """Width [pixels]; null keeps the ratio of the commonest size of the training images."""
    channels: Literal["auto", 1, 3] = "auto"
    """1 is grey, 3 is red, green and blue; `auto` is 1 where every training image is grey."""


class AudioParams(Section):
    """How sounds become log-mel spectrograms."""

    rate: int | None = Field(default=None, ge=1000)
    """Samples a second [Hz] to which files are resampled; null takes the commonest rate of the training files."""
    seconds: float | None = Field(default=None, gt=0)
    """Length [s] at which a clip is cut; null takes the longest training clip."""
    window_ms: float = Field(default=25.0, gt=0)
    """Length [ms] of the piece of sound behind each frame."""
    hop_ms: float = Field(default=10.0, gt=0)
    """Distance [ms] between frames."""
    mels: int = Field(default=40, ge=1)
    """Frequency bands of a frame."""
