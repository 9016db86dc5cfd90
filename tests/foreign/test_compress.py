"""`ann compress` as a stranger meets it: a torch network, an ONNX file, one that ann exported, and every mistake."""

import json
import shlex
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import load_file, save_file
from torch import nn

from ann.artifacts import load_json
from ann.cli import main
from ann.data.graph import save_model
from ann.data.schema import Schema
from ann.export.join import join
from ann.export.network import open_session, run_network
from ann.foreign.graphs import load_onnx
from ann.models.resizing import fit_to
from ann.predict import Model
from ann.project import Project

CODE = """\
from torch import nn


def image():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3)
    )


def flat():
    return nn.Sequential(nn.Flatten(), nn.Softmax(1))


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(x) if float(x.sum()) > 0 else self.layer(-x)


class Vector(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(x)[:, 0]
"""
QUICK = {
    "compress": {"rounds": 5, "batches": [8], "max_drop": 0.9, "objective": "bytes"},
    "evaluate": {"resamples": 100},
}
RANDOM = np.random.default_rng(0)
N = 80


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stranger's folder, the current one: code, rows, settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "stranger.py").write_text(CODE)
    (tmp_path / "quick.yaml").write_text(json.dumps(QUICK))
    classes = np.arange(N) % 3
    images = RANDOM.normal(size=(N, 1, 8, 8)) + classes[:, None, None, None]
    np.savez(tmp_path / "image.npz", image=images, target=classes)
    np.savez(tmp_path / "table.npz", x=RANDOM.normal(size=(N, 4)), target=classes % 2, price=RANDOM.random(N))
    return tmp_path


def compress(arguments: str) -> int:
    return main(["compress", "--params", "quick.yaml", *shlex.split(arguments)])


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    code: dict = {}
    exec(CODE, code)
    network: nn.Module = code[name]()
    return network.eval()


def weights(name: str) -> str:
    save_file(made(name).state_dict(), f"{name}.safetensors")
    return f"{name}.safetensors"


def dense(folder: Path, *, kind: str = "MatMul", rows: str | None = None) -> str:
    """Write x (N, 4) -> probabilities (N, 2), 13 the operator set."""
    weight = onnx.numpy_helper.from_array(RANDOM.normal(size=(4, 256)).astype(np.float32), "w")
    last = onnx.numpy_helper.from_array(RANDOM.normal(size=(256, 2)).astype(np.float32), "v")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["z"]),
        helper.make_node("Softmax", ["z"], ["p"], axis=1),
    ]
    if kind == "Softmax":
        nodes = [helper.make_node("Softmax", ["x"], ["p"], axis=1)]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 4])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [rows, None])],
        [weight, last] if kind != "Softmax" else [],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), folder / "dense.onnx"
    )
    return "dense.onnx"


RECIPES = (
    "[{name: small, steps: [{step: prune, epochs: 1}]}, "
    "{name: aware, steps: [{step: quantize, mode: aware, epochs: 1, sensitive: quantize}]}]"
)


