"""Models read from folders with their tokenizers, and how far two of them agree."""

from pathlib import Path
from typing import Any

import pytest
import torch

from chorus.audit import build
from chorus.audit.subjects.language import overlap
from chorus.errors import InputError

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")


@pytest.mark.parametrize("kind", ["transformer", "moe"])
def test_models_are_read_from_folders(tmp_path: Path, kind: str, gpt2: Any, mixtral: Any) -> None:
    model = gpt2 if kind == "transformer" else mixtral
    model.save_pretrained(tmp_path)
    subject = build(kind, str(tmp_path))
    assert subject.function is not None
    assert subject.function.score(frozenset()) == pytest.approx(1, abs=1e-6)
    if kind == "transformer":
        with pytest.raises(InputError, match="no top-k router"):
            build("moe", str(tmp_path))
    lines = tmp_path / "lines.txt"
    lines.write_text("a b c\nb c a\n")
    with pytest.raises(InputError, match="no tokenizer"):
        build(kind, str(tmp_path), inputs=str(lines))
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1, "c": 2, "?": 3}, unk_token="?"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?").save_pretrained(tmp_path)
    told = build(kind, str(tmp_path), inputs=str(lines))
    assert told.activity is not None
    assert len(told.activity) == 6  # two lines of three tokens
    assert "lines.txt" in told.model


def test_overlap_is_one_minus_total_variation() -> None:
    p, q = torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    assert overlap(p, q) == 0.5
    assert overlap(p, p) == 1
