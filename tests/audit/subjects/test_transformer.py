"""A GPT-2 and a Llama whose heads and layers are removed while they run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from chorus.audit import Subject, build
from chorus.audit.subjects.transformer import Dissection

transformers = pytest.importorskip("transformers")
Auditing = Callable[[Subject], Any]  # of the fixture `audited`


@pytest.fixture(scope="module")
def transformer() -> Subject:
    return build("transformer")


def test_a_transformer_loses_what_its_heads_give(transformer: Subject) -> None:
    function = transformer.function
    assert function is not None
    assert function.score(frozenset()) == pytest.approx(1, abs=1e-6)
    scores = {name: function.score(frozenset({name})) for name in function.candidates}
    assert scores["layer 0"] < min(score for name, score in scores.items() if name.startswith("head"))
    assert scores["layer 0"] < 0.8  # it was trained to need attention
    assert all(0 <= score <= 1.000001 for score in scores.values())
    both = function.score(frozenset({"head 0.0", "head 0.1", "head 0.2", "head 0.3", "mlp 0"}))
    assert both == pytest.approx(scores["layer 0"])
    assert function.score(frozenset()) == pytest.approx(1, abs=1e-6)  # nothing is left behind by the removals


def test_removing_a_head_is_zeroing_its_slice_of_the_output_projection() -> None:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=20, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=16, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval()
    ids = torch.randint(0, 20, (2, 10))
    parts = Dissection(model, ids)
    without = parts.run([(1, 2)], [])
    with torch.no_grad():
        weight = model.model.layers[1].self_attn.o_proj.weight
        weight[:, 2 * 8 : 3 * 8] = 0
        expected = model(ids).logits.softmax(-1)
    torch.testing.assert_close(without, expected)
    assert float((parts.intact - without).abs().max()) > 1e-4


def test_contributions_add_up_to_what_attention_writes() -> None:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=12, n_positions=8, n_embd=16, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=0
    )
    parts = Dissection(transformers.GPT2LMHeadModel(config).eval(), torch.randint(0, 12, (3, 8)))
    with torch.no_grad():
        projection = parts.outputs[0]
        whole = projection(parts.kept[0, "heads"]) - projection.bias
    np.testing.assert_allclose(parts.contributions()["head 0.0"], whole.norm(dim=-1).flatten().double(), rtol=1e-5)


def test_shared_tensors_are_resources_of_a_transformer(transformer: Subject, gpt2: Any, audited: Auditing) -> None:
    names = {resource.name: resource.users for resource in transformer.resources}
    assert names["tied embedding tensor"] == ("embedding", "unembedding")
    assert set(names["residual stream"]) == set(transformer.elements)
    found = audited(transformer)
    assert found.values("AUD005")[("residual stream",)] == 1
    assert ("head 0.0",) not in found.values("AUD001")
    total = sum(transformer.loads["parameters"])
    # Everything but positions and layer norms is accounted for.
    assert 0.9 < total / sum(p.numel() for p in gpt2.parameters()) <= 1
