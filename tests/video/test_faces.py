"""Faces are blurred whoever it is, however they were found and whatever is seen of them; the rest stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.people import poses_of, with_ids
from tracker.skeletons import BODY_19
from tracker.types import Image, Origin, TrackedPoses
from tracker.video.overlay import OverlayRenderer

NOISE: Image = np.random.default_rng(0).integers(0, 255, (300, 200, 3), np.uint8)
PLACES = {
    "head_top": (100, 22), "nose": (100, 42), "left_eye": (105, 37), "right_eye": (95, 37), "left_ear": (111, 40),
    "right_ear": (89, 40), "left_shoulder": (120, 70), "right_shoulder": (80, 70), "left_hip": (112, 140),
    "right_hip": (88, 140), "left_ankle": (112, 230), "right_ankle": (88, 230),
}  # fmt: skip
CHIN, HIP = (100, 55), PLACES["left_hip"]
BODY = tuple(name for name in PLACES if name.split("_")[-1] in ("shoulder", "hip", "ankle"))


def standing(*names: str, at: float = 0, origin: Origin = Origin.DETECTED, confirmed: bool = True) -> TrackedPoses:
    """Somebody of whom these keypoints are seen, moved to the right."""
    keypoints = np.full((1, 19, 2), np.nan, np.float32)
    for name in names:
        keypoints[0, BODY_19.index(name)] = np.add(PLACES[name], (at, 0))
    scores = np.where(np.isnan(keypoints[..., 0]), 0, 0.3)
    poses = poses_of(keypoints, scores=scores, boxes=[75 + at, 15, 125 + at, 240], origin=origin)
    return with_ids(poses, [1], confirmed=confirmed)


def blurred(*frames: tuple[float, TrackedPoses]) -> Image:
    """The picture of the last of the frames, each with its time, in which nobody is drawn."""
    renderer = OverlayRenderer(BODY_19, draw=(), blur_faces=True)
    for time_s, people in frames:
        picture = renderer.draw(NOISE, people, time_s=time_s)
    return picture


def is_blurred(picture: Image, place: tuple[int, int]) -> bool:
    x, y = place
    around = np.s_[y - 3 : y + 4, x - 3 : x + 4]
    assert (picture[around] == NOISE[around]).all() or (picture[around] != NOISE[around]).mean() > 0.9
    return bool(picture[around].std() < 0.3 * NOISE[around].std())  # nothing of it can be made out


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(tuple(PLACES), id="everything"),
        pytest.param(("nose", "left_eye", "right_eye", "left_ear", "right_ear"), id="a face"),
        pytest.param(("nose", "left_eye", "left_ear", *BODY), id="from the side"),
        pytest.param(("left_ear", "right_ear", *BODY), id="from behind"),
        pytest.param(("nose", *BODY), id="a nose"),
        pytest.param(("head_top", *BODY), id="no face"),
        pytest.param(BODY, id="no head"),
        pytest.param((), id="a box"),
    ],
)
@pytest.mark.parametrize(
    ("origin", "confirmed"), [(Origin.DETECTED, True), (Origin.CARRIED, True), (Origin.DETECTED, False)]
)
def test_a_face_goes_and_the_body_stays(seen: tuple[str, ...], origin: Origin, confirmed: bool) -> None:
    picture = blurred((0, standing(*seen, origin=origin, confirmed=confirmed)))
    assert all(is_blurred(picture, place) for place in (PLACES["nose"], PLACES["left_eye"], PLACES["right_eye"], CHIN))
    assert not is_blurred(picture, HIP)


@pytest.mark.parametrize(
    ("steps", "stays"),
    [
        ([(0.0, 0), (0.4, None)], True),  # lost
        ([(0.0, 0), (0.6, None)], False),
        ([(0.0, 0), (0.04, 60)], True),  # a keypoint that is wrong once
        ([(0.0, 0), (0.2, 60)], False),
        ([(9.0, 0), (0.0, None)], False),  # another run through the video
    ],
)
def test_a_face_that_was_there_is_not_bared_at_once(steps: list[Any], stays: bool) -> None:
    nobody = TrackedPoses.empty(19)
    picture = blurred(*((at_s, nobody if to is None else standing(*PLACES, at=to)) for at_s, to in steps))
    assert is_blurred(picture, PLACES["nose"]) == stays


@pytest.mark.parametrize("at", [-100, 95, 500])
def test_faces_at_the_edge_of_the_picture_do_no_harm(at: float) -> None:
    assert (blurred((0, standing(*PLACES, at=at))) != NOISE).any() == (at < 500)
