"""PoseTrack's files of 2017, 2018 and 2021: what is read, and the one line for what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.posetrack_files import (
    FIRST_ID,
    KEYPOINTS,
    category,
    person_18,
    posetrack_17,
    posetrack_18,
    save,
    with_change,
)
from tracker.errors import InputError
from tracker.formats import read_results
from tracker.formats.posetrack import (
    PoseTrackFrame,
    PoseTrackSequence,
    image_id_of,
    image_number,
    read_content,
    read_posetrack,
    version_of,
)
from tracker.skeletons import POSETRACK_15, POSETRACK_17

NOSE, HEAD_BOTTOM, HEAD_TOP = (POSETRACK_17.index(name) for name in ("nose", "head_bottom", "head_top"))
LEFT_EAR, LEFT_ANKLE, RIGHT_ANKLE = (POSETRACK_17.index(name) for name in ("left_ear", "left_ankle", "right_ankle"))


def read(content: Any, folder: Path, version: str | None = None) -> PoseTrackSequence:
    return read_posetrack(save(content, folder / "000342_mpii_test.json"), version)


def stated(frame: PoseTrackFrame, row: int) -> dict[int, list[float]]:
    """x and y of the keypoints that a person has, by their places."""
    keypoints = frame.keypoints[row]
    return {place: keypoints[place].tolist() for place in np.flatnonzero(np.isfinite(keypoints[:, 0])).tolist()}


class TestPoseTrack18:
    def test_images(self, tmp_path: Path) -> None:
        sequence = read(posetrack_18(), tmp_path)
        assert (sequence.name, sequence.version) == ("000342_mpii_test", "18")
        assert sequence.keypoint_names == POSETRACK_17.keypoint_names
        assert [frame.image_id - FIRST_ID for frame in sequence.frames] == [0, 1, 2]
        assert sequence.frames[1].name == "images/val/000342_mpii_test/000001.jpg"
        assert [frame.is_labeled for frame in sequence.frames] == [True, False, True]
        assert [len(frame) for frame in sequence.frames] == [2, 0, 1]
        (polygon,) = sequence.frames[0].ignore_regions
        assert polygon.tolist() == [[1, 1], [50, 2], [60.5, 40]]
        assert sequence.frames[1].ignore_regions == sequence.frames[2].ignore_regions == ()

    def test_people(self, tmp_path: Path) -> None:
        first, _, last = read(posetrack_18(), tmp_path).frames
        assert (first.track_ids.tolist(), last.track_ids.tolist()) == ([7, 4], [7])
        # at 0, 0 but visible, and with coordinates but not visible: both are keypoints
        assert stated(first, 0) == {NOSE: [10, 20], LEFT_ANKLE: [0, 0], RIGHT_ANKLE: [30, 60]}
        assert first.visibilities[0, [NOSE, LEFT_ANKLE, RIGHT_ANKLE]].tolist() == [1, 1, 0]
        assert np.isnan(first.visibilities[0, HEAD_TOP])
        assert stated(first, 1) == {HEAD_TOP: [100.5, 5], LEFT_EAR: [99, 7]}
        assert stated(last, 0) == {}
        assert np.isnan(first.scores[0]).all()
        assert (first.scores[1] == 0.5).all()
        np.testing.assert_array_equal(first.pose_scores, [np.nan, 0.75])
        np.testing.assert_array_equal(last.boxes, [[1, 2, 4, 6]])
        assert np.isnan(first.boxes).all()
        assert first.head_boxes.tolist() == [[5, 6, 15, 26]] * 2
        assert first.has_points.all()
        assert last.has_points.all()

    def test_keypoints_in_another_order(self, tmp_path: Path) -> None:
        """15 keypoints, the order of 2017: the third is the right hip."""
        names = list(POSETRACK_15.keypoint_names)
        person = person_18(0, 7, {}, keypoints=[float(value) for value in range(1, 46)], scores=list(range(15)))
        content = posetrack_18() | {"annotations": [person], "categories": [category(names)]}
        sequence = read(content, tmp_path)
        frame = sequence.frames[0]
        hip = POSETRACK_17.index("right_hip")
        assert sequence.keypoint_names == tuple(names)
        assert frame.keypoints[0, hip].tolist() == [7, 8]
        assert (frame.visibilities[0, hip], frame.scores[0, hip]) == (9, 2)
        assert np.isnan(frame.keypoints[0, LEFT_EAR]).all()
        assert len(stated(frame, 0)) == 15


def posetrack_21() -> dict[str, Any]:
    """Two people, of whom the second has a box alone."""
    content = posetrack_18()
    content["images"] = [image | {"has_labeled_person": True} for image in content["images"]]
    content["annotations"] = [person | {"person_id": 1} for person in content["annotations"]]
    del content["annotations"][1]["keypoints"]
    return content


class TestPoseTrack21:
    def test_people_may_have_a_box_alone(self, tmp_path: Path) -> None:
        sequence = read(posetrack_21(), tmp_path)
        assert sequence.version == "21"
        assert sequence.frames[0].has_points.tolist() == [True, False]
        assert stated(sequence.frames[0], 1) == {}

    def test_predictions_are_read_as_2021_when_that_is_asked(self, tmp_path: Path) -> None:
        content = with_change(posetrack_18(), "annotations/1/keypoints", [])
        sequence = read(content, tmp_path, "21")
        assert (sequence.version, sequence.frames[0].has_points.tolist()) == ("21", [True, False])
        with pytest.raises(InputError, match=r"annotations\[1\]: keypoints must be 51 numbers, not a list of 0"):
            read(content, tmp_path)


class TestPoseTrack17:
    def test_images(self, tmp_path: Path) -> None:
        sequence = read(posetrack_17(), tmp_path)
        assert (sequence.version, sequence.keypoint_names) == ("17", POSETRACK_15.keypoint_names)
        assert [frame.image_id - FIRST_ID for frame in sequence.frames] == [10, 11, 12]
        assert sequence.frames[1].name == "images/bonn_5sec/000342_mpii/00000011.jpg"
        assert [frame.is_labeled for frame in sequence.frames] == [True, False, True]
        (polygon,) = sequence.frames[0].ignore_regions
        assert polygon.tolist() == [[1, 1], [50, 2], [60.5, 40]]

    def test_people(self, tmp_path: Path) -> None:
        first, _, last = read(posetrack_17(), tmp_path).frames
        assert first.track_ids.tolist() == [7, 4]
        # a point that is listed is a keypoint, whatever its values
        assert stated(first, 0) == {NOSE: [10, 20], RIGHT_ANKLE: [0, 0], HEAD_TOP: [9.5, 4]}
        assert stated(first, 1) == {HEAD_BOTTOM: [100, 50]}
        assert first.visibilities[0, [NOSE, RIGHT_ANKLE, HEAD_TOP]].tolist() == [1, 0, 1]
        assert np.isnan(first.scores[0, NOSE])
        assert first.scores[0, HEAD_TOP] == 0.25
        np.testing.assert_array_equal(first.pose_scores, [np.nan, 0.5])
        assert np.isnan(first.boxes).all()
        assert first.head_boxes.tolist() == [[5, 6, 15, 26]] * 2
        assert last.track_ids.tolist() == [7, 8, 9, 10]
        assert last.has_points.tolist() == [False, True, False, False]
        assert np.isfinite(last.head_boxes).all(axis=1).tolist() == [True, True, False, False]

    def test_as_results_it_has_the_15_keypoints_in_boxes_around_them(self, tmp_path: Path) -> None:
        results = read_results(save(posetrack_17(), tmp_path / "a.json"))
        assert results.header.skeleton is POSETRACK_15
        assert [frame.index for frame in results.frames] == [9, 10, 11]
        poses = results.frames[0].tracked.poses
        assert poses.boxes.tolist() == [[0, 0, 10, 20], [100, 50, 100, 50]]
        assert poses.keypoints[0, POSETRACK_15.index("nose")].tolist() == [10, 20]
        assert poses.scores[0, [13, 14, 1]].tolist() == [1, 0.25, 0]
        assert poses.box_scores.tolist() == [1, 0.5]

    def test_as_results_an_index_is_that_of_one_frame(self, tmp_path: Path) -> None:
        path = save(with_change(posetrack_17(), "annolist/1/imgnum", [10]), tmp_path / "a.json")
        with pytest.raises(InputError, match=r"a\.json: annolist\[1\]: imgnum was there before, not 10"):
            read_results(path)


# Where a field is, its new value, and what the line says.
FAULTS_18: list[tuple[str, Any, str]] = [
    ("images", ..., "json lacks images"),
    ("categories", ..., "json lacks categories"),
    ("categories/0/name", "dog", "categories[0]: name must be \"person\", not 'dog'"),
    ("categories/0/keypoints", KEYPOINTS[1:], "categories[0]: keypoints must be 15 or 17 names, not a list of 16"),
    ("categories/0/keypoints/0", "snout", "categories[0]: keypoints must have nose"),
    ("images/1", 7, "images[1] is no object"),
    ("images/1/id", ..., "images[1] lacks id"),
    ("images/1/id", FIRST_ID, f"images[1]: id must be that of one image only, not {FIRST_ID}"),
    ("images/1/is_labeled", "yes", "images[1]: is_labeled must be true or false or 1 or 0, not 'yes'"),
    ("images/0/ignore_regions_y", ..., "images[0]: ignore_regions_x and ignore_regions_y must be lists of as many"),
    ("images/0/ignore_regions_y/0", [1, 2], "ignore region 0: ignore_regions_y must be 3 numbers, not a list of 2"),
    ("images/0/ignore_regions_y/0/1", np.nan, "images[0]: ignore region 0: ignore_regions_y must be 3 numbers wit"),
    ("annotations/2/image_id", 5, "annotations[2]: image_id must be the id of an image, not 5"),
    ("annotations/2/track_id", -1, "annotations[2]: track_id must be a whole number of 0 or more, not -1"),
    ("annotations/1/track_id", 7, "annotations[1]: track_id must be that of one person only in an image, not 7"),
    ("annotations/1/keypoints", [0] * 45, "annotations[1]: keypoints must be 51 numbers, not a list of 45"),
    ("annotations/1/keypoints/4", np.nan, "annotations[1]: keypoints must be 51 numbers within"),
    ("annotations/1/scores", [0.5] * 15, "annotations[1]: scores must be 17 numbers, not a list of 15"),
    ("annotations/1/bbox_head", "big", "annotations[1]: bbox_head must be 4 numbers, not 'big'"),
]  # fmt: skip
POINT = "annolist/0/annorect/0/annopoints/0/point"
FAULTS_17: list[tuple[str, Any, str]] = [
    ("annolist", {}, "json: annolist must be a list"),
    ("annolist/1/image", [], "annolist[1]: image must be a list of one object, not a list of 0"),
    ("annolist/1/image/0/name", "000342_mpii/10.jpg", "annolist[1]: image[0]: name must be that of one image on"),
    ("annolist/1/is_labeled", [2], "annolist[1]: is_labeled must be true or false or 1 or 0, not 2"),
    ("annolist/0/ignore_regions/0/point/1", ..., "annolist[0]: ignore_regions[0]: point must be 3 points or more"),
    ("annolist/0/ignore_regions/0/point/1/x", [np.nan], "ignore_regions[0]: point[1]: x must be a number with"),
    ("annolist/0/annorect/0/track_id", [1, 2], "track_id must be a whole number of 0 or more, not a list of 2"),
    ("annolist/0/annorect/1/track_id", [7], "annorect[1]: track_id must be that of one person only in an image"),
    ("annolist/0/annorect/0/y2", [None], "annorect[0]: y2 must be a number within ±1e+09, not None"),
    ("annolist/0/annorect/1/score", ["high"], "annorect[1]: score must be a number, not 'high'"),
    (f"{POINT}/1/id", [15], "annopoints[0]: point[1]: id must be at most 14, not 15"),
    (f"{POINT}/1/id", [13], "annopoints[0]: point[1]: id must be that of one point only, not 13"),
    (f"{POINT}/1/y", [np.nan], "point[1]: y must be a number within ±1e+09, not nan"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "message"), FAULTS_18)
def test_what_is_wrong_in_posetrack18(tmp_path: Path, place: str, value: Any, message: str) -> None:
    check_refusal(with_change(posetrack_18(), place, value), tmp_path, message)


@pytest.mark.parametrize(("place", "value", "message"), FAULTS_17)
def test_what_is_wrong_in_posetrack17(tmp_path: Path, place: str, value: Any, message: str) -> None:
    check_refusal(with_change(posetrack_17(), place, value), tmp_path, message)


def check_refusal(content: Any, folder: Path, message: str) -> None:
    path = save(content, folder / "000342_mpii_test.json")
    with pytest.raises(InputError) as refusal:
        read_posetrack(path)
    line = str(refusal.value)
    assert line.startswith(str(path))
    assert message in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("content", "version", "message"),
    [
        (posetrack_17(), "18", "has the form of PoseTrack17, not of PoseTrack18"),
        (posetrack_17(), "21", "has the form of PoseTrack17, not of PoseTrack21"),
        (posetrack_18(), "17", "has the form of PoseTrack18, not of PoseTrack17"),
        (posetrack_21(), "17", "has the form of PoseTrack21, not of PoseTrack17"),
        ([], None, "is no object"),
        ({}, None, "lacks images"),
    ],
)
def test_files_of_another_form(tmp_path: Path, content: Any, version: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(content, tmp_path, version)


@pytest.mark.parametrize(
    ("content", "version"),
    [
        (posetrack_17(), "17"),
        (posetrack_18(), "18"),
        (posetrack_21(), "21"),
        # COCO's form with other keypoints, and something else
        (with_change(posetrack_18(), "categories/0/keypoints/1", "left_eye"), None),
        ({"type": "FeatureCollection"}, None),
    ],
)
def test_the_version_is_told_by_the_content(tmp_path: Path, content: Any, version: str | None) -> None:
    assert version_of(read_content(save(content, tmp_path / "a.json"))) == version


@pytest.mark.parametrize(
    ("name", "number", "image_id"),
    [
        ("images/val/000342_mpii_test/000007.jpg", 7, 10003420007),
        ("images/bonn_5sec/000003_mpiinew/00000010.jpg", 10, 30000030010),
        ("images/bonn/020910_bonn/00000010_crop.png", 10, 20209100010),
        ("images/clip/000007.jpg", 7, None),  # no sequence
        ("000342_mpii_test.jpg", 342, None),  # no folder
        ("images/000342_mpiix/000007.jpg", 7, None),  # no source
        ("images/000342_mpii/frame7.jpg", None, None),  # no number at the beginning
        ("images/000342_mpii/00010000.jpg", 10000, None),  # ids have four digits for it
    ],
)
def test_ids_of_images_are_in_their_names(name: str, number: int | None, image_id: int | None) -> None:
    assert (image_number(name), image_id_of(name)) == (number, image_id)
