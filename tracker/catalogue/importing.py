"""Published checkpoints of torch as files of ours, which state what they are and hold no pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tracker.catalogue.entries import Entry, read_catalogue
from tracker.catalogue.store import COMMAND
from tracker.errors import ModelError
from tracker.outputs import check_apart, check_output, writing
from tracker.pose.checkpoints import CHECKPOINT_SUFFIXES, load_published
from tracker.pose.settings import settings_as_text, settings_path
from tracker.weights import read_metadata, sha256_of

# What a file of ours states beside its network, and no checkpoint leaves out.
_STATED = ("skeleton", "color", "mean", "std", "input_size")


def import_checkpoint(path: Path, output: Path | None = None, overwrite: bool = False) -> tuple[Path, str]:
    """Write a checkpoint's weights, as they are, as .safetensors; the file, and what the checkpoint was found to be.

    output: None for the checkpoint's name, here. What it is is read off its content: by its sha256, or by names and
    shapes of its weights, as `load_published` does; no code in it is run. Raises what that does, ModelError for the
    checkpoint of a network that runs as ONNX alone, OutputError for a file that must not be written.
    """
    output = output or Path(f"{settings_path(path).stem}.safetensors")
    check_apart(output, path)
    check_output(output, overwrite)
    if not path.name.endswith(CHECKPOINT_SUFFIXES):
        remedy = f"for what the catalogue has, run: {COMMAND} fetch NAME --mirror FOLDER"
        raise ModelError(f"{path} is no checkpoint of torch; {remedy}")
    if "network" in read_metadata(path):
        raise ModelError(f"{path} states already what it is; name it as it is")
    entry = _known(path)
    if entry and entry.suffix != ".pth":
        raise ModelError(f"{path} is {entry.name}, which runs as ONNX alone; run: {COMMAND} fetch {entry.name}")
    model, found = load_published(path)
    if missing := [name for name in _STATED if name not in found]:
        raise ModelError(f"{path} leaves its {', '.join(missing)} open; write them into {settings_path(path)}")
    name = type(model).__name__
    metadata = {
        "network": name,
        "arguments": json.dumps(model.arguments),
        **settings_as_text(found),
    }
    _write(model, metadata | {"source": path.name, "source_sha256": sha256_of(path)}, output)
    size = "×".join(map(str, found["input_size"]))
    return output, f"{entry.name if entry else name}, {found['skeleton'].name}, {size} px, {found['color']}"


def _known(path: Path) -> Entry | None:
    """Which network of the catalogue a file is, by its content: OpenMMLab names all files after the checkpoint's."""
    digits = f"-{sha256_of(path)[:8]}" if path.is_file() else None
    return next((entry for entry in read_catalogue().values() if digits and digits in entry.file), None)


def _write(model: Any, metadata: dict[str, str], output: Path) -> None:
    from safetensors.torch import save_file

    with writing(output) as partial:
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, partial, metadata)
