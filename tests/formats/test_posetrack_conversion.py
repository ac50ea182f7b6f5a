"""PoseTrack's forms into one another, as its own tool does; predictions for the images of a ground truth."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.examples import HEADER, people_with_ids, two_people
from tests.formats.posetrack_files import (
    posetrack_17,
    posetrack_18,
    save,
    with_change,
)
from tests.vectors import FOLDERS, read_json
from tracker.errors import InputError
from tracker.formats import FrameResult
from tracker.formats.coco import PoseTrackWriter
from tracker.formats.posetrack import PoseTrackSequence, read_posetrack
from tracker.formats.posetrack_conversion import (
    PoseTrack17Writer,
    convert_posetrack,
    open_predictions,
    to_posetrack17,
)
from tracker.skeletons import POSETRACK_17
from tracker.types import TrackedPoses


def official_conversions() -> list[Any]:
    """A parameter for each file that the official tool converted, in both folders of reference numbers."""
    found = []
    for label, folder in FOLDERS.items():
        paths = [path for path in sorted(folder.rglob("*_in.json")) if official(path).is_file()]
        found += [pytest.param(path, id=f"{label}-{path.stem}") for path in paths]
        if not paths:
            reason = f"{folder} holds no conversions; name another folder with TRACKER_VECTORS"
            found.append(pytest.param(None, id=label, marks=pytest.mark.skip(reason=reason)))
    return found


def official(path: Path) -> Path:
    return path.with_name(path.name.replace("_in.json", "_official.json"))


@pytest.mark.vectors_posetrack
@pytest.mark.parametrize("path", official_conversions())
def test_conversions_equal_the_official_ones(path: Path, tmp_path: Path) -> None:
    expected = read_json(official(path))
    target = tmp_path / "out.json"
    convert_posetrack(path, target, "17" if "annolist" in expected else "18")
    assert read_json(target) == expected


def read(content: Any, folder: Path) -> PoseTrackSequence:
    return read_posetrack(save(content, folder / "000342_mpii_test.json"))


def in_17(content: Any, folder: Path) -> list[dict[str, Any]]:
    entries = to_posetrack17(read(content, folder))["annolist"]
    assert isinstance(entries, list)
    return entries


class TestTo17:
    def test_images_with_people_are_labelled_whatever_was_stated(self, tmp_path: Path) -> None:
        content = posetrack_18()
        for image in content["images"]:
            image["is_labeled"] = not image["is_labeled"]
        assert [entry["is_labeled"] for entry in in_17(content, tmp_path)] == [[1], [0], [1]]

    def test_a_score_of_0_and_an_absent_head_box_are_left_out(self, tmp_path: Path) -> None:
        content = with_change(posetrack_18(), "annotations/1/score", 0)
        content = with_change(content, "annotations/1/bbox_head", ...)
        _, person = in_17(content, tmp_path)[0]["annorect"]
        assert set(person) == {"track_id", "annopoints"}

    def test_a_name_without_a_number_is_refused(self, tmp_path: Path) -> None:
        source = save(with_change(posetrack_18(), "images/1/file_name", "000342_mpii/x1.jpg"), tmp_path / "a.json")
        with pytest.raises(InputError, match=r"a\.json: the file name of image '000342_mpii/x1\.jpg' does not begin"):
            convert_posetrack(source, tmp_path / "b.json", "17")
        assert not (tmp_path / "b.json").exists()


class TestTo18:
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("images/clip/00000011.jpg", "image 'images/clip/00000011.jpg' is not named as those of a sequence"),
            ("images/000343_mpii/00000011.jpg", "images are of the sequences 000342 and 000343, but must be of one"),
        ],
    )
    def test_images_that_are_none_of_a_sequence_are_refused(self, tmp_path: Path, name: str, message: str) -> None:
        source = save(with_change(posetrack_17(), "annolist/1/image/0/name", name), tmp_path / "a.json")
        with pytest.raises(InputError, match=rf"a\.json: {message}"):
            convert_posetrack(source, tmp_path / "b.json", "18")


@pytest.mark.parametrize(("content", "version"), [(posetrack_17(), "18"), (posetrack_18(), "17")])
def test_there_and_back(tmp_path: Path, content: Any, version: str) -> None:
    """All that both forms hold survives; at 0, 0 and invisible a point of PoseTrack17 has no place in 18."""
    source = save(content, tmp_path / "a.json")
    before = convert_posetrack(source, tmp_path / "b.json", version)
    convert_posetrack(tmp_path / "b.json", tmp_path / "c.json", before.version)
    after = read_posetrack(tmp_path / "c.json")
    ears = [POSETRACK_17.index(name) for name in ("left_ear", "right_ear")]
    for old, new in zip(before.frames, after.frames, strict=True):
        assert (old.name, old.image_id, old.is_labeled) == (new.name, new.image_id, new.is_labeled)
        for name in ("track_ids", "head_boxes"):
            np.testing.assert_array_equal(getattr(new, name), getattr(old, name))
        keypoints = old.keypoints.copy()
        keypoints[(old.keypoints == 0).all(axis=2) & (old.visibilities == 0)] = np.nan
        keypoints[:, ears] = np.nan
        np.testing.assert_array_equal(new.keypoints, keypoints)


def predict(truth: PoseTrackSequence, path: Path, frames: dict[int, TrackedPoses]) -> PoseTrackSequence:
    """Predictions of those people for the images of a ground truth, written and read."""
    with open_predictions(path, HEADER, truth) as writer:
        for index, people in frames.items():
            writer.write(FrameResult(index, index / 25, people), people)
    return read_posetrack(path)


class TestPredictions:
    """The images are those of the ground truth, whatever was tracked."""

    def test_keypoints_left_of_or_above_the_picture_are_dropped(self, tmp_path: Path) -> None:
        people = people_with_ids([1])
        people.poses.keypoints[0, [5, 6]] = [[0, 10], [10, -0.004]]
        found = predict(read(posetrack_18(), tmp_path), tmp_path / "out.json", {0: people}).frames[0]
        shoulders = [POSETRACK_17.index(name) for name in ("left_shoulder", "right_shoulder")]
        assert np.isnan(found.keypoints[0, shoulders]).all()

    def test_what_the_evaluators_ask_for_in_2017(self, tmp_path: Path) -> None:
        predict(read(posetrack_17(), tmp_path), tmp_path / "out.json", {0: two_people()})
        first, second, _ = read_json(tmp_path / "out.json")["annolist"]
        assert [entry["imgnum"] for entry in (first, second)] == [[1], [2]]
        assert second["annorect"] == []
        person, _ = first["annorect"]
        assert (person["track_id"], person["score"]) == ([0], [pytest.approx(0.45)])
        points = person["annopoints"][0]["point"]
        # the top of the head, estimated, is above the picture
        assert sorted(point["id"][0] for point in points) == list(range(14))
        nose = next(point for point in points if point["id"] == [13])
        assert nose == {"id": [13], "x": [0.12], "y": [1.12], "is_visible": [1], "score": [0.5]}

    def test_images_of_any_name_have_their_places_as_ids(self, tmp_path: Path) -> None:
        content = posetrack_17()
        for number, entry in enumerate(content["annolist"]):
            entry["image"] = [{"name": f"images/clip/picture{number}.jpg"}]
        found = predict(read(content, tmp_path), tmp_path / "out.json", {1: people_with_ids([3])})
        assert [frame.name for frame in found.frames] == [f"images/clip/picture{number}.jpg" for number in range(3)]
        assert [len(frame) for frame in found.frames] == [0, 1, 0]

    @pytest.mark.parametrize("writer", [PoseTrackWriter, PoseTrack17Writer])
    def test_what_an_exception_leaves_is_partial(self, tmp_path: Path, writer: type[PoseTrackWriter]) -> None:
        people = people_with_ids([1])
        with suppress(KeyError), writer(tmp_path / "out.json", HEADER, [(3, "a/1.jpg"), (4, "a/2.jpg")]) as out:
            out.write(FrameResult(1, 0, people), people)
            raise KeyError
        assert [path.name for path in tmp_path.iterdir()] == ["out.partial.json"]
        assert [len(frame) for frame in read_posetrack(tmp_path / "out.partial.json").frames] == [0, 1]
