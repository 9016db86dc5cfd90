"""From recipes to variants: what is made, in which order, and what is shared."""

from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from ann.compression.bench import Bench
from ann.compression.calibration import calibration_rows
from ann.compression.importance import importance
from ann.compression.judge import judge
from ann.compression.packing import packed_bytes
from ann.compression.pruning import prune
from ann.compression.recipes import Variant, make_variants, recipes_for
from ann.config.compress import Recipe
from ann.config.layers import MLPParams
from ann.config.optimizers import AdamW
from ann.config.steps import Distil, Prune, Quantize, ShareWeights, Sparsify
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import Target, classification, softmax
from ann.errors import ConfigError
from ann.export.network import run_network
from ann.models.chains import groups_of
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


def bench_of(network: nn.Module, train: TensorData, valid: TensorData, target: Target, **more: Any) -> Bench:
    rows = {**{name: values.numpy() for name, values in valid.inputs.items()}, "target": valid.target.numpy()}
    metric = "accuracy" if target.has_classes else "mae" if target.has_numbers else "f1_micro"
    judging = {"target": target, "metric": metric, "rows": rows, "resamples": 200, "confidence": 0.95, "seed": 3}
    settings = {"max_drop": 0.05, "batch": 64, "judge_of": partial(judge, **judging), **more}
    return Bench(network.eval(), MODEL, train, valid, target, SETTINGS, 3, **settings)


def variants_of(network: MLP, recipes: tuple[Recipe, ...], **more: Any) -> list[Variant]:
    return list(make_variants(bench_of(network, TRAIN, VALID, classification(2), **more), recipes))


def halved(network: nn.Module) -> nn.Module:
    groups = groups_of(network, {name: values[:3] for name, values in TRAIN.inputs.items()})
    return prune(network, HALF.ratio, groups=groups, strengths=importance(network, groups))


class Made(NamedTuple):
    network: MLP
    before: str
    variants: dict[str, Variant]


@pytest.fixture(scope="module")
def made() -> Made:
    network = trained()
    before = digest(network)
    return Made(network, before, {variant.name: variant for variant in variants_of(network, RECIPES)})


def linear_layers(variant: Variant) -> list[nn.Linear]:
    return [module for module in variant.network.modules() if isinstance(module, nn.Linear)]


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
    assert [layer.out_features for layer in linear_layers(pruned)] == [8, 4, 2]
    assert quantized.graph != pruned.graph


def test_a_second_pruning_starts_from_the_first(made: Made) -> None:
    twice, pruned = made.variants["twice"], made.variants["pruned"]
    assert [layer.out_features for layer in linear_layers(twice)] == [6, 3, 2]
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

    assert loss(made.variants["pruned"].network) < loss(halved(made.variants["fp32"].network))


def test_the_same_seed_makes_the_same_variants(made: Made) -> None:
    fp32, again = variants_of(trained(), (Recipe(name="other", steps=(HALF, STATIC)),))
    for variant, first in ((fp32, "fp32"), (again, "pruned-int8")):
        assert digest(variant.network) == digest(made.variants[first].network)
        assert variant.graph == made.variants[first].graph


def test_each_variant_is_described_in_one_line(made: Made) -> None:
    assert made.variants["fp32"].recipe == "the trained network"
    assert made.variants["pruned-int8"].recipe == "prune 50% of units, 2 epochs -> int8 static"
    assert made.variants["int8-dynamic"].recipe == "int8 dynamic"
    assert made.variants["twice"].recipe == "prune 50% of units, 2 epochs -> prune 25% of units"


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
    bench = bench_of(network, train, valid, target, max_drop=1.0)
    made = {variant.name: variant for variant in make_variants(bench, recipes)}
    theirs = predict_logits(made["pruned"].network, valid)
    inputs = {"numeric": valid.inputs["numeric"].numpy()}
    np.testing.assert_allclose(run_network(made["pruned"].graph, inputs), theirs.numpy(), atol=1e-4)
    quantized = run_network(made["pruned-int8"].graph, inputs)
    assert 0 < np.abs(quantized - theirs.numpy()).mean() < 0.1 * theirs.std()
    broken = predict_logits(halved(network), valid)
    assert objective.loss(theirs, valid.target) < objective.loss(broken, valid.target)


