"""An exported file, opened: what it reads, and what it answers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from ann.errors import ConfigError, DataError, did_you_mean
from ann.names import LENGTHS
from ann.predict.cells import audio_arrays, date_array, image_array, number_array, text_array

NUMBER_TYPES: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(double)": np.float64}

PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}
"""Execution providers of ONNX Runtime by name; what the first cannot compute, such as texts, the next does."""


def providers_of(name: str) -> list[str]:
    """Return what ONNX Runtime is asked for.

    Raises:
        ConfigError: there is no such provider, or not in the onnxruntime that is installed.
    """
    if name not in PROVIDERS:
        raise ConfigError(f"provider: {name!r} is unknown{did_you_mean(name, list(PROVIDERS))}")
    there = ort.get_available_providers()
    if PROVIDERS[name][0] not in there:
        raise ConfigError(
            f"provider: this onnxruntime has no {PROVIDERS[name][0]}, only {', '.join(there)}: "
            f"install onnxruntime-gpu in its place, or take cpu"
        )
    return list(PROVIDERS[name])


class Model:
    """An exported file: named columns in, answers out."""

    def __init__(self, path: str | Path, threads: int = 0, provider: str = "cpu") -> None:
        """Open the file; `threads` 0 takes ONNX Runtime's own choice, `provider` is one of PROVIDERS.

        Raises:
            ConfigError: there is no such file, it is no model that `ann` exported, or this onnxruntime lacks the
                provider.
        """
        if not Path(path).is_file():
            raise ConfigError(f"{path} does not exist: name a model file with --model, or run `ann run` first")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self.session = ort.InferenceSession(str(path), options, providers=providers_of(provider))
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - the library raises many types; all mean the same here
            raise ConfigError(f"{path} is not an ONNX model: {str(error).splitlines()[0]}") from None
        self.metadata: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)
        if "ann.task" not in self.metadata:
            raise ConfigError(f"{path} was not exported by ann: it carries no ann.task")
        self.task = self.metadata["ann.task"]
        self.classes: list[str] = json.loads(self.metadata["ann.classes"])
        self.targets: list[str] = json.loads(self.metadata["ann.targets"])
        self.quantiles: list[float] = json.loads(self.metadata["ann.quantiles"])
        self.missing = frozenset(["", *json.loads(self.metadata["ann.missing"])])
        self.kinds: dict[str, str] = json.loads(self.metadata["ann.types"])
        self.series: dict[str, Any] | None = json.loads(self.metadata.get("ann.series", "null"))
        self.types: dict[str, str] = {put.name: put.type for put in self.session.get_inputs()}
        self.shapes: dict[str, list[Any]] = {put.name: put.shape for put in self.session.get_inputs()}
        self.outputs: list[str] = [put.name for put in self.session.get_outputs()]

    @property
    def columns_read(self) -> list[str]:
        """Columns that a row must have; of a series its channels."""
        if self.series:
            return [str(name) for name in self.series["series"]]
        return [name for name in self.types if not self._holds_lengths(name)]

    @property
    def media(self) -> str | None:
        """The one column that is a file, where that is all the model reads."""
        [first, *more] = self.columns_read
        return first if not more and self.kinds.get(first) in ("image", "audio") else None

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name for N rows of raw inputs.

        `label` (N,) and `probabilities` (N, K); `labels` (N, L) and `probabilities` (N, L); or `prediction` (N, ...).
        """
        found = self.session.run(self.outputs, {name: inputs[name] for name in self.types})
        return dict(zip(self.outputs, found, strict=True))

    def inputs(
        self, rows: Sequence[Mapping[str, Any]], first_row: int = 1, folder: Path | None = None
    ) -> dict[str, np.ndarray]:
        """Return raw inputs of rows of texts, numbers or files; `first_row` numbers them in messages.

        Files are relative to `folder`. Images must be of one size. Of a series the rows are one window.

        Raises:
            DataError: a text stands where a number or date belongs, or a file cannot be read.
        """
        if self.series:
            return {"series": self._window(rows, first_row)}
        found: dict[str, np.ndarray] = {}
        for name in self.columns_read:
            found |= self._column(name, [row[name] for row in rows], first_row, folder or Path())
        return found

    def require_columns(self, present: Sequence[str]) -> None:
        """Check that every input has a column.

        Raises:
            DataError: one is missing.
        """
        for name in self.columns_read:
            if name not in present:
                raise DataError(
                    f"column {name!r} is missing{did_you_mean(name, list(present))}; "
                    f"the model reads {', '.join(self.columns_read)}"
                )

    def answer_names(self) -> list[str]:
        """Return the names of the columns that `answer_columns` gives."""
        if self.task == "forecast":
            return ["step", *self._numbers_of(self.targets)]
        if self.task == "regression":
            return self._numbers_of(self.targets if len(self.targets) > 1 else ["prediction"])
        names = self.targets if self.task == "multilabel" else self.classes
        first = [f"label_{name}" for name in names] if self.task == "multilabel" else ["label"]
        return [*first, *(f"probability_{name}" for name in names)]

    def answer_columns(self, found: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return outputs as columns, one value a row; of a forecast one row a step ahead, window after window."""
        if self.task == "forecast":
            values = found["prediction"]
            steps = np.tile(np.arange(1, values.shape[1] + 1), len(values))
            return [steps, *values.reshape(len(steps), -1).T]
        if self.task == "regression":
            return list(found["prediction"].reshape(len(found["prediction"]), -1).T)
        labels = [*found["labels"].T] if self.task == "multilabel" else [found["label"]]
        return [*labels, *found["probabilities"].T]

    def _numbers_of(self, names: list[str]) -> list[str]:
        if not self.quantiles:
            return list(names)
        return [f"{name}_q{quantile:g}" for name in names for quantile in self.quantiles]

    def _column(self, name: str, values: list[Any], first_row: int, folder: Path) -> dict[str, np.ndarray]:
        kind = self.kinds.get(name, "number")
        if kind == "image":
            return {name: np.stack(image_array(values, int(self.shapes[name][3]), folder))}
        if kind == "audio":
            samples, lengths = audio_arrays(values, int(self.metadata["ann.rate"]), folder)
            return {name: samples, f"{name}{LENGTHS}": lengths}
        if kind == "date":
            return {name: date_array(name, values, self.missing, first_row)}
        if self.types[name] in NUMBER_TYPES:
            return {name: number_array(name, values, NUMBER_TYPES[self.types[name]], self.missing, first_row)}
        return {name: text_array(values, self.missing)}

    def _window(self, rows: Sequence[Mapping[str, Any]], first_row: int) -> np.ndarray:
        channels = [
            number_array(name, [row[name] for row in rows], np.float32, self.missing, first_row)
            for name in self.columns_read
        ]
        return np.stack(channels, axis=1)[None]

    def _holds_lengths(self, name: str) -> bool:
        return name.endswith(LENGTHS) and self.kinds.get(name.removesuffix(LENGTHS)) == "audio"
