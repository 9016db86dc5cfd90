"""The steps of a recipe that give a float network: removed units, zeros, shared values, a student."""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from ann.compression import costs
from ann.compression.bench import Bench, Draft
from ann.compression.distillation import distil
from ann.compression.folding import unfold_batchnorm
from ann.compression.importance import importance
from ann.compression.measure import measure
from ann.compression.pruning import prune
from ann.compression.rewinding import weights_after
from ann.compression.sharing import share_weights, sharing
from ann.compression.sparsity import Masks, kept_masks, sparsify
from ann.compression.tuning import tune
from ann.config.steps import Distil, Prune, ShareWeights, Sparsify, StepParams, Tuned
from ann.data.graph import save_model
from ann.errors import ConfigError
from ann.models.chains import groups_of
from ann.seeding import stream_seed
from ann.training.objective import build_objective

TRIES = 5
"""Networks that `most` makes; the share is then known to 1/32."""
TEMPERATURE = 2.0
"""By which logits are divided where fine-tuning asks for the uncompressed network's answers."""
TIMED_ROUNDS = 5


def apply(step: StepParams, draft: Draft, bench: Bench) -> Draft:
    """Return the draft after one step, trained on as the step says.

    Raises:
        ConfigError: the step does not fit the network.
        StageError: training diverges.
    """
    return _STEPS[type(step)](step, draft, bench)


def tuned(
    network: nn.Module,
    step: Tuned,
    bench: Bench,
    *,
    name: str,
    keeping: AbstractContextManager[Any] | None = None,
) -> None:
    """Train `network` in place on all training rows; `keeping` keeps zeros or shared values while it trains."""
    with keeping or nullcontext():
        tune(
            network,
            train=bench.train,
            valid=bench.valid,
            target=bench.target,
            settings=bench.settings,
            epochs=step.epochs,
            lr=step.lr,
            seed=stream_seed(bench.seed, name) % 2**31,
            teacher=bench.network if step.distil else None,
            share=step.distil,
            temperature=TEMPERATURE,
        )


def held(network: nn.Module, masks: Masks | None) -> AbstractContextManager[Any]:
    """Keep the zeros of a draft while its network trains."""
    return nullcontext() if masks is None else kept_masks(network, masks)


def _prune(step: Prune, draft: Draft, bench: Bench) -> Draft:
    return _most(step.ratio, partial(_pruned, step, draft, bench), bench, draft, "units removed")


def _pruned(step: Prune, draft: Draft, bench: Bench, ratio: float) -> Draft:
    """Remove a share in equal rounds: each takes the same share of what the one before has left."""
    network, part = draft.network, 1 - (1 - ratio) ** (1 / step.rounds)
    for number in range(step.rounds):
        groups = groups_of(network, bench.example)
        loss = build_objective(network, bench.train, bench.settings, bench.target).loss
        strengths = importance(network, groups, how=step.importance, data=bench.train, loss=loss, seed=bench.seed)
        cost = None if step.of == "units" else _cost(step.of, bench)
        network = prune(network, part, groups=groups, strengths=strengths, scope=step.scope, of=step.of, cost=cost)
        network.to(bench.train.target.device)
        tuned(network, step, bench, name=f"prune/{ratio}/{number}")
    return draft.after(f"prune {ratio:.0%} of {step.of}{_trained(step)}", network=network)


def _cost(of: Literal["parameters", "flops", "latency"], bench: Bench) -> Callable[[nn.Module], float]:
    if of == "parameters":
        return costs.parameters
    if of == "flops":
        return lambda network: costs.flops(network, bench.example)
    return lambda network: _latency(network, bench)


