"""Circuits against the matrices they stand for, and heads that add up."""

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, LlamaConfig, PhiConfig, PreTrainedTokenizerFast

from chorus.attention import (
    FactoredMatrix,
    HeadWeights,
    MultiHeadAttention,
    attend,
    composition,
    copying,
    effective_rank,
    orthonormal,
    principal_angles,
    subspace_overlap,
    write_shares,
)
from chorus.attention.survey import survey
from chorus.errors import InputError


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def test_a_factored_matrix_is_its_product() -> None:
    a, b = FactoredMatrix(random(3, 20, 4), random(3, 4, 20)), FactoredMatrix(random(3, 20, 5), random(3, 5, 11))
    dense, other = a.left @ a.right, b.left @ b.right
    u, s, vt = a.svd()
    torch.testing.assert_close(u @ torch.diag_embed(s) @ vt, dense)
    torch.testing.assert_close(s, torch.linalg.svdvals(dense)[:, :4])
    assert u.shape == (3, 20, 4)
    torch.testing.assert_close(a.norm(), torch.linalg.matrix_norm(dense))
    torch.testing.assert_close(a.trace(), dense.diagonal(dim1=-2, dim2=-1).sum(-1))
    wanted = torch.linalg.eigvals(dense)
    for row, mine in enumerate(a.eigenvalues()):
        largest = wanted[row][wanted[row].abs().argsort()[-4:]]
        assert all((largest - x).abs().min() < 1e-9 for x in mine)
    product = a @ b
    torch.testing.assert_close(product.left @ product.right, dense @ other)
    assert product.left.shape[-1] == 4
    turned = b.transpose()
    torch.testing.assert_close(turned.left @ turned.right, other.mT)
    with pytest.raises(InputError, match="no eigenvalues"):
        b.eigenvalues()
    with pytest.raises(InputError, match="do not multiply"):
        FactoredMatrix(random(3, 4), random(5, 3))


def test_principal_angles_of_known_planes() -> None:
    angle = 1e-9
    e = torch.eye(6, dtype=torch.float64)
    a = e[:, :2]
    b = torch.stack([math.cos(angle) * e[0] + math.sin(angle) * e[2], math.cos(1.2) * e[1] + math.sin(1.2) * e[3]], 1)
    found = principal_angles(a, b)
    assert found[0].item() == pytest.approx(angle, rel=1e-6)
    assert found[1].item() == pytest.approx(1.2)
    assert subspace_overlap(a, b).item() == pytest.approx((1 + math.cos(1.2) ** 2) / 2)
    rotated = b @ torch.linalg.qr(random(2, 2))[0]  # another basis of the same plane
    torch.testing.assert_close(principal_angles(a, rotated), found, atol=1e-12, rtol=1e-6)
    from scipy.linalg import subspace_angles

    x, y = random(30, 5), random(30, 8)
    ours = principal_angles(orthonormal(x), orthonormal(y))
    torch.testing.assert_close(ours.flip(-1), torch.from_numpy(subspace_angles(x.numpy(), y.numpy())))


def test_composition_against_dense_products() -> None:
    first, later = (
        HeadWeights(
            query=random(3, 24, 4), key=random(3, 24, 4) + 1, value=random(3, 24, 4) + s, output=random(3, 4, 24)
        )
        for s in (0, 1)
    )
    for earlier, reader in ((first.ov(), later.qk()), (first.ov(), later.qk().transpose()), (first.ov(1), later.ov())):
        scores = composition(earlier, reader)
        a, b = (earlier.left @ earlier.right).view(-1, 24, 24), reader.left @ reader.right
        for i, x in enumerate(a):
            for j, y in enumerate(b):
                wanted = (x @ y).norm() / (x.norm() * y.norm())
                torch.testing.assert_close(scores.view(-1, 3)[i, j], wanted)
    torch.testing.assert_close(composition(first.ov(1), later.ov(2)), scores[2])


def test_copying_is_one_for_a_head_that_copies() -> None:
    basis = orthonormal(random(20, 4))
    assert copying(FactoredMatrix(basis, basis.T)).item() == pytest.approx(1)
    assert copying(FactoredMatrix(basis, -basis.T)).item() == pytest.approx(-1)


