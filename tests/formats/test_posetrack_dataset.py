"""PoseTrack's folders: which are recognised, what is in them, and what is said of images that are not there."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.formats.posetrack_files import posetrack_17, posetrack_18, save
from tests.vectors import SHARED
from tracker.errors import InputError, UsageError
from tracker.formats.posetrack_dataset import PoseTrackDataset, find_dataset

POSETRACK_21 = json.loads(
    json.dumps(posetrack_18())
    .replace('"is_labeled"', '"has_labeled_person": true, "is_labeled"')
    .replace('"track_id"', '"person_id": 1, "track_id"')
)


def with_images(root: Path, content: Any) -> None:
    """Empty files of the names that the content states."""
    names = [image["file_name"] for image in content["images"]] if "images" in content else []
    names += [entry["image"][0]["name"] for entry in content.get("annolist", [])]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(root: Path) -> PoseTrackDataset:
    dataset = find_dataset(root)
    assert dataset is not None
    return dataset


@pytest.mark.parametrize(
    ("place", "content", "inside", "version"),
    [
        ("annotations/val", posetrack_18(), "", "18"),
        ("posetrack_data/annotations/val", posetrack_18(), "", "18"),
        ("posetrack_data/annotations/val", posetrack_18(), "posetrack_data", "18"),  # the images are beside the root
        ("annotations/val", posetrack_17(), "", "17"),
        ("posetrack_data/annotations/val", posetrack_17(), "posetrack_data", "17"),
        ("posetrack_data/val", POSETRACK_21, "", "21"),
        ("posetrack_data/val", POSETRACK_21, "posetrack_data", "21"),
        ("annotations/mine", posetrack_17(), "", "17"),
        ("annotations", posetrack_17(), "", "17"),
        ("annotations", posetrack_18(), "", "18"),
    ],
)
def test_layouts(tmp_path: Path, place: str, content: Any, inside: str, version: str) -> None:
    annotation = save(content, tmp_path / place / "000342_mpii_test.json")
    with_images(tmp_path, content)
    dataset = found(tmp_path / inside)
    split = {"annotations": "all"}.get(place, Path(place).name)
    assert (dataset.version, dataset.splits) == (version, (split,))
    (sequence,) = dataset.sequences(split)
    assert (sequence.name, sequence.annotation, sequence.fps) == ("000342_mpii_test", annotation, Fraction(25))
    truth = sequence.read()
    assert truth.version == version
    paths = sequence.image_paths(truth)
    assert [path.name for path in paths] == [Path(frame.name).name for frame in truth.frames]
    assert all(path.is_file() for path in paths)


def test_images_of_posetrack17_inside_posetrack_data(tmp_path: Path) -> None:
    save(posetrack_17(), tmp_path / "posetrack_data/annotations/val/a.json")
    with_images(tmp_path / "posetrack_data", posetrack_17())
    (sequence,) = found(tmp_path).sequences("val")
    first, *_ = sequence.image_paths(sequence.read())
    assert first == tmp_path / "posetrack_data/images/bonn_5sec/000342_mpii/00000010.jpg"


def test_splits_and_sequences_are_in_order(tmp_path: Path) -> None:
    for split in ("extra", "val", "train", "empty"):
        (tmp_path / "annotations" / split).mkdir(parents=True)
    for name in ("val/000002_bonn_test", "val/000001_bonn_test", "train/000003_bonn_train", "extra/000004_bonn"):
        save(posetrack_18(), tmp_path / "annotations" / f"{name}.json")
    dataset = found(tmp_path)
    assert dataset.splits == ("train", "val", "extra")
    assert [sequence.name for sequence in dataset.sequences("val")] == ["000001_bonn_test", "000002_bonn_test"]
    with pytest.raises(UsageError, match="has no split 'test'; it has train, val, extra"):
        dataset.sequences("test")


def test_nothing_is_read_to_list_the_sequences(tmp_path: Path) -> None:
    """A damaged file among them shows when it is read, whole ones stay usable."""
    text = json.dumps(posetrack_18())
    for name, end in (("a", -1), ("b", None)):
        save(None, tmp_path / f"annotations/val/{name}.json").write_text(text[:end])
    damaged, whole = found(tmp_path).sequences("val")
    assert len(whole.read().frames) == 3
    with pytest.raises(InputError, match=r"a\.json is no JSON"):
        damaged.read()


def test_the_end_of_a_long_file_tells_the_version_too(tmp_path: Path) -> None:
    """Images come last, after a description that is longer than what is looked at."""
    path = tmp_path / "annotations/val/a.json"
    save({"info": "x" * 100_000, **posetrack_18()}, path)
    assert found(tmp_path).version == "18"
    save({"info": "x" * 100_000, **posetrack_18(), "more": "x" * 100_000}, path)
    assert find_dataset(tmp_path) is None


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"clip.mp4": "", "frames/000001.jpg": ""},
        {"annotations/person_keypoints_val2017.json": '{"images": [], "annotations": [{"iscrowd": 0}]}'},  # COCO
        {"annotations/val/a.json": "{}"},
        {"annotations/val/a.txt": '"annolist":'},
        {"val/a/annotations.json": '"track_id":'},  # not beside the others of its split
        {"posetrack_data/predictions.json": '"track_id":'},
    ],
)
def test_other_folders_are_none(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert find_dataset(tmp_path) is None


@pytest.mark.shared
def test_a_real_data_set() -> None:
    root = SHARED / "data/val/bonn"
    if not root.is_dir():
        pytest.skip(f"there is no {root}")
    dataset = found(root)
    (sequence,) = dataset.sequences("val")
    assert (dataset.version, sequence.name) == ("18", "000001_bonn_test")
    assert len(sequence.image_paths(sequence.read())) == 41
