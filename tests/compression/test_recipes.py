"""From recipes to variants: what is made, in which order, and what is shared."""

from hashlib import sha256
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from ann.compression.pruning import prune_mlp
from ann.compression.recipes import Variant, calibration_rows, describe, make_variants
from ann.config.compress import Prune, Quantize, Recipe
from ann.config.layers import MLPParams
from ann.config.optimizers import AdamW
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import Target, classification, softmax
from ann.export.network import run_network
from ann.models.mlp import MLP
from ann.training.fit import fit
from ann.training.objective import build_objective
from ann.training.prediction import predict_logits

HALF = Prune(step="prune", ratio=0.5, epochs=2)
STATIC = Quantize(step="quantize", mode="static", calibration_rows=64)
DYNAMIC = Quantize(step="quantize", mode="dynamic")
RECIPES = (
    Recipe(name="pruned-int8", steps=(HALF, STATIC)),
    Recipe(name="int8-dynamic", steps=(DYNAMIC,)),
    Recipe(name="pruned", steps=(HALF,)),
    Recipe(name="twice", steps=(HALF, Prune(step="prune", ratio=0.25, epochs=0))),
)
MODEL = MLPParams(hidden=(16, 8), dropout=0.0)
NUMBERS = Target("regression", ("y", "z"), shift=(0.0, 0.0), scale=(1.0, 1.0))
LABELS = Target("multilabel", ("y", "z"))
SETTINGS = TrainParams(epochs=5, batch_size=32, optimizer=AdamW(lr=0.02))


def some_rows(count: int, seed: int) -> TensorData:
    random = torch.Generator().manual_seed(seed)
    numeric = torch.randn(count, 4, generator=random)
    return TensorData({"numeric": numeric}, (numeric[:, 0] + numeric[:, 1] > 0).long())


TRAIN, VALID = some_rows(256, 0), some_rows(128, 1)


def digest(network: nn.Module) -> str:
    return sha256(b"".join(tensor.numpy().tobytes() for tensor in network.state_dict().values())).hexdigest()


def trained() -> MLP:
    torch.manual_seed(0)
    network = MLP(width=4, sizes=[], outputs=2, hidden=[16, 8], dropout=0.0)
    fit(network, TRAIN, VALID, SETTINGS, seed=0)
    return network


def variants_of(network: MLP, recipes: tuple[Recipe, ...]) -> list[Variant]:
    parts = {"train": TRAIN, "valid": VALID, "target": classification(2)}
    return list(make_variants(network, MODEL, recipes, **parts, settings=SETTINGS, seed=3))


class Made(NamedTuple):
    network: MLP
    before: str
    variants: dict[str, Variant]


@pytest.fixture(scope="module")
def made() -> Made:
    network = trained()
    before = digest(network)
    return Made(network, before, {variant.name: variant for variant in variants_of(network, RECIPES)})


def test_fp32_comes_first_and_then_the_recipes_in_order(made: Made) -> None:
    assert list(made.variants) == ["fp32", "pruned-int8", "int8-dynamic", "pruned", "twice"]
    assert [variant.quantized for variant in made.variants.values()] == [False, True, True, False, False]


def test_fp32_is_the_network_itself_and_making_variants_does_not_change_it(made: Made) -> None:
    fp32 = made.variants["fp32"]
    assert fp32.network is made.network
    assert fp32.model == MODEL
    assert digest(made.network) == made.before


def test_a_pruning_that_recipes_share_is_done_once(made: Made) -> None:
    pruned, quantized = made.variants["pruned"], made.variants["pruned-int8"]
    assert quantized.network is pruned.network
    assert quantized.model == pruned.model == MODEL.model_copy(update={"hidden": (8, 4)})
    assert quantized.graph != pruned.graph


def test_a_second_pruning_starts_from_the_first(made: Made) -> None:
    twice, pruned = made.variants["twice"], made.variants["pruned"]
    assert twice.model.hidden == (6, 3)
    rows = {row.tobytes() for row in pruned.network.state_dict()["blocks.0.0.weight"].numpy()}
    assert all(row.tobytes() in rows for row in twice.network.state_dict()["blocks.0.0.weight"].numpy())