@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_concatenating_and_summing_heads_are_the_same_map(key_heads: int) -> None:
    torch.manual_seed(0)
    module = MultiHeadAttention(32, 4, key_heads=key_heads, topology="sliding_window(5)", rotary=100.0).double()
    x = torch.randn(2, 150, 32, dtype=torch.float64)
    torch.testing.assert_close(module.writes(x).sum(1), module(x))
    # A head's scores and writes are its circuits applied to the stream.
    plain = MultiHeadAttention(32, 4, key_heads=key_heads, topology="causal()").double()
    weights = plain.weights()
    for head in (0, 3):
        qk, ov = plain.qk(head), plain.ov(head)
        scores = (x @ qk.left) @ (qk.right @ x.mT) / 8**0.5
        later = ~torch.ones(150, 150, dtype=torch.bool).tril()
        pattern = scores.masked_fill(later, -torch.inf).softmax(-1)
        torch.testing.assert_close(plain.writes(x)[:, head], pattern @ ((x @ ov.left) @ ov.right))
        write = plain.writes(x)[:, head]
        basis = weights.write_subspace(head)
        torch.testing.assert_close(write @ basis @ basis.T, write)


def test_attention_is_linear_given_its_pattern() -> None:
    q, k, v = random(1, 2, 40, 8), random(1, 2, 40, 8) + 1, random(1, 2, 40, 8)
    other = random(1, 2, 40, 8) ** 2
    both = attend(q, k, 2 * v + other, "causal()")
    torch.testing.assert_close(both, 2 * attend(q, k, v, "causal()") + attend(q, k, other, "causal()"))


def test_ranks_and_shares() -> None:
    assert effective_rank(torch.ones(50, 8)) == pytest.approx(1)
    assert effective_rank(orthonormal(random(50, 8))) == pytest.approx(8)
    writes = random(5, 30, 8)
    shares = write_shares(writes, writes.sum(0))
    assert shares.sum().item() == pytest.approx(1)
    cancelling = torch.stack([writes[0], -writes[0] / 2])
    assert write_shares(cancelling, cancelling.sum(0)).tolist() == pytest.approx([2, -1])


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
        vocab_size=50, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("model")
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def test_a_survey_finds_a_planted_head(model_folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    own = model.model.layers[2].self_attn
    with torch.no_grad():
        # Head 2.1 writes where head 0.3 writes, and reads as keys what head 1.0 writes; it shares keys with head 2.0.
        own.o_proj.weight[:, 8:16] = model.model.layers[0].self_attn.o_proj.weight[:, 24:32]
        own.k_proj.weight[:8] = model.model.layers[1].self_attn.o_proj.weight[:, :8].T
    found = survey(model, torch.arange(40)[None])
    planted = found.heads[9]
    assert (planted.layer, planted.head, planted.nearest) == (2, 1, (0, 3))
    assert planted.overlap == pytest.approx(1, abs=1e-5)
    assert (planted.source, planted.kind) == ((1, 0), "k")
    # What the heads did not write, embeddings and feed-forward layers did: the shares of all add up to one.
    seen: list[torch.Tensor] = []
    for layer in model.model.layers:
        layer.mlp.register_forward_hook(lambda _, args, out: seen.append(out[0]))
    model.model.norm.register_forward_pre_hook(lambda _, args: seen.append(args[0][0]))
    with torch.no_grad():
        model(torch.arange(40)[None])
        rest = write_shares(torch.stack([model.model.embed_tokens(torch.arange(40)), *seen[:3]]), seen[3])
    assert found.heads_share + rest.sum().item() == pytest.approx(1, abs=1e-4)


Chorus = Callable[..., tuple[int, str, str]]


def test_the_command(chorus: Chorus, model_folder: Path, tmp_path: Path) -> None:
    picture = tmp_path / "circuits.png"
    code, out, err = chorus("circuits", str(model_folder), "--tokens", "30", "--plot", str(picture))
    assert code == 0, err
    assert "12 heads of 8 features in a stream of 32" in out
    assert picture.read_bytes()[:4] == b"\x89PNG"
    told = json.loads(chorus("circuits", str(model_folder), "--json")[1])
    assert len(told["heads"]) == len(told["overlaps"]) == 12
    assert told["tokens"] == 128


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{}/nowhere"], "there is no such folder"),
        (["{}/.."], "no model could be loaded"),
        (["{}", "--plot", "picture.txt"], "ends in .png, .svg or .pdf"),
        (["{}", "--plot", "nowhere/picture.png"], "there is no folder nowhere"),
        (["{}/config.json"], "is a file: give the folder"),
        ([""], "give a folder or a hub id"),
        (["{}", "--text", "one"], "no tokenizer could be loaded"),
    ],
)
def test_bad_commands(chorus: Chorus, model_folder: Path, arguments: list[str], message: str) -> None:
    code, _, err = chorus("circuits", *(argument.format(model_folder) for argument in arguments))
    assert code == 2
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", b"\x00" * 40, "no model could be loaded"),
        ("config.json", {"num_hidden_layers": 5}, "18 weights are missing .* the first layers.3"),
        ("config.json", {"intermediate_size": 50}, "9 weights have another shape .* the first layers.0.mlp.down_proj"),
    ],
)
def test_a_model_that_is_not_all_there_is_refused(
    name: str, content: object, message: str, chorus: Chorus, model_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    if isinstance(content, bytes):
        (folder / name).write_bytes(content)
    else:
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | content))
    code, _, err = chorus("circuits", str(folder))
    assert code == 2, err
    assert re.search(message, err)
    assert "Traceback" not in err


