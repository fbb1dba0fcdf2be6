"""Minds on disk: `config.json` and `model.safetensors`, which cannot carry code; written atomically.

`config.json` holds the architecture, the task (with its alphabets), how the mind thinks where nobody says otherwise,
the record of the training, and what was measured. A training run keeps a third file, `training.safetensors`, from which
it resumes.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from chorus.errors import ChorusError, InputError
from chorus.thought.config import MindConfig, ThinkConfig
from chorus.thought.model import Mind
from chorus.thought.tasks import TASK_NAMES, Task, task_from_dict

CONFIG, WEIGHTS, TRAINING = "config.json", "model.safetensors", "training.safetensors"
FORMAT = "chorus-mind-1"
_WRITING_SECONDS = 60  # no file of a mind takes longer to write


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A mind, the task it was made for, and how it was trained.

    Attributes:
        mind: the model.
        task: alphabets, relations, and the rules where the task has any.
        record: training settings and results, as JSON-ready values.
        settings: settings of `ThinkConfig` that suit this mind better than the defaults.
        measured: results by name, as JSON-ready values.
    """

    mind: Mind
    task: Task
    record: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)

    @property
    def think(self) -> ThinkConfig:
        """How this mind thinks where nobody says otherwise."""
        return ThinkConfig.from_dict(self.settings)

    def save(self, folder: Path) -> None:
        """Write `config.json` and `model.safetensors`; each is replaced at once or not at all.

        Raises:
            ChorusError: the folder cannot be written (no rights, disk full).
        """
        config = {
            "format": FORMAT,
            "task": self.task.to_dict(),
            "model": self.mind.config.to_dict(),
            "think": dict(self.settings),
            "training": dict(self.record),
            "measured": dict(self.measured),
        }
        write_tensors(
            folder / WEIGHTS, {name: value.cpu().contiguous() for name, value in self.mind.state_dict().items()}
        )
        write_atomically(folder / CONFIG, (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode())

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload the two files to a Hugging Face model repository; returns the commit's address."""
        from huggingface_hub import HfApi

        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder))
            api = HfApi()
            api.create_repo(repo_id, exist_ok=True)
            return str(api.upload_folder(repo_id=repo_id, folder_path=folder, **options))


def load_checkpoint(place: str | Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a mind from a folder, the name of a shipped model, or a Hugging Face model id.

    Args:
        place: a folder; "sudoku" or "maze" for the models in the box; else `owner/name` on the hub.
        device: where to put the weights.

    Raises:
        InputError: nothing there, or files that are damaged or do not fit each other.
    """
    folder = _locate(str(place))
    config_file, weights_file = folder / CONFIG, folder / WEIGHTS
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder}: no {CONFIG} there; a model is a folder with {CONFIG} and {WEIGHTS}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{config_file}: cannot be read as JSON: {error}") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise InputError(f'{config_file}: not the settings of a mind (expected "format": "{FORMAT}")')
    try:
        task = task_from_dict(config["task"])
        settings = MindConfig.from_dict(config["model"])
        _check_fit(settings, task)
        ThinkConfig.from_dict(config.get("think", {}))
        mind = Mind(settings)
    except (KeyError, TypeError) as error:
        raise InputError(f"{config_file}: incomplete: {error}") from None
    except (RuntimeError, MemoryError, OverflowError) as error:
        raise InputError(f"{config_file}: a model of these sizes cannot be built: {error}") from None
    except InputError as error:
        raise InputError(f"{config_file}: {error}") from None
    weights = read_tensors(weights_file)
    try:
        mind.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise InputError(f"{weights_file}: the weights do not fit {CONFIG}: {first}") from None
    return Checkpoint(
        mind=mind.to(device).eval(),
        task=task,
        settings=config.get("think", {}),
        record=config.get("training", {}),
        measured=config.get("measured", {}),
    )


def _check_fit(config: MindConfig, task: Task) -> None:
    """Raise `InputError` for a model that cannot read the task's questions or write its answers."""
    wanted = MindConfig.for_task(task)
    for name in ("cells", "input_size", "output_size", "kept"):
        found, expected = getattr(config, name), getattr(wanted, name)
        if found != expected:
            raise InputError(f"the model does not fit the task {task.name}: {name} is {found}; the task has {expected}")


def shipped_models() -> dict[str, Path]:
    """Return the models in the box by name."""
    root = Path(__file__).with_name("models")
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{CONFIG}"))}


def _locate(place: str) -> Path:
    if Path(place).exists():
        if not Path(place).is_dir():
            raise InputError(f"{place}: is a file; a model is a folder with {CONFIG} and {WEIGHTS}")
        return Path(place)
    shipped = shipped_models()
    if place in shipped:
        return shipped[place]
    if place.count("/") != 1 or place.startswith((".", "/", "~")):
        names = ", ".join(shipped)
        if place in TASK_NAMES:
            raise InputError(
                f"{place}: no model for this task is in the box (there are {names}); "
                f"train one with: chorus train --task {place} --out FOLDER"
            )
        raise InputError(
            f"{place}: no such model; give a folder, a shipped model ({names}), or an owner/name on the hub"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(place, allow_patterns=[CONFIG, WEIGHTS]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise InputError(f"{place}: no such folder, and the hub did not provide it: {why}") from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors, atomically."""
    write_atomically(path, save(dict(tensors)))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; a missing, truncated or foreign one raises `InputError`."""
    try:
        return load(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{path}: damaged or not a safetensors file: {error}") from None


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file by new content at once: it holds the old or the new, whenever the process dies.

    Raises:
        ChorusError: it cannot be written; the old content stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear(path)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ChorusError(f"{path}: cannot be written ({error.strerror or error}); the file is as it was") from None


def _clear(path: Path) -> None:
    """Remove what processes left that were killed while they wrote this file; what is being written now is younger."""
    for left_over in path.parent.glob(f".{path.name}.{'?' * 8}"):
        with suppress(FileNotFoundError):  # another process clears as well
            if left_over.stat().st_mtime < time.time() - _WRITING_SECONDS:
                left_over.unlink()
