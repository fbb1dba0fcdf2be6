"""Loops over vectors of 16 numbers, written as LLVM instructions for numba: what the attention kernel is made of.

Compilers rarely keep a block of sums in registers from one turn of a loop to the next of their own accord; written out
in vectors, they do. LLVM cuts the vectors to the processor's width: one register with AVX-512, two with AVX2.

Every public function here is an instruction for compiled code. Its arguments are addresses and counts (int64), factors
(float32), and, where they are called `width` and `block`, constants. A *line* is 16 floats, one for each of 16 rows;
a *column* is a key that some of these rows read, so that scores stand line after line, `scores[column][row]`. The
*bits* of a column (uint16) tell which of the 16 rows read it. Everything else is rows of `width` floats, a multiple
of 16, one after the other.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.polynomial import Chebyshev, Polynomial

LANES = 16
LINE = 4 * LANES  # bytes
LOWEST = -3e38  # the maximum of nothing; finite, so that a difference of two is a number

_FLOAT = ir.FloatType()
_BIT, _BYTE, _SHORT, _INT, _LONG = (ir.IntType(size) for size in (1, 8, 16, 32, 64))
_LINE, _INTS, _BITS = (ir.VectorType(kind, LANES) for kind in (_FLOAT, _INT, _BIT))

# 2^x for x in [-1/2, 1/2], interpolated at Chebyshev's nodes: off by less than a unit in the last place.
_POWERS = Chebyshev.interpolate(np.exp2, 5, [-0.5, 0.5]).convert(kind=Polynomial).coef.tolist()
_ROUNDING = 1.5 * 2.0**23  # a float to which this is added holds a whole number, in its last bits


def _instruction(emit: Callable[..., None]) -> Any:
    """Let compiled code call what `emit` writes; constants reach it as Python's own numbers."""

    def define(_: Any, *kinds: Any) -> Any:
        def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            constants = [getattr(kind, "literal_value", None) for kind in kinds]
            emit(_Code(builder), *[v if c is None else c for c, v in zip(constants, values, strict=True)])
            return context.get_dummy_value()

        return types.void(*kinds), lower

    define.__signature__ = inspect.signature(emit)  # type: ignore[attr-defined]
    define.__name__, define.__doc__ = emit.__name__, emit.__doc__
    return intrinsic(prefer_literal=True)(define)


