"""Hugging Face models: run them under a topology, and read their heads.

`register()` adds "chorus" to transformers' attention implementations. A model then takes who reads whom from its
config:

    config.chorus_topology = "sliding_window(256) | sink_tokens(4)"

of `config.max_position_embeddings` actors, of which a sequence holds the first. The line is saved with the config.
Letters: B batch, H query heads, G key heads, Q queries, T keys, D features of a head, M features of the stream.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chorus.attention.attend import attend
from chorus.attention.checks import as_topology
from chorus.attention.circuits import HeadWeights
from chorus.attention.decode import first_read_ahead
from chorus.attention.scores import Dot
from chorus.errors import InputError
from chorus.topology import Topology


def register() -> None:
    """Make `attn_implementation="chorus"` available to transformers; more than once does no harm.

    Raises InputError when transformers is not installed.

    >>> register()
    >>> from transformers import AttentionInterface
    >>> "chorus" in AttentionInterface()
    True
    """
    try:
        from transformers import AttentionInterface, AttentionMaskInterface
    except ImportError as error:
        raise InputError('transformers is not installed: pip install "the-chorus[hf]"') from error
    AttentionInterface.register("chorus", chorus_attention)
    AttentionMaskInterface.register("chorus", _padding)


def _padding(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int | Tensor = 0,
    kv_offset: int = 0,
    attention_mask: Tensor | None = None,
    allow_is_causal_skip: bool = True,
    **_: Any,
) -> Tensor | None:
    """Pass on which tokens are padding (B, T), or None; transformers' causal mask is the topology's to say."""
    if not allow_is_causal_skip:
        raise InputError("a topology knows neither static caches nor packed sequences: use a dynamic cache")
    if kv_offset or kv_length != int(q_offset) + q_length:
        raise InputError(
            f"the cache holds {kv_length} keys from {kv_offset} on for queries up to {int(q_offset) + q_length - 1}: a "
            "topology counts from the first token to the last, so use a dynamic cache, and where the config names a "
            "window, set config.sliding_window = None and name it in the topology"
        )
    if attention_mask is None or bool(attention_mask.all()):
        return None
    return attention_mask[:, :kv_length].bool()


def chorus_attention(
    module: nn.Module,
    query: Float[Tensor, "B H Q D"],
    key: Float[Tensor, "B G T D"],
    value: Float[Tensor, "B G T D"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Float[Tensor, "B Q H D"], None]:
    """Attend as transformers' attention interface asks, over the topology in `module.config.chorus_topology`.

    Raises InputError for what a topology cannot express: attention dropout while training, cross-attention, a soft cap,
    learned sinks, position biases, prepared 4-D masks, and padding in the middle of a sequence.
    """
    for name in ("softcap", "s_aux", "position_bias"):
        if kwargs.get(name) is not None:
            raise InputError(f'attn_implementation="chorus" does not have {name}, which this model needs')
    if getattr(module, "is_cross_attention", False):
        raise InputError("cross-attention has no topology: only causal language models run under one")
    if dropout and module.training:
        raise InputError(f"attention dropout of {dropout} is not supported: set it to 0 in the config")
    if attention_mask is not None and attention_mask.dim() != 2:
        raise InputError("a prepared 4-D mask contradicts the topology: pass a 2-D padding mask or none")
    topology, actors = _topology(module.config, key.shape[2])
    layer = getattr(module, "layer_idx", 0) or 0
    score = Dot(scaling)
    first = key.shape[2] - query.shape[2]
    if attention_mask is None:
        out = attend(query, key, value, topology, layer=layer, first=first, actors=actors, score=score)
        return out.transpose(1, 2).contiguous(), None
    out = query.new_zeros(*query.shape[:3], value.shape[3])
    for left, stop, samples in _runs(attention_mask, topology, actors, layer):
        # A sample's first real token is its actor 0, whatever stands to its left.
        q = query[samples, :, max(left - first, 0) : stop - first]
        if q.shape[2]:
            begin = max(first - left, 0)
            part = attend(
                q, key[samples, :, left:stop], value[samples, :, left:stop], topology,
                layer=layer, first=begin, actors=actors, score=score,
            )  # fmt: skip
            out[samples, :, max(left - first, 0) : stop - first] = part
    return out.transpose(1, 2).contiguous(), None


def _topology(config: Any, tokens: int) -> tuple[Topology, int]:
    """Return the config's topology and its number of actors."""
    spec = getattr(config, "chorus_topology", None)
    if spec is None:
        raise InputError('the config names no topology: set config.chorus_topology, as in "sliding_window(256)"')
    actors = getattr(config, "max_position_embeddings", None) or tokens
    return as_topology(spec), max(actors, tokens)


