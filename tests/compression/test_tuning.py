"""Fine-tuning: in place, for all its epochs, by the truth and by a teacher."""

from copy import deepcopy
from hashlib import sha256

import pytest
import torch
from torch import nn

from ann.compression.tuning import tune
from ann.config.optimizers import SGD, AdamW
from ann.config.schedules import Cosine, Step
from ann.config.train import EMA, EarlyStopping, TrainParams
from ann.data.batches import TensorData
from ann.data.target import classification
from ann.errors import StageError
from ann.models.mlp import MLP
from ann.training.distillation import fit_taught
from ann.training.fit import fit
from ann.training.objective import build_objective
from ann.training.prediction import predict_logits
from ann.training.step import DivergenceError

TWO = classification(2)
SETTINGS = TrainParams(epochs=50, batch_size=32, optimizer=SGD(name="sgd"), schedule=Step(name="step"))
TUNING = {"epochs": 4, "optimizer": AdamW(lr=0.01), "schedule": Cosine(warmup=0.0), "early_stopping": None}


def some_rows(count: int, seed: int) -> TensorData:
    random = torch.Generator().manual_seed(seed)
    numeric = torch.randn(count, 4, generator=random)
    return TensorData({"numeric": numeric}, (numeric[:, 0] + numeric[:, 1] > 0).long())


TRAIN, VALID = some_rows(256, 0), some_rows(128, 1)


def network(seed: int = 0, **style: object) -> MLP:
    torch.manual_seed(seed)
    return MLP(**{"width": 4, "sizes": [], "outputs": 2, "hidden": [16, 8], **style})


def digest(of: nn.Module) -> str:
    return sha256(b"".join(tensor.numpy().tobytes() for tensor in of.state_dict().values())).hexdigest()


def tuned(of: nn.Module, **changes: object) -> nn.Module:
    settings = {"train": TRAIN, "valid": VALID, "settings": SETTINGS, "epochs": 4, "lr": 0.01, "seed": 5, **changes}
    tune(of, target=TWO, **settings)
    return of


def loss(of: nn.Module) -> float:
    return nn.functional.cross_entropy(predict_logits(of, VALID), VALID.target).item()


def test_it_trains_in_place_by_adamw_down_a_cosine_without_early_stopping() -> None:
    mine, theirs = tuned(network(dropout=0.2)), network(dropout=0.2)
    params = SETTINGS.model_copy(update=TUNING)
    fit(theirs, TRAIN, VALID, params, seed=5, objective=build_objective(theirs, TRAIN, params, TWO))
    assert digest(mine) == digest(theirs)
    assert loss(mine) < loss(network())
    assert not mine.training


def test_with_a_teacher_it_trains_as_a_student_does() -> None:
    teacher = tuned(network(1), epochs=10)
    mine, theirs = tuned(network(), teacher=teacher, share=0.6, temperature=2.0), network()
    params = SETTINGS.model_copy(update=TUNING)
    fit_taught(theirs, teacher, TRAIN, VALID, params, target=TWO, alpha=0.6, temperature=2.0, seed=5)
    assert digest(mine) == digest(theirs) != digest(tuned(network()))


def test_the_teacher_draws_a_student_towards_its_answers() -> None:
    teacher = tuned(network(1), epochs=10)

    def distance(of: nn.Module) -> float:
        return (predict_logits(of, VALID).softmax(1) - predict_logits(teacher, VALID).softmax(1)).abs().mean().item()

    assert distance(tuned(network(), teacher=teacher, share=1.0)) < distance(tuned(network()))


def test_without_epochs_nothing_happens() -> None:
    untouched = network()
    assert digest(tuned(untouched, epochs=0, teacher=network(1), share=1.0)) == digest(network())


def test_a_teacher_without_a_share_changes_nothing() -> None:
    assert digest(tuned(network(), teacher=network(1))) == digest(tuned(network()))


def test_early_stopping_of_the_first_training_does_not_hold_but_averaging_does() -> None:
    hasty = SETTINGS.model_copy(update={"early_stopping": EarlyStopping(patience=1, min_delta=100.0)})
    assert digest(tuned(network(), settings=hasty)) == digest(tuned(network()))
    averaged = SETTINGS.model_copy(update={"average": EMA(name="ema")})
    assert digest(tuned(network(), settings=averaged)) != digest(tuned(network()))


def test_the_same_seed_gives_the_same_bits_and_torchs_generator_stays() -> None:
    networks = [network(dropout=0.3) for _ in range(3)]
    state = torch.random.get_rng_state()
    first, second, other = (digest(tuned(of, seed=seed)) for of, seed in zip(networks, (1, 1, 2), strict=True))
    assert first == second != other
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_teacher_is_the_same_afterwards() -> None:
    teacher = network(1, norm="batch")
    before = deepcopy(teacher.state_dict())
    tuned(network(norm="batch"), teacher=teacher, share=0.5)
    for name, tensor in teacher.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_divergence_names_the_lr_of_the_recipe() -> None:
    infinite = TensorData({"numeric": TRAIN.inputs["numeric"] / 0}, TRAIN.target)
    with pytest.raises(DivergenceError, match=r"training diverged: .* lr 0\.01 stands in compress\.recipes"):
        tuned(network(), train=infinite)


def test_answers_of_another_target_are_refused() -> None:
    with pytest.raises(StageError, match=r"the teacher answers \(256, 3\), the student needs \(256, 2\)"):
        tuned(network(), teacher=torch.zeros(256, 3), share=0.5)
