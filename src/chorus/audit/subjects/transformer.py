"""A transformer: a real Hugging Face model whose heads and layers are removed while it reads real inputs.

Elements are the embedding, every attention head, every MLP and the unembedding. The residual stream lets each of them
read all earlier ones, so an edge leads from each to every later one; the stream itself, tied tensors, the key–value
groups of grouped attention and the layers are shared resources, because no edge shows them. A head is removed by taking
its slice out of the output projection's input. The function is the overlap of the next-token distributions with those
of the intact model. The remedy that is recomputed is mean ablation: the element's mean output stands in for it.

Without a folder, a GPT-2 with 2 layers of 4 heads is made from its configuration and trained for 60 steps on blocks of
8 random tokens that repeat, so that predicting needs attention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from chorus.audit.graph import Graph
from chorus.audit.subject import Function, Resource, Subject
from chorus.audit.subjects import language
from chorus.errors import InputError

if TYPE_CHECKING:
    import torch

VOCABULARY, PERIOD = 16, 8


def build(folder: str | None = None, *, seed: int = 0, inputs: str | None = None) -> Subject:
    """Build the transformer, or read one from a folder.

    Args:
        folder: a Hugging Face model folder (GPT-2, Llama, and what is built like them).
        seed: of the weights and the inputs.
        inputs: a text file for the folder's tokenizer; random tokens when None.

    """
    found = language.prepare(_RECIPE, folder, inputs, seed)
    return _subject(Dissection(found.model, found.ids), found.name, found.told)


def _gpt2(library: Any) -> Any:
    return library.GPT2LMHeadModel(
        library.GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=language.LENGTH,
            n_embd=64,
            n_layer=2,
            n_head=4,
            resid_pdrop=0,
            embd_pdrop=0,
            attn_pdrop=0,
            bos_token_id=0,
            eos_token_id=0,
            attn_implementation="eager",
        )
    )


def _repeating(generator: torch.Generator) -> torch.Tensor:
    import torch

    block = torch.randint(0, VOCABULARY, (32, PERIOD), generator=generator)
    return block.repeat(1, language.LENGTH // PERIOD)


_RECIPE = language.Recipe(
    name="transformer",
    told="GPT-2 made from its configuration (2 layers, 4 heads) for blocks that repeat",
    model=_gpt2,
    batch=_repeating,
    steps=60,
    run=language.SEQUENCES,
    skip=PERIOD,
)


class Dissection:
    """A model with its parts found by their names, run with any of them removed."""

    def __init__(self, model: Any, ids: torch.Tensor) -> None:
        self.model, self.ids = model, ids
        modules = dict(model.named_modules())
        self.outputs = [m for name, m in modules.items() if name.endswith(("attn.c_proj", "self_attn.o_proj"))]
        self.inputs = [
            [
                modules[name.rsplit(".", 1)[0] + "." + part]
                for part in ("c_attn", "q_proj", "k_proj", "v_proj")
                if name.rsplit(".", 1)[0] + "." + part in modules
            ]
            for name in modules
            if name.endswith(("attn.c_proj", "self_attn.o_proj"))
        ]
        self.mlps = [m for name, m in modules.items() if name.rsplit(".", 1)[-1] == "mlp"]
        if not self.outputs or len(self.mlps) != len(self.outputs):
            raise InputError(
                f"{type(model).__name__}: no attention and MLP of GPT-2's or Llama's shape in it "
                f"({len(self.outputs)} and {len(self.mlps)} found)"
            )
        self.layers, self.heads = len(self.outputs), int(model.config.num_attention_heads)
        self.groups = int(getattr(model.config, "num_key_value_heads", None) or self.heads)
        self.kept: dict[tuple[int, str], torch.Tensor] = {}
        self.intact = self.run([], [])

    @contextmanager
    def _hooks(self, heads: list[tuple[int, int]], mlps: list[int], mean: bool) -> Iterator[None]:
        with ExitStack() as stack:
            for layer in range(self.layers):
                gone = [head for at, head in heads if at == layer]
                before = self.outputs[layer].register_forward_pre_hook(self._without_heads(layer, gone, mean))
                stack.callback(before.remove)
                after = self.mlps[layer].register_forward_hook(self._without_mlp(layer, layer in mlps, mean))
                stack.callback(after.remove)
            yield

    def _without_heads(self, layer: int, gone: list[int], mean: bool) -> Callable[..., Any]:
        def hook(_module: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            mixed = args[0]
            if (layer, "heads") not in self.kept:
                self.kept[layer, "heads"] = mixed.detach().clone()
            if gone:
                parts = mixed.reshape(*mixed.shape[:-1], self.heads, -1).clone()
                whole = self.kept[layer, "heads"].reshape(parts.shape)
                parts[..., gone, :] = whole[..., gone, :].mean(dim=(0, 1)) if mean else 0.0
                mixed = parts.reshape(mixed.shape)
            return (mixed, *args[1:])

        return hook

    def _without_mlp(self, layer: int, gone: bool, mean: bool) -> Callable[..., Any]:
        def hook(_module: Any, _args: Any, output: Any) -> Any:
            out = output[0] if isinstance(output, tuple) else output
            if (layer, "mlp") not in self.kept:
                self.kept[layer, "mlp"] = out.detach().clone()
            if gone:
                whole = self.kept[layer, "mlp"]
                out = whole.mean(dim=(0, 1)).expand_as(out) if mean else out * 0
            return (out, *output[1:]) if isinstance(output, tuple) else out

        return hook

    def run(self, heads: list[tuple[int, int]], mlps: list[int], *, mean: bool = False) -> torch.Tensor:
        """Return next-token probabilities (sequences, length, vocabulary) without some heads (layer, head) and MLPs."""
        import torch

        with torch.no_grad(), self._hooks(heads, mlps, mean):
            return self.model(self.ids, use_cache=False).logits.softmax(dim=-1)  # type: ignore[no-any-return]

    def contributions(self) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
        """Return the norm of what each element writes into the stream, for each token."""
        import torch

        found: dict[str, torch.Tensor] = {}
        with torch.no_grad():
            embedding = self.model.get_input_embeddings()(self.ids)
            found["embedding"] = embedding.norm(dim=-1)
            for layer, projection in enumerate(self.outputs):
                mixed = self.kept[layer, "heads"]
                parts = mixed.reshape(*mixed.shape[:-1], self.heads, -1)
                for head in range(self.heads):
                    alone = torch.zeros_like(parts)
                    alone[..., head, :] = parts[..., head, :]
                    bias = projection(torch.zeros_like(mixed))
                    found[f"head {layer}.{head}"] = (projection(alone.reshape(mixed.shape)) - bias).norm(dim=-1)
                found[f"mlp {layer}"] = self.kept[layer, "mlp"].norm(dim=-1)
            states = self.model(self.ids, use_cache=False, output_hidden_states=True).hidden_states
            found["unembedding"] = states[-1].norm(dim=-1)
        return {name: norm.double().flatten().numpy() for name, norm in found.items()}


def _subject(parts: Dissection, name: str, told: str) -> Subject:
    names = ["embedding"]
    for layer in range(parts.layers):
        names += [*(f"head {layer}.{head}" for head in range(parts.heads)), f"mlp {layer}"]
    names.append("unembedding")
    number = {element: k for k, element in enumerate(names)}
    rank = dict.fromkeys(names, -1.0)
    for layer in range(parts.layers):
        rank |= {f"head {layer}.{head}": float(layer) for head in range(parts.heads)} | {f"mlp {layer}": layer + 0.5}
    rank["unembedding"] = float(parts.layers)
    links = [(number[a], number[b]) for a in names for b in names if rank[a] < rank[b]]
    resources = [Resource("residual stream", tuple(names))]
    layers = {f"layer {k}": (*(f"head {k}.{h}" for h in range(parts.heads)), f"mlp {k}") for k in range(parts.layers)}
    resources += [Resource(layer, users) for layer, users in layers.items()]
    if parts.groups < parts.heads:
        size = parts.heads // parts.groups
        resources += [
            Resource(f"keys and values {k}.{g}", tuple(f"head {k}.{h}" for h in range(g * size, (g + 1) * size)))
            for k in range(parts.layers)
            for g in range(parts.groups)
        ]
    into, out = parts.model.get_input_embeddings(), parts.model.get_output_embeddings()
    tied = out is not None and into.weight.data_ptr() == out.weight.data_ptr()
    if tied:
        resources.append(Resource("tied embedding tensor", ("embedding", "unembedding")))
    users = {resource.name: resource.users for resource in resources}

    def split(gone: frozenset[str]) -> tuple[list[tuple[int, int]], list[int]]:
        fallen = sorted({user for name in gone for user in users.get(name, (name,))})
        heads = [
            (int(at), int(head)) for at, _, head in (e[5:].partition(".") for e in fallen if e.startswith("head "))
        ]
        return heads, [int(element[4:]) for element in fallen if element.startswith("mlp ")]

    def score(gone: frozenset[str], mean: bool = False) -> float:
        return language.overlap(parts.run(*split(gone), mean=mean), parts.intact)

    writes = parts.contributions()
    kinds, first = np.unique(parts.ids.flatten().numpy(), return_inverse=True)
    often = np.argsort(-np.bincount(first), kind="stable")[:32]
    seen = np.isin(first, often)
    activity = np.stack([writes[element] for element in names], axis=1)
    candidates = (*(element for element in names if element.startswith(("head", "mlp"))), *layers)
    return Subject(
        name=name,
        elements=tuple(names),
        graph=Graph.of(len(names), links),
        sources=(0,),
        sinks=tuple(range(1, len(names))),
        resources=tuple(resources),
        loads={"parameters": np.array([_parameters(parts, element, tied) for element in names])},
        activity=activity[seen],
        stimuli=first[seen].astype(np.int64),
        function=Function(
            "overlap with the intact model's next-token distributions",
            score,
            candidates,
            lambda element: ("let the element's mean output stand in for it", score(frozenset({element}), True)),
        ),
        figures=_figures(parts, tied, len(kinds)),
        model=told,
    )


def _parameters(parts: Dissection, element: str, tied: bool) -> float:
    if element == "embedding":
        return float(parts.model.get_input_embeddings().weight.numel())
    if element == "unembedding":
        out = parts.model.get_output_embeddings()
        return 0.0 if tied or out is None else float(out.weight.numel())
    if element.startswith("mlp "):
        return float(sum(p.numel() for p in parts.mlps[int(element[4:])].parameters()))
    layer = int(element[5:].partition(".")[0])
    modules = [parts.outputs[layer], *parts.inputs[layer]]
    return float(sum(p.numel() for module in modules for p in module.parameters())) / parts.heads


def _figures(parts: Dissection, tied: bool, kinds: int) -> dict[str, float | str]:
    """Return attention entropy, effective rank of the stream, tensor reuse: the field's own numbers."""
    import torch

    with torch.no_grad():
        out = parts.model(parts.ids, use_cache=False, output_attentions=True, output_hidden_states=True)
    figures: dict[str, float | str] = {"tokens run": int(parts.ids.numel()), "different tokens": kinds}
    if out.attentions and out.attentions[0] is not None:
        entropies = [-(a * a.clamp_min(1e-12).log()).sum(dim=-1).mean() for a in out.attentions]
        figures["mean attention entropy, nats"] = float(torch.stack(entropies).mean())
    stream = out.hidden_states[-1].flatten(0, 1)
    values = torch.linalg.svdvals(stream - stream.mean(dim=0))
    share = values / values.sum()
    figures["effective rank of the last stream"] = float((-(share * share.clamp_min(1e-12).log()).sum()).exp())
    figures["embedding tensor is used"] = "twice" if tied else "once"
    return figures
