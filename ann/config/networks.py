"""`model:` architectures for texts, series, sounds, several kinds of columns, pretrained and own networks."""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from ann.config.layers import Activation, Norm
from ann.config.section import Section, default_tag

Units: TypeAlias = Annotated[int, Field(ge=1, le=65_536)]
Share: TypeAlias = Annotated[float, Field(ge=0, lt=1)]


class MeanEncoder(Section):
    """The mean of the words' embeddings."""

    name: Literal["mean"] = "mean"
    """Chooses this one."""
    pooling: Literal["mean", "mean_max"] = "mean"
    """`mean_max` puts the greatest value of each channel beside the mean."""


class CNNEncoder(Section):
    """Convolutions over windows of words, and the greatest value of each over time (arXiv:1408.5882)."""

    name: Literal["cnn"] = "cnn"
    """Chooses this one."""
    windows: tuple[Annotated[int, Field(ge=1, le=100)], ...] = Field(default=(3, 4, 5), min_length=1)
    """Words that each kind of window spans."""
    units: Units = 100
    """Channels of each kind of window."""
    activation: Activation = "relu"
    """Non-linearity after the convolutions."""


class RecurrentEncoder(Section):
    """Recurrent layers over the words."""

    name: Literal["gru", "lstm"]
    """Chooses this one, and the cell."""
    units: Units = 128
    """Units of each way."""
    layers: int = Field(default=1, ge=1, le=32)
    """Layers, one above the other."""
    bidirectional: bool = True
    """Whether a second cell reads from the end."""
    pooling: Literal["attention", "last"] = "attention"
    """A learned mean over all words, or the last state of each way."""
    dropout: Share = 0.0
    """Share of values dropped between layers in training."""


class TransformerEncoder(Section):
    """Self-attention over the words; its width is that of the embedding."""

    name: Literal["transformer"]
    """Chooses this one."""
    heads: int = Field(default=4, ge=1, le=64)
    """Heads of each attention; they share the width evenly."""
    layers: int = Field(default=2, ge=1, le=64)
    """Blocks, one after the other."""
    inner: Units = 256
    """Width of the dense layer inside each block."""
    norm: Literal["pre", "post"] = "pre"
    """Where a block is normalised; `pre` needs no warm-up."""
    positions: Literal["learned", "sinusoidal"] = "sinusoidal"
    """How the place of a word is told."""
    activation: Activation = "gelu"
    """Non-linearity inside each block."""
    dropout: Share = 0.1
    """Share of values dropped in training."""


TextEncoderParams: TypeAlias = Annotated[
    MeanEncoder | CNNEncoder | RecurrentEncoder | TransformerEncoder,
    Field(discriminator="name"),
    default_tag("name", "cnn"),
]


