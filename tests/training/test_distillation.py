"""A student learns its teacher's answers: the loss follows its formulas, and the teacher stays as it was."""

from copy import deepcopy
from hashlib import sha256

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax, xlogy
from torch import Tensor, nn
from torch.nn import functional

from ann.config.augment import Mixup, Noise
from ann.config.losses import CrossEntropy, Focal
from ann.config.optimizers import SGD, AdamW
from ann.config.schedules import Constant
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import Target, classification
from ann.errors import ConfigError, StageError
from ann.models.mlp import MLP
from ann.models.tabular import Tabular
from ann.training.distillation import ANSWERS, Taught, TaughtLoss, fit_taught
from ann.training.fit import fit
from ann.training.losses import bce_with_logits, cross_entropy, distillation_loss, mse, quantile
from ann.training.objective import build_objective
from ann.training.prediction import predict_logits
from ann.training.step import forward_loss

RANDOM = np.random.default_rng(0)
STUDENT, TEACHER = RANDOM.normal(size=(2, 7, 3)) * 2
THREE = classification(3)
LABELS = Target("multilabel", ("a", "b", "c"))
NUMBERS = Target("regression", ("a", "b", "c"), shift=(0.0,) * 3, scale=(1.0,) * 3)
QUANTILES = Target("regression", ("a",), quantiles=(0.1, 0.5, 0.9), shift=(0.0,), scale=(1.0,))
FORECAST = Target("forecast", ("a",), horizon=3, shift=(0.0,), scale=(1.0,), naive=(1.0,))
TARGETS = {"classes": THREE, "labels": LABELS, "numbers": NUMBERS, "quantiles": QUANTILES, "forecast": FORECAST}


def rows(count: int = 96, target: Target = THREE, seed: int = 0) -> TensorData:
    """Rows whose truth is noise: what is learnt of the teacher is not learnt of it."""
    random = torch.Generator().manual_seed(seed)
    truth = {
        "multiclass": torch.randint(3, (count,), generator=random),
        "multilabel": torch.randint(2, (count, 3), generator=random).float(),
        "regression": torch.randn(count, len(target.names), generator=random),
        "forecast": torch.randn(count, 3, 1, generator=random),
    }[target.task]
    return TensorData({"numeric": torch.randn(count, 4, generator=random)}, truth)


def network(seed: int, hidden: tuple[int, ...] = (12,), **style: object) -> MLP:
    torch.manual_seed(seed)
    return MLP(**{"width": 4, "sizes": [], "outputs": 3, "hidden": list(hidden), "norm": "none", **style})


def ensemble(seed: int, answers: str = "classes") -> Tabular:
    torch.manual_seed(seed)
    style = {"members": 4, "numeric": "linear", "bins": 4, "dimension": 4, "embedding": 4, "dropout": 0.0}
    return Tabular(width=4, sizes=[], outputs=3, hidden=[12], answers=answers, **style)


def settings(**changes: object) -> TrainParams:
    plain = {
        "epochs": 3,
        "batch_size": 32,
        "early_stopping": None,
        "clip_norm": None,
        "schedule": Constant(name="constant"),
    }
    return TrainParams(**{**plain, "optimizer": SGD(name="sgd", lr=0.1), **changes})


def digest(of: nn.Module) -> str:
    return sha256(b"".join(tensor.numpy().tobytes() for tensor in of.state_dict().values())).hexdigest()


