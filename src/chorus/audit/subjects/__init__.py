"""Built-in subjects: systems that are made or read here, each with its model and its source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from chorus.audit.subject import Subject
from chorus.errors import InputError


@dataclass(frozen=True)
class Kind:
    """A built-in subject: what it audits, what its optional argument is, and the module that builds it."""

    name: str
    title: str
    argument: str
    required: bool = False


KINDS = (
    Kind("transformer", "a Hugging Face language model, its heads and layers removed on real inputs", "a model folder"),
    Kind("moe", "a Hugging Face mixture of experts, its experts and routers removed on real inputs", "a model folder"),
    Kind("thought", "a Chorus model, its thoughts, workspace and energy head removed", "a model folder or name"),
    Kind("cortex", "a columnar small-world network that stimuli drive", "a connectome file"),
    Kind("internet", "valley-free AS routing with the DNS on top", "an AS-relationship file (a|b|-1 or a|b|0)"),
    Kind("market", "zero-intelligence traders at one order book, and the banks they bank with", "an exposure file"),
    Kind("mesh", "a mesh, from its log or a running node", "a node's configuration file", required=True),
    Kind("topology", "who may read whom", "a topology, e.g. 'ring | random(2, seed=1)'", required=True),
)


def build(
    kind: str,
    argument: str | None = None,
    *,
    seed: int = 0,
    actors: int = 64,
    layer: int = 0,
    inputs: str | None = None,
    live: bool = False,
) -> Subject:
    """Build a built-in subject.

    Args:
        kind: one of `KINDS` by name.
        argument: a file, a folder or a topology, as the kind takes it; None makes the generated subject.
        seed: of everything random in it.
        actors: number of actors of a topology.
        layer: the layer of a topology.
        inputs: a text file for a language model's tokenizer.
        live: ask a mesh's running node how the mesh is now.

    Raises:
        InputError: there is no such kind, or the argument cannot be used.

    """
    known = {each.name: each for each in KINDS}
    if kind not in known:
        raise InputError(f"no subject {kind!r}; there are {', '.join(known)}, or give a graph file")
    if live and kind != "mesh":
        raise InputError(f"--live is for mesh; {kind} takes none")
    if argument is None and known[kind].required:
        raise InputError(f"{kind} needs {known[kind].argument}")
    if kind == "topology":
        from chorus.audit.subject import from_topology
        from chorus.topology import parse

        if actors < 2:
            raise InputError(f"--actors {actors}: an audit needs at least two elements")
        return from_topology(parse(str(argument)), actors, layer=layer)
    module = import_module(f"chorus.audit.subjects.{kind}")
    make: Callable[..., Subject] = module.build
    if kind in ("transformer", "moe"):
        return make(argument, seed=seed, inputs=inputs)
    if inputs is not None:
        raise InputError(f"--inputs is for transformer and moe; {kind} takes none")
    return make(argument, seed=seed, live=live) if kind == "mesh" else make(argument, seed=seed)


__all__ = ["KINDS", "Kind", "build"]