def _latency(network: nn.Module, bench: Bench) -> float:
    """Return the median milliseconds of a network's graph in ONNX Runtime."""
    graph = bench.exported(Draft(deepcopy(network), None))
    rows = {name: values[: bench.batch] for name, values in bench.judge.inputs.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        save_model(graph, path)
        [timings] = measure([path], rows, (bench.batch,), TIMED_ROUNDS)
    return timings[bench.batch].p50_ms


def _sparsify(step: Sparsify, draft: Draft, bench: Bench) -> Draft:
    rewind = _rewound(step, draft, bench)
    return _most(step.share, partial(_sparse, step, draft, bench, rewind), bench, draft, "zeros")


def _sparse(step: Sparsify, draft: Draft, bench: Bench, rewind: Any, share: float) -> Draft:
    def train(network: nn.Module, masks: Masks) -> None:
        tuned(network, step, bench, name=f"sparsify/{share}", keeping=kept_masks(network, masks))

    network, masks = sparsify(
        draft.network,
        share,
        rounds=step.rounds,
        pattern=step.pattern,
        scope=step.scope,
        before=draft.masks,
        rewind=rewind,
        tune=train,
    )
    pattern = "2:4" if step.pattern == "2:4" else f"{share:.1%}"
    return draft.after(f"{pattern} of weights zero{_trained(step)}", network=network.eval(), masks=masks)


def _rewound(step: Sparsify, draft: Draft, bench: Bench) -> Any:
    """Return the weights to which a lottery ticket goes back."""
    if step.rewind is None:
        return None
    if bench.untrained is None:
        raise ConfigError(
            "compress.recipes: sparsify.rewind needs the network as it was before training, which is not known here: "
            "leave rewind out"
        )
    network = bench.untrained()
    if network.state_dict().keys() != draft.network.state_dict().keys() or any(
        old.shape != new.shape
        for old, new in zip(network.state_dict().values(), draft.network.state_dict().values(), strict=True)
    ):
        raise ConfigError("compress.recipes: sparsify.rewind goes with the first step of a recipe: put it in front")
    objective = build_objective(network, bench.train, bench.settings, bench.target)
    return weights_after(
        step.rewind,
        network,
        train=bench.train,
        valid=bench.valid,
        settings=bench.settings,
        objective=objective,
        seed=bench.seed,
    )


def _share(step: ShareWeights, draft: Draft, bench: Bench) -> Draft:
    network, codes = share_weights(draft.network, step.values, draft.masks)
    tuned(network, step, bench, name=f"share/{step.values}", keeping=sharing(network, codes))
    network = unfold_batchnorm(network, draft.network, bench.example)
    return draft.after(f"{step.values} values a layer{_trained(step)}", network=network.eval(), shared=True)


def _distil(step: Distil, draft: Draft, bench: Bench) -> Draft:
    teacher: nn.Module | Tensor = bench.network
    if step.teacher == "champion":
        if bench.champion is None:
            raise ConfigError("compress.recipes: there is no registered champion here: write teacher: network")
        teacher = bench.champion()
    if step.model is None:
        return _taught_on(step, draft, bench, teacher)
    if bench.schema is None:
        raise ConfigError(
            "compress.recipes: a student is built by the schema of the data, which a network from elsewhere has not: "
            "leave distil.model out, or start with prune"
        )
    student = distil(
        teacher,
        step.model,
        schema=bench.schema,
        target=bench.target,
        train=bench.train,
        valid=bench.valid,
        settings=bench.settings,
        alpha=step.alpha,
        temperature=step.temperature,
        seed=stream_seed(bench.seed, "student") % 2**31,
        epochs=step.epochs,
        lr=step.lr,
        folder=bench.folder,
    )
    done = (f"distil into {step.model.family} of {costs.parameters(student):,} parameters",)
    return Draft(student, step.model, done=done)


def _taught_on(step: Distil, draft: Draft, bench: Bench, teacher: nn.Module | Tensor) -> Draft:
    """Train the network as the steps before left it."""
    network = deepcopy(draft.network)
    epochs, lr = step.epochs or bench.settings.epochs, step.lr or bench.settings.optimizer.lr
    with held(network, draft.masks):
        tune(
            network,
            train=bench.train,
            valid=bench.valid,
            target=bench.target,
            settings=bench.settings,
            epochs=epochs,
            lr=lr,
            seed=stream_seed(bench.seed, "distil") % 2**31,
            teacher=teacher,
            share=step.alpha,
            temperature=step.temperature,
        )
    return draft.after(f"distil, {epochs} epochs", network=network)


def _most(
    share: float | Literal["most"], made: Callable[[float], Draft], bench: Bench, draft: Draft, what: str
) -> Draft:
    """Make a draft with a share, or look by halving for the greatest whose drop is allowed.

    Where none that is tried may be shipped, the draft stays as it was, and its description says so.
    """
    if share != "most":
        return made(share)
    best, low, high = draft.after(f"no {what}: none that was tried holds max_drop"), 0.0, 1.0
    for _ in range(TRIES):
        middle = (low + high) / 2
        tried = made(middle)
        if bench.judge.worst_drop(bench.exported(tried)) <= bench.max_drop:
            best, low = tried, middle
        else:
            high = middle
    return best


def _trained(step: Tuned) -> str:
    return f", {step.epochs} epochs" if step.epochs else ""


_STEPS: dict[type, Callable[..., Draft]] = {
    Distil: _distil,
    Prune: _prune,
    ShareWeights: _share,
    Sparsify: _sparsify,
}
