"""PCK of hand-made people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.people import poses_of
from tracker.datasets.coco import GroundTruth, Picture
from tracker.evaluation.pck import evaluate_pck
from tracker.skeletons import BODY_19, COCO_17, CROWDPOSE_14, Skeleton
from tracker.types import Poses

LIMBS = range(5, 17)
HIPS = (11, 12)
NECK, HEAD_TOP = 17, 18
TORSO = 100.0


def points() -> np.ndarray[Any, Any]:
    """The keypoints (19, 2) of a person whose torso is 100 px long."""
    at = np.zeros((19, 2))
    at[5:7] = (0, 300), (60, 300)
    at[11:13] = (0, 400), (60, 400)
    at[[7, 8, 9, 10, 13, 14, 15, 16, NECK, HEAD_TOP]] = 200
    return at


def truth(*hidden: tuple[int, ...]) -> GroundTruth:
    """A picture for each person, with the keypoints that are not annotated."""
    pictures = []
    for number, keypoints in enumerate(hidden, 1):
        visible = np.full(19, 2)
        visible[list(keypoints)] = 0
        triples = np.column_stack([points(), visible]).ravel().tolist()
        annotation = {
            "bbox": [0, 0, 9, 9], "iscrowd": 0, "num_keypoints": 17,
            "keypoints": triples[:51], "extra_keypoints": triples[51:],
        }  # fmt: skip
        pictures.append(Picture(number, "", None, (annotation,), is_negative=False))
    return GroundTruth(Path("gt.json"), tuple(pictures), person_id=1)


def poses(at: np.ndarray[Any, Any]) -> Poses:
    return poses_of(at[None])


def pck(
    *given: np.ndarray[Any, Any],
    hidden: tuple[tuple[int, ...], ...] = ((),),
    skeleton: Skeleton = BODY_19,
    **settings: Any,
) -> tuple[dict[str, float | None], int]:
    found = {number: poses(at) for number, at in enumerate(given, 1)}
    return evaluate_pck(truth(*hidden), found, skeleton, **settings)


def moved(rows: int | list[int] | range, pixels: float) -> np.ndarray[Any, Any]:
    at = points()
    at[rows, 0] += pixels
    return at


@pytest.mark.parametrize(
    ("given", "limbs"),
    [
        pytest.param(points(), 1, id="exact"),
        pytest.param(moved(LIMBS, 0.2 * TORSO), 1, id="just within"),
        pytest.param(moved(LIMBS, 0.2 * TORSO + 0.1), 0, id="just beyond"),
        pytest.param(moved([9, 10, 15], 50), 9 / 12, id="three of twelve wrong"),
        pytest.param(moved([9, 10, 15], np.nan), 9 / 12, id="three of twelve missing"),
        pytest.param(moved(range(5), 50), 1, id="the face does not count"),
    ],
)
def test_share_of_the_limbs(given: np.ndarray[Any, Any], limbs: float) -> None:
    figures, num_people = pck(given)
    assert figures == {"pck": pytest.approx(limbs), "pck_neck": 1, "pck_head_top": 1}
    assert num_people == 1


def test_neck_and_head_top_have_their_own_figures() -> None:
    assert pck(moved(NECK, 50))[0] == {"pck": 1, "pck_neck": 0, "pck_head_top": 1}
    assert pck(moved(HEAD_TOP, np.nan))[0] == {"pck": 1, "pck_neck": 1, "pck_head_top": 0}
    assert pck(points(), hidden=((NECK,),))[0]["pck_neck"] is None


@pytest.mark.parametrize(
    ("skeleton", "columns"),
    [(COCO_17, range(17)), (CROWDPOSE_14, [*LIMBS, HEAD_TOP, NECK])],
    ids=["without neck", "with both, under other names"],
)
def test_other_skeletons(skeleton: Skeleton, columns: Any) -> None:
    known = 1 if skeleton is CROWDPOSE_14 else None
    assert pck(points()[list(columns)], skeleton=skeleton)[0] == {"pck": 1, "pck_neck": known, "pck_head_top": known}


def test_the_figure_is_the_mean_over_people_of_visible_keypoints() -> None:
    hidden = ((), (7, 8, 9, 10, 13, 14, 15, 16))
    figures, num_people = pck(moved([9, 10, 15], 50), moved([5], 50), hidden=hidden)
    assert figures["pck"] == pytest.approx((9 / 12 + 3 / 4) / 2)
    assert num_people == 2


def test_one_shoulder_and_one_hip_make_a_torso() -> None:
    # from (0, 300) to (60, 400): 116.6 px long
    assert pck(moved(9, 23.3), hidden=((6, 11),))[0]["pck"] == 1
    assert pck(moved(9, 23.4), hidden=((6, 11),))[0]["pck"] == pytest.approx(9 / 10)


def test_people_without_torso_are_left_out() -> None:
    figures, num_people = pck(points(), moved(LIMBS, 50), hidden=((), HIPS))
    assert (figures["pck"], num_people) == (1, 1)
    assert pck(points(), hidden=(HIPS,)) == ({"pck": None, "pck_neck": None, "pck_head_top": None}, 0)


def test_ground_truth_of_crowdpose() -> None:
    """Its head counts as the head top, as elsewhere."""
    crowdpose = points()[[*LIMBS, HEAD_TOP, NECK]]
    triples = np.column_stack([crowdpose, np.full(14, 2)]).ravel().tolist()
    annotation = {"iscrowd": 0, "num_keypoints": 14, "keypoints": triples, "extra_keypoints": [0] * 6}
    picture = Picture(1, "", None, (annotation,), is_negative=False)
    gt = GroundTruth(Path("gt.json"), (picture,), person_id=1, skeleton=CROWDPOSE_14)
    given = {1: poses(moved(HEAD_TOP, 50))}
    assert evaluate_pck(gt, given, BODY_19) == ({"pck": 1, "pck_neck": 1, "pck_head_top": 0}, 1)