def _runs(mask: Tensor, topology: Topology, actors: int, layer: int) -> list[tuple[int, int, Tensor]]:
    """Group samples by where their real tokens [left, stop) lie: (left, stop, samples)."""
    tokens = mask.shape[1]
    real = mask.to(torch.int64)
    left = real.argmax(1)
    stop = tokens - real.flip(1).argmax(1)
    if not torch.equal(real.sum(1), stop - left):
        raise InputError("padding in the middle of a sequence, or a sequence of padding alone, is not supported")
    if first_read_ahead(topology, actors, layer) is None:
        stop = torch.full_like(stop, tokens)  # nobody reads ahead, so nobody reads the padding on the right
    places = torch.stack([left, stop], 1)
    return [
        (int(a), int(b), (places == torch.tensor([a, b], device=mask.device)).all(1).nonzero()[:, 0])
        for a, b in torch.unique(places, dim=0).tolist()
    ]


def read_heads(model: Any, fold_norm: bool = True) -> list[HeadWeights]:
    """Return the attention weights of a GPT-2- or Llama-type model, layer by layer, float32.

    Args:
        model: a transformers model.
        fold_norm: multiply the gain of the norm before attention into the weights that read the stream.

    Raises InputError for a model of another type.

    """
    found = []
    for layer in attention_layers(model):
        query, key, value, output, gain = (x.detach().float() for x in _projections(layer))
        if fold_norm:
            query, key, value = (x * gain[:, None] for x in (query, key, value))
        heads = output.shape[0] // _head_size(model)

        def by_head(weight: Tensor, heads: int = heads) -> Tensor:
            split = weight.view(weight.shape[0], -1, _head_size(model)).transpose(0, 1)
            return split.repeat_interleave(heads // split.shape[0], dim=0)

        found.append(
            HeadWeights(
                query=by_head(query), key=by_head(key), value=by_head(value),
                output=output.view(heads, -1, output.shape[1]),
            )
        )  # fmt: skip
    return found


def attention_layers(model: Any) -> list[Any]:
    """Return the transformer blocks of a GPT-2- or Llama-type model; raise InputError for another."""
    body = getattr(model, "transformer", None) or getattr(model, "model", None) or model
    layers = getattr(body, "h", None) or getattr(body, "layers", None)
    if layers is None or not (hasattr(layers[0], "attn") or hasattr(layers[0], "self_attn")):
        raise InputError(f"{type(model).__name__} is neither a GPT-2- nor a Llama-type model: no heads found")
    attention = getattr(layers[0], "attn", None) or layers[0].self_attn
    gpt2 = hasattr(layers[0], "attn")
    parts = ("c_attn", "c_proj") if gpt2 else ("q_proj", "k_proj", "v_proj", "o_proj")
    if lacking := [name for name in parts if not hasattr(attention, name)]:
        raise InputError(f"{type(attention).__name__} has no {', '.join(lacking)}: its heads cannot be read")
    if not hasattr(layers[0], "ln_1" if gpt2 else "input_layernorm"):
        raise InputError(f"{type(layers[0]).__name__} has no norm before attention: its heads cannot be read")
    return list(layers)


def norm_before(layer: Any) -> nn.Module:
    """Return the norm between the residual stream and attention."""
    module: nn.Module = layer.ln_1 if hasattr(layer, "attn") else layer.input_layernorm
    return module


def norm_after(layer: Any) -> nn.Module | None:
    """Return the norm between the residual stream and the feed-forward part, or None where both read the same."""
    module: nn.Module | None = getattr(layer, "ln_2" if hasattr(layer, "attn") else "post_attention_layernorm", None)
    return module


def output_projection(layer: Any) -> nn.Module:
    """Return the module that writes the heads' blends into the stream."""
    module: nn.Module = layer.attn.c_proj if hasattr(layer, "attn") else layer.self_attn.o_proj
    return module


def final_norm(model: Any) -> nn.Module:
    """Return the norm at the end of the residual stream."""
    body = getattr(model, "transformer", None) or getattr(model, "model", None) or model
    module: nn.Module = body.ln_f if hasattr(body, "ln_f") else body.norm
    return module


def _projections(layer: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return query, key, value (M, heads·D), output (heads·D, M) weights, and the norm's gain (M)."""
    if hasattr(layer, "attn"):  # GPT-2 multiplies from the right: its weights stand as they are
        query, key, value = layer.attn.c_attn.weight.chunk(3, dim=1)
        return query, key, value, layer.attn.c_proj.weight, layer.ln_1.weight
    own, norm = layer.self_attn, layer.input_layernorm
    gain = 1 + norm.weight if "Gemma" in type(norm).__name__ else norm.weight
    return own.q_proj.weight.mT, own.k_proj.weight.mT, own.v_proj.weight.mT, own.o_proj.weight.mT, gain


def _head_size(model: Any) -> int:
    config = model.config
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
