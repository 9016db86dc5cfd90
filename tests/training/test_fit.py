"""The training loop: it learns, it is a function of its seed, and it computes what a plain loop computes."""

from collections.abc import Callable
from copy import deepcopy
from hashlib import sha256

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ann.config.losses import CrossEntropy
from ann.config.optimizers import SGD, AdamW, Momentum
from ann.config.schedules import Constant, Cosine
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.errors import ConfigError, StageError
from ann.models.mlp import MLP
from ann.seeding import stream_seed
from ann.training.fit import fit
from ann.training.objective import build_objective
from ann.training.prediction import predict_logits
from ann.training.state import EpochRecord


def some_rows(count: int, seed: int = 0) -> TensorData:
    random = torch.Generator().manual_seed(seed)
    numeric = torch.randn(count, 4, generator=random)
    categorical = torch.randint(5, (count, 1), generator=random)
    target = torch.randint(3, (count,), generator=random)  # labels that can only be learned by heart
    return TensorData({"numeric": numeric, "categorical": categorical}, target)


def some_network(dropout: float = 0.0, norm: str = "layer") -> MLP:
    torch.manual_seed(11)
    return MLP(width=4, sizes=[5], outputs=3, hidden=[32, 16], dropout=dropout, norm=norm)


def settings(**changes: object) -> TrainParams:
    return TrainParams(**{"epochs": 2, "batch_size": 16, "early_stopping": None, **changes})


def digest(network: nn.Module) -> str:
    return sha256(b"".join(tensor.numpy().tobytes() for tensor in network.state_dict().values())).hexdigest()


def distance(network: nn.Module, other: nn.Module) -> float:
    pairs = zip(network.parameters(), other.parameters(), strict=True)
    return torch.cat([(a - b).detach().flatten() for a, b in pairs]).norm().item()


def assert_same_weights(network: nn.Module, other: nn.Module, atol: float = 1e-6) -> None:
    """Equal but for rounding: kernels treat the ends of a buffer by other instructions."""
    theirs = other.state_dict()
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=atol, msg=name)


def plain_loop(
    network: nn.Module,
    data: TensorData,
    optimizer: Callable[[list[dict[str, object]]], torch.optim.Optimizer],
    seed: int,
    sizes: list[int],
    smoothing: float = 0.0,
) -> float:
    """Train for one epoch with batches of `sizes` rows; return the mean loss over rows."""
    matrices = [weight for weight in network.parameters() if weight.ndim == 2]
    vectors = [weight for weight in network.parameters() if weight.ndim == 1]
    stepper = optimizer([{"params": matrices}, {"params": vectors, "weight_decay": 0.0}])
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(stream_seed(seed, "order/1")))
    losses: list[float] = []
    network.train()
    for index in order.split(sizes):
        inputs: dict[str, Tensor] = {name: tensor[index] for name, tensor in data.inputs.items()}
        loss = functional.cross_entropy(network(inputs), data.target[index], label_smoothing=smoothing)
        stepper.zero_grad()
        loss.backward()
        stepper.step()
        losses += [loss.item()] * len(index)
    return sum(losses) / len(losses)


def test_a_network_learns_64_random_labels_by_heart() -> None:
    data, network = some_rows(64), some_network()
    result = fit(network, data, data, settings(epochs=150, optimizer=AdamW(lr=0.02)), seed=0)
    assert result.history[result.best_epoch - 1].metrics["accuracy"] == 1.0
    assert result.best_loss < 0.01 < result.history[0].valid_loss


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not() -> None:
    def trained(seed: int) -> str:
        network = some_network(dropout=0.3)
        fit(network, some_rows(64), some_rows(20, seed=1), settings(), seed=seed)
        return digest(network)

    assert trained(1) == trained(1)
    assert trained(1) != trained(2)


def test_the_global_generator_neither_decides_nor_changes() -> None:
    digests = []
    for before in (3, 4):
        network = some_network(dropout=0.3)
        torch.manual_seed(before)
        state = torch.get_rng_state()
        fit(network, some_rows(64), some_rows(20), settings(), seed=1)
        assert torch.equal(torch.get_rng_state(), state)
        digests.append(digest(network))
    assert digests[0] == digests[1]


@pytest.mark.parametrize(("rows", "sizes"), [(64, [16] * 4), (70, [16] * 4 + [6]), (65, [16] * 3 + [17])])
def test_an_epoch_of_momentum_gives_the_weights_of_a_plain_loop(rows: int, sizes: list[int]) -> None:
    data, network = some_rows(rows), some_network()
    twin = deepcopy(network)
    params = settings(
        epochs=1,
        optimizer=Momentum(name="momentum", lr=0.1, momentum=0.8, weight_decay=0.01),
        schedule=Constant(name="constant"),
        clip_norm=None,
        loss=CrossEntropy(name="cross_entropy", label_smoothing=0.1),
    )
    result = fit(network, data, data, params, seed=9)
    loss = plain_loop(
        twin,
        data,
        lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.8, weight_decay=0.01, fused=True),
        seed=9,
        sizes=sizes,
        smoothing=0.1,
    )
    assert_same_weights(network, twin)
    assert result.history[0].train_loss == pytest.approx(loss, rel=1e-6)


def test_an_epoch_of_adamw_gives_the_weights_of_a_plain_loop() -> None:
    # float64: where a gradient is all rounding, Adam's first step still has full length, and its sign is chance
    data, network = some_rows(50), some_network(norm="batch").double()
    data = TensorData({**data.inputs, "numeric": data.inputs["numeric"].double()}, data.target)
    twin = deepcopy(network)
    params = settings(epochs=1, optimizer=AdamW(lr=0.01), schedule=Constant(name="constant"), clip_norm=None)
    result = fit(network, data, data, params, seed=2)
    loss = plain_loop(
        twin,
        data,
        lambda groups: torch.optim.AdamW(groups, lr=0.01, weight_decay=0.01, fused=True),
        seed=2,
        sizes=[16, 16, 16, 2],
    )
    assert_same_weights(network, twin)
    assert result.history[0].train_loss == pytest.approx(loss, rel=1e-6)


