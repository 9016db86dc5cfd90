"""What training makes small: (output, target) -> () mean over the B rows of a batch.

Also with class weights the sum is divided by the number of rows, not by the sum of their weights as in torch, so that
an accumulated batch is the sum over its parts of part loss * part rows / rows, exactly. Several values a row (times,
labels, quantiles) are averaged within the row. Outputs in half precision are widened to fp32 first.
Letters: N training rows, B rows of a batch, K classes with weights w_k, T times, L labels, Q quantiles.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ann.config.losses import BCE, CTC, MSE, ClassWeights, CrossEntropy, Focal, Huber, LossParams
from ann.errors import ConfigError, DataError

Loss = Callable[[Tensor, Tensor], Tensor]
Weights = Tensor | None

RARE_OF_TWO = 0.05  # of the training rows: the rarer of two classes holds less
RARE_OF_MANY = 0.1  # of an even share, 1 / K: the rarest of more classes holds less
OUTLIERS = 0.01  # of the targets lie beyond 3 robust standard deviations; 0.0027 of a normal distribution do
MAD_TO_STD = 1.4826  # standard deviation over median absolute deviation, for a normal distribution
HUBER_95 = 1.345  # standard deviations at which Huber's estimate is 95 % efficient for normal errors


def build_loss(params: LossParams, *, task: str, target: Tensor, quantiles: tuple[float, ...] = ()) -> Loss:
    """Return the loss for a task of FITTING, or raise ConfigError; `target` holds the training rows on their device.

    `auto` is no loss: `choose_loss` says what it stands for. `quantiles` are those of the target.
    """
    if params.name not in FITTING[task]:
        fitting = ", ".join(("auto", *FITTING[task]))
        raise ConfigError(f"train.loss: {params.name} does not fit a {task} target; write one of {fitting}")
    if (params.name == "quantile") != bool(quantiles):
        missing = "needs data.quantiles" if not quantiles else "cannot learn data.quantiles; write auto"
        raise ConfigError(f"train.loss: {params.name} {missing}")
    if quantiles:  # on the device once, not in every step
        return partial(quantile, quantiles=torch.tensor(quantiles, device=target.device))
    return partial(FITTING[task][params.name], **_arguments(params, target))


def _arguments(params: LossParams, target: Tensor) -> dict[str, Any]:
    fields = params.model_dump(exclude={"name"})
    if fields.get("alpha") is not None and (classes := int(target.max()) + 1) > 2:
        raise ConfigError(f"train.loss.alpha: {fields['alpha']:g} weighs two classes, not {classes}; write null")
    if (wanted := fields.pop("class_weights", None)) is not None:
        if target.ndim == 2:
            raise ConfigError("train.loss.class_weights: a row of many labels has no one class to weigh; write null")
        fields["weights"] = class_weights(wanted, torch.bincount(target))
    return fields


def choose_loss(task: str, target: Tensor) -> tuple[LossParams, str]:
    """Return what `auto` means for a task and its N training rows, and a sentence that says why."""
    if task == "multilabel":
        return BCE(name="bce_with_logits"), "bce_with_logits, since every label of a row is a question of its own"
    if task == "sequence":
        return CTC(name="ctc"), "ctc, since the labels of a row do not say at which time each of them holds"
    return _choose_for_numbers(target) if task == "regression" else _choose_for_classes(target, task == "binary")


def _choose_for_classes(target: Tensor, two: bool) -> tuple[LossParams, str]:
    # Focal loss orders rows as cross entropy does; what it takes from their confidence, a function of p gives back
    # (Charoenphakdee et al. 2021, arXiv:2011.09172), a temperature nearly so (Komisarenko & Kull 2024,
    # arXiv:2408.11598). Class weights shift the log-odds by ln(w_1 / w_0) (Elkan 2001), which no temperature undoes:
    # with two classes a threshold does the same, with more they pay for mean recall (Menon et al. 2021,
    # arXiv:2007.07314) with accuracy and calibration. Who wants that writes class_weights: balanced.
    counts = torch.bincount(target)
    share, rare = counts.min().item() / len(target), RARE_OF_TWO if two else RARE_OF_MANY / len(counts)
    less = f"{'not less' if share >= rare else 'less'} than {rare:.2%}"
    why = f"the rarest of {len(counts)} classes holds {share:.2%} of {len(target)} training rows, {less}"
    if share >= rare:
        return CrossEntropy(name="cross_entropy"), f"cross_entropy, since {why}"
    return Focal(name="focal", gamma=2.0), f"focal with gamma 2, since {why}; its probabilities are too even"


def _choose_for_numbers(target: Tensor) -> tuple[LossParams, str]:
    values = target.double().cpu().numpy()
    median = np.median(values)
    # The errors' own scale is unknown before training; that of the targets is hardly smaller, so delta starts wide.
    std = MAD_TO_STD * np.median(np.abs(values - median))
    if std == 0:  # counts with many zeros, for instance: Huber would draw the mean to the median
        return MSE(name="mse"), f"mse, since at least half of {values.size} targets are {median:.4g}: no outlier scale"
    share = np.mean(np.abs(values - median) > 3 * std)
    why = f"{share:.2%} of {values.size} targets are over 3 robust standard deviations ({std:.4g}) off the median"
    if share <= OUTLIERS:
        return MSE(name="mse"), f"mse, since {why}, not more than {OUTLIERS:.0%}"
    delta = float(HUBER_95 * std)
    return Huber(name="huber", delta=delta), f"huber with delta {delta:.4g}, since {why}, more than {OUTLIERS:.0%}"


def class_weights(wanted: ClassWeights | None, counts: Tensor) -> Weights:
    """Return (K,) weights of classes with (K,) `counts` of training rows; ConfigError for another number of weights.

    `balanced` is scikit-learn's N / (K count), others are scaled: mean 1 over the rows keeps the meaning of the lr.
    """
    if wanted is None:
        return None
    rows, k = counts.double().clamp(min=1), len(counts)  # without a row no weight is right: `check_classes` refuses it
    if wanted == "balanced":
        return (rows.sum() / (k * rows)).float()
    if len(wanted) != k:
        way_out = f"write {k} in the order of the classes, balanced, or null"
        raise ConfigError(f"train.loss.class_weights: {len(wanted)} weights for {k} classes; {way_out}")
    weights = rows.new_tensor(wanted)
    return (weights * rows.sum() / (weights * rows).sum()).float()


def check_target(target: Tensor, num_classes: int) -> None:
    """Raise DataError where a label of (N,) or (N, L) is not one of 0..K-1; it waits for the device: not in a step."""
    bad = ((target < 0) | (target >= num_classes)).reshape(len(target), -1).any(dim=1)
    if bad.any():
        outside = f"outside 0..{num_classes - 1} (least {target.min()}, greatest {target.max()})"
        raise DataError(f"target: {bad.sum()} of {len(target)} rows have a label {outside}: run prepare again")


def check_classes(train_target: Tensor, valid_target: Tensor, classes: tuple[str, ...]) -> None:
    """Raise DataError where a class has no row in one of the (N,) targets; it waits for the device: not in a step."""
    ways = {"training": "lower prepare.split.valid or prepare.split.test", "validation": "raise prepare.split.valid"}
    for part, target in zip(ways, (train_target, valid_target), strict=True):
        counts = torch.bincount(target, minlength=len(classes)).tolist()
        missing = ", ".join(repr(name) for name, count in zip(classes, counts, strict=True) if not count)
        if missing:
            raise DataError(f"no {part} row has the class {missing}: {ways[part]}, or drop the class from the data")


def cross_entropy(logits: Tensor, target: Tensor, weights: Weights = None, label_smoothing: float = 0.0) -> Tensor:
    """(B, K) logits, (B,) classes or (B, K) probabilities t -> (): -sum_k w_k t_k ln softmax(logits)_k."""
    # Smoothing replaces t_k by (1 - s) t_k + s / K: Szegedy et al. 2016, arXiv:1512.00567.
    if weights is None:
        return functional.cross_entropy(_wide(logits), target, label_smoothing=label_smoothing)
    summed = partial(functional.cross_entropy, reduction="sum")
    return summed(_wide(logits), target, weights, label_smoothing=label_smoothing) / len(target)


def nll(logits: Tensor, target: Tensor, weights: Weights = None) -> Tensor:
    """Shapes as in `cross_entropy` -> (): -sum_k w_k t_k l_k, l = log_softmax(logits), or log-probabilities."""
    return cross_entropy(logits, target, weights)  # fused; log_softmax leaves log-probabilities as they are


def focal(logits: Tensor, target: Tensor, gamma: float = 2.0, alpha: float | None = None) -> Tensor:
    """(B, K) logits, (B,) classes -> (): -a (1 - p)^gamma ln p, p of the class: Lin et al. 2017, arXiv:1708.02002."""
    if target.is_floating_point():
        raise ConfigError("train.loss: focal takes one class a row, not those that mixup blends; write cross_entropy")
    logits, index = _wide(logits), target.unsqueeze(1)
    total = logits.logsumexp(dim=1)
    log_p = logits.gather(1, index).squeeze(1) - total
    # ln(1 - p) from the other classes: for confident logits 1 - p is 0, whose power has no gradient where gamma < 1.
    log_rest = logits.scatter(1, index, -torch.inf).logsumexp(dim=1) - total
    a = 1.0 if alpha is None else torch.where(target == 1, alpha, 1 - alpha)  # of two classes
    return -(a * (gamma * log_rest).exp() * log_p).mean()


def bce_with_logits(logits: Tensor, target: Tensor, weights: Weights = None) -> Tensor:
    """(B, 2) logits, (B,) classes; or (B, L) logits, (B, L) labels in [0, 1] -> (): ln(1 + e^z) - t z, times w_t."""
    z, t = _positive(logits, target)
    if weights is None:
        return functional.binary_cross_entropy_with_logits(z, t)
    negative, positive = weights
    return negative * functional.binary_cross_entropy_with_logits(z, t, pos_weight=positive / negative)


def bce(logits: Tensor, target: Tensor, weights: Weights = None) -> Tensor:
    """Likewise by way of p = sigmoid(z), kept a machine epsilon off 0 and 1: -t ln p - (1 - t) ln(1 - p)."""
    z, t = _positive(logits, target)
    eps = torch.finfo(z.dtype).eps
    p = z.sigmoid().clamp(eps, 1 - eps)  # beyond, a row has no gradient
    negative, positive = (1.0, 1.0) if weights is None else weights
    return -(positive * t * p.log() + negative * (1 - t) * (-p).log1p()).mean()  # torch's own refuses autocast


def _of_two(loss: Callable[..., Tensor], logits: Tensor, target: Tensor, **weights: Tensor) -> Tensor:
    # mixup blends two classes to (B, 2), which would be taken for two labels a row
    return loss(logits, target if target.ndim == 1 else target[:, 1], **weights)


def mse(output: Tensor, target: Tensor) -> Tensor:
    """(B,), (B, 1) or (B, T) output, (B,) or (B, T) target -> (): e^2."""
    return functional.mse_loss(_matched(output, target), target)


def mae(output: Tensor, target: Tensor) -> Tensor:
    """(B,), (B, 1) or (B, T) output, (B,) or (B, T) target -> (): |e|."""
    return functional.l1_loss(_matched(output, target), target)


def huber(output: Tensor, target: Tensor, delta: float = 1.0) -> Tensor:
    """Shapes as in `mse` -> (): e^2 / 2 up to |e| = delta, delta (|e| - delta / 2) beyond: Huber 1964."""
    return functional.huber_loss(_matched(output, target), target, delta=delta)


def quantile(output: Tensor, target: Tensor, quantiles: Tensor) -> Tensor:
    """(B, T Q) output, (B,) or (B, T) target, (Q,) quantiles -> (): max(q e, (q - 1) e), e = target - output.

    Quantiles of a time lie side by side: output[:, t * Q + i] is quantile i of time t (Koenker & Bassett 1978).
    """
    wanted = target.reshape(len(target), -1, 1).expand(-1, -1, len(quantiles))
    error = wanted - _matched(output, wanted)
    return torch.maximum(quantiles * error, (quantiles - 1) * error).mean()


def ctc_loss(log_probs: Tensor, target: Tensor, input_lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """(T, B, K) log-probabilities, (B, L) labels, (B,) their lengths -> (): -ln p(labels), blank 0: Graves et al. 2006.

    Not divided by the number of labels. A row whose labels do not fit into its times has p = 0 and counts as 0.
    """
    summed = partial(functional.ctc_loss, reduction="sum", zero_infinity=True)
    return summed(_wide(log_probs), target, input_lengths, target_lengths) / log_probs.shape[1]


def padded_ctc(logits: Tensor, target: Tensor) -> Tensor:
    """(B, T, K) logits, (B, L) labels of 1..K-1 with zeros after the last -> (): `ctc_loss` over all T times."""
    log_probs = functional.log_softmax(_wide(logits), dim=2).transpose(0, 1)
    times = torch.full((len(target),), logits.shape[1], device=target.device)
    return ctc_loss(log_probs, target, times, (target > 0).sum(dim=1))


def distillation_loss(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    temperature: float,
    alpha: float,
    *,
    task: str = "multiclass",
    truth: Loss = cross_entropy,
) -> Tensor:
    """(B, K) outputs of both, target as `truth` takes it -> (): alpha * imitation of the teacher + (1 - alpha) * truth.

    `task` is one of IMITATIONS, `truth` the loss that training without a teacher has.
    """
    imitation = IMITATIONS[task](_wide(student), _wide(teacher).detach(), temperature)
    return alpha * imitation + (1 - alpha) * truth(student, target)


def imitation_of_classes(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """(B, K) logits of both -> (): T^2 KL(teacher_T || student_T).

    T^2 keeps the gradient's size, which softmax(logits / T) divides by T^2: Hinton et al. 2015, arXiv:1503.02531.
    """
    log_p = functional.log_softmax(student / temperature, dim=1)
    log_q = functional.log_softmax(teacher / temperature, dim=1)
    return temperature**2 * functional.kl_div(log_p, log_q, reduction="batchmean", log_target=True)


def imitation_of_labels(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """(B, L) logits of both -> (): the same for each label by itself, binary cross entropy less the teacher's own."""
    wanted = teacher / temperature
    excess = functional.binary_cross_entropy_with_logits
    q = torch.sigmoid(wanted)
    return temperature**2 * (excess(student / temperature, q) - excess(wanted, q))