class TextLayers(Section):
    """From word ids to values."""

    encoder: TextEncoderParams = CNNEncoder()
    """What makes one vector out of the words: mean, cnn, lstm, gru or transformer."""
    embedding: Units = 128
    """Values that a word becomes."""
    word_dropout: Share = 0.0
    """Share of words that training takes for unknown ones."""
    spatial_dropout: Share = 0.1
    """Share of the embedding's channels that training drops in all words of a text."""
    hidden: tuple[Units, ...] = ()
    """Units of dense layers behind the encoder."""
    activation: Activation = "relu"
    """Non-linearity after each dense layer."""
    norm: Norm = "layer"
    """Normalisation of each dense layer."""
    dropout: Share = 0.3
    """Share of values dropped behind the encoder and each dense layer in training."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if isinstance(self.encoder, TransformerEncoder):
            _check_heads(self.embedding, self.encoder.heads, "embedding")
        return self


class TextNetworkParams(TextLayers):
    """Words, embedded and encoded."""

    family: Literal["text"]
    """Chooses this architecture."""


class LinearHead(Section):
    """One matrix from past to future."""

    name: Literal["linear"] = "linear"
    """Chooses this one."""
    channels: Literal["individual", "shared", "together"] = "shared"
    """One map for all channels, one for each, or one that sees all channels at once."""


class DLinearHead(Section):
    """A matrix for the trend and one for the rest (arXiv:2205.13504)."""

    name: Literal["dlinear"]
    """Chooses this one."""
    channels: Literal["individual", "shared", "together"] = "shared"
    """One map for all channels, one for each, or one that sees all channels at once."""
    kernel: int = Field(default=25, ge=1, le=9999)
    """Times that the moving average spans, which is the trend; odd."""

    @model_validator(mode="after")
    def _kernel_has_a_middle(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel: a moving average over {self.kernel} times has no middle: write an odd number")
        return self


class MLPHead(Section):
    """Dense layers from past to future."""

    name: Literal["mlp"]
    """Chooses this one."""
    channels: Literal["shared", "together"] = "shared"
    """One map for all channels, or one that sees all channels at once."""
    hidden: tuple[Units, ...] = Field(default=(256, 256), min_length=1)
    """Units of each hidden layer."""
    activation: Activation = "relu"
    """Non-linearity after each hidden layer."""
    norm: Literal["layer", "none"] = "none"
    """Normalisation of each hidden layer."""
    dropout: Share = 0.1
    """Share of hidden units dropped in training."""


class RNNHead(Section):
    """Recurrent layers over the past, a matrix from the last state to the future."""

    name: Literal["rnn"]
    """Chooses this one."""
    channels: Literal["shared", "together"] = "shared"
    """One network for all channels, or one that sees all channels at once."""
    cell: Literal["gru", "lstm"] = "gru"
    """What a layer is made of."""
    units: Units = 128
    """Units of each layer."""
    layers: int = Field(default=1, ge=1, le=32)
    """Layers, one above the other."""
    dropout: Share = 0.0
    """Share of values dropped between layers in training."""


class PatchHead(Section):
    """Self-attention over patches of each channel (PatchTST, arXiv:2211.14730)."""

    name: Literal["transformer"]
    """Chooses this one."""
    patch: int = Field(default=16, ge=1)
    """Times of a patch."""
    stride: int = Field(default=8, ge=1)
    """Times from one patch to the next."""
    width: Units = 64
    """Values that a patch becomes."""
    heads: int = Field(default=4, ge=1, le=64)
    """Heads of each attention; they share the width evenly."""
    layers: int = Field(default=2, ge=1, le=64)
    """Blocks, one after the other."""
    inner: Units = 128
    """Width of the dense layer inside each block."""
    activation: Activation = "gelu"
    """Non-linearity inside each block."""
    dropout: Share = 0.2
    """Share of values dropped in training."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        _check_heads(self.width, self.heads, "width")
        return self


ForecastHeadParams: TypeAlias = Annotated[
    LinearHead | DLinearHead | MLPHead | RNNHead | PatchHead,
    Field(discriminator="name"),
    default_tag("name", "linear"),
]


Normalisation: TypeAlias = Literal["last", "none", "standard"]