def taught(student: nn.Module, teacher: nn.Module | Tensor, target: Target = THREE, **changes: object) -> nn.Module:
    """Return the student after training with `changes` of alpha, temperature, seed or the settings."""
    how = {name: changes.pop(name, value) for name, value in (("alpha", 0.7), ("temperature", 2.0), ("seed", 0))}
    fit_taught(student, teacher, rows(target=target), rows(40, target, 1), settings(**changes), target=target, **how)
    return student


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_imitation_of_labels_is_the_divergence_of_each_label(temperature: float) -> None:
    p, q = expit(STUDENT / temperature), expit(TEACHER / temperature)
    divergence = xlogy(q, q / p) + xlogy(1 - q, (1 - q) / (1 - p))
    labels = torch.from_numpy(RANDOM.integers(0, 2, (7, 3)).astype(float))
    student, teacher = torch.from_numpy(STUDENT), torch.from_numpy(TEACHER)
    found = distillation_loss(student, teacher, labels, temperature, 0.6, task="multilabel", truth=bce_with_logits)
    expected = 0.6 * temperature**2 * divergence.mean() + 0.4 * bce_with_logits(student, labels)
    torch.testing.assert_close(found, expected)


def test_imitation_of_numbers_is_their_squared_difference_at_any_temperature() -> None:
    student, teacher, truth = (torch.from_numpy(values) for values in (STUDENT, TEACHER, STUDENT + 1))
    for temperature in (1.0, 5.0):
        found = distillation_loss(student, teacher, truth, temperature, 0.25, task="regression", truth=mse)
        torch.testing.assert_close(found.item(), 0.25 * ((STUDENT - TEACHER) ** 2).mean() + 0.75)


def test_imitation_of_quantiles_stands_beside_their_own_loss() -> None:
    student, teacher, truth = torch.from_numpy(STUDENT), torch.from_numpy(TEACHER), torch.zeros(7, 1)
    levels = torch.tensor([0.1, 0.5, 0.9])
    found = distillation_loss(
        student, teacher, truth, 1.0, 0.5, task="regression", truth=lambda a, b: quantile(a, b, quantiles=levels)
    )
    torch.testing.assert_close(
        found, 0.5 * ((student - teacher) ** 2).mean() + 0.5 * quantile(student, truth, quantiles=levels)
    )


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "regression"])
def test_the_teacher_gets_no_gradient(task: str) -> None:
    student, teacher = (torch.tensor(values, requires_grad=True) for values in (STUDENT, TEACHER))
    truth = {"multiclass": torch.zeros(7, dtype=torch.int64)}.get(task, torch.zeros(7, 3, dtype=torch.float64))
    base = {"multiclass": cross_entropy, "multilabel": bce_with_logits, "regression": mse}[task]
    distillation_loss(student, teacher, truth, 2.0, 0.5, task=task, truth=base).backward()
    assert teacher.grad is None
    assert student.grad is not None


def test_the_loss_of_a_pair_follows_the_formula_and_that_of_a_student_alone_is_the_truth() -> None:
    target = torch.from_numpy(RANDOM.integers(0, 3, 7))
    loss = TaughtLoss(cross_entropy, "multiclass", outputs=3, alpha=0.7, temperature=3.0)
    p, q = softmax(STUDENT / 3, axis=1), softmax(TEACHER / 3, axis=1)
    alone = loss(torch.from_numpy(STUDENT), target)
    torch.testing.assert_close(alone, cross_entropy(torch.from_numpy(STUDENT), target))
    pair = loss(torch.from_numpy(np.concatenate([STUDENT, TEACHER], axis=1)), target)
    torch.testing.assert_close(pair.item(), 0.7 * 9 * (q * np.log(q / p)).sum(axis=1).mean() + 0.3 * alone.item())


def test_student_and_teacher_answer_side_by_side_in_training_and_the_student_alone_afterwards() -> None:
    student, teacher = network(0), network(1, dropout=0.5)
    inputs = rows().inputs
    pair = Taught(student, teacher)
    together = pair.train()(inputs)
    torch.testing.assert_close(together[:, :3], student(inputs))
    torch.testing.assert_close(together[:, 3:], teacher.eval()(inputs))
    torch.testing.assert_close(pair.eval()(inputs), student(inputs))


