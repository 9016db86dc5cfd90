"""Every example from its raw files to a file that takes raw input, with little training."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ann.artifacts import load_inputs, load_json
from ann.config import override_params
from ann.media import decode_image
from ann.pipeline import Pipeline
from ann.predict import Model, predict_file
from ann.project import Project
from ann.template import NETWORKS, dvc_yaml
from tests.conftest import REPOSITORY, run

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

SHORT = (
    "train.epochs=2",
    "evaluate.resamples=100",
    "compress.recipes=[{name: int8, steps: [{step: quantize, mode: dynamic}]}]",
    "compress.batches=[8]",
    "compress.rounds=5",
    "export.latency_batches=[1]",
)
EXAMPLES = {
    "custom": (),
    "forecast": ("data.windows={length: 48, horizon: 12, season: 24, stride: 8}",),
    "image": ("model={family: cnn, stages: [8]}",),
    "keras": (),
    "multimodal": ("model={family: multimodal, image: {stages: [8]}}",),
    "regression": ("model={family: tabular, members: 4}",),
    "speech": ("model={family: speech, channels: [16], units: 16}",),
    "text": (),
    "transfer": ("model={family: pretrained, source: transformers, name: tiny}",),
}
"""Examples by name, and what makes each smaller still."""


@pytest.fixture(params=EXAMPLES, scope="module")
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An example in a folder of its own, every stage run in this process."""
    name = request.param
    root = tmp_path_factory.mktemp("examples") / name
    shutil.copytree(REPOSITORY / "examples" / name, root, ignore=shutil.ignore_patterns("build", ".ann", "data", "tmp"))
    (root / "dvc.yaml").write_text(dvc_yaml(None, networks=(root / NETWORKS).is_dir()), encoding="utf-8")
    run("git", "init", "-q", ".", cwd=root)
    if name == "transfer":
        _require("transformers")
        import transformers

        small = {"num_channels": 3, "embedding_size": 8, "hidden_sizes": [8], "depths": [1], "layer_type": "basic"}
        transformers.ResNetConfig(**small).save_pretrained(root / "tiny")
    if name == "keras":
        _require("keras")
    override_params(root / "params.yaml", [*SHORT, *EXAMPLES[name]])
    pipeline = Pipeline(Project.at(root))
    assert pipeline.pull_data()
    for stage in pipeline.stages():
        assert pipeline.run(stage).how == "ran"
    return root


def _require(package: str) -> None:
    if find_spec(package) is None:  # importing it would choose keras' backend
        pytest.skip(f"{package} is not installed: pip install {package}")


def test_an_example_runs_from_raw_files_to_a_file_that_takes_them(example: Path) -> None:
    build = Project.at(example).build
    assert load_json(build.train_summary)["epochs"] == 2
    metrics = load_json(build.model_metrics)["test"]
    assert all(row["low"] <= row["high"] for row in metrics.values())
    parity = load_json(build.parity)
    assert {"real", "one", "odd"} <= set(parity["parity"]["fp32"])
    decision = load_json(build.decision)
    assert decision["alias"] == "champion"
    model, inputs = Model(build.model, threads=1), load_inputs(build.example_inputs)
    found = model.run(inputs)
    assert all(len(values) == len(next(iter(inputs.values()))) for values in found.values())
    _check_answers(example, model)


def test_a_lookalike_of_the_data_is_scored_from_its_own_files(example: Path, tmp_path: Path) -> None:
    model = Model(Project.at(example).build.model)
    source = SOURCES.get(example.name, lambda root, _: next(iter(sorted((root / "data").glob("*.csv")))))
    rows = predict_file(model, source(example, tmp_path), tmp_path / "out.csv")
    found = pd.read_csv(tmp_path / "out.csv")
    assert len(found) == rows > 0
    assert found.select_dtypes("number").notna().all(axis=None)


def _check_answers(root: Path, model: Model) -> None:
    """Look at what the task promises of its answers."""
    found = model.run(load_inputs(Project.at(root).build.example_inputs))
    if model.task in ("binary", "multiclass"):
        np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1, rtol=1e-5)
        assert set(found["label"]) <= set(model.classes)
    elif model.task == "forecast":
        assert found["prediction"].shape[1:] == (12, 7)
    else:
        assert found["prediction"].shape[1:] == (3,)


def _pictures(root: Path, folder: Path) -> Path:
    """Write pictures of two sizes as a user would have them."""
    from PIL import Image

    pictures = folder / "pictures"
    pictures.mkdir()
    random = np.random.default_rng(0)
    for number, side in enumerate((8, 8, 16)):
        Image.fromarray(random.integers(0, 255, (side, side), dtype=np.uint8)).save(pictures / f"{number}.png")
    assert decode_image(pictures / "2.png", 1).shape == (16, 16, 1)
    return pictures


SOURCES = {
    "custom": _pictures,
    "image": _pictures,
    "keras": _pictures,
    "multimodal": lambda root, _: root / "data" / "questions.parquet",
    "speech": lambda root, _: root / "data",
    "transfer": _pictures,
}


def test_an_example_runs_by_one_command_from_a_bare_checkout(tmp_path: Path) -> None:
    root = tmp_path / "regression"
    ignored = shutil.ignore_patterns("build", ".ann", "data", "tmp")
    shutil.copytree(REPOSITORY / "examples" / "regression", root, ignore=ignored)
    (root / "dvc.yaml").write_text(dvc_yaml(None), encoding="utf-8")
    run("git", "init", "-q", ".", cwd=root)
    small = ("train.epochs=2", "model={family: tabular, members: 4}", "compress.rounds=5")
    done = run("ann", "run", "-C", str(root), *(part for override in small for part in ("-S", override)), cwd=tmp_path)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "fetched data" in done.stdout
    assert json.loads((root / "build" / "register" / "decision.json").read_text())["name"] == "diabetes"
