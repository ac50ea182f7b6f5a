"""Which prediction file belongs to which ground truth."""

from __future__ import annotations

from pathlib import Path

from tracker.errors import InputError, UsageError
from tracker.outputs import counted


def pair_files(gt: Path, pred: Path) -> tuple[list[tuple[Path, Path]], str | None]:
    """The files of ground truth and predictions by name, and what is to be said about them.

    Both may be folders of .json files, or gt a file and pred its prediction or the folder of it. InputError where a
    prediction is missing; more of them than there are ground truths are left out, as by poseval.
    """
    if gt.is_file():
        return [(gt, pred / gt.name if pred.is_dir() else pred)], None
    if pred.is_file():
        raise UsageError(f"--pred {pred} is a file, but --gt {gt} is a folder; name two files or two folders")
    truths, predictions = _listed(gt, "ground truth"), _listed(pred, "predictions")
    missing = [name for name in truths if name not in predictions]
    if missing:
        raise InputError(
            f"{pred} lacks the predictions for {len(missing)} of {len(truths)} sequences: {_some(missing)}; "
            "predictions have the file names of the ground truth"
        )
    extra = [name for name in predictions if name not in truths]
    left_out = f"{pred} has {counted(len(extra), 'file')} without ground truth, left out: {_some(extra)}"
    return [(path, predictions[name]) for name, path in truths.items()], left_out if extra else None


def _listed(folder: Path, what: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder} of {what}; check the name")
    paths = {path.name: path for path in sorted(folder.glob("*.json"))}
    if not paths:
        raise InputError(f"{folder} has no .json files of {what}; name the folder that holds them")
    return paths


def _some(names: list[str]) -> str:
    """At most three names."""
    return ", ".join([*names[:3], *(["…"] if len(names) > 3 else [])])
