"""Hugging Face models under a topology: the same logits, generation, padding, training, and heads read from weights."""

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MistralConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from chorus.attention import MultiHeadAttention, read_heads, register, rotate
from chorus.attention.huggingface import attention_layers, output_projection
from chorus.errors import InputError

CONFIGS = {
    "gpt2": GPT2Config(
        n_embd=32, n_layer=2, n_head=4, vocab_size=61, n_positions=96, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0
    ),
    "llama": LlamaConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64,
        vocab_size=61, max_position_embeddings=96,
    ),
    "mistral": MistralConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64,
        vocab_size=61, max_position_embeddings=96, sliding_window=8,
    ),
}  # fmt: skip


def build(name: str, implementation: str, topology: str = "causal()", **changes: object) -> torch.nn.Module:
    register()
    config = type(CONFIGS[name])(**(CONFIGS[name].to_dict() | changes))
    config.chorus_topology = topology
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, attn_implementation=implementation).eval()


def tokens(n: int, batch: int = 2) -> Tensor:
    return torch.randint(0, 61, (batch, n), generator=torch.Generator().manual_seed(n))


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("n", [1, 7, 64])
def test_causal_logits_equal_sdpa(name: str, n: int) -> None:
    with torch.no_grad():
        wanted = build(name, "sdpa")(tokens(n)).logits
        torch.testing.assert_close(build(name, "chorus")(tokens(n)).logits, wanted, atol=1e-5, rtol=1e-5)


def test_a_window_equals_transformers_own_window() -> None:
    with torch.no_grad():
        wanted = build("mistral", "sdpa")(tokens(64)).logits
        found = build("mistral", "chorus", "sliding_window(8)", sliding_window=None)(tokens(64)).logits
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert (found - build("mistral", "chorus", sliding_window=None)(tokens(64)).logits).abs().max() > 1e-3