class ForecastParams(Section):
    """A window of the past to the times ahead."""

    family: Literal["forecast"]
    """Chooses this architecture."""
    head: ForecastHeadParams = LinearHead()
    """What maps past to future: linear, dlinear, mlp, rnn or transformer."""
    lookbacks: tuple[Annotated[int, Field(ge=2)], ...] = ()
    """Newest rows of a window that a network reads; several make an ensemble. Empty is `data.windows.length`."""
    normalise: Literal["auto"] | Normalisation | Annotated[tuple[Normalisation, ...], Field(min_length=1)] = "auto"
    """What is taken from each window and put back at the end: its last value (`last`), or its mean and deviation.

    `auto` is standard for the transformer and last for the others. Several make an ensemble: a network for each of
    them and of `lookbacks`, trained each on its own, whose mean answers.
    """

    @model_validator(mode="after")
    def _members_differ(self) -> Self:
        ways = (self.normalise,) if isinstance(self.normalise, str) else self.normalise
        for name, values in (("lookbacks", self.lookbacks), ("normalise", ways)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: the members of an ensemble must differ, got {', '.join(map(str, values))}")
        return self


class SpeechLayers(Section):
    """From log-mel frames to values."""

    channels: tuple[Units, ...] = Field(default=(64, 128), min_length=1)
    """Channels of each convolution over time."""
    kernel: int = Field(default=5, ge=1, le=99)
    """Frames that each convolution spans; odd."""
    stride: int = Field(default=2, ge=1, le=8)
    """Frames from one window of a convolution to the next."""
    cell: Literal["gru", "lstm", "none"] = "lstm"
    """Bidirectional recurrent layers behind the convolutions, or none."""
    units: Units = 128
    """Units of each way of a recurrent layer."""
    layers: int = Field(default=1, ge=1, le=32)
    """Recurrent layers, one above the other."""
    hidden: tuple[Units, ...] = ()
    """Units of dense layers behind."""
    activation: Activation = "relu"
    """Non-linearity after convolutions and dense layers."""
    dropout: Share = 0.2
    """Share of values dropped in training."""

    @model_validator(mode="after")
    def _kernel_has_a_middle(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel: a window of {self.kernel} frames has no middle: write an odd number")
        return self


class SpeechParams(SpeechLayers):
    """Convolutions over the frames of a sound, recurrent layers, attention."""

    family: Literal["speech"]
    """Chooses this architecture."""
    output: Literal["classes", "sequence"] = "classes"
    """One answer a sound, or one for each time that the convolutions leave (for CTC)."""


class ColumnLayers(Section):
    """Dense layers over numbers and embedded categories."""

    hidden: tuple[Units, ...] = Field(default=(128,), min_length=1)
    """Units of each hidden layer."""
    activation: Activation = "relu"
    """Non-linearity after each hidden layer."""
    norm: Norm = "layer"
    """Normalisation of each hidden layer."""
    dropout: Share = 0.1
    """Share of hidden units dropped in training."""
    embedding: int = Field(default=16, ge=1, le=1024)
    """Greatest width of a category's embedding; a column with n levels gets min(this, ceil(1.6 n^0.56))."""


class ImageLayers(Section):
    """Stages of convolutions, each ended by a pooling that halves the sides."""

    stages: tuple[Units, ...] = Field(default=(32, 64, 128), min_length=1)
    """Channels of each stage."""
    convolutions: int = Field(default=2, ge=1, le=16)
    """Convolutions of each stage."""
    activation: Activation = "relu"
    """Non-linearity after each convolution."""
    norm: Norm = "batch"
    """Normalisation of each convolution."""
    dropout: Share = 0.1
    """Share of values dropped behind the stages in training."""


class MultimodalParams(Section):
    """One encoder for each kind of column, and dense layers over all of them."""

    family: Literal["multimodal"]
    """Chooses this architecture."""
    width: Units = 64
    """Values that each encoder gives."""
    columns: ColumnLayers = ColumnLayers()
    """Encoder of numbers and categories."""
    text: TextLayers = TextLayers()
    """Encoder of texts."""
    image: ImageLayers = ImageLayers()
    """Encoder of images."""
    audio: SpeechLayers = SpeechLayers()
    """Encoder of sounds."""
    hidden: tuple[Units, ...] = (128,)
    """Units of the dense layers that see all encoders."""
    activation: Activation = "relu"
    """Non-linearity after each of these dense layers."""
    norm: Norm = "layer"
    """Normalisation of each of these dense layers."""
    dropout: Share = 0.1
    """Share of values dropped before each of these dense layers and the last one in training."""


class PretrainedParams(Section):
    """A published network for images without its last layer, and a head of one's own."""

    family: Literal["pretrained"]
    """Chooses this architecture."""
    source: Literal["timm", "torchvision", "transformers"]
    """The library that has the network."""
    name: str = Field(min_length=1)
    """The network's name there; for transformers a folder with config.json, or a name on the hub."""
    weights: str | None = None
    """A file (for transformers a folder), or published weights by name, which are downloaded; null draws them."""
    freeze: Literal["all", "none"] | Annotated[int, Field(ge=1)] = "all"
    """What training leaves as it is: everything but the head, nothing, or that many first blocks."""
    size: int | None = Field(default=None, ge=1, le=4096)
    """Side in pixels to which images are brought first; null leaves them as they are."""
    hidden: tuple[Units, ...] = ()
    """Units of dense layers in the head."""
    activation: Activation = "relu"
    """Non-linearity after each dense layer."""
    norm: Norm = "layer"
    """Normalisation of each dense layer."""
    dropout: Share = 0.1
    """Share of values dropped before each layer of the head in training."""


class CustomParams(Section):
    """A network that a function of the project makes."""

    family: Literal["custom"]
    """Chooses this architecture."""
    module: str
    """`package.module:function`, found in the project's folder or among the installed packages."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """What the function is given beside `groups` and `outputs`."""


def _check_heads(width: int, heads: int, name: str) -> None:
    if width % heads:
        raise ValueError(f"heads: {heads} heads cannot share a width of {width} evenly: make {name} a multiple of it")
