"""A mind: a Chorus model that thinks again with a thought, its workspace or its energy head removed.

Elements are the encoder, K thoughts, the workspace (if the model has one), the energy head and the decoder. The
function is the share of questions answered right, on questions that the model's task generates. Removing a thought
runs the others again without it, each from its own noise; removing the workspace runs without broadcasts; removing the
energy head takes the first thought's answer. The remedies that are recomputed: a further thought in the missing one's
place, twice the steps without a workspace, the majority's answer without an energy head.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chorus.audit.graph import Graph
from chorus.audit.subject import Function, Subject

THOUGHTS, STEPS, QUESTIONS = 8, 16, 24


def build(place: str | None = None, *, seed: int = 0) -> Subject:
    """Read a model from a folder, or a shipped one by name.

    Args:
        place: a model folder or a shipped model's name; `sudoku` when None.
        seed: of the questions and the thoughts.
    """
    import torch

    from chorus.thought import ThinkConfig, load_checkpoint

    checkpoint = load_checkpoint(place or "sudoku")
    mind, task = checkpoint.mind, checkpoint.task
    questions, answers = task.generate(QUESTIONS, seed)
    tokens, right = torch.as_tensor(questions.astype(np.int64)), torch.as_tensor(answers.astype(np.int64))
    shares = mind.workspace is not None
    thoughts = tuple(f"thought {k}" for k in range(THOUGHTS))
    names = ("encoder", *thoughts, *(("workspace",) if shares else ()), "energy head", "decoder")
    number = {name: k for k, name in enumerate(names)}

    def think(kept: list[int], *, workspace: bool = True, steps: int = STEPS) -> Any:
        config = ThinkConfig(thoughts=len(kept), steps=steps, seed=seed, workspace=workspace, competition=None)
        return mind.think(tokens, config, order=torch.tensor(kept))

    def rate(answer: Any) -> float:
        return float((answer == right).all(dim=1).float().mean())

    def score(gone: frozenset[str]) -> float:
        kept = [k for k, name in enumerate(thoughts) if name not in gone]
        if not kept:
            return 0.0
        found = think(kept, workspace="workspace" not in gone)
        return rate(found.answers[:, 0] if "energy head" in gone else found.answer)

    def repair(name: str) -> tuple[str, float]:
        everyone = list(range(THOUGHTS))
        if name == "workspace":
            return "twice the steps", rate(think(everyone, workspace=False, steps=2 * STEPS).answer)
        if name == "energy head":
            return "the answer of the most thoughts, cell by cell", rate(think(everyone).answers.mode(dim=1).values)
        return "a further thought in its place", rate(
            think([*(set(everyone) - {thoughts.index(name)}), THOUGHTS]).answer
        )

    links = [(number["encoder"], number[thought]) for thought in thoughts]
    for thought in thoughts:
        links += [(number[thought], number["energy head"]), (number[thought], number["decoder"])]
        if shares:
            links += [(number[thought], number["workspace"]), (number["workspace"], number[thought])]
    links.append((number["energy head"], number["decoder"]))
    parts: dict[str, torch.nn.Module | None] = {
        "encoder": mind.encoder,
        "energy head": mind.energy,
        "decoder": mind.decoder,
        "workspace": mind.workspace,
    }
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items() if part is not None}
    processor = sum(p.numel() for p in mind.processor.parameters())
    # One processor serves all thoughts: its parameters are shared, and each thought carries its part.
    load = np.array([float(sizes.get(name, processor / THOUGHTS)) for name in names])
    each = think(list(range(THOUGHTS)), workspace=False).answers
    return Subject(
        name=place or "thought",
        elements=names,
        graph=Graph.of(len(names), links),
        sources=(number["encoder"],),
        sinks=(number["decoder"],),
        loads={"parameters": load},
        function=Function(
            "share of questions answered right",
            score,
            (*thoughts, *(("workspace",) if shares else ()), "energy head"),
            repair,
        ),
        figures={
            "right, one thought alone": float(np.mean([rate(each[:, k]) for k in range(THOUGHTS)])),
            "processor parameters, shared by all thoughts": float(processor),
            "questions": QUESTIONS,
        },
        model=f"a mind for {task.name}, {THOUGHTS} thoughts of {STEPS} steps on {QUESTIONS} generated questions",
    )