@pytest.mark.parametrize("topology", ["causal()", "sliding_window(8) | sink_tokens(2)", "logarithmic()"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_generation_with_a_cache_equals_recomputation(name: str, topology: str) -> None:
    model = build(name, "chorus", topology)
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    kept = model.generate(tokens(5), **options)
    again = model.generate(tokens(5), use_cache=False, **options)
    assert torch.equal(kept, again)
    if topology == "causal()":
        assert torch.equal(kept, build(name, "sdpa").generate(tokens(5), **options))


@pytest.mark.parametrize("topology", ["sliding_window(8) | sink_tokens(2)", "full()"])
def test_padding_on_either_side_changes_nothing(topology: str) -> None:
    model = build("llama", "chorus", topology)
    short, long = tokens(20, 1), tokens(33, 1)
    with torch.no_grad():
        alone = [model(x).logits[0] for x in (short, long)]
        for side in ("left", "right"):
            pad = torch.zeros(1, 13, dtype=torch.long)
            padded = torch.cat([pad, short] if side == "left" else [short, pad], 1)
            mask = torch.ones(2, 33, dtype=torch.long)
            real = slice(13, None) if side == "left" else slice(0, 20)
            mask[0] = 0
            mask[0, real] = 1
            positions = (mask.cumsum(1) - 1).clamp_min(0)
            out = model(torch.cat([padded, long]), attention_mask=mask, position_ids=positions).logits
            torch.testing.assert_close(out[0, real], alone[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(out[1], alone[1], atol=1e-5, rtol=1e-5)


def test_padded_generation_equals_each_alone() -> None:
    model = build("llama", "chorus", "sliding_window(6) | sink_tokens(2)")
    short, long = tokens(4, 1), tokens(11, 1)
    padded = torch.cat([torch.cat([torch.zeros(1, 7, dtype=torch.long), short], 1), long])
    mask = torch.ones_like(padded)
    mask[0, :7] = 0
    options = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    both = model.generate(padded, attention_mask=mask, **options)[:, 11:]
    for i, prompt in enumerate((short, long)):
        assert torch.equal(both[i], model.generate(prompt, **options)[0, prompt.shape[1] :])


def test_training_under_a_topology_lowers_the_loss() -> None:
    model = build("llama", "chorus", "sliding_window(8)").train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        loss = model(tokens(48), labels=tokens(48)).loss
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.6 * losses[0]


def test_the_topology_is_saved_with_the_model(tmp_path: pytest.TempPathFactory) -> None:
    model = build("llama", "chorus", "sliding_window(8)")
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="chorus").eval()
    with torch.no_grad():
        torch.testing.assert_close(again(tokens(30)).logits, model(tokens(30)).logits)


def test_what_a_topology_cannot_express_is_refused() -> None:
    model = build("llama", "chorus")
    model.config.chorus_topology = None
    with pytest.raises(InputError, match="names no topology"):
        model(tokens(5))
    model.config.chorus_topology = 7
    with pytest.raises(InputError, match="must be a Topology or its text, not int"):
        model(tokens(5, 1), attention_mask=torch.tensor([[0, 1, 1, 1, 1]]))
    with pytest.raises(InputError, match=r"attention dropout of 0.1"):
        build("gpt2", "chorus", attn_pdrop=0.1).train()(tokens(5))
    with pytest.raises(InputError, match="middle of a sequence"):
        build("llama", "chorus")(tokens(3, 1), attention_mask=torch.tensor([[1, 0, 1]]))
    with pytest.raises(InputError, match="4-D mask"):
        build("llama", "chorus")(tokens(3, 1), attention_mask=torch.ones(1, 1, 3, 3))


def test_rotary_equals_llamas() -> None:
    config = LlamaConfig(hidden_size=64, num_attention_heads=1, rope_theta=10000.0)
    x = torch.randn(1, 1, 300, 64, generator=torch.Generator().manual_seed(0))
    cos, sin = LlamaRotaryEmbedding(config)(x, torch.arange(300)[None])
    wanted, _ = apply_rotary_pos_emb(x, x, cos, sin)
    torch.testing.assert_close(rotate(x, torch.arange(300)), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_heads_read_from_weights_write_what_the_layer_writes(name: str) -> None:
    model = build(name, "sdpa")
    heads = read_heads(model, fold_norm=False)
    layer = attention_layers(model)[1]
    seen: dict[str, Tensor] = {}
    output_projection(layer).register_forward_hook(lambda _, args, out: seen.update(blends=args[0], out=out))
    with torch.no_grad():
        model(tokens(20))
    blends = seen["blends"].unflatten(-1, (4, 8)).transpose(1, 2)
    bias = getattr(output_projection(layer), "bias", None)
    total = (blends @ heads[1].output).sum(1) + (0 if bias is None else bias)
    torch.testing.assert_close(total, seen["out"], atol=1e-5, rtol=1e-5)


def test_folding_the_norm_scales_what_is_read() -> None:
    model = build("llama", "sdpa")
    gain = attention_layers(model)[0].input_layernorm.weight
    with torch.no_grad():
        gain.copy_(torch.linspace(0.5, 2, 32))
    plain, folded = read_heads(model, fold_norm=False)[0], read_heads(model)[0]
    x = torch.randn(32)
    torch.testing.assert_close(x @ folded.key[3], (x * gain) @ plain.key[3])
    torch.testing.assert_close(folded.output, plain.output)


def test_a_module_with_llamas_weights_is_llamas_attention() -> None:
    model = build("llama", "sdpa")
    own = model.model.layers[0].self_attn
    ours = MultiHeadAttention(32, 4, key_heads=2, topology="causal()", rotary=10000.0)
    for mine, theirs in (("query", "q"), ("key", "k"), ("value", "v"), ("output", "o")):
        getattr(ours, mine).weight.data.copy_(getattr(own, f"{theirs}_proj").weight.data)
    x = torch.randn(2, 20, 32)
    positions = model.model.rotary_emb(x, torch.arange(20)[None])
    with torch.no_grad():
        wanted, _ = own(x, position_embeddings=positions, attention_mask=None)
        torch.testing.assert_close(ours(x), wanted, atol=1e-5, rtol=1e-5)


def test_models_of_other_types_are_refused() -> None:
    with pytest.raises(InputError, match="neither a GPT-2- nor a Llama-type model"):
        read_heads(torch.nn.Linear(2, 2))
