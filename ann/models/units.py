"""Units of a network, and in which places of which tensors they stand: what must go for a unit to be gone.

A unit is what can be removed as a whole: a hidden unit, a channel, an attention head.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Places of a tensor: unit u has the indices start + u * size up to start + (u + 1) * size of one dimension.

    As in torch's layers, the first dimension of a matrix or kernel holds what a unit is computed from, and the others
    what is computed from the unit.
    """

    tensor: str
    """Name in the state_dict; of a parameter or of a buffer, such as a running mean."""
    dim: int
    """Dimension of the tensor."""
    start: int = 0
    """Index at which unit 0 begins."""
    size: int = 1
    """Indices of a unit."""

    @property
    def outgoing(self) -> bool:
        """Whether these are weights that read the unit."""
        return self.dim > 0


@dataclass(frozen=True)
class UnitGroup:
    """Units of one kind, any of which can be removed."""

    name: str
    """Unique in the network; the path of the layer that computes the units."""
    count: int
    """Units."""
    parts: tuple[Part, ...]
    """All places of the units, in the order of the forward pass; several may be of one tensor, as gates are."""
    even: int = 1
    """Blocks of neighbours, equally large, that must lose equally many: the groups of a GroupNorm."""
    least: int = 1
    """Units of each block that must stay; two where a norm over the units would make a single one constant."""

    @property
    def removable(self) -> int:
        """Most units that can go."""
        return self.count - self.even * min(self.least, self.count // self.even)


def under(name: str, child: str) -> str:
    """Return the path of a child of the module `name`; the network's own name is empty."""
    return f"{name}.{child}" if name else child
