"""Which frames, people and keypoints are compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.posetrack.people import FIRST_ID, HEAD, Person, frame, person, sequence
from tracker.errors import InputError
from tracker.evaluation.posetrack.comparison import Comparison, compare_frames, pair_frames
from tracker.formats.posetrack import PoseTrackFrame

SQUARE = [(0, 0), (50, 0), (50, 50), (0, 50)]


def compare(truth: Iterable[Person], predicted: Iterable[Person], *, regions: Sequence[object] = ()) -> Comparison:
    """As poseval does, of one frame."""
    return compare_frames([frame(truth, regions)], [frame(predicted)])[0]


def numbered(*numbers: int) -> list[PoseTrackFrame]:
    return [frame([person(number)], number=number) for number in numbers]


def test_all_pairs_of_a_frame_and_no_others() -> None:
    truth = [frame([person(1, 0), person(2, 30)]), frame([person(1, 60)]), frame([person(3, 90)])]
    predicted = [frame([person(7, 30)]), frame(), frame([person(7, 90), person(8, 120), person(9, 150)])]
    comparison = compare_frames(truth, predicted)[0]
    assert comparison.pairs.tolist() == [[0, 0], [1, 0], [3, 1], [3, 2], [3, 3]]
    assert comparison.distances.shape == (5, 15)
    assert comparison.distances[:, 0] == pytest.approx([1, 0, 0, 1, 2])


def test_distances_are_in_heads_and_along_both_axes() -> None:
    comparison = compare([person(1, 0, 0)], [person(7, 3, 4)])
    assert comparison.distances == pytest.approx(5 / HEAD)
    assert compare([person(1, 0, 0, head_box=(0, 0, 60, 80))], [person(7, 3, 4)]).distances == pytest.approx(5 / 60)


def test_keypoints_that_one_lacks_have_no_distance() -> None:
    comparison = compare([person(1, only=["nose"])], [person(7, only=["nose", "left_hip"])])
    assert np.isnan(comparison.distances).sum() == 14
    assert np.nanmax(comparison.distances) == 0


def test_ignored_keypoints_go_and_who_is_left_with_none() -> None:
    partly = person(1, 100)
    partly.keypoints[0] = 20, 20
    gone, edge = person(2, 30, 30), person(3, 50, 20)
    comparison = compare([partly, gone, edge], [person(7, 20, 20), person(8, 60, 20)], regions=[SQUARE])
    assert comparison.truth.track_ids.tolist() == [1, 3]
    assert comparison.truth.present.sum(axis=1).tolist() == [14, 15]
    assert comparison.predicted.track_ids.tolist() == [8]


def test_people_without_keypoints_stay_where_nothing_is_ignored() -> None:
    nobody = person(1, only=[])
    assert compare([nobody], []).truth.track_ids.tolist() == [1]
    assert compare([nobody], [], regions=[SQUARE]).truth.track_ids.tolist() == []


def test_a_keypoint_in_the_corner_of_the_picture() -> None:
    """poseval knows it, if it is stated as visible; PoseTrack21's kit wants both coordinates above 0."""
    corner = [person(1, 0, 0), person(2, 5, 0), person(3, 5, 5)]
    poseval, kit = compare_frames([frame(corner)], [frame(corner)])
    assert poseval.truth.present.all(axis=1).tolist() == [True, True, True]
    assert kit.truth.present.all(axis=1).tolist() == kit.predicted.present.all(axis=1).tolist() == [False, False, True]


def test_poseval_takes_frames_that_list_somebody_and_the_kit_those_that_are_labeled() -> None:
    truth = [
        frame([person(1)], is_labeled=True),
        frame([person(2)], is_labeled=False),
        frame([], is_labeled=True),
        frame([], is_labeled=False),
        frame([person(3, only=[], has_points=False)], is_labeled=False),
    ]
    predicted = [frame([person(10 + number)]) for number in range(5)]
    poseval, kit = compare_frames(truth, predicted)
    assert (poseval.num_frames, kit.num_frames) == (3, 2)
    assert poseval.truth.track_ids.tolist() == [1, 2]
    assert poseval.predicted.track_ids.tolist() == [10, 11, 14]
    assert poseval.predicted.frames.tolist() == [0, 1, 2]
    assert kit.predicted.track_ids.tolist() == [10, 12]


def test_a_head_box_is_needed_where_there_are_keypoints() -> None:
    headless = (np.nan,) * 4
    compare([person(1), person(2, only=[], head_box=headless)], [person(7)])
    with pytest.raises(InputError, match=rf"person 2 in the image {FIRST_ID} \(000000.jpg\).*no head box"):
        compare([person(1), person(2, head_box=headless)], [person(7)])


def test_no_head_box_is_needed_in_frames_that_nobody_looks_at() -> None:
    truth = [frame([person(1)], is_labeled=False)]
    truth[0] = replace(truth[0], head_boxes=np.full((1, 4), np.nan))
    with pytest.raises(InputError, match="no head box"):
        compare_frames(truth, [frame()])
    compare_frames([frame(), frame()], [frame([person(7)]), frame()])


def test_images_are_paired_by_id() -> None:
    truth, predicted = sequence(numbered(0, 1, 2)), sequence(numbered(2, 0, 1))
    frames, note = pair_frames(truth, predicted)
    assert [one.image_id for one in frames] == [one.image_id for one in truth.frames]
    assert note is not None
    assert "another order" in note
    assert "poseval pairs them by position" in note
    assert pair_frames(truth, sequence(numbered(0, 1, 2)))[1] is None


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        pytest.param([0, 1], [0], "has 1 images, the ground truth 2; list every image", id="too few"),
        pytest.param([0], [0, 1], "has 2 images, the ground truth 1; list every image", id="too many"),
        pytest.param([0, 1], [0, 2], rf"lacks the image {FIRST_ID + 1} \(000001.jpg\)", id="another one"),
        pytest.param([], [], "the ground truth of 000001_bonn_train has no images", id="none at all"),
    ],
)
def test_images_that_do_not_pair(truth: list[int], predicted: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pair_frames(sequence(numbered(*truth)), sequence(numbered(*predicted)))
