"""A smaller architecture is built for the data and trained by the large network's answers."""

from hashlib import sha256

import pytest
import torch
from torch import nn

from ann.compression.distillation import distil
from ann.config.layers import MLPParams, TabularParams
from ann.config.model import Architecture
from ann.config.networks import CustomParams, TextNetworkParams
from ann.config.optimizers import AdamW, Momentum
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import Target, classification
from ann.errors import ConfigError, StageError
from ann.export.network import export_network, verify_network
from ann.models.mlp import MLP
from ann.models.tabular import Tabular
from ann.training.distillation import fit_taught
from ann.training.fit import fit
from ann.training.network import new_network
from ann.training.prediction import predict_logits
from ann.training.step import DivergenceError

TWO = classification(2)
GROUPS = {"numeric": {"width": 4}}
SMALL = MLPParams(hidden=(8,), dropout=0.0)
SETTINGS = TrainParams(epochs=6, batch_size=32, optimizer=AdamW(lr=0.01))


def some_rows(count: int, seed: int) -> TensorData:
    random = torch.Generator().manual_seed(seed)
    numeric = torch.randn(count, 4, generator=random)
    return TensorData({"numeric": numeric}, (numeric[:, 0] * numeric[:, 1] > 0).long())


TRAIN, VALID = some_rows(512, 0), some_rows(128, 1)


def large(seed: int = 0) -> MLP:
    torch.manual_seed(seed)
    return MLP(width=4, sizes=[], outputs=2, hidden=[64, 64], dropout=0.0)


def schema(target: Target = TWO) -> dict[str, object]:
    return {"groups": GROUPS, "target": target.to_json()}


def student(teacher: nn.Module, model: Architecture = SMALL, **changes: object) -> nn.Module:
    how = {"alpha": 0.7, "temperature": 3.0, "seed": 7, "settings": SETTINGS, **changes}
    return distil(teacher, model, schema=schema(), target=TWO, train=TRAIN, valid=VALID, **how)


def digest(of: nn.Module) -> str:
    return sha256(b"".join(tensor.numpy().tobytes() for tensor in of.state_dict().values())).hexdigest()


@pytest.fixture(scope="module")
def teacher() -> MLP:
    network = large()
    fit(network, TRAIN, VALID, SETTINGS, seed=0)
    return network.eval()


def test_a_student_is_a_new_network_trained_as_the_settings_say(teacher: MLP) -> None:
    found = student(teacher)
    expected = new_network(SMALL, schema(), 7)
    fit_taught(expected, teacher, TRAIN, VALID, SETTINGS, target=TWO, alpha=0.7, temperature=3.0, seed=7)
    assert digest(found) == digest(expected)
    assert not found.training


def test_epochs_and_lr_take_the_place_of_those_of_the_settings(teacher: MLP) -> None:
    settings = SETTINGS.model_copy(update={"optimizer": Momentum(name="momentum", lr=0.5), "epochs": 99})
    wanted = SETTINGS.model_copy(update={"optimizer": Momentum(name="momentum", lr=0.02), "epochs": 2})
    found = student(teacher, settings=settings, epochs=2, lr=0.02)
    assert digest(found) == digest(student(teacher, settings=wanted))


def test_a_student_answers_much_as_its_teacher_does(teacher: MLP) -> None:
    found = student(teacher, epochs=25)
    same = predict_logits(found, VALID).argmax(1) == predict_logits(teacher, VALID).argmax(1)
    assert same.float().mean() > 0.85
    assert sum(weights.numel() for weights in found.parameters()) < 0.05 * sum(
        weights.numel() for weights in teacher.parameters()
    )


def test_an_ensemble_can_be_the_student_and_learns_its_bins_from_training_rows(teacher: MLP) -> None:
    model = TabularParams(family="tabular", hidden=(8,), members=2, dropout=0.0)
    found = student(teacher, model, epochs=2)
    assert isinstance(found, Tabular)
    fresh = new_network(model, schema(), 7)
    assert isinstance(fresh, Tabular)
    fresh.adapt(TRAIN.inputs)
    edges = {name: tensor for name, tensor in fresh.named_buffers() if "numeric" in name}
    assert edges
    for name, tensor in edges.items():
        torch.testing.assert_close(dict(found.named_buffers())[name], tensor)


def test_a_student_can_be_exported(teacher: MLP) -> None:
    found = student(teacher, epochs=1)
    verify_network(export_network(found, VALID), found, VALID, TWO)


def test_the_teacher_is_the_same_afterwards(teacher: MLP) -> None:
    before = digest(teacher)
    student(teacher, epochs=2)
    assert digest(teacher) == before


def test_the_same_seed_gives_the_same_bits_and_torchs_generator_stays(teacher: MLP) -> None:
    state = torch.random.get_rng_state()
    first, second, other = (digest(student(teacher, seed=seed, epochs=2)) for seed in (1, 1, 2))
    assert first == second != other
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (TextNetworkParams(family="text"), "text reads text columns, but the data has numeric"),
        (CustomParams(family="custom", module="nowhere:network"), "there is no module 'nowhere'"),
    ],
    ids=["another kind of column", "a module that is not there"],
)
def test_a_student_that_does_not_fit_the_data_is_refused_by_its_recipe(model: Architecture, reason: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"compress\.recipes: the student of a step distil cannot be built: .*{reason}"
    ):
        student(large(), model)


def test_a_teacher_of_another_target_is_refused() -> None:
    torch.manual_seed(0)
    with pytest.raises(StageError, match="the teacher answers"):
        student(MLP(width=4, sizes=[], outputs=3, hidden=[8]))


def test_a_divergence_names_the_lr_of_the_recipe() -> None:
    with pytest.raises(DivergenceError, match=r"a step distil in compress\.recipes, at lr 1e\+25"):
        student(large(), MLPParams(hidden=(8,), norm="none"), lr=1e25)