def test_clip_norm_bounds_the_step() -> None:
    data, start = some_rows(64), some_network()

    def moved(clip_norm: float | None) -> float:
        network = deepcopy(start)
        sgd = SGD(name="sgd", lr=1.0)
        params = settings(
            epochs=1, batch_size=64, optimizer=sgd, schedule=Constant(name="constant"), clip_norm=clip_norm
        )
        fit(network, data, data, params, seed=0)
        return distance(network, start)

    free = moved(None)
    assert free > 0.1
    assert moved(0.01) == pytest.approx(0.01, rel=1e-3)
    assert moved(10 * free) == pytest.approx(free, rel=1e-6)


def test_the_learning_rate_falls_to_zero_over_all_epochs() -> None:
    data = some_rows(64)
    params = settings(epochs=3, optimizer=AdamW(lr=0.01), schedule=Cosine(warmup=0.0, final=0.0))
    rates = [record.lr for record in fit(some_network(), data, data, params, seed=0).history]
    assert rates[0] > rates[1] > rates[2]
    assert rates[2] == pytest.approx(0, abs=1e-12)


def rare_rows(count: int, seed: int) -> TensorData:
    """Two classes that overlap, one of them in 4 % of the rows."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 4, generator=random)
    return TensorData({"numeric": x}, (x[:, 0] + 0.5 * torch.randn(count, generator=random) > 2).long())


def recall_of_the_rare_class(**changes: object) -> float:
    torch.manual_seed(11)
    network = MLP(width=4, sizes=[], outputs=2, hidden=[16], dropout=0.0)
    train, valid = rare_rows(1500, 0), rare_rows(1500, 1)
    fit(network, train, valid, settings(epochs=6, batch_size=64, optimizer=AdamW(lr=0.01), **changes), seed=0)
    found = predict_logits(network, valid).argmax(dim=1)[valid.target == 1]
    return found.double().mean().item()


@pytest.mark.parametrize(
    "change",
    [
        {"loss": {"name": "cross_entropy", "class_weights": "balanced"}},
        {"loss": {"name": "focal", "alpha": 0.9}},
        {"sampling": "balanced"},
    ],
    ids=["weights", "focal", "sampling"],
)
def test_each_remedy_for_imbalance_finds_more_of_the_rare_class(change: dict[str, object]) -> None:
    assert recall_of_the_rare_class(**change) > recall_of_the_rare_class(loss="cross_entropy") + 0.1


class Picture(nn.Module):
    """(B, 1, 8, 8) -> (B, 2); remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.shown = nn.Linear(64, 2), []

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        if self.training:
            self.shown.append(inputs["image"])
        return self.head(inputs["image"].flatten(1))


def test_augmentation_changes_what_the_network_sees_and_not_the_data() -> None:
    images = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    data = TensorData({"image": images}, torch.arange(40) % 2)

    def shown(seed: int, augment: list[object]) -> Tensor:
        torch.manual_seed(3)
        network = Picture()
        fit(network, data, data, settings(augment=augment, batch_size=20), seed=seed)
        return torch.cat(network.shown)

    before = images.clone()
    plain, turned = shown(1, []), shown(1, ["rotation", "flip"])
    assert torch.equal(images, before)
    assert not torch.equal(plain, turned)
    assert torch.equal(shown(1, ["rotation", "flip"]), turned)
    assert not torch.equal(shown(2, ["rotation", "flip"]), turned)
    assert shown(1, ["mixup"]).shape == plain.shape


def test_every_callback_sees_every_epoch_in_order() -> None:
    data, seen = some_rows(64), []

    def first(record: EpochRecord) -> None:
        seen.append(("first", record))

    def second(record: EpochRecord) -> None:
        seen.append(("second", record))

    result = fit(some_network(), data, data, settings(epochs=2), seed=0, callbacks=(first, second))
    assert [record.epoch for record in result.history] == [1, 2]
    assert seen == [(name, record) for record in result.history for name in ("first", "second")]


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.batch_size: 65 is more than the 64 training rows: lower it"):
        fit(some_network(), some_rows(64), some_rows(8), settings(batch_size=65), seed=0)


def test_training_that_diverges_stops_with_the_epoch_and_a_remedy_and_keeps_finite_weights() -> None:
    network = some_network(norm="none")
    sgd = SGD(name="sgd", lr=2, weight_decay=2.0)  # every step multiplies the matrices by -3
    params = settings(epochs=50, optimizer=sgd, schedule=Constant(name="constant"), clip_norm=None)
    message = r"training diverged: .* is (nan|inf) in epoch \d+, step \d+ of 4; .*lower train\.optimizer\.lr, set train"
    with pytest.raises(StageError, match=message):
        fit(network, some_rows(64), some_rows(64), params, seed=0)
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())


def test_evaluation_is_over_all_rows_and_without_dropout() -> None:
    data, network = some_rows(9000), some_network(dropout=0.5).train()  # more rows than go through at once
    logits = predict_logits(network, data)
    torch.testing.assert_close(logits, network.eval()(data.inputs))
    objective = build_objective(network, data, settings())
    loss, metrics = objective.measure(logits, data.target)
    true = torch.softmax(logits.double(), dim=1)[torch.arange(9000), data.target]
    assert loss == pytest.approx(-true.log().mean().item(), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx((logits.argmax(dim=1) == data.target).double().mean().item())
