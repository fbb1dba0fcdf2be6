"""`chorus circuits`: what a model's attention heads compute and write."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from chorus.cli.options import check_writable
from chorus.errors import InputError


def circuits(
    model: Annotated[str, typer.Argument(help="A local folder or a hub id of a GPT-2- or Llama-type model.")],
    text: Annotated[str | None, typer.Option(help="Text to measure the residual stream on.")] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Random tokens to measure it on when no text is given.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random tokens.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Draw shares, copying and overlaps to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print every attention head's circuits: norms, copying, write share, nearest subspace, strongest source."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from chorus.attention.survey import draw, survey

    if plot is not None:
        check_writable(plot, "--plot", (".png", ".svg", ".pdf"))
    loaded = _load(model)
    if text is not None:
        chosen = torch.tensor([_tokenizer(model)(text)["input_ids"]], dtype=torch.int64)
        if not chosen.numel():
            raise InputError("--text holds no token: give a sentence, or leave it out for random tokens")
    else:
        limit = getattr(loaded.config, "max_position_embeddings", tokens)
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randint(0, loaded.config.vocab_size, (1, min(tokens, limit)), generator=generator)
    found = survey(loaded, chosen)
    if plot is not None:
        draw(found, str(plot))
    if as_json:
        typer.echo(json.dumps(found.to_json()))
        return
    what = "tokens of text" if text is not None else f"random tokens (seed {seed})"
    typer.echo(
        f"{model}: {len(found.heads)} heads of {found.head_width} features in a stream of {found.width}. "
        f"On {found.tokens} {what} the stream has effective rank {found.stream_rank:.1f} "
        f"of at most {min(found.tokens, found.width)}, and heads wrote {found.heads_share:.1%} of it."
    )
    table = Table("head", "‖QK‖", "‖OV‖", "copying", "share", "nearest writer", "overlap", "reads most from", "score")
    for head in found.heads:
        near = "–" if head.nearest is None else f"{head.nearest[0]}.{head.nearest[1]}"
        source = "–" if head.source is None else f"{head.source[0]}.{head.source[1]}→{head.kind}"
        table.add_row(
            f"{head.layer}.{head.head}", f"{head.qk_norm:.2f}", f"{head.ov_norm:.2f}", f"{head.copying:+.2f}",
            f"{head.share:+.2%}", near, "–" if head.nearest is None else f"{head.overlap:.3f}", source,
            "–" if head.source is None else f"{head.composition:.3f}",
        )  # fmt: skip
    Console().print(table)
    typer.echo(
        f"Two random subspaces overlap by {found.head_width / found.width:.3f}; "
        f"random circuits compose by about {found.width**-0.5:.3f}. "
        "1.0→q: what head 1.0 writes is read as queries (k keys, v values)."
    )


def _load(name: str) -> Any:
    """Return the model, its weights all read from where it lies: a head that was not there would be random."""
    try:
        from transformers import AutoModel
        from transformers.utils import logging
    except ImportError as error:
        raise InputError('reading models needs transformers: pip install "the-chorus[hf]"') from error
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    if not name:
        raise InputError("no model is named: give a folder or a hub id")
    if Path(name).is_file():
        raise InputError(f"{name} is a file: give the folder that it lies in")
    if not Path(name).exists():
        if name.startswith((".", "/", "~")) or name.count("/") > 1:
            raise InputError(f"{name}: there is no such folder")
        typer.echo(f"{name} is no folder here: asking the Hugging Face hub for it", err=True)
    with _reading(name, "model"):
        model, told = AutoModel.from_pretrained(name, output_loading_info=True, ignore_mismatched_sizes=True)
    missing, other = sorted(told["missing_keys"]), sorted(key for key, *_ in told["mismatched_keys"])
    if missing or other:
        what = f"{len(missing)} weights are missing" if missing else f"{len(other)} weights have another shape"
        raise InputError(
            f"{name}: {what} that its config.json speaks of, the first {(missing or other)[0]}: does the config belong "
            "to these weights?"
        )
    model.requires_grad_(False).train(False)
    return model


def _tokenizer(name: str) -> Any:
    from transformers import AutoTokenizer

    with _reading(name, "tokenizer"):
        return AutoTokenizer.from_pretrained(name)


@contextmanager
def _reading(name: str, what: str) -> Iterator[None]:
    """Name the folder where reading it fails: transformers and the file formats under it raise what they like."""
    try:
        yield
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(f"{name}: no {what} could be loaded from there ({reason.strip()})") from error
