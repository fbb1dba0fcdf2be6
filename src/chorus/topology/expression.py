"""Whole numbers that depend on the layer: `4**layer`, `2 * (layer % 3) + 1`.

A schedule given as a function (`lambda l: 4**l`) is called once with the symbol LAYER and recorded as such an
expression, so that a topology with a schedule still has a text form and is still compared by value.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field

from chorus.errors import InputError

MAX_OPERATORS = 100  # nobody writes more
MAX_BITS = 4096  # 4**layer passes 64 bits at layer 32, and that is fine; 9**9**layer is not

_OPERATORS: dict[str, tuple[int, Callable[[int, int], int]]] = {
    "+": (1, operator.add),
    "-": (1, operator.sub),
    "*": (2, operator.mul),
    "//": (2, operator.floordiv),
    "%": (2, operator.mod),
    "**": (3, operator.pow),
}


@dataclass(frozen=True)
class Expression:
    """`left op right`, or the layer itself when op is "layer". Built by arithmetic on LAYER, or by the parser.

    >>> str(2 * LAYER**2 + 1), (2 * LAYER**2 + 1).at(3)
    ('2*layer**2+1', 19)
    """

    op: str
    left: Expression | int = 0
    right: Expression | int = 0

    size: int = field(init=False, compare=False, repr=False)  # operators below, counted as written

    def __post_init__(self) -> None:
        below = [side.size for side in (self.left, self.right) if isinstance(side, Expression)]
        object.__setattr__(self, "size", 1 + sum(below))
        if self.size > MAX_OPERATORS:
            raise InputError(
                f"an expression in layer has more than {MAX_OPERATORS} operators: write it shorter, or use per_layer"
            )

    def at(self, layer: int) -> int:
        """Return the value at a layer, counted from 0."""
        if self.op == "layer":
            return layer
        left, right = evaluate(self.left, layer), evaluate(self.right, layer)
        if self.op in ("//", "%") and right == 0:
            raise InputError(f"{self} divides by zero at layer {layer}")
        if self.op == "**":
            if right < 0:
                raise InputError(f"{self} has the negative exponent {right} at layer {layer}")
            if abs(left) > 1 and left.bit_length() * right > 2 * MAX_BITS:
                raise InputError(
                    f"{self} has more than {MAX_BITS} bits at layer {layer}: bound it, for instance with (layer % 8)"
                )
        value = _OPERATORS[self.op][1](left, right)
        if value.bit_length() > MAX_BITS:
            raise InputError(f"{self} has more than {MAX_BITS} bits at layer {layer}: bound it, as in (layer % 8)")
        return value

    def __bool__(self) -> bool:
        raise TypeError("it asks whether the layer is zero")

    def __str__(self) -> str:
        if self.op == "layer":
            return "layer"
        binding = _OPERATORS[self.op][0]
        # ** groups to the right, the others to the left, as in Python.
        left_loose, right_loose = (binding, binding - 1) if self.op == "**" else (binding - 1, binding)
        return f"{_side(self.left, left_loose)}{self.op}{_side(self.right, right_loose)}"

    def __add__(self, other: object) -> Expression:
        return _combine("+", self, other)

    def __radd__(self, other: object) -> Expression:
        return _combine("+", other, self)

    def __sub__(self, other: object) -> Expression:
        return _combine("-", self, other)

    def __rsub__(self, other: object) -> Expression:
        return _combine("-", other, self)

    def __mul__(self, other: object) -> Expression:
        return _combine("*", self, other)

    def __rmul__(self, other: object) -> Expression:
        return _combine("*", other, self)

    def __floordiv__(self, other: object) -> Expression:
        return _combine("//", self, other)

    def __rfloordiv__(self, other: object) -> Expression:
        return _combine("//", other, self)

    def __mod__(self, other: object) -> Expression:
        return _combine("%", self, other)

    def __rmod__(self, other: object) -> Expression:
        return _combine("%", other, self)

    def __pow__(self, other: object) -> Expression:
        return _combine("**", self, other)

    def __rpow__(self, other: object) -> Expression:
        return _combine("**", other, self)


LAYER = Expression("layer")


def evaluate(value: Expression | int, layer: int) -> int:
    """Return the value at a layer of an expression or of a plain integer."""
    return value.at(layer) if isinstance(value, Expression) else value


def _side(side: Expression | int, loosest: int) -> str:
    text = str(side)
    if isinstance(side, int):
        return f"({text})" if side < 0 else text
    return f"({text})" if side.op != "layer" and _OPERATORS[side.op][0] <= loosest else text


def _combine(op: str, left: object, right: object) -> Expression:
    for side in (left, right):
        if isinstance(side, bool) or not isinstance(side, (int, Expression)):
            raise InputError(f"a schedule is whole-number arithmetic on the layer, got {side!r}")
    assert isinstance(left, (int, Expression))
    assert isinstance(right, (int, Expression))
    return Expression(op, left, right)