@pytest.mark.parametrize("name", ["fp32", "pruned", "twice"])
def test_a_float_graph_answers_what_its_network_answers(made: Made, name: str) -> None:
    variant = made.variants[name]
    ours = softmax(run_network(variant.graph, {"numeric": VALID.inputs["numeric"].numpy()}))
    theirs = torch.softmax(predict_logits(variant.network, VALID).double(), dim=1).numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("name", ["pruned-int8", "int8-dynamic"])
def test_a_quantized_graph_answers_about_what_its_network_answers(made: Made, name: str) -> None:
    variant = made.variants[name]
    ours = run_network(variant.graph, {"numeric": VALID.inputs["numeric"].numpy()}).argmax(axis=1)
    theirs = predict_logits(variant.network, VALID).numpy().argmax(axis=1)
    assert (ours == theirs).mean() > 0.9


def test_fine_tuning_mends_what_pruning_broke(made: Made) -> None:
    def loss(network: nn.Module) -> float:
        return nn.functional.cross_entropy(predict_logits(network, VALID), VALID.target).item()

    broken, _ = prune_mlp(made.variants["fp32"].network, MODEL, HALF.ratio)
    assert loss(made.variants["pruned"].network) < loss(broken)


def test_the_same_seed_makes_the_same_variants(made: Made) -> None:
    fp32, again = variants_of(trained(), (Recipe(name="other", steps=(HALF, STATIC)),))
    for variant, first in ((fp32, "fp32"), (again, "pruned-int8")):
        assert digest(variant.network) == digest(made.variants[first].network)
        assert variant.graph == made.variants[first].graph


def test_each_variant_is_described_in_one_line(made: Made) -> None:
    assert made.variants["fp32"].recipe == "the trained network"
    assert made.variants["pruned-int8"].recipe == "prune 50% of units, 2 epochs -> int8 static"
    assert describe(RECIPES[1]) == "int8 dynamic"
    assert describe(RECIPES[3]) == "prune 50% of units, 2 epochs -> prune 25% of units, 0 epochs"


def test_calibration_rows_are_different_training_rows_drawn_by_the_seed() -> None:
    first = calibration_rows(TRAIN, 64, seed=1)["numeric"]
    rows = {row.tobytes() for row in TRAIN.inputs["numeric"].numpy()}
    assert first.shape == (64, 4)
    assert len({row.tobytes() for row in first} & rows) == 64
    np.testing.assert_array_equal(calibration_rows(TRAIN, 64, seed=1)["numeric"], first)
    assert not np.array_equal(calibration_rows(TRAIN, 64, seed=2)["numeric"], first)


def test_where_there_are_fewer_training_rows_all_of_them_calibrate() -> None:
    rows = calibration_rows(TRAIN, 10_000, seed=1)["numeric"]
    np.testing.assert_array_equal(rows, TRAIN.inputs["numeric"].numpy())


@pytest.mark.parametrize("target", [NUMBERS, LABELS], ids=lambda target: target.task)
def test_networks_of_every_task_are_pruned_trained_on_and_quantized(target: Target) -> None:
    torch.manual_seed(0)
    network = MLP(width=4, sizes=[], outputs=2, hidden=[16, 8], dropout=0.0)
    train, valid = (TensorData(rows.inputs, (rows.inputs["numeric"][:, :2] > 0).float()) for rows in (TRAIN, VALID))
    objective = build_objective(network, train, SETTINGS, target)
    fit(network, train, valid, SETTINGS, seed=0, objective=objective)
    recipes = (Recipe(name="pruned-int8", steps=(HALF, STATIC)), Recipe(name="pruned", steps=(HALF,)))
    settings = {"train": train, "valid": valid, "target": target, "settings": SETTINGS, "seed": 3}
    made = {variant.name: variant for variant in make_variants(network, MODEL, recipes, **settings)}
    theirs = predict_logits(made["pruned"].network, valid)
    inputs = {"numeric": valid.inputs["numeric"].numpy()}
    np.testing.assert_allclose(run_network(made["pruned"].graph, inputs), theirs.numpy(), atol=1e-4)
    quantized = run_network(made["pruned-int8"].graph, inputs)
    assert 0 < np.abs(quantized - theirs.numpy()).mean() < 0.1 * theirs.std()
    broken, _ = prune_mlp(network, MODEL, HALF.ratio)
    assert objective.loss(theirs, valid.target) < objective.loss(predict_logits(broken, valid), valid.target)