def imitation_of_numbers(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:  # noqa: ARG001 - one signature
    """(B, M) outputs of both, in standard deviations -> (): e^2; a number has no temperature."""
    return functional.mse_loss(student, teacher)


def _wide(output: Tensor) -> Tensor:
    """Half precision has too few digits for a sum of exponentials."""
    return output.float() if output.dtype in (torch.bfloat16, torch.float16) else output


def _matched(output: Tensor, target: Tensor) -> Tensor:
    """Give the output the target's shape: torch would broadcast (B, 1) and (B,) to (B, B)."""
    if len(output) != len(target) or output.numel() != target.numel():
        raise ValueError(f"output {tuple(output.shape)} does not fit target {tuple(target.shape)}")
    return _wide(output).reshape(target.shape)


def _positive(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits z and labels of one shape; two classes have z = z_1 - z_0, for sigmoid(z) = softmax(logits)_1."""
    z = _wide(logits) if target.ndim == 2 else _wide(logits)[:, 1] - _wide(logits)[:, 0]
    return _matched(z, target), target.to(z.dtype)


CLASSES: dict[str, Callable[..., Tensor]] = {"cross_entropy": cross_entropy, "focal": focal, "nll": nll}
FITTING: dict[str, dict[str, Callable[..., Tensor]]] = {
    "binary": {"bce": partial(_of_two, bce), "bce_with_logits": partial(_of_two, bce_with_logits), **CLASSES},
    "multiclass": CLASSES,
    "multilabel": {"bce": bce, "bce_with_logits": bce_with_logits},
    "regression": {"huber": huber, "mae": mae, "mse": mse, "quantile": quantile},
    "sequence": {"ctc": padded_ctc},
}
IMITATIONS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "binary": imitation_of_classes,
    "forecast": imitation_of_numbers,
    "multiclass": imitation_of_classes,
    "multilabel": imitation_of_labels,
    "regression": imitation_of_numbers,
}
"""What a student's outputs cost for being others than its teacher's, by task."""
