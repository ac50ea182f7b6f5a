"""Small PoseTrack data sets in which everybody drifts, for the networks that always find the same two people."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.commands.conftest import texture
from tests.formats.posetrack_files import KEYPOINTS, category, save
from tracker.cli import main
from tracker.formats.posetrack import PoseTrackSequence, sequence_id
from tracker.formats.posetrack_dataset import DatasetSequence

SEQUENCES = ("000001_mpii_test", "000002_bonn_test", "000003_mpiinew_test", "000004_mpii_test")
FOUND = SEQUENCES[:2]
NUM_FRAMES = 5


def write_dataset(
    root: Path, names: Sequence[str] = SEQUENCES, num_frames: int = NUM_FRAMES, split: str = "val"
) -> Path:
    """A data set in the form of 2018; the second image of each sequence is not labelled."""
    for step, name in enumerate(names):
        files = write_images(root / "images" / split / name, num_frames, step=step)
        images = [
            {
                "id": (sequence_id(name) or 0) + number,
                "file_name": file.relative_to(root).as_posix(),
                "is_labeled": number != 1,
            }
            for number, file in enumerate(files)
        ]
        content = {"images": images, "annotations": [person(image["id"]) for image in images[:1]]}
        save(content | {"categories": [category(KEYPOINTS)]}, annotation_of(root, name, split))
    return root


def write_found_dataset(root: Path, models: Sequence[str]) -> Path:
    """Two sequences of three images; their truth is what `track` finds with `models`, and has small heads."""
    found = root.with_name("found")
    write_dataset(root, FOUND, num_frames=3)
    assert main(["track", "--input", str(root), "--output", str(found), *models, "--flow", "none"]) == 0
    for name in FOUND:
        content = json.loads((found / f"{name}.json").read_text())
        for each in content["annotations"]:
            each["bbox_head"] = [1, 1, 5, 5]
        annotation_of(root, name).write_text(json.dumps(content))
    return root


def write_dataset_17(root: Path, names: Sequence[str]) -> Path:
    """A data set in the form of 2017, whose file names count from 1."""
    for step, name in enumerate(names):
        files = write_images(root / "images" / "bonn_5sec" / name, NUM_FRAMES, first=1, digits=8, step=step)
        entries = [{"image": [{"name": file.relative_to(root).as_posix()}], "annorect": []} for file in files]
        save({"annolist": entries}, annotation_of(root, name))
    return root


def write_dataset_21(root: Path, names: Sequence[str]) -> Path:
    """A data set in the form of 2021."""
    write_dataset(root, names)
    for name in names:
        content = json.loads(annotation_of(root, name).read_text())
        images = [image | {"has_labeled_person": True} for image in content["images"]]
        people = [record | {"person_id": 1} for record in content["annotations"]]
        save(content | {"images": images, "annotations": people}, root / "posetrack_data/val" / f"{name}.json")
        annotation_of(root, name).unlink()
    return root


def annotation_of(root: Path, name: str, split: str = "val") -> Path:
    return root / "annotations" / split / f"{name}.json"


def write_images(folder: Path, count: int, *, first: int = 0, digits: int = 6, step: int = 1) -> list[Path]:
    """JPEGs of a texture that moves by `step` pixels from one to the next."""
    folder.mkdir(parents=True)
    files = [folder / f"{number:0{digits}}.jpg" for number in range(first, first + count)]
    for number, file in enumerate(files):
        cv2.imwrite(str(file), np.roll(texture(), number * step, axis=1))
    return files


def person(image_id: int) -> dict[str, Any]:
    """A person without keypoints, which makes the file PoseTrack's."""
    return {"image_id": image_id, "track_id": 0, "keypoints": [0] * 51, "bbox_head": [1, 1, 5, 5]}


def contents(folder: Path, pattern: str = "*") -> dict[str, bytes]:
    """What is in the files of a folder; fingerprints are left out."""
    return {path.name: path.read_bytes() for path in folder.glob(pattern) if path.suffix != ".fingerprint"}


@dataclass(frozen=True)
class DeadlySequence(DatasetSequence):
    """Kills the process that reads it, the first so many times; `deaths` counts them."""

    deaths: Path = Path()
    num_deaths: int = 1

    def read(self) -> PoseTrackSequence:
        died = len(self.deaths.read_text()) if self.deaths.exists() else 0
        if died < self.num_deaths:
            self.deaths.write_text("x" * (died + 1))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read()


def deadly(sequence: DatasetSequence, deaths: Path, num_deaths: int) -> DeadlySequence:
    return DeadlySequence(**vars(replace(sequence)), deaths=deaths, num_deaths=num_deaths)
