"""Language models to audit: read from a folder, or made from a configuration and trained here for a moment."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chorus.audit.readers import read_text
from chorus.errors import InputError

if TYPE_CHECKING:
    import torch

SEQUENCES, LENGTH = 16, 32
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def transformers() -> Any:
    """Return the transformers library, quiet.

    Raises:
        InputError: it is not installed.

    """
    try:
        library: Any = import_module("transformers")
    except ImportError:
        raise InputError("language models need transformers: pip install 'the-chorus[hf]'") from None
    library.logging.set_verbosity_error()
    library.logging.disable_progress_bar()
    return library


def load(folder: str) -> Any:
    """Load a causal language model from a folder of safetensors, nothing fetched, no code run from it.

    Raises:
        InputError: there is no such folder, or no such model in it.

    """
    path = Path(folder)
    if not (path / "config.json").is_file():
        raise InputError(f"{folder}: no model folder; it needs a config.json and safetensors weights")
    try:
        model = transformers().AutoModelForCausalLM.from_pretrained(
            path, local_files_only=True, use_safetensors=True, trust_remote_code=False, attn_implementation="eager"
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(
            f"{folder}: not a causal language model that can be read: {str(error).splitlines()[0]}"
        ) from None
    return model.float().eval()


def read_inputs(folder: str | None, inputs: str | None, vocabulary: int, longest: int, seed: int) -> torch.Tensor:
    """Return token ids (sequences, length): a text file's lines through the folder's tokenizer, or random ids.

    Args:
        folder: the model's folder.
        inputs: a text file, one sequence a line; None for random ids.
        vocabulary: number of token ids.
        longest: the longest sequence the model takes.
        seed: of the random ids.

    Raises:
        InputError: the file is empty, or the folder has no tokenizer.

    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    if inputs is None:
        return torch.randint(0, vocabulary, (SEQUENCES, min(LENGTH, longest)), generator=generator)
    if folder is None:
        raise InputError("--inputs needs a model folder with a tokenizer; the generated model has its own inputs")
    if not any((Path(folder) / name).is_file() for name in TOKENIZERS):
        raise InputError(f"{folder}: no tokenizer for --inputs in it (none of {', '.join(TOKENIZERS)})")
    try:
        tokenizer = transformers().AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder}: no tokenizer that can be read: {str(error).splitlines()[0]}") from None
    rows = [tokenizer(line)["input_ids"][:longest] for line in read_text(inputs).split("\n") if line.strip()]
    length = min((len(row) for row in rows), default=0)
    if length < 2:
        raise InputError(f"{inputs}: needs lines of at least two tokens")
    return torch.tensor([row[:length] for row in rows[: 4 * SEQUENCES]])


def train(model: Any, batch: Callable[[torch.Generator], torch.Tensor], steps: int, seed: int, skip: int = 0) -> Any:
    """Train a causal language model on made sequences for some steps and return it ready to run.

    Args:
        model: a causal language model.
        batch: from a generator to token ids (batch, length).
        steps: AdamW steps at learning rate 3e-3.
        seed: of the sequences.
        skip: leading positions that nothing predicts.

    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        ids = batch(generator)
        targets = ids.clone()
        targets[:, : skip + 1] = -100
        optimizer.zero_grad()
        model(ids, labels=targets).loss.backward()
        optimizer.step()
    return model.eval()


def overlap(p: torch.Tensor, q: torch.Tensor) -> float:
    """Return how far two sets of next-token distributions agree: 1 − total variation distance, averaged.

    Args:
        p: (..., vocabulary) probabilities.
        q: the same shape.

    """
    return float(1 - (p - q).abs().sum(dim=-1).mean() / 2)
