"""A survey of a model's attention heads: what its weights compute, and what they write on given tokens.

Letters: L layers, H heads, N = L·H heads of all layers, T tokens, M features of the stream, D features of a head.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from chorus.attention.checks import refuse_not_tensors
from chorus.attention.circuits import HeadWeights, composition, copying, effective_rank, write_overlaps
from chorus.attention.huggingface import (
    attention_layers,
    final_norm,
    norm_after,
    norm_before,
    output_projection,
    read_heads,
)
from chorus.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Head:
    """One head's figures.

    Args:
        layer: counted from 0.
        head: counted from 0.
        qk_norm: Frobenius norm of W_Q W_Kᵀ.
        ov_norm: Frobenius norm of W_V W_O.
        copying: Σλ / Σ|λ| of the OV circuit, −1 to 1.
        share: share of the final residual stream that the head wrote.
        nearest: layer and head whose write subspace overlaps most with this one's; None for a model's only head.
        overlap: that overlap, 0 to 1; 0 for a model's only head.
        source: layer and head of an earlier layer that this head composes with most; None in the first layer.
        kind: as queries "q", keys "k" or values "v".
        composition: the composition score.

    """

    layer: int
    head: int
    qk_norm: float
    ov_norm: float
    copying: float
    share: float
    nearest: tuple[int, int] | None
    overlap: float
    source: tuple[int, int] | None
    kind: str | None
    composition: float


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Figures of all heads, and of the residual stream that they write into.

    Args:
        width: features M of the stream.
        head_width: features D of a head.
        tokens: tokens that the stream was measured on.
        stream_rank: effective rank of the stream before the final norm.
        heads_share: share of the stream that all heads together wrote.
        heads: every head, layer by layer.
        overlaps: overlap of every two heads' write subspaces, (N, N).

    """

    width: int
    head_width: int
    tokens: int
    stream_rank: float
    heads_share: float
    heads: list[Head]
    overlaps: Float[Tensor, "N N"]

    def to_json(self) -> dict[str, Any]:
        """Return the survey as plain values."""
        plain = {name: value for name, value in self.__dict__.items() if name not in ("heads", "overlaps")}
        overlaps = [[round(x, 6) for x in row] for row in self.overlaps.tolist()]
        return {**plain, "heads": [asdict(head) for head in self.heads], "overlaps": overlaps}


def survey(model: Any, tokens: Int64[Tensor, "1 T"]) -> Survey:
    """Survey the heads of a GPT-2- or Llama-type model, running it once on the tokens.

    Raises InputError for a model of another type or whose heads do not write into the stream as they are, and for
    tokens that are not one sequence, not in the vocabulary, or more than the model has positions.
    """
    refuse_not_tensors(tokens=tokens)
    if tokens.dim() != 2 or tokens.shape[0] != 1 or tokens.shape[1] < 1:
        raise InputError(f"a survey takes one sequence of tokens (1, T), not shape {tuple(tokens.shape)}")
    layers = read_heads(model)
    most = getattr(model.config, "max_position_embeddings", None) or tokens.shape[1]
    if tokens.shape[1] > most:
        raise InputError(f"the model has {most} positions, and these are {tokens.shape[1]} tokens: take fewer")
    words = model.get_input_embeddings().num_embeddings
    if not 0 <= int(tokens.min()) <= int(tokens.max()) < words:
        raise InputError(
            f"tokens {int(tokens.min())} to {int(tokens.max())} are not all among the model's {words}: is this its "
            "tokenizer?"
        )
    stream, blends = _run(model, tokens)
    overlaps = write_overlaps(layers)
    apart = overlaps.clone().fill_diagonal_(-1)
    count = layers[0].heads
    heads: list[Head] = []
    energy = stream.square().sum()
    sources = _strongest_source(layers)
    for number, layer in enumerate(layers):
        # ⟨blend·W_O, x⟩ = ⟨blend, x·W_Oᵀ⟩: no head's write is laid out in M features.
        shares = (blends[number] * (stream @ layer.output.mT)).sum((1, 2)) / energy
        qk_norms, ov_norms, copies = layer.qk().norm(), layer.ov().norm(), copying(layer.ov())
        for head in range(count):
            place = number * count + head
            near = int(apart[place].argmax()) if len(apart) > 1 else None
            score, source, kind = sources[number][head]
            heads.append(
                Head(
                    layer=number, head=head, qk_norm=float(qk_norms[head]), ov_norm=float(ov_norms[head]),
                    copying=float(copies[head]), share=float(shares[head]),
                    nearest=None if near is None else divmod(near, count),
                    overlap=0.0 if near is None else float(apart[place, near]),
                    source=source, kind=kind, composition=score,
                )
            )  # fmt: skip
    return Survey(
        width=stream.shape[1], head_width=layers[0].query.shape[2], tokens=tokens.shape[1],
        stream_rank=effective_rank(stream), heads_share=sum(head.share for head in heads), heads=heads,
        overlaps=overlaps,
    )  # fmt: skip


