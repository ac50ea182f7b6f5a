"""PoseTrack's data sets on disk: their splits and sequences, and where the images lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tracker.errors import InputError, UsageError
from tracker.formats.posetrack import PoseTrackSequence, read_posetrack

# Where PoseTrack17 and 18 keep their annotations, and 21, from the root or from inside `posetrack_data`.
_PLACES = ("annotations", "posetrack_data/annotations", "posetrack_data", "")
_SPLITS = ("train", "val", "test")
_ALL = "all"
# What is looked for, and in how much of a file's beginning and end: nothing is parsed to find a data set.
_SAMPLE = 2**16
_TRIES = 5
_FORM_17 = re.compile(rb'"annolist"\s*:')
_FORM_18 = re.compile(rb'"(?:frame_id|vid_id|track_id)"\s*:')
_FORM_21 = (b'"has_labeled_person"', b'"person_id"')


@dataclass(frozen=True)
class DatasetSequence:
    """A sequence that is not read yet.

    name: of the annotation file, which its predictions share. annotation: the file. roots: where the file names of
    images may start. fps: frames per second; PoseTrack does not say.
    """

    name: str
    annotation: Path
    roots: tuple[Path, ...]
    fps: Fraction = Fraction(25)

    def read(self) -> PoseTrackSequence:
        """The ground truth; InputError as `read_posetrack` raises."""
        return read_posetrack(self.annotation)

    def image_paths(self, truth: PoseTrackSequence) -> list[Path]:
        """The images of the ground truth, in its order; InputError for the first that is not on disk."""
        if not truth.frames:
            raise InputError(f"{self.annotation} lists no images, so there is nothing to track; leave it out")
        first = truth.frames[0].name
        root = next((root for root in self.roots if (root / first).is_file()), self.roots[0])
        paths = [root / frame.name for frame in truth.frames]
        missing = next((path for path in paths if not path.is_file()), None)
        if missing is not None:
            raise InputError(f"{self.annotation} lists {missing}, which is not there; get the images of this sequence")
        return paths


@dataclass(frozen=True)
class PoseTrackDataset:
    """A folder of annotations and images. version: 17, 18 or 21. annotations: the files of each split."""

    root: Path
    version: str
    annotations: Mapping[str, tuple[Path, ...]]

    @property
    def splits(self) -> tuple[str, ...]:
        """Names: train, val and test first."""
        return tuple(self.annotations)

    @property
    def default_split(self) -> str:
        """The only split, else `val`, which may be absent."""
        return self.splits[0] if len(self.splits) == 1 else "val"

    def sequences(self, split: str) -> list[DatasetSequence]:
        """The sequences of a split by name, none of them read; UsageError for a split that is not there."""
        if split not in self.annotations:
            raise UsageError(f"{self.root} has no split {split!r}; it has {', '.join(self.splits)}")
        roots = (self.root, self.root / "posetrack_data", self.root.resolve().parent)
        return [DatasetSequence(path.stem, path, roots) for path in self.annotations[split]]


def find_dataset(root: Path) -> PoseTrackDataset | None:
    """The PoseTrack data set in a folder, None if it is something else or cannot be looked into.

    Annotations are `annotations/<split>/*.json`, in `posetrack_data` or not, or `posetrack_data/<split>/*.json`; files
    beside the splits make a split of their own, `all`. Beginning and end of a few files tell the version; no file is
    read as a whole.
    """
    with suppress(OSError):
        for place in _PLACES:
            annotations = _annotations_in(root / place, only_splits=place in ("", "posetrack_data"))
            files = [path for paths in annotations.values() for path in paths][:_TRIES]
            version = next(filter(None, map(_version_of, files)), None)
            if version:
                return PoseTrackDataset(root, version, annotations)
    return None


def _annotations_in(folder: Path, *, only_splits: bool) -> dict[str, tuple[Path, ...]]:
    if not folder.is_dir():
        return {}
    others = [] if only_splits else sorted({path.name for path in folder.iterdir() if path.is_dir()} - set(_SPLITS))
    found = {split: _json_files(folder / split) for split in (*_SPLITS, *others)}
    if not only_splits:
        found.setdefault(_ALL, _json_files(folder))
    return {split: files for split, files in found.items() if files}


def _json_files(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(folder.glob("*.json")))


def _version_of(path: Path) -> str | None:
    """The version that a sample of a file tells, None for a file of another kind."""
    with path.open("rb") as file:
        sample = file.read(_SAMPLE)
        file.seek(max(_SAMPLE, path.stat().st_size - _SAMPLE))
        sample += file.read()
    if _FORM_17.search(sample):
        return "17"
    if all(mark in sample for mark in _FORM_21):
        return "21"
    return "18" if _FORM_18.search(sample) else None
