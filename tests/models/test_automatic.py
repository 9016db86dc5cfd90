"""What `auto` takes for each kind of data, and the sentence that says why."""

from typing import Any

import pytest

from ann.config.layers import MLPParams, TabularParams
from ann.config.model import AutoParams, read_model
from ann.data.target import Target, classification
from ann.models import build_network, check_family
from ann.models.automatic import choose_architecture

AUTO = AutoParams(family="auto")
NUMERIC: dict[str, Any] = {"numeric": {"width": 3}}
CATEGORICAL: dict[str, Any] = {"categorical": {"sizes": [5]}}
TEXT: dict[str, Any] = {"text": {"words": 9, "length": 6}}
IMAGE: dict[str, Any] = {"image": {"channels": 1, "height": 16, "width": 16}}
AUDIO: dict[str, Any] = {"audio": {"mels": 8, "frames": 20}}
SERIES: dict[str, Any] = {"series": {"length": 8, "channels": 2, "horizon": 3, "targets": [1]}}
TABLE = "tabular, since the columns are numbers and categories"
CASES = [
    (NUMERIC, "tabular", TABLE),
    (CATEGORICAL, "tabular", TABLE),
    (NUMERIC | CATEGORICAL, "tabular", TABLE),
    (IMAGE, "cnn", "cnn, since the only kind of column is image"),
    (TEXT, "text", "text, since the only kind of column is text"),
    (AUDIO, "speech", "speech, since the only kind of column is audio"),
    (AUDIO | {"audio_frames": {}}, "speech", "speech, since the only kind of column is audio"),
    (SERIES, "forecast", "forecast, since the only kind of column is series"),
    (NUMERIC | TEXT, "multimodal", "multimodal, since there are numeric and text columns"),
    (IMAGE | AUDIO, "multimodal", "multimodal, since there are image and audio columns"),
]


@pytest.mark.parametrize(("groups", "family", "why"), CASES, ids=[" ".join(groups) for groups, _, _ in CASES])
def test_the_kinds_of_column_decide_and_the_reason_names_them(groups: dict[str, Any], family: str, why: str) -> None:
    model, reason = choose_architecture(AUTO, groups)
    assert (model.family, reason) == (family, why)
    assert model == read_model({"family": family})


@pytest.mark.parametrize(("groups", "family", "why"), CASES, ids=[" ".join(groups) for groups, _, _ in CASES])
def test_what_is_taken_reads_the_data_and_answers_the_task(groups: dict[str, Any], family: str, why: str) -> None:
    target = Target("forecast", ("b",), horizon=3) if "series" in groups else classification(3)
    model, _ = choose_architecture(AUTO, groups)
    check_family(model.family, groups, target)
    assert build_network(model, {name: group for name, group in groups.items() if group}, target)


@pytest.mark.parametrize("groups", [NUMERIC, NUMERIC | TEXT], ids=["table", "mixed"])
def test_an_architecture_that_is_named_is_taken_as_it_is(groups: dict[str, Any]) -> None:
    for named in (MLPParams(family="mlp", hidden=(7,)), TabularParams(family="tabular", members=3)):
        assert choose_architecture(named, groups) == (named, f"{named.family}, since params.yaml names it")