def test_the_teacher_is_no_part_of_what_is_trained_and_saved() -> None:
    student, teacher = network(0), network(1)
    pair = Taught(student, teacher)
    assert {id(parameter) for parameter in pair.parameters()} == {id(parameter) for parameter in student.parameters()}
    assert pair.state_dict().keys() == {f"student.{name}" for name in student.state_dict()}
    assert not any(module is teacher for module in pair.train().modules())
    assert not teacher.training


def test_every_member_of_an_ensemble_learns_from_the_teacher() -> None:
    data, student, teacher = rows(), ensemble(0), network(1)
    loss = TaughtLoss(cross_entropy, "multiclass", outputs=3, alpha=0.7, temperature=2.0)
    found = forward_loss(Taught(student, teacher).train(), loss, data)
    members, shown = student.train()(data.inputs), teacher(data.inputs)
    each = [distillation_loss(members[:, m], shown, data.target, 2.0, 0.7) for m in range(4)]
    torch.testing.assert_close(found, torch.stack(each).mean())


def test_an_ensemble_teaches_by_the_mean_of_its_members() -> None:
    data, teacher = rows(), ensemble(0)
    shown = Taught(network(1), teacher).train()(data.inputs)[:, 3:]
    mean = functional.softmax(teacher.train()(data.inputs), dim=2).mean(dim=1)
    torch.testing.assert_close(functional.softmax(shown, dim=1), mean)