def _strongest_source(layers: list[HeadWeights]) -> list[list[tuple[float, tuple[int, int] | None, str | None]]]:
    """Return for every head its largest composition score with an earlier head, which head, and of which kind."""
    writers = [layer.ov() for layer in layers]
    found = []
    for number, layer in enumerate(layers):
        readers = {"q": layer.qk(), "k": layer.qk().transpose(), "v": writers[number]}
        best: list[tuple[float, tuple[int, int] | None, str | None]] = [(0.0, None, None)] * layer.heads
        for before in range(number):
            for kind, reader in readers.items():
                scores, heads = composition(writers[before], reader).max(0)
                for i, (score, head) in enumerate(zip(scores.tolist(), heads.tolist(), strict=True)):
                    if score > best[i][0]:
                        best[i] = score, (before, head), kind
        found.append(best)
    return found


def _run(model: Any, tokens: Tensor) -> tuple[Float[Tensor, "T M"], list[Float[Tensor, "H T D"]]]:
    """Return the stream before the final norm, and every layer's blends of values, head by head."""
    blends: list[Tensor] = []
    stream: list[Tensor] = []
    size = read_heads(model)[0].query.shape[2]

    def keep(_: Any, args: tuple[Tensor, ...]) -> None:
        blends.append(args[0][0].detach().float().reshape(tokens.shape[1], -1, size).transpose(0, 1))

    before: list[Tensor] = []
    added: list[Tensor] = []
    after: list[Tensor] = []

    def reads(found: list[Tensor]) -> Callable[[Any, tuple[Tensor, ...]], None]:
        return lambda _, args: found.append(args[0][0].detach().float())

    def writes(_: Any, args: tuple[Tensor, ...], out: Tensor) -> None:
        added.append(out[0].detach().float())

    hooks = [final_norm(model).register_forward_pre_hook(reads(stream))]
    for layer in attention_layers(model):
        hooks.append(output_projection(layer).register_forward_pre_hook(keep))
        if norm := norm_after(layer):
            hooks.append(norm_before(layer).register_forward_pre_hook(reads(before)))
            hooks.append(output_projection(layer).register_forward_hook(writes))
            hooks.append(norm.register_forward_pre_hook(reads(after)))
    try:
        with torch.no_grad():
            model(tokens)
    finally:
        for hook in hooks:
            hook.remove()
    for number, (x, write, y) in enumerate(zip(before, added, after, strict=True)):
        if (x + write - y).norm() > 0.05 * y.norm():  # more than rounding, also in half precision
            raise InputError(
                f"layer {number} of {type(model).__name__} norms or scales what its heads write before the stream "
                "takes it: shares of the stream cannot be read off its weights"
            )
    return stream[0], blends


def draw(found: Survey, path: str) -> None:
    """Draw the survey to a PNG or SVG file: shares and copying by head, and the overlaps of all heads.

    Raises InputError when matplotlib is missing or the file's ending names no picture format.
    """
    if not path.lower().endswith((".png", ".svg", ".pdf")):
        raise InputError(f"{path}: name the picture .png, .svg or .pdf")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError('pictures need matplotlib: pip install "the-chorus[plot]"') from error
    layers = found.heads[-1].layer + 1
    count = len(found.heads) // layers
    step = 1 + layers // 16  # of layers that are numbered: more numbers than that would touch
    figure = Figure(figsize=(14, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for axes, name, title, limit in (
        (left, "share", "share of the residual stream written", None),
        (middle, "copying", "copying: Σλ / Σ|λ| of the OV circuit", 1.0),
    ):
        grid = torch.tensor([getattr(head, name) for head in found.heads]).view(layers, count)
        bound = limit or float(grid.abs().max())
        shown = axes.imshow(grid.numpy(), cmap="RdBu_r", vmin=-bound, vmax=bound, aspect="auto")
        axes.set(
            title=title, xlabel="head", ylabel="layer",
            xticks=range(0, count, 1 + count // 16), yticks=range(0, layers, step),
        )  # fmt: skip
        figure.colorbar(shown, ax=axes)
    off = found.overlaps.clone().fill_diagonal_(torch.nan)
    shown = right.imshow(off.numpy(), cmap="viridis")
    expected = found.head_width / found.width
    right.set(
        title=f"overlap of writes (random: {expected:.3f})", xlabel="layer", ylabel="layer",
        xticks=range(0, layers * count, step * count), yticks=range(0, layers * count, step * count),
        xticklabels=range(0, layers, step), yticklabels=range(0, layers, step),
    )  # fmt: skip
    figure.colorbar(shown, ax=right)
    figure.savefig(path, dpi=120)