@pytest.mark.slow
def test_a_torch_network_becomes_files_a_table_and_a_picture(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = weights("image")
    arguments = f"--model stranger:image --weights {given} --data image.npz -o out -S 'compress.recipes={RECIPES}'"
    assert compress(arguments) == 0
    out = place / "out"
    assert "the chosen variant: out/model.onnx" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {
        "candidates.json",
        "choice.json",
        "front.csv",
        "front.png",
        "model.onnx",
        "variants",
        "variants.md",
    }
    table = json.loads((out / "candidates.json").read_text())
    assert [(row["name"], row["quantized"]) for row in table["candidates"]] == [
        ("fp32", False),
        ("small", False),
        ("aware", True),
    ]
    [chosen] = [row["name"] for row in table["candidates"] if row["chosen"]]
    assert (out / "model.onnx").read_bytes() == (out / "variants" / f"{chosen}.onnx").read_bytes()
    images = np.load("image.npz")["image"].astype(np.float32)
    smaller = made("image")
    for name in ("fp32", "small"):  # weights have the names of the stranger's network
        fit_to(smaller, load_file(out / "variants" / f"{name}.safetensors"))
        with torch.no_grad():
            expected = smaller.eval()(torch.from_numpy(images)).numpy()
        found = run_network(out / "variants" / f"{name}.onnx", {"image": images})
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert sum(tensor.numel() for tensor in smaller.parameters()) < table["candidates"][0]["parameters"]
    assert not list(place.glob(".out*"))


def test_an_onnx_file_keeps_inputs_outputs_and_what_it_says_about_itself(place: Path) -> None:
    path = dense(place)
    model = onnx.load(path)
    helper.set_model_props(model, {"author": "someone"})
    onnx.save(model, path)
    recipes = "[{name: int8, steps: [{step: quantize, mode: dynamic}]}]"
    table = pd.DataFrame(RANDOM.normal(size=(N, 4)), columns=list("abcd"))
    [answers] = open_session(place / path).run(["p"], {"x": table.to_numpy(np.float32)})
    table["kind"] = np.array(["no", "yes"])[answers.argmax(axis=1)]
    table.to_csv("rows.csv", index=False)
    for _ in range(2):  # its own folder is replaced
        assert compress(f"--model {path} --data rows.csv --target kind -o out -S 'compress.recipes={recipes}'") == 0
    int8 = onnx.load("out/variants/int8.onnx")
    assert {"MatMulInteger", "DynamicQuantizeMatMul"} & {node.op_type for node in int8.graph.node}
    assert [put.name for put in (*int8.graph.input, *int8.graph.output)] == ["x", "p"]
    assert {entry.key: entry.value for entry in int8.metadata_props} == {"author": "someone"}
    plain, other = json.loads(Path("out/candidates.json").read_text())["candidates"]
    assert plain["quality"]["value"] == 1.0  # it is judged by what it answers itself
    assert other["bytes"] < plain["bytes"]


@pytest.mark.slow
def test_a_file_that_ann_exported_is_read_from_raw_columns_and_from_the_registry(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project.at(built)
    schema = Schema.from_json(load_json(project.build.schema))
    network = onnx.load(project.build.variants / "fp32.onnx")
    save_model(join(onnx.load(project.build.preprocess), network, schema, {}), tmp_path / "own.onnx")
    (tmp_path / "quick.yaml").write_text(json.dumps(QUICK))
    data = ["--data", str(built / "data" / "shop.csv"), "--target", "bought", "-o", str(tmp_path / "out")]
    given = [*data, "--params", str(tmp_path / "quick.yaml"), "-C", str(built)]
    assert main(["compress", "--model", str(tmp_path / "own.onnx"), *given]) == 0
    table = json.loads((tmp_path / "out" / "candidates.json").read_text())
    assert [row["name"] for row in table["candidates"]] == ["fp32", "int8-dynamic", "int8-static"]
    assert table["metric"] == "auc"
    assert all(row["quality"]["value"] > 0.9 for row in table["candidates"])
    assert Model(tmp_path / "out" / "variants" / "int8-static.onnx").classes == ["no", "yes"]

    champion = load_onnx("models:/shop@champion", project.tracking_uri)
    assert champion.classes == ("no", "yes")
    capsys.readouterr()
    assert main(["compress", "--model", "models:/shop@nobody", *given]) == 2
    assert "models:/shop@nobody cannot be had from the registry" in capsys.readouterr().err
    assert (tmp_path / "out" / "choice.json").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--model nope.onnx --data image.npz", "there is no file nope.onnx"),
        ("--model text.onnx --data image.npz", "text.onnx is no ONNX file"),
        ("--model dense.onnx --data nope.npz", "--data: there is no file nope.npz"),
        ("--model dense.onnx --data table.npz --target truth", "table.npz has no 'truth'"),
        ("--model dense.onnx --data table.npz --weights w.safetensors", "leave --weights out"),
        ("--model dense.onnx --data nan.npz", "answers NaN or infinity about"),
        ("--model dense.onnx --data single.npz", "two classes of two rows each"),
        ("--model dense.onnx --data few.npz", "has 10 rows; 20 are the least"),
        ("--model dense.onnx --data many.npz", "holds 3 classes"),
        ("--model dense.onnx --data numbers.npz", "holds numbers, 1 a row, but the network gives 2 outputs"),
        ("--model dense.onnx --data wide.npz", "does not take the 8 rows of --data"),
        ("--model dense.onnx --data many.npz -S compress.objective=flops", "changes no flops"),
        ("--model dense.onnx --data many.npz -S compress.batches=[]", "compress.batches"),
        (
            "--model dense.onnx --data table.npz -S compress.recipes='[{name: a, steps: [{step: prune}]}]'",
            "only be quan",
        ),
        ("--model dense.onnx --data table.npz -S compress.recipes='[{name: a, steps: [{step: prun}]}]'", "'prun'"),
        ("--model softmax.onnx --data table.npz", "there is nothing to quantize"),
        ("--model models:/shop@champion --data table.npz", "name its project with -C"),
        ("--model nothing --data table.npz", "is no .onnx file, models:/ address or package.module:function"),
        ("--model stranger: --data table.npz", "is no .onnx file, models:/ address or package.module:function"),
        ("--model stranger:imag --weights image.safetensors --data image.npz", "did you mean 'image'"),
        ("--model stranger:image --data image.npz", "--weights is missing"),
        ("--model stranger:image --weights image.safetensors --data few.npz", "has 10 rows"),
        ("--model stranger:image --weights image.safetensors --data wide.npz", "does not take the rows of --data"),
        ("--model stranger:Vector --weights Vector.safetensors --data vector.npz", "it answers (8,) of 8 rows"),
        ("--model stranger:Branching --weights Branching.safetensors --data vector.npz", "cannot be written as ONNX"),
        ("--model dense.onnx --data table.npz -o text.onnx", "is a file: name a folder"),
        ("--model dense.onnx --data table.npz -o text.onnx/below", "is a file: name a folder"),
        ("--model dense.onnx --data table.npz -o .", "holds other files, which would be lost"),
        ("--model dense.onnx --data table.npz -S compress.max_dropp=1", "did you mean 'max_drop'"),
        ("--model dense.onnx --data table.npz -S model.family=mlp", "known: compress, evaluate, seed, train"),
        (
            "--model dense.onnx --data table.npz --params strange.yaml",
            "compres is not a parameter (did you mean 'compress'",
        ),
        ("--model dense.onnx --data table.npz --params list.yaml", "must be a YAML mapping of sections, got list"),
        ("--model dense.onnx --data table.npz --params nope.yaml", "--params: there is no file nope.yaml"),
    ],
)
def test_a_mistake_is_one_message_and_leaves_nothing(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: str, told: str
) -> None:
    x = RANDOM.normal(size=(24, 4)).astype(np.float32)
    classes = np.arange(24) % 2
    np.savez("nan.npz", x=np.where(np.arange(24)[:, None] % 5, x, np.nan), target=classes)
    np.savez("single.npz", x=x, target=np.zeros(24, int))
    np.savez("few.npz", x=x[:10], target=classes[:10])
    np.savez("many.npz", x=x, target=np.arange(24) % 3)
    np.savez("numbers.npz", x=x, target=RANDOM.random(24))
    np.savez("wide.npz", x=RANDOM.normal(size=(24, 5)), target=classes)
    np.savez("vector.npz", x=x, target=classes)
    with np.load("table.npz") as arrays:
        np.savez("table.npz", x=arrays["x"], target=arrays["target"])
    dense(place, kind="Softmax")
    Path("dense.onnx").rename("softmax.onnx")
    dense(place)
    for name in ("image", "Vector", "Branching"):
        weights(name)
    Path("text.onnx").write_text("hello")
    Path("strange.yaml").write_text("compres: {}")
    Path("list.yaml").write_text("[1]")
    before = {path.name for path in place.iterdir()} | {"__pycache__"}
    assert compress(arguments if "-o" in arguments else f"{arguments} -o out") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert told in captured.err
    assert captured.err.count("\n") == 1
    assert {path.name for path in place.iterdir()} | {"__pycache__"} == before
    assert Path("text.onnx").read_text() == "hello"