def test_zeros_and_few_values_make_a_smaller_file_that_answers_the_same(made: Made) -> None:
    sparse = Sparsify(step="sparsify", sparsity=0.75, rounds=2, epochs=1)
    few = ShareWeights(step="share", values=4, epochs=1)
    wide = MLP(width=4, sizes=[], outputs=2, hidden=[64, 64], dropout=0.0)
    recipes = (Recipe(name="sparse", steps=(sparse,)), Recipe(name="few", steps=(sparse, few)))
    fp32, zeros, shared = variants_of(wide, recipes)
    assert zeros.recipe == "75.0% of weights zero, 1 epochs"
    assert shared.recipe == "75.0% of weights zero, 1 epochs -> 4 values a layer, 1 epochs"
    for layer, kept in zip(linear_layers(shared), linear_layers(zeros), strict=True):
        assert (layer.weight == 0).sum() >= (kept.weight == 0).sum() >= round(0.75 * kept.weight.numel())
        assert len(layer.weight.unique()) <= 5
    sizes = [variant.graph.ByteSize() for variant in (fp32, zeros, shared)]
    assert sizes[0] > 2 * sizes[1] > 2 * sizes[2]
    assert packed_bytes(shared.graph) < packed_bytes(fp32.graph)
    for variant in (zeros, shared):
        ours = run_network(variant.graph, {"numeric": VALID.inputs["numeric"].numpy()})
        np.testing.assert_allclose(ours, predict_logits(variant.network, VALID).numpy(), atol=1e-4)


def test_zeros_stay_through_training_for_int8(made: Made) -> None:
    sparse = Sparsify(step="sparsify", sparsity=0.5, epochs=1)
    aware = Quantize(step="quantize", mode="aware", epochs=1)
    _, variant = variants_of(made.network, (Recipe(name="both", steps=(sparse, aware)),))
    assert variant.quantized
    assert "train for int8, 1 epochs -> int8 aware" in variant.recipe
    for layer in linear_layers(variant):
        assert (layer.weight == 0).sum() >= layer.weight.numel() // 2


def test_most_is_the_greatest_share_that_the_drop_allows(made: Made) -> None:
    most = Prune(step="prune", ratio="most", epochs=0)
    _, lenient = variants_of(made.network, (Recipe(name="most", steps=(most,)),), max_drop=1.0)
    assert lenient.recipe == "prune 97% of units"
    _, strict = variants_of(made.network, (Recipe(name="most", steps=(most,)),), max_drop=-1.0)
    assert strict.recipe == "no units removed: none that was tried holds max_drop"
    assert digest(strict.network) == made.before


def test_a_lottery_ticket_goes_back_to_the_weights_before_training(made: Made) -> None:
    first = MLP(width=4, sizes=[], outputs=2, hidden=[16, 8], dropout=0.0)
    ticket = Sparsify(step="sparsify", sparsity=0.5, rewind=0, epochs=0)
    _, variant = variants_of(made.network, (Recipe(name="ticket", steps=(ticket,)),), untrained=lambda: first)
    for layer, begun in zip(
        linear_layers(variant), (m for m in first.modules() if isinstance(m, nn.Linear)), strict=True
    ):
        alive = layer.weight != 0
        assert torch.equal(layer.weight[alive], begun.weight[alive])
        assert 0.4 < alive.float().mean() < 0.6


def test_a_student_is_another_architecture(made: Made) -> None:
    schema = {"groups": {"numeric": {"width": 4}}, "target": classification(2).to_json()}
    student = Distil(step="distil", model=MLPParams(family="mlp", hidden=(5,)), epochs=3, lr=0.02)
    _, variant = variants_of(made.network, (Recipe(name="student", steps=(student,)),), schema=schema)
    assert [layer.out_features for layer in linear_layers(variant)] == [5, 2]
    assert variant.recipe == f"distil into mlp of {4 * 5 + 5 + 10 + 5 * 2 + 2:,} parameters"
    taught = (HALF, Distil(step="distil", epochs=2, lr=0.01))
    _, pruned = variants_of(made.network, (Recipe(name="taught", steps=taught),))
    assert pruned.recipe == "prune 50% of units, 2 epochs -> distil, 2 epochs"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Distil(step="distil", teacher="champion"), "no registered champion here: write teacher: network"),
        (Distil(step="distil", model=MLPParams(family="mlp")), "leave distil.model out"),
        (Sparsify(step="sparsify", rewind=1), "leave rewind out"),
        (Prune(step="prune", ratio=0.99, of="parameters"), "write a ratio of at most"),
    ],
    ids=str,
)
def test_a_step_that_cannot_be_is_refused_with_the_way_out(made: Made, step: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        variants_of(made.network, (Recipe(name="wrong", steps=(step,)),))


def test_by_default_only_what_has_units_is_pruned(made: Made) -> None:
    prunable = bench_of(made.network, TRAIN, VALID, classification(2))
    flat = bench_of(Flat(), TRAIN, VALID, classification(2))
    names = {"int8-dynamic", "int8-static"}
    assert {recipe.name for recipe in recipes_for(prunable, None)} == names | {"pruned", "pruned-int8"}
    assert {recipe.name for recipe in recipes_for(flat, None)} == names
    assert recipes_for(flat, RECIPES) == RECIPES


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.layer(inputs["numeric"])