def test_training_is_that_of_a_plain_loop_of_torch() -> None:
    """Full batches by plain gradient descent, so that neither order nor optimizer plays a part."""
    data, teacher = rows(), network(1)
    mine, theirs = network(0), network(0)
    fit_taught(
        mine,
        teacher,
        data,
        rows(40, seed=1),
        settings(epochs=4, batch_size=96),
        target=THREE,
        alpha=0.6,
        temperature=3.0,
        seed=0,
    )
    best, kept = float("inf"), theirs.state_dict()
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    valid = rows(40, seed=1)
    for _ in range(4):
        logits, shown = theirs(data.inputs), teacher(data.inputs).detach()
        q = functional.softmax(shown / 3, dim=1)
        divergence = (q * (q.log() - functional.log_softmax(logits / 3, dim=1))).sum(dim=1).mean()
        loss = 0.6 * 9 * divergence + 0.4 * functional.cross_entropy(logits, data.target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        judged = functional.cross_entropy(theirs(valid.inputs), valid.target).item()
        if judged < best:
            best, kept = judged, deepcopy(theirs.state_dict())
    for name, tensor in mine.state_dict().items():
        torch.testing.assert_close(tensor, kept[name], rtol=1e-5, atol=1e-6)


def test_without_a_share_of_the_teacher_training_is_the_plain_one() -> None:
    plain = network(0)
    objective = build_objective(plain, rows(), settings(), THREE)
    fit(plain, rows(), rows(40, seed=1), settings(), seed=0, objective=objective)
    assert digest(taught(network(0), network(1), alpha=0.0)) == digest(plain)


def told(teacher: nn.Module, target: Target) -> TensorData:
    """Return rows whose truth is what the teacher answers, for the best epoch is chosen by the truth."""
    inputs = rows().inputs
    answers = predict_logits(teacher, TensorData(inputs, rows().target))
    truth = {
        "multiclass": answers.argmax(dim=1),
        "multilabel": (answers > 0).float(),
        "regression": answers[:, 1:2] if target.quantiles else answers,
        "forecast": answers.unsqueeze(2),
    }[target.task]
    return TensorData(inputs, truth)


@pytest.mark.parametrize("name", TARGETS)
def test_a_student_comes_close_to_its_teacher(name: str) -> None:
    teacher, student = network(1, hidden=(32,)), network(0, hidden=(32,))
    data, params = told(teacher, TARGETS[name]), settings(epochs=60, optimizer=AdamW(lr=0.01))

    def distance() -> float:
        ours, theirs = (TARGETS[name].answers(predict_logits(of, data).numpy()) for of in (student, teacher))
        return float(np.square(ours - theirs).mean())

    before = distance()
    fit_taught(student, teacher, data, data, params, target=TARGETS[name], alpha=1.0, temperature=1.0, seed=0)
    assert distance() < 0.5 * before


def test_teacher_and_global_random_state_stay_as_they_were() -> None:
    teacher, student = network(1, norm="batch", dropout=0.3), network(0, dropout=0.3)
    before, state = digest(teacher), torch.random.get_rng_state()
    taught(student, teacher)
    assert digest(teacher) == before
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    found = [digest(taught(network(0, dropout=0.2), network(1), seed=seed)) for seed in (3, 3, 4)]
    assert found[0] == found[1] != found[2]


def test_the_teacher_sees_the_batch_as_it_was_augmented() -> None:
    """A student that starts as its teacher has nothing to learn, whatever noise there is in what both see."""
    teacher = network(1)
    student = taught(deepcopy(teacher), teacher, alpha=1.0, augment=(Noise(name="noise", std=1.0),))
    for name, tensor in student.state_dict().items():
        torch.testing.assert_close(tensor, teacher.state_dict()[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "changes", [{"loss": Focal(name="focal")}, {"loss": CrossEntropy(name="cross_entropy", label_smoothing=0.1)}]
)
def test_the_loss_of_the_truth_is_the_one_of_the_settings(changes: dict[str, object]) -> None:
    student = network(0)
    result = fit_taught(
        student,
        network(1),
        rows(),
        rows(40, seed=1),
        settings(**changes),
        target=THREE,
        alpha=0.5,
        temperature=2.0,
        seed=0,
    )
    valid = rows(40, seed=1)
    assert result.best_loss == pytest.approx(result.objective.loss(predict_logits(student, valid), valid.target).item())
    assert result.objective.loss_params == changes["loss"]


@pytest.mark.parametrize("changes", [{"recompute": True}, {"accumulate": 4}, {"clip_norm": 1.0}])
def test_what_else_training_can_do_goes_with_a_teacher(changes: dict[str, object]) -> None:
    plain, other = (taught(network(0, hidden=(12, 8)), network(1), **how) for how in ({}, changes))
    for name, tensor in other.state_dict().items():
        torch.testing.assert_close(tensor, plain.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_mixed_rows_go_to_the_teacher_mixed() -> None:
    student = taught(network(0), network(1), augment=(Mixup(name="mixup"),))
    assert all(torch.isfinite(tensor).all() for tensor in student.state_dict().values())


def test_answers_given_beforehand_teach_as_their_network_does() -> None:
    teacher = network(1)
    answers = predict_logits(teacher, rows())
    assert digest(taught(network(0, dropout=0.2), answers)) == digest(taught(network(0, dropout=0.2), teacher))


def test_the_student_is_not_shown_the_answers() -> None:
    class Whole(nn.Module):
        """Reads whatever groups there are, as a network of the project's own may."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.head = nn.Linear(4, 3)

        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            assert ANSWERS not in inputs
            return self.head(torch.cat(list(inputs.values()), dim=1))

    taught(Whole(), predict_logits(network(1), rows()))


def test_answers_given_beforehand_do_not_go_with_rows_that_are_mixed() -> None:
    with pytest.raises(ConfigError, match=r"train\.augment: mixup .* cannot blend teacher"):
        taught(network(0), predict_logits(network(1), rows()), augment=(Mixup(name="mixup"),))


TEACHERS = {
    "of other outputs": lambda: network(1, outputs=2),
    "with other answers": lambda: torch.zeros(96, 2),
    "that answered other rows": lambda: torch.zeros(95, 3),
}


@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_of_another_target_is_refused(name: str) -> None:
    with pytest.raises(StageError, match=r"the teacher answers .*, the student needs .*, 3"):
        taught(network(0), TEACHERS[name]())
