"""Strips of pictures: everybody whom a moment is about can be told by their label."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.people import with_ids
from tests.video.test_overlay import person, plain
from tracker.skeletons import COCO_17
from tracker.types import Frame, Poses
from tracker.video.overlay import id_color
from tracker.video.strips import Strip, StripMaker


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        pytest.param((900, 400), (960, 410), (1600, 300), id="small people in the middle"),
        pytest.param((0, 0), (50, 20), (500, 900), id="at the upper left"),
        pytest.param((1720, 880), (1700, 860), (0, 0), id="at the lower right"),
    ],
)
def test_who_a_moment_is_about_has_a_label_and_nobody_else(
    tmp_path: Path, one: tuple[int, int], other: tuple[int, int], apart: tuple[int, int]
) -> None:
    people = [person(*place, 200, track_id=number) for number, place in enumerate((one, other, apart), 1)]
    poses = Poses.join([each.poses for each in people])
    everybody = with_ids(poses, [1, 2, 3])
    part = np.concatenate([poses.boxes[:2, :2].min(axis=0), poses.boxes[:2, 2:].max(axis=0)]).astype(np.float64)
    strip = Strip(tmp_path / "01.png", 0.5, 0.54, part)
    maker = StripMaker(COCO_17, [strip], 0.4, {})
    for index in range(30):
        maker.add(Frame(index, index / 25, plain(1920, 1080)), everybody)
    maker.write()
    picture = cv2.imread(str(strip.path))
    assert picture is not None
    assert picture.shape[0] == 270
    labels = []
    for track_id in (1, 2, 3):
        is_theirs = (np.abs(picture - np.array(id_color(track_id))).max(axis=2) < 2).astype(np.uint8)
        filled = cv2.erode(is_theirs, np.ones((7, 3), np.uint8))  # lines are thinner
        labels.append(cv2.connectedComponents(cv2.dilate(filled, np.ones((9, 15), np.uint8)))[0] - 1)
    assert labels == [6, 6, 0]
