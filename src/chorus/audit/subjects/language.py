"""Language models to audit: read from a folder, or made from a configuration and trained here for a moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chorus.audit.readers import read_text
from chorus.errors import InputError

if TYPE_CHECKING:
    import torch

SEQUENCES, LENGTH = 16, 32
LONGEST = 512  # tokens of a sequence that a model folder is run on
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


@dataclass(frozen=True, eq=False)
class Recipe:
    """How to make a small model here.

    Attributes:
        name: of the subject.
        told: what is made, in words.
        model: from the transformers library to a model with random weights.
        batch: from a generator to token ids (sequences, length) that the model learns.
        steps: of training.
        run: sequences of a further batch that the finished model is run on.
        skip: leading positions that nothing predicts.

    """

    name: str
    told: str
    model: Callable[[Any], Any]
    batch: Callable[[torch.Generator], torch.Tensor]
    steps: int
    run: int
    skip: int = 0


@dataclass(frozen=True, eq=False)
class Specimen:
    """A model ready to run, the token ids (sequences, length) to run it on, and where both come from, in words."""

    name: str
    told: str
    model: Any
    ids: torch.Tensor


def prepare(recipe: Recipe, folder: str | None, inputs: str | None, seed: int) -> Specimen:
    """Read a model from a folder, or make the recipe's where there is none.

    Args:
        recipe: what to make without a folder.
        folder: a Hugging Face model folder.
        inputs: a text file for the folder's tokenizer; random tokens when None.
        seed: of made weights and of random tokens.

    Raises:
        InputError: the folder or the inputs cannot be read, or there are inputs without a folder.

    """
    import torch

    if folder is None:
        if inputs is not None:
            raise InputError("--inputs needs a model folder with a tokenizer; the generated model has its own inputs")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = _train(recipe.model(transformers()), recipe, seed)
        ids = recipe.batch(torch.Generator().manual_seed(seed + 1))[: recipe.run]
        return Specimen(recipe.name, f"{recipe.told}, trained for {recipe.steps} steps", model, ids)
    model = load(folder)
    longest = getattr(model.config, "max_position_embeddings", None) or LENGTH
    ids = read_inputs(folder, inputs, model.config.vocab_size, min(longest, LONGEST), seed)
    told = f"{type(model).__name__} read from {folder}, run on {len(ids)} × {ids.shape[1]} tokens of "
    return Specimen(folder, told + (inputs or "random tokens"), model, ids)


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


def read_inputs(folder: str, inputs: str | None, vocabulary: int, longest: int, seed: int) -> torch.Tensor:
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


def _train(model: Any, recipe: Recipe, seed: int) -> Any:
    """Train a model on a recipe's sequences (AdamW, learning rate 3e-3) and return it ready to run."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(recipe.steps):
        ids = recipe.batch(generator)
        targets = ids.clone()
        targets[:, : recipe.skip + 1] = -100
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
