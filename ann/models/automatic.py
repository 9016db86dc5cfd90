"""What `model: {family: auto}` means: an architecture by the kinds of column, and a sentence that says why."""

from typing import Any

from ann.config.layers import TabularParams
from ann.config.model import Architecture, AutoParams, ModelParams, read_model

ALONE = {"image": "cnn", "text": "text", "audio": "speech", "series": "forecast"}
"""Families of data that has one kind of column."""


def choose_architecture(model: ModelParams, groups: dict[str, Any]) -> tuple[Architecture, str]:
    """Return the architecture that `model` names, or for `auto` the default of the column groups, and why."""
    if not isinstance(model, AutoParams):
        return model, f"{model.family}, since params.yaml names it"
    kinds = [name for name in groups if name != "audio_frames"]
    if set(kinds) <= {"numeric", "categorical"}:
        return TabularParams(family="tabular"), "tabular, since the columns are numbers and categories"
    if len(kinds) == 1:
        family = ALONE[kinds[0]]
        return read_model({"family": family}), f"{family}, since the only kind of column is {kinds[0]}"
    return read_model({"family": "multimodal"}), f"multimodal, since there are {' and '.join(kinds)} columns"
