"""A mixture of experts: a real Hugging Face model whose routers and experts are removed while it reads real inputs.

Elements are the embedding, each layer's attention, its router and its experts, and the unembedding; a router stands
between the stream and its experts. The activity of an expert is the weight its router gives it for a token; what is
dense is always active. An expert is removed by dropping its part (its weight becomes 0); a router by sending every
token to experts drawn at random. The function is the overlap of the next-token distributions with those of the intact
model. The remedy that is recomputed is the fallback: the next-best experts for a missing expert, the most-used experts
for everybody in place of a missing router.

Without a folder, a Mixtral with 2 layers of 8 experts, 2 of them for each token, is made from its configuration and
trained for 80 steps on four "languages" with words of their own; the language is the stimulus and the address.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chorus.audit.graph import Graph
from chorus.audit.subject import Coordination, Function, Subject
from chorus.audit.subjects import language
from chorus.errors import InputError

if TYPE_CHECKING:
    import torch

LANGUAGES, WORDS, SEQUENCES, LENGTH = 4, 8, 32, 24
CAPACITY = 1.25
Floats = NDArray[np.float64]


def build(folder: str | None = None, *, seed: int = 0, inputs: str | None = None) -> Subject:
    """Build the mixture of experts, or read one from a folder.

    Args:
        folder: a Hugging Face model folder with top-k routers (Mixtral, Qwen-MoE, OLMoE and their like).
        seed: of the weights and the inputs.
        inputs: a text file for the folder's tokenizer; random tokens when None.

    """
    found = language.prepare(_RECIPE, folder, inputs, seed)
    tokens = found.ids.flatten().numpy()
    labels = tokens // WORDS if folder is None else np.unique(tokens, return_inverse=True)[1]
    return _subject(Mixture(found.model, found.ids, seed), labels.astype(np.int64), found.name, found.told)


def _mixtral(library: Any) -> Any:
    return library.MixtralForCausalLM(
        library.MixtralConfig(
            vocab_size=LANGUAGES * WORDS,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            num_local_experts=8,
            num_experts_per_tok=2,
            max_position_embeddings=LENGTH,
            output_router_logits=True,
            router_aux_loss_coef=0.02,
            attn_implementation="eager",
        )
    )


def _languages(generator: torch.Generator) -> torch.Tensor:
    """Return sequences (32, 24): each language has 8 words and a next word for each, followed 9 times in 10."""
    import torch

    follow = torch.stack([torch.randperm(WORDS, generator=torch.Generator().manual_seed(k)) for k in range(LANGUAGES)])
    tongue = torch.arange(SEQUENCES) % LANGUAGES
    words = torch.zeros(SEQUENCES, LENGTH, dtype=torch.long)
    words[:, 0] = torch.randint(0, WORDS, (SEQUENCES,), generator=generator)
    for at in range(1, LENGTH):
        other = torch.randint(0, WORDS, (SEQUENCES,), generator=generator)
        obey = torch.rand(SEQUENCES, generator=generator) < 0.9
        words[:, at] = torch.where(obey, follow[tongue, words[:, at - 1]], other)
    return words + WORDS * tongue[:, None]


_RECIPE = language.Recipe(
    name="moe",
    told="Mixtral made from its configuration (2 layers, 8 experts, top 2) for 4 languages",
    model=_mixtral,
    batch=_languages,
    steps=80,
    run=SEQUENCES,
)


class Mixture:
    """A model with its routers found, run with experts or routers removed."""

    def __init__(self, model: Any, ids: torch.Tensor, seed: int) -> None:
        self.model, self.ids, self.seed = model, ids, seed
        self.routers = [
            m
            for m in model.modules()
            if hasattr(m, "top_k") and hasattr(m, "num_experts") and getattr(getattr(m, "weight", None), "ndim", 0) == 2
        ]
        if not self.routers:
            raise InputError(f"{type(model).__name__}: no top-k router in it; is it a mixture of experts?")
        self.experts, self.top = int(self.routers[0].num_experts), int(self.routers[0].top_k)
        self.logits: dict[int, torch.Tensor] = {}
        self.chosen: dict[int, torch.Tensor] = {}
        self.weights: dict[int, torch.Tensor] = {}
        self.intact = self.run(frozenset())

    def _hook(self, layer: int, gone: frozenset[tuple[int, int]], fallback: bool) -> Callable[..., Any]:
        """Change what a router returns: (logits, weights of the chosen, indices of the chosen).

        (layer, expert) in `gone` removes an expert, (layer, −1) the router itself.
        """
        import torch

        dead = [expert for at, expert in gone if at == layer and expert >= 0]

        def hook(_module: Any, _args: Any, output: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> Any:
            logits, weights, chosen = output
            if layer not in self.logits:
                self.logits[layer], self.weights[layer], self.chosen[layer] = (t.detach().clone() for t in output)
            if (layer, -1) in gone:
                if fallback:
                    used = torch.bincount(self.chosen[layer].flatten(), minlength=self.experts)
                    chosen = used.argsort(descending=True, stable=True)[: self.top].expand_as(chosen)
                else:
                    generator = torch.Generator().manual_seed(self.seed + layer)
                    chosen = torch.rand(len(chosen), self.experts, generator=generator).argsort(dim=-1)[:, : self.top]
                weights = torch.full_like(weights, 1 / self.top)
            if dead and fallback:
                blocked = logits.clone()
                blocked[:, dead] = -torch.inf
                best, chosen = blocked.float().softmax(dim=-1).topk(self.top, dim=-1)
                weights = (best / best.sum(dim=-1, keepdim=True) * weights.sum(dim=-1, keepdim=True)).to(weights.dtype)
            elif dead:
                lost = torch.isin(chosen, torch.tensor(dead))
                weights = weights.masked_fill(lost, 0)
            return logits, weights, chosen

        return hook

    def run(self, gone: frozenset[tuple[int, int]], *, fallback: bool = False) -> torch.Tensor:
        """Return next-token probabilities (sequences, length, vocabulary) with experts or routers removed."""
        import torch

        with torch.no_grad(), ExitStack() as stack:
            for layer, router in enumerate(self.routers):
                stack.callback(router.register_forward_hook(self._hook(layer, gone, fallback)).remove)
            return self.model(self.ids, use_cache=False).logits.softmax(dim=-1)  # type: ignore[no-any-return]

    def gates(self, layer: int) -> Floats:
        """Return the weight of each expert for each token, (tokens, experts)."""
        import torch

        spread = torch.zeros(len(self.chosen[layer]), self.experts, dtype=torch.float64)
        spread.scatter_(1, self.chosen[layer], self.weights[layer].double())
        return np.asarray(spread.numpy())


def _subject(parts: Mixture, labels: NDArray[np.int64], name: str, told: str) -> Subject:
    depth, width = len(parts.routers), parts.experts
    names, links = ["embedding"], []
    for layer in range(depth):
        names += [f"attention {layer}", f"router {layer}", *(f"expert {layer}.{e}" for e in range(width))]
    names.append("unembedding")
    number = {element: k for k, element in enumerate(names)}
    writers = ["embedding"]
    for layer in range(depth):
        for reader in (f"attention {layer}", f"router {layer}"):
            links += [(number[writer], number[reader]) for writer in writers]
            if reader.startswith("attention"):
                writers.append(reader)
        own = [f"expert {layer}.{e}" for e in range(width)]
        links += [(number[f"router {layer}"], number[expert]) for expert in own]
        writers += own
    links += [(number[writer], number["unembedding"]) for writer in writers]

    def key(element: str) -> tuple[int, int]:
        kind, _, rest = element.partition(" ")
        layer, _, expert = rest.partition(".")
        return int(layer), int(expert) if kind == "expert" else -1

    def score(gone: frozenset[str], fallback: bool = False) -> float:
        return language.overlap(parts.run(frozenset(map(key, gone)), fallback=fallback), parts.intact)

    def repair(element: str) -> tuple[str, float]:
        told = "send its tokens to the next-best experts"
        if element.startswith("router"):
            told = "send every token to the most-used experts"
        return told, score(frozenset({element}), True)

    gates = [parts.gates(layer) for layer in range(depth)]
    activity = np.ones((len(labels), len(names)))
    responses = np.zeros((int(labels.max()) + 1, width * depth))
    for layer, gate in enumerate(gates):
        first = number[f"expert {layer}.0"]
        activity[:, first : first + width] = gate
        np.add.at(responses, (labels, layer * width + gate.argmax(axis=1)), 1.0)
    share = np.zeros(len(names))
    share[[number[f"router {layer}"] for layer in range(depth)]] = 1 / depth
    sizes = _sizes(parts)
    experts = [element for element in names if element.startswith("expert")]
    routers = [element for element in names if element.startswith("router")]
    figures, dropped = _figures(parts, gates, labels)
    return Subject(
        name=name,
        elements=tuple(names),
        graph=Graph.of(len(names), links),
        sources=(0,),
        sinks=tuple(number[element] for element in (*experts, "unembedding")),
        activity=activity,
        stimuli=labels,
        responses=responses,
        coordination=Coordination(
            agreement=1 - dropped,
            cost=sizes["router"],
            total=sizes["router"] + sizes["experts used"],
            share=share,
            how=f"tokens routed within {CAPACITY} of an even load; router against expert multiplications",
        ),
        function=Function(
            "overlap with the intact model's next-token distributions", score, (*routers, *experts), repair
        ),
        figures=figures,
        model=told,
    )


def _sizes(parts: Mixture) -> dict[str, float]:
    """Return multiplications for one token in a router and in the experts it is sent to, one layer's."""
    router = float(parts.routers[0].weight.numel())
    holders = [m for m in parts.model.modules() if getattr(getattr(m, "down_proj", None), "ndim", 0) == 3]
    if not holders:
        raise InputError(f"{type(parts.model).__name__}: its experts are not kept as stacked tensors; not read")
    whole = sum(p.numel() for p in holders[0].parameters())
    return {"router": router, "experts used": whole / parts.experts * parts.top}


