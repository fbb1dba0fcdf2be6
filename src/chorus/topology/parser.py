"""The text form of a topology, read back: parsed, never evaluated.

    topology   = both { "|" both }
    both       = difference { "&" difference }
    difference = closed { "-" closed }
    closed     = ( pattern | "(" topology ")" ) { ".causal()" | ".symmetric()" }
    pattern    = name "(" [ argument { "," argument } ] ")"
    argument   = [ name "=" ] value

A value is whole-number arithmetic on `layer`, True or False, a list of lists of actors, or, for `per_layer`, a list of
topologies: which of them, the pattern's own table says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from chorus.errors import InputError
from chorus.topology.expression import LAYER, MAX_OPERATORS, Expression
from chorus.topology.pattern import PARAMETERS, Parameter, Pattern, checked
from chorus.topology.patterns import per_layer
from chorus.topology.topology import MAX_LEAVES, Topology, join

MAX_LENGTH = 1 << 22  # characters; a graph of a few hundred thousand edges
MAX_NESTING = 60
_TOKEN = re.compile(r"\s*(?:(?P<number>[0-9]+)|(?P<name>[A-Za-z_][A-Za-z_0-9]*)|(?P<sign>\*\*|//|[-|&.,=()\[\]+*%]))")
_SPACE = re.compile(r"\s*")
_MAX_DIGITS = 18

T = TypeVar("T")


class Token(NamedTuple):
    """One word of a spec."""

    kind: str  # number, name, sign or end
    text: str
    start: int


def parse(text: str) -> Topology:
    """Read the text form of a topology; `parse(str(t)) == t`.

    Raises:
        InputError: the text is no topology; the message shows where.

    >>> parse("sliding_window(256) | sink_tokens(4)")
    sliding_window(256) | sink_tokens(4)
    >>> parse("dilated(4, dilation=4**layer)").neighbors(40, layer=1, n=64)
    array([28, 32, 36, 40])
    >>> parse("sliding_window(25x)")
    Traceback (most recent call last):
    chorus.errors.InputError: expected ) or an operator, found 'x' at character 18
      sliding_window(25x)
                       ^

    """
    if not isinstance(text, str):
        raise InputError(f"a topology spec is a string, got {text!r}")
    if len(text) > MAX_LENGTH:
        raise InputError(f"the spec has {len(text):,} characters, more than {MAX_LENGTH:,}: use graph() from Python")
    return _Parser(text).whole()


class _Parser:
    """Recursive descent; `self.nesting` bounds the recursion, so that no spec can overflow the stack."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.nesting = 0
        self.operators = 0  # of the value being read
        self.token = Token("sign", "", 0)
        self.end = 0
        self.advance()

    def whole(self) -> Topology:
        topology = self.topology()
        if self.token.kind != "end":
            self.fail("expected | & - or the end")
        return topology

    # Words

    def advance(self) -> Token:
        """Step over the current word and return it."""
        last = self.token
        match = _TOKEN.match(self.text, self.end)
        if match:
            kind = str(match.lastgroup)
            self.token = Token(kind, match[kind], match.start(kind))
            self.end = match.end()
        else:
            space = _SPACE.match(self.text, self.end)
            start = space.end() if space else self.end
            self.token = Token("end" if start == len(self.text) else "alien", self.text[start : start + 1], start)
        return last

    def at(self, *signs: str) -> bool:
        return self.token.kind == "sign" and self.token.text in signs

    def accept(self, sign: str) -> bool:
        found = self.at(sign)
        if found:
            self.advance()
        return found

    def expect(self, sign: str, what: str = "") -> None:
        if not self.accept(sign):
            self.fail(f"expected {what or sign}")

    def fail(self, message: str, where: int | None = None, known: str = "") -> None:
        """Raise an error that shows the place, with at most 40 characters on either side, and what is known there."""
        start = self.token.start if where is None else where
        if where is None:
            found = "the end" if self.token.kind == "end" else repr(self.token.text[:20])
            message = f"{message}, found {found}"
        left, right = max(0, start - 40), min(len(self.text), start + 40)
        shown = re.sub(r"[^ -~]", "?", self.text[left:right])
        before, after = "..." if left else "", "..." if right < len(self.text) else ""
        caret = " " * (2 + len(before) + start - left) + "^"
        raise InputError(f"{message} at character {start + 1}{known}\n  {before}{shown}{after}\n{caret}")

    def nested(self, rule: Callable[[], T]) -> T:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            self.fail(f"nested more than {MAX_NESTING} deep", self.token.start)
        result = rule()
        self.nesting -= 1
        return result

    def built(self, start: int, make: Callable[[], T]) -> T:
        """Run a constructor; what it refuses is shown at the place in the spec."""
        try:
            return make()
        except InputError as error:
            self.fail(str(error), start)
            raise

    # Topologies

    def topology(self) -> Topology:
        return self.operands("|", lambda: self.operands("&", lambda: self.operands("-", self.closed)))

    def operands(self, op: str, operand: Callable[[], Topology]) -> Topology:
        parts = [operand()]
        while self.at(op):
            start = self.advance().start
            parts.append(operand())
            if len(parts) > MAX_LEAVES:
                self.fail(f"more than {MAX_LEAVES:,} patterns: write a large graph as graph([[reader, read], ...])")
        if len(parts) == 1:
            return parts[0]
        return self.built(start, lambda: join(op, parts))

    def closed(self) -> Topology:
        if self.at("("):
            self.advance()
            topology = self.nested(self.topology)
            self.expect(")")
        else:
            topology = self.pattern()
        while self.accept("."):
            name = self.token
            if name.kind != "name" or name.text not in ("causal", "symmetric"):
                self.fail("expected causal() or symmetric()")
            self.advance()
            self.expect("(")
            self.expect(")")
            topology = self.built(name.start, getattr(topology, name.text))
        return topology

    def pattern(self) -> Topology:
        name = self.token
        if name.kind != "name":
            self.fail("expected a pattern")
        if name.text != "per_layer" and name.text not in PARAMETERS:
            known = f"; there are {', '.join(PARAMETERS)} and per_layer"
            self.fail(f"no pattern is called {name.text[:40]!r}", name.start, known)
        self.advance()
        self.expect("(")
        if name.text == "per_layer":
            items = self.listed(self.topology)
            self.expect(")")
            return self.built(name.start, lambda: per_layer(items))
        values = self.arguments(name.text)
        return self.built(name.start, lambda: Pattern(name.text, values))

    def arguments(self, name: str) -> tuple[Any, ...]:
        parameters = PARAMETERS[name]
        given: dict[str, Any] = {}
        while not self.at(")"):
            start = self.token.start
            parameter = self.parameter(name, parameters, len(given))
            if parameter.name in given:
                self.fail(f"{name} got {parameter.name} twice", start)
            given[parameter.name] = self.value(name, parameter)
            if not self.accept(","):
                break
        for p in parameters:
            if p.name not in given and p.default is None:
                self.fail(f"{name} needs {p.name}")
        self.expect(")", ") or an operator")
        return tuple(given.get(p.name, p.default) for p in parameters)

    def parameter(self, name: str, parameters: tuple[Parameter, ...], position: int) -> Parameter:
        """Return the parameter that the next value is for: by its name, or by its position."""
        word = self.token
        if word.kind == "name" and word.text not in ("layer", "True", "False"):
            self.advance()
            self.expect("=", f"= after {word.text[:40]}")
            for p in parameters:
                if p.name == word.text:
                    return p
            takes = ", ".join(p.name for p in parameters) or "nothing"
            self.fail(f"{name} has no {word.text[:40]!r}; it takes {takes}", word.start)
        if position >= len(parameters):
            self.fail(f"{name} takes {len(parameters)} argument{'' if len(parameters) == 1 else 's'}", word.start)
        return parameters[position]

    # Values

    def value(self, name: str, p: Parameter) -> Any:
        if p.kind == "flag":
            word = self.advance()
            if word.text not in ("True", "False"):
                self.fail(f"{p.name} is True or False", word.start)
            return word.text == "True"
        if p.kind in ("cover", "edges"):
            return self.listed(lambda: self.listed(self.integer))
        start, self.operators = self.token.start, 0
        value = self.sum()
        if isinstance(value, Expression) and p.kind != "size":
            self.fail(f"{p.name} is one whole number for all layers", start)
        return self.built(start, lambda: checked(name, p, value))

    def listed(self, item: Callable[[], T]) -> list[T]:
        self.expect("[", "a list [...]")
        items: list[T] = []
        while not self.at("]"):
            items.append(self.nested(item))
            if not self.accept(","):
                break
        self.expect("]", "] or ,")
        return items

    def integer(self) -> int:
        negative = self.accept("-")
        if self.token.kind != "number":
            self.fail("expected a whole number")
        word = self.advance()
        if len(word.text) > _MAX_DIGITS:
            self.fail(f"a number of {len(word.text):,} digits, more than {_MAX_DIGITS}", word.start)
        return -int(word.text) if negative else int(word.text)

    def sum(self) -> Expression | int:
        return self.arithmetic(("+", "-"), lambda: self.arithmetic(("*", "//", "%"), self.raised))

    def arithmetic(self, signs: tuple[str, ...], operand: Callable[[], Expression | int]) -> Expression | int:
        left = operand()
        while self.at(*signs):
            sign = self.operator()
            right = operand()
            left = self.built(sign.start, partial(_fold, sign.text, left, right))
        return left

    def raised(self) -> Expression | int:
        base = self.atom()
        if not self.at("**"):
            return base
        start = self.operator().start
        exponent = self.nested(self.raised)
        return self.built(start, lambda: _fold("**", base, exponent))

    def operator(self) -> Token:
        self.operators += 1
        if self.operators > MAX_OPERATORS:
            self.fail(f"a value has more than {MAX_OPERATORS} operators", self.token.start)
        return self.advance()

    def atom(self) -> Expression | int:
        if self.accept("("):
            value = self.nested(self.sum)
            self.expect(")")
            return value
        if self.token.kind == "name" and self.token.text == "layer":
            self.advance()
            return LAYER
        if self.token.kind == "number" or self.at("-"):
            return self.integer()
        self.fail("expected a whole number or layer")
        raise AssertionError


def _fold(op: str, left: Expression | int, right: Expression | int) -> Expression | int:
    """Arithmetic on numbers is done; on the layer it is kept."""
    expression = Expression(op, left, right)
    fixed = not isinstance(left, Expression) and not isinstance(right, Expression)
    return expression.at(0) if fixed else expression