def test_text_is_read_with_the_models_tokenizer(chorus: Chorus, model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    words = {"one": 0, "two": 1, "none": 60}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="one"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    assert "On 3 tokens of text" in chorus("circuits", str(folder), "--text", "two one two")[1]
    for text, message in (("", "--text holds no token"), ("none", "tokens 60 to 60 are not all among the model's 50")):
        code, _, err = chorus("circuits", str(folder), "--text", text)
        assert (code, message in err) == (2, True), err


def test_a_survey_of_an_only_head_and_of_a_pruned_one(model_folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    with torch.no_grad():
        model.model.layers[0].self_attn.o_proj.weight[:, 8:16] = 0
    told = survey(model, torch.arange(20)[None]).to_json()
    json.dumps(told, allow_nan=False)
    assert told["heads"][1]["copying"] == 0
    assert all(head["source"] is not None for head in told["heads"][4:])
    one = LlamaConfig(**(model.config.to_dict() | {"num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 32}))
    one.num_hidden_layers = 1
    (head,) = survey(AutoModelForCausalLM.from_config(one), torch.arange(20)[None]).heads
    assert (head.nearest, head.overlap) == (None, 0)


def test_a_model_that_norms_what_its_heads_write_is_refused() -> None:
    config = Gemma2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
        vocab_size=50, head_dim=8,
    )  # fmt: skip
    with pytest.raises(InputError, match="layer 0 of Gemma2ForCausalLM norms or scales"):
        survey(AutoModelForCausalLM.from_config(config), torch.arange(20)[None])
    phi = PhiConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=48, vocab_size=50)
    with pytest.raises(InputError, match="PhiAttention has no o_proj"):
        survey(AutoModelForCausalLM.from_config(phi), torch.arange(20)[None])


def test_more_tokens_than_positions_are_refused(model_folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_folder, max_position_embeddings=16)
    with pytest.raises(InputError, match="16 positions, and these are 17 tokens"):
        survey(model, torch.arange(17)[None])


def test_zeros_have_no_direction() -> None:
    zero, some = FactoredMatrix(random(8, 2) * 0, random(2, 8)), FactoredMatrix(random(8, 2), random(2, 8))
    assert (copying(zero).item(), composition(zero, some).item(), composition(some, zero).item()) == (0, 0, 0)
    assert effective_rank(torch.zeros(4, 3)) == pytest.approx(1)
