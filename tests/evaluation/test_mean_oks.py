"""Mean OKS by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tracker.datasets.coco import GroundTruth, Picture
from tracker.evaluation.mean_oks import mean_oks
from tracker.skeletons import COCO_17

NOSE_SIGMA = float(COCO_17.sigmas[0])


def keypoints(x: float, *, num: int = 17, score: float = 2) -> list[float]:
    """So many keypoints at (x, 0), the others missing."""
    return [x, 0, score] * num + [0, 0, 0] * (17 - num)


def person(x: float, *, num: int = 17, area: float | None = 100.0, crowd: int = 0) -> dict[str, Any]:
    points = keypoints(x, num=num)
    return {"image_id": 1, "bbox": [0, 0, 20, 10], "area": area, "iscrowd": crowd, "keypoints": points,
            "num_keypoints": num, "extra_keypoints": []}  # fmt: skip


def truth_of(*people: dict[str, Any]) -> GroundTruth:
    return GroundTruth(Path("truth.json"), (Picture(1, "1.png", None, people, is_negative=False),), 1)


def pose(x: float, *, image_id: int = 1, num: int = 17, score: float = 0.5) -> dict[str, Any]:
    return {"image_id": image_id, "keypoints": keypoints(x, num=num, score=score), "score": score}


def nose_oks(distance: float, area: float) -> float:
    return math.exp(-(distance**2) / (2 * area * (2 * NOSE_SIGMA) ** 2))


@pytest.mark.parametrize(
    ("people", "poses", "expected"),
    [
        pytest.param([person(50)], [pose(50)], 1, id="exact"),
        pytest.param([person(50)], [], 0, id="nobody found"),
        pytest.param([person(50)], [pose(50, image_id=2)], 0, id="found in another picture"),
        pytest.param([person(50), person(500)], [pose(50)], 0.5, id="one of two found"),
        pytest.param([person(50), person(50)], [pose(50)], 0.5, id="a pose stands for one person alone"),
        pytest.param([person(50)], [pose(50, score=0.01), pose(90, score=0.9)], 1, id="scores do not matter"),
        pytest.param([person(50, num=1)], [pose(50 + 0.4)], nose_oks(0.4, 100), id="one keypoint, a little off"),
        pytest.param([person(50, num=1, area=None)], [pose(51)], nose_oks(1, 0.53 * 200), id="area by the box"),
        pytest.param([person(50, num=4)], [pose(50, num=3)], 0.75, id="a missing keypoint counts 0"),
        pytest.param([person(50), person(70, crowd=1)], [pose(50)], 1, id="crowds are left out"),
        pytest.param([person(50), person(70, num=0)], [pose(50)], 1, id="so are people without keypoints"),
        pytest.param([person(70, num=0)], [pose(50)], None, id="nobody to find"),
    ],
)
def test_mean_oks(people: list[Any], poses: list[Any], expected: float | None) -> None:
    result = mean_oks(truth_of(*people), poses)
    assert result == (None if expected is None else pytest.approx(expected, abs=1e-9))


def test_the_nearest_pair_comes_first() -> None:
    """The first person is nearer to the pose that is the second's own: that one stays with the second."""
    truth, poses = truth_of(person(50, num=1), person(51, num=1)), [pose(51.0), pose(48.0)]
    expected = (nose_oks(2, 100) + 1) / 2
    assert mean_oks(truth, poses) == pytest.approx(expected, abs=1e-9)
