"""Find where numbers stopped being numbers."""

import torch
from torch import Tensor, nn


def first_bad_layer(network: nn.Module, inputs: dict[str, Tensor] | None) -> str:
    """Say in words which weights, inputs, gradients or outputs are the first that are not finite.

    Weights come first, since bad weights spoil every output; then inputs, outputs in the order of computation, and
    gradients from the output backwards, which is the order in which they were computed.
    """
    for name, parameter in network.named_parameters():
        if not _finite(parameter):
            return f"the weights {name} are not finite"
    if inputs is not None:
        for group, tensor in inputs.items():
            if not _finite(tensor):
                return f"the inputs of the group {group!r} are not finite"
        if (layer := _first_bad_output(network, inputs)) is not None:
            return f"the first output that is not finite is that of {layer}"
    for name, parameter in reversed(list(network.named_parameters())):
        if parameter.grad is not None and not _finite(parameter.grad):
            return f"the first gradient that is not finite is that of {name}"
    return "weights and outputs of every layer are finite, so the loss itself overflows"


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


@torch.no_grad()
def _first_bad_output(network: nn.Module, inputs: dict[str, Tensor]) -> str | None:
    """Run the network once, watching every module that has none below it."""
    bad: list[str] = []
    hooks = []
    for name, module in network.named_modules():
        if next(module.children(), None) is None:

            def watch(module: nn.Module, _: object, output: object, name: str = name) -> None:
                if isinstance(output, Tensor) and not _finite(output):
                    bad.append(f"{name} ({type(module).__name__})")

            hooks.append(module.register_forward_hook(watch))
    try:
        network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return bad[0] if bad else None