class _Code:
    """A builder of LLVM instructions on lines at addresses; an address is the sum of numbers, known or not."""

    def __init__(self, builder: Any) -> None:
        self.b = builder

    def add(self, *terms: Any) -> Any:
        known = _LONG(sum(term for term in terms if isinstance(term, int)))
        for term in terms:
            known = known if isinstance(term, int) else self.b.add(term, known)
        return known

    def times(self, count: Any, size: int) -> Any:
        return self.b.mul(self.add(count), _LONG(size))

    def read(self, kind: Any, *address: Any) -> Any:
        found = self.b.load(self.b.inttoptr(self.add(*address), kind.as_pointer()))
        found.align = 2
        return found

    def load(self, *address: Any) -> Any:
        return self.read(_LINE, *address)

    def store(self, line: Any, *address: Any) -> None:
        self.b.store(line, self.b.inttoptr(self.add(*address), _LINE.as_pointer())).align = 4

    def prefetch(self, *address: Any) -> None:
        """Bring a line nearer that will be read soon; beyond the end of memory this does nothing."""
        place = self.b.inttoptr(self.add(*address), _BYTE.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [place.type, *[_INT] * 3])
        call = self.b.module.declare_intrinsic("llvm.prefetch", [place.type], kind)
        self.b.call(call, [place, _INT(0), _INT(3), _INT(1)])  # to read, to the nearest cache, data

    def line(self, value: Any) -> Any:
        """Return one number 16 times."""
        if isinstance(value, float):
            return _LINE([value] * LANES)
        first = self.b.insert_element(_LINE(ir.Undefined), value, _INT(0))
        return self.b.shuffle_vector(first, _LINE(ir.Undefined), _INTS([0] * LANES))

    def one(self, *address: Any) -> Any:
        """Return the number at an address 16 times."""
        return self.line(self.read(_FLOAT, *address))

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """Return x·y + z, rounded once."""
        kind = ir.FunctionType(_LINE, [_LINE] * 3)
        return self.b.call(cgutils.get_or_insert_function(self.b.module, kind, "llvm.fma.v16f32"), [x, y, z])

    def maximum(self, x: Any, y: Any) -> Any:
        """Return the larger, y if either is NaN."""
        return self.b.select(self.b.fcmp_ordered(">", x, y), x, y)

    def exp2(self, x: Any) -> Any:
        """Return 2^x for x ≤ 1: 0 from 2^-126 down, NaN of NaN."""
        low = self.line(-126.0)
        under = self.b.fcmp_ordered("<=", x, low)
        x = self.b.select(under, low, x)
        rounded = self.b.fadd(x, self.line(_ROUNDING))
        rest = self.b.fsub(x, self.b.fsub(rounded, self.line(_ROUNDING)))
        power = self.line(_POWERS[-1])
        for coefficient in _POWERS[-2::-1]:
            power = self.fma(power, rest, self.line(coefficient))
        exponent = self.b.shl(self.b.bitcast(rounded, _INTS), _INTS([23] * LANES))
        power = self.b.bitcast(self.b.add(self.b.bitcast(power, _INTS), exponent), _LINE)
        return self.b.select(under, self.line(0.0), power)

    def shown(self, line: Any, *bits: Any) -> Any:
        """Return a line with −∞ in the lanes whose bit is 0."""
        return self.b.select(self.b.bitcast(self.read(_SHORT, *bits), _BITS), line, self.line(-math.inf))

    def some_hidden(self, place: Any, count: int) -> Any:
        """Tell whether any bit of some columns is 0."""
        kind = ir.VectorType(_SHORT, count)
        whole = self.b.bitcast(self.b.icmp_signed("==", self.read(kind, place), kind([-1] * count)), ir.IntType(count))
        return self.b.icmp_signed("!=", whole, ir.IntType(count)(-1))

    def halves(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Return x₀y₀x₁y₁ … x₇y₇ and x₈y₈ … x₁₅y₁₅."""
        orders = ([i + LANES * odd for i in range(at, at + 8) for odd in (0, 1)] for at in (0, 8))
        low, high = (self.b.shuffle_vector(x, y, _INTS(order)) for order in orders)
        return low, high

    def variables(self, lines: list[Any]) -> list[Any]:
        """Return variables that hold lines; LLVM keeps them in registers."""
        found = [cgutils.alloca_once(self.b, _LINE) for _ in lines]
        for variable, line in zip(found, lines, strict=True):
            self.b.store(line, variable)
        return found

    def loop(self, count: Any) -> Any:
        return cgutils.for_range(self.b, self.add(count))

    def blocks(self, count: Any, block: int, emit: Callable[[Any, int], None]) -> None:
        """Run emit(first, size) over `count` things by the block, over what is left by 8 and by 4 and singly."""
        done: Any = _LONG(0)
        for size in [block, *(size for size in (8, 4, 1) if size < block)]:
            whole = self.b.sdiv(self.b.sub(self.add(count), done), _LONG(size))
            with self.loop(whole) as loop:
                emit(self.b.add(done, self.times(loop.index, size)), size)
            done = self.b.add(done, self.times(whole, size))


def _strips(width: int) -> tuple[int, int]:
    """Return into how many parts of how many lines a row is cut, so that a block of rows stays in registers."""
    lines = 2 if width % (2 * LANES) == 0 else 1
    return width // LANES // lines, lines


def _faded(code: _Code, width: int, places: list[tuple[int, int]], start: Any, fall: Any, row: Any) -> list[Any]:
    """Return the lines at places (row, byte) from start on, each times its row's fall; the constant 0 means 1."""
    found = [code.load(start, 4 * width * r, c) for r, c in places]
    if isinstance(fall, int):
        return found
    factor = code.add(fall, code.times(row, 4))
    return [code.b.fmul(code.one(factor, 4 * r), x) for (r, _), x in zip(places, found, strict=True)]


@_instruction
def filled(code: _Code, value: Any, lines: Any, target: Any) -> None:
    """Set lines to one number."""
    with code.loop(lines) as loop:
        code.store(code.line(value), target, code.times(loop.index, LINE))


@_instruction
def copied(code: _Code, width: int, rows: Any, source: Any, target: Any) -> None:
    """Copy rows."""
    with code.loop(rows) as loop:
        at = code.times(loop.index, 4 * width)
        for c in range(0, 4 * width, LINE):
            code.store(code.load(source, at, c), target, at, c)


@_instruction
def added(code: _Code, width: int, source: Any, target: Any) -> None:
    """Add one row to another."""
    for c in range(0, 4 * width, LINE):
        code.store(code.b.fadd(code.load(source, c), code.load(target, c)), target, c)


@_instruction
def noticed(code: _Code, width: int, rows: Any, source: Any, target: Any) -> None:
    """Add 0 times everything to a line: NaN comes of what is not finite."""
    found = code.variables([code.load(target)])
    with code.loop(rows) as loop:
        for c in range(0, 4 * width, LINE):
            line = code.load(source, code.times(loop.index, 4 * width), c)
            code.b.store(code.fma(line, code.line(0.0), code.b.load(found[0])), found[0])
    code.store(code.b.load(found[0]), target)


@_instruction
def transposed(code: _Code, width: int, factor: Any, rows: Any, target: Any) -> None:
    """Set target[width][16] to factor·rows[16][width], transposed."""
    with code.loop(width // LANES) as loop:
        start = code.times(loop.index, LINE)
        found = [code.b.fmul(code.load(rows, start, 4 * width * r), code.line(factor)) for r in range(LANES)]
        for _ in range(4):
            found = [half for x, y in zip(found[:8], found[8:], strict=True) for half in code.halves(x, y)]
        start = code.times(loop.index, LANES * LINE)
        for r, line in enumerate(found):
            code.store(line, target, start, LINE * r)


@_instruction
def products(
    code: _Code, width: int, block: int, lines: Any, keys: Any, bits: Any, count: Any, target: Any, top: Any
) -> None:
    """Set target[count][16] to keys[count][width]·lines[width][16], −∞ where a bit is 0, and raise top to the largest.

    The constant 0 for bits shows everything, and for top looks for no largest.
    """
    highest = code.variables([code.line(-math.inf) if isinstance(top, int) else code.load(top)])

    def emit(first: Any, size: int) -> None:
        sums = code.variables([code.line(0.0)] * size)
        key = code.add(keys, code.times(first, 4 * width))
        with code.loop(width) as loop:
            line = code.load(lines, code.times(loop.index, LINE))
            place = code.add(key, code.times(loop.index, 4))
            if size == block:  # one cache line of the next block in every turn
                code.prefetch(key, 4 * width * block, code.times(loop.index, LINE))
            for j, total in enumerate(sums):
                code.b.store(code.fma(code.one(place, 4 * width * j), line, code.b.load(total)), total)
        if not isinstance(bits, int):
            place = code.add(bits, code.times(first, 2))
            with code.b.if_then(code.some_hidden(place, size), likely=False):
                for j, total in enumerate(sums):
                    code.b.store(code.shown(code.b.load(total), place, 2 * j), total)
        found = [code.b.load(total) for total in sums]
        start = code.add(target, code.times(first, LINE))
        for j, line in enumerate(found):
            code.store(line, start, LINE * j)
        while len(found) > 1:
            found = [code.maximum(x, y) for x, y in zip(found[::2], found[1::2], strict=True)]
        code.b.store(code.maximum(found[0], code.b.load(highest[0])), highest[0])

    code.blocks(count, block, emit)
    if not isinstance(top, int):
        code.store(code.b.load(highest[0]), top)


@_instruction
def softened(code: _Code, scores: Any, count: Any, top: Any, total: Any, fall: Any) -> None:
    """Turn scores[count][16] into weights 2^(score − top), beside what earlier calls had found for the same rows.

    `fall` holds the top of the earlier calls, and gets the factor by which their weights were too large; `total` is
    the sum of all weights.
    """
    now = code.load(top)
    factor = code.exp2(code.b.fsub(code.load(fall), now))
    sums = code.variables([code.b.fmul(code.load(total), factor), *[code.line(0.0)] * 3])

    def weigh(first: Any, size: int) -> None:
        for i, variable in zip(range(size), sums, strict=False):
            place = code.add(scores, code.times(first, LINE), LINE * i)
            weight = code.exp2(code.b.fsub(code.load(place), now))
            code.store(weight, place)
            code.b.store(code.b.fadd(weight, code.b.load(variable)), variable)

    code.blocks(count, 4, weigh)
    a, b, c, d = (code.b.load(variable) for variable in sums)
    code.store(code.b.fadd(code.b.fadd(a, b), code.b.fadd(c, d)), total)
    code.store(factor, fall)


@_instruction
def pulled(code: _Code, scores: Any, downs: Any, count: Any, top: Any, total: Any, through: Any, factor: Any) -> None:
    """Turn scores into weights w = 2^(score − top)/total, and downs, their gradients, to factor·w·(down − through)."""
    largest, middle = code.load(top), code.load(through)
    part = code.b.fdiv(code.line(1.0), code.load(total))

    def emit(first: Any, size: int) -> None:
        for i in range(size):
            at = code.add(code.times(first, LINE), LINE * i)
            weight = code.b.fmul(code.exp2(code.b.fsub(code.load(scores, at), largest)), part)
            down = code.b.fmul(weight, code.b.fsub(code.load(downs, at), middle))
            code.store(weight, scores, at)
            code.store(code.b.fmul(down, code.line(factor)), downs, at)

    code.blocks(count, 4, emit)


@_instruction
def weighted(
    code: _Code, width: int, block: int, weights: Any, values: Any, count: Any, fall: Any, target: Any
) -> None:
    """Add weights[count][16]ᵀ·values[count][width] to fall·target[16][width]; the constant 0 for fall means 1."""
    parts, lines = _strips(width)
    with code.loop(LANES // block) as rows, code.loop(parts) as strips:
        row, strip = code.times(rows.index, block), code.times(strips.index, LINE * lines)
        start = code.add(target, code.times(row, 4 * width), strip)
        places = [(r, LINE * c) for r in range(block) for c in range(lines)]
        sums = code.variables(_faded(code, width, places, start, fall, row))
        with code.loop(count) as loop:
            weight = code.add(weights, code.times(loop.index, LINE), code.times(row, 4))
            value = code.add(values, code.times(loop.index, 4 * width), strip)
            found = [code.load(value, LINE * c) for c in range(lines)]
            for c in range(lines):
                code.prefetch(value, 8 * 4 * width, LINE * c)
            for (r, c), total in zip(places, sums, strict=True):
                code.b.store(code.fma(code.one(weight, 4 * r), found[c // LINE], code.b.load(total)), total)
        for (r, c), total in zip(places, sums, strict=True):
            code.store(code.b.load(total), start, 4 * width * r, c)


@_instruction
def scattered(code: _Code, width: int, block: int, weights: Any, rows: Any, count: Any, target: Any) -> None:
    """Add weights[count][16]·rows[16][width] to target[count][width]."""
    parts, lines = _strips(width)

    def emit(first: Any, size: int) -> None:
        with code.loop(parts) as strips:
            strip = code.times(strips.index, LINE * lines)
            start = code.add(target, code.times(first, 4 * width), strip)
            places = [(j, LINE * c) for j in range(size) for c in range(lines)]
            sums = code.variables([code.load(start, 4 * width * j, c) for j, c in places])
            with code.loop(LANES) as loop:
                row = code.add(rows, code.times(loop.index, 4 * width), strip)
                found = [code.load(row, LINE * c) for c in range(lines)]
                weight = code.add(weights, code.times(first, LINE), code.times(loop.index, 4))
                for (j, c), total in zip(places, sums, strict=True):
                    code.b.store(code.fma(code.one(weight, LINE * j), found[c // LINE], code.b.load(total)), total)
            for (j, c), total in zip(places, sums, strict=True):
                code.store(code.b.load(total), start, 4 * width * j, c)

    code.blocks(count, block, emit)


@_instruction
def divided(code: _Code, width: int, rows: Any, source: Any, totals: Any, target: Any) -> None:
    """Set rows to those of source, each over its own total."""
    with code.loop(rows) as loop:
        at = code.times(loop.index, 4 * width)
        factor = code.b.fdiv(code.line(1.0), code.one(totals, code.times(loop.index, 4)))
        for c in range(0, 4 * width, LINE):
            code.store(code.b.fmul(factor, code.load(source, at, c)), target, at, c)


@_instruction
def slot_products(
    code: _Code, width: int, factor: Any, rows: Any, keys: Any, base: Any, bits: Any, target: Any, top: Any
) -> None:
    """Set one line to factor·row·key of each of 16 rows and its own key, numbered at `keys` (int64) from `base`.

    The constant 0 for bits shows everything; top is raised to the line, or, as the constant 0, left.
    """
    found = []
    for r in range(LANES):
        key = code.add(base, code.times(code.read(_LONG, keys, 8 * r), 4 * width))
        total = code.line(0.0)
        for c in range(0, 4 * width, LINE):
            total = code.fma(code.load(rows, 4 * width * r, c), code.load(key, c), total)
        found.append(total)
    while len(found) > 1:  # sums over the features become lanes
        half = len(found) // 2
        found = [code.b.fadd(*code.halves(x, y)) for x, y in zip(found[:half], found[half:], strict=True)]
    line = code.b.fmul(found[0], code.line(factor))
    line = line if isinstance(bits, int) else code.shown(line, bits)
    code.store(line, target)
    if not isinstance(top, int):
        code.store(code.maximum(line, code.load(top)), top)


@_instruction
def slot_weighted(
    code: _Code, width: int, block: int, weights: Any, keys: Any, base: Any, count: Any, fall: Any, target: Any
) -> None:
    """Add the weighted values of each row's own keys, count slots of them, to fall·target[16][width]."""
    several = block  # rows at a time, as many as have their sums in registers
    while several * width > block * LANES and several > 1:
        several //= 2
    with code.loop(LANES // several) as rows:
        row = code.times(rows.index, several)
        start = code.add(target, code.times(row, 4 * width))
        places = [(r, c) for r in range(several) for c in range(0, 4 * width, LINE)]
        sums = code.variables(_faded(code, width, places, start, fall, row))
        with code.loop(count) as loop:
            at = code.add(code.times(loop.index, LANES), row)
            for r in range(several):
                key = code.add(base, code.times(code.read(_LONG, keys, code.times(at, 8), 8 * r), 4 * width))
                factor = code.one(weights, code.times(at, 4), 4 * r)
                for (_, c), total in list(zip(places, sums, strict=True))[r * width // LANES :][: width // LANES]:
                    code.b.store(code.fma(factor, code.load(key, c), code.b.load(total)), total)
        for (r, c), total in zip(places, sums, strict=True):
            code.store(code.b.load(total), start, 4 * width * r, c)


@_instruction
def slot_scattered(code: _Code, width: int, weights: Any, rows: Any, keys: Any, count: Any, base: Any) -> None:
    """Add the weighted rows, 16 of them, to each row's own keys in count slots."""
    with code.loop(count) as loop, code.loop(LANES) as lanes:
        at = code.add(code.times(loop.index, LANES), lanes.index)
        key = code.add(base, code.times(code.read(_LONG, keys, code.times(at, 8)), 4 * width))
        row, factor = code.times(lanes.index, 4 * width), code.one(weights, code.times(at, 4))
        for c in range(0, 4 * width, LINE):
            code.store(code.fma(factor, code.load(rows, row, c), code.load(key, c)), key, c)
