"""What the functions of this room ask of their inputs: InputError says what was given, what is needed, what to do.

Letters: B batch, H query heads, G key heads, Q queries, T keys, D features, E features of a value.
"""

import math
from collections.abc import Sequence
from itertools import zip_longest

import torch
from torch import Tensor

from chorus.errors import InputError
from chorus.topology import Topology, parse

EXECUTORS = ("auto", "reference", "tiles", "diagonals", "flex")
FULL_PRECISION = (torch.float64, torch.float32)
DTYPES = (*FULL_PRECISION, torch.bfloat16, torch.float16)
LARGEST = 1 << 31  # of sizes: that of a topology, and more than any memory holds


def refuse_not_tensors(**given: Tensor) -> None:
    """Raise InputError for the first that is no dense tensor."""
    for name, x in given.items():
        if not isinstance(x, Tensor):
            raise InputError(f"{name} must be a torch.Tensor, not {type(x).__name__}: convert with torch.as_tensor")
        if x.is_nested or x.layout != torch.strided:
            raise InputError(f"{name} must be one dense tensor, not nested or {x.layout}: pad or densify it")


def refuse_unlike(kinds: tuple[torch.dtype, ...] = DTYPES, /, **given: Tensor) -> None:
    """Raise InputError unless all are dense tensors of one dtype of these kinds, on one device."""
    refuse_not_tensors(**given)
    first, *others = given.values()
    if first.dtype not in kinds or any(x.dtype != first.dtype for x in others):
        wanted = ", ".join(str(kind).removeprefix("torch.") for kind in kinds)
        found = ", ".join(str(x.dtype) for x in given.values())
        raise InputError(f"{_listed(given)} one floating dtype ({wanted}), not {found}: convert with .to(dtype)")
    if any(x.device != first.device for x in others):
        found = ", ".join(str(x.device) for x in given.values())
        raise InputError(f"{_listed(given)} to be on one device, not {found}: move with .to(device)")


def _listed(given: dict[str, Tensor]) -> str:
    *others, last = given
    return f"{', '.join(others)} and {last} need" if others else f"{last} needs"


def at_hand(x: Tensor) -> bool:
    """Tell whether numbers can be looked at: on an accelerator one would wait for them, and a compiler has none yet."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def refuse_not_finite(**tensors: Tensor) -> None:
    """Raise InputError for the first NaN or infinity on a CPU, looking closer only where a sum is not finite.

    On an accelerator NaN spreads as in any kernel.
    """
    for name, x in tensors.items():
        if at_hand(x) and not torch.isfinite(x.detach().sum()) and not torch.isfinite(x).all():
            where = tuple((~torch.isfinite(x)).nonzero()[0].tolist())
            raise InputError(f"{name} holds {x[where].item()} at {where}: only finite numbers can be used")


def refuse_unfit_heads(q: Tensor, k: Tensor, v: Tensor, dims: int = 4) -> None:
    """Raise InputError unless q (B, H, Q, D), k (B, G, T, D) and v (B, G, T, E) fit; without Q and T for 3 dims."""
    refuse_unlike(q=q, k=k, v=v)
    if not q.dim() == k.dim() == v.dim() == dims:
        of = {
            4: "attention takes (batch, heads, actors, features)",
            3: "a step takes one token's (batch, heads, features)",
        }
        raise InputError(f"{of[dims]}, not {shapes(q=q, k=k, v=v)}")
    if k.shape[:-1] != v.shape[:-1] or q.shape[0] != k.shape[0]:
        raise InputError(f"batch, key heads or number of keys differ: {shapes(q=q, k=k, v=v)}")
    if q.shape[-1] != k.shape[-1] or not q.shape[-1]:
        raise InputError(f"queries and keys differ in features, or have none: {shapes(q=q, k=k, v=v)}")
    if not k.shape[1] or q.shape[1] % k.shape[1]:
        heads = f"{q.shape[1]} query heads cannot share {k.shape[1]} key heads evenly"
        raise InputError(f"{heads}: {shapes(q=q, k=k, v=v)}")


def refuse_other_than_weights(weight: Tensor, /, **given: Tensor) -> None:
    """Raise InputError where weights are of another dtype or device, unless autocast makes the dtypes one."""
    for name, x in given.items():
        if x.device != weight.device:
            raise InputError(
                f"{name} is on {x.device} and the weights are on {weight.device}: move one with .to(device)"
            )
        # Autocast converts floating numbers, but leaves float64 as it is.
        casts = all(y.is_floating_point() and y.dtype != torch.float64 for y in (x, weight))
        if x.dtype != weight.dtype and not (casts and torch.is_autocast_enabled(x.device.type)):
            raise InputError(
                f"{name} is {x.dtype} and the weights are {weight.dtype}: convert one, as in "
                f"{name}.to({weight.dtype}), or call under torch.autocast"
            )


def refuse_unknown_executor(executor: str) -> None:
    """Raise InputError for what names no executor."""
    if executor not in EXECUTORS:
        raise InputError(f'unknown executor "{executor}": choose one of {", ".join(EXECUTORS)}')


def refuse_not_positive(name: str, value: float) -> None:
    """Raise InputError unless the value is a positive, finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InputError(f"{name} must be a positive number, not {value!r}")


def as_topology(topology: Topology | str) -> Topology:
    """Return a topology, read from its text where it is one; raise InputError for anything else."""
    if isinstance(topology, str):
        return parse(topology)
    if not isinstance(topology, Topology):
        raise InputError(f"topology must be a Topology or its text, not {type(topology).__name__}")
    return topology


def shapes(**tensors: Tensor) -> str:
    """Return the names with their shapes, as in "q (1, 2, 8), k (1, 2, 7)"."""
    return ", ".join(f"{name} {tuple(x.shape)}" for name, x in tensors.items())


def expands(shape: Sequence[int], to: Sequence[int]) -> bool:
    """Tell whether a shape broadcasts to another without changing that.

    >>> expands((1, 4), (2, 3, 4)), expands((2, 4), (1, 4))
    (True, False)
    """
    return len(shape) <= len(to) and all(a in (1, b) for a, b in zip(reversed(shape), reversed(to), strict=False))


def broadcastable(*sizes: Sequence[int]) -> bool:
    """Tell whether shapes broadcast to one.

    >>> broadcastable((3, 1), (4,)), broadcastable((3,), (4,))
    (True, False)
    """
    aligned = zip_longest(*(reversed(shape) for shape in sizes), fillvalue=1)
    return all(len({size for size in column if size != 1}) <= 1 for column in aligned)