def _entropy(p: Floats) -> Floats:
    return np.asarray(-(p * np.log(np.maximum(p, 1e-300))).sum(axis=-1))


def _figures(parts: Mixture, gates: list[Floats], labels: NDArray[np.int64]) -> tuple[dict[str, float | str], float]:
    """Return the field's own numbers, each the mean over layers, and the share of dropped assignments."""
    rows = []
    for layer, gate in enumerate(gates):
        load = (gate > 0).mean(axis=0) / parts.top  # f_i: share of assignments
        p = parts.logits[layer].double().softmax(dim=-1).numpy()
        mean = p.mean(axis=0)
        room = CAPACITY / parts.experts
        rows.append(
            {
                "CV of expert load": float(load.std() / load.mean()),
                "N·Σ f·P (1 at balance)": float(parts.experts * (load * mean).sum()),
                "MaxVio (largest load over mean, − 1)": float(load.max() / load.mean() - 1),
                "router entropy per token, nats": float(_entropy(p).mean()),
                "router entropy of the mean, nats": float(_entropy(mean)),
                "dead experts": float((load == 0).mean()),
                f"dropped at capacity {CAPACITY}": float(np.maximum(load - room, 0).sum()),
            }
        )
    figures: dict[str, float | str] = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    figures["tokens run"] = len(labels)
    return figures, float(figures[f"dropped at capacity {CAPACITY}"])
