"""The truth of the photographed scene agrees with its pixels, and it holds what it is there for."""

from __future__ import annotations

from itertools import islice
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tracker.scenes.photo import WALKERS, PhotoFrame, PhotoScene

data = pytest.importorskip("skimage.data", reason="the photographs come with scikit-image (the extra `demo`)")

FAR, NEAR = 0, 1


@pytest.fixture(scope="module")
def scene() -> PhotoScene:
    return PhotoScene()


@pytest.fixture(scope="module")
def frames(scene: PhotoScene) -> dict[int, PhotoFrame]:
    """Both apart, one hidden, both close, both apart on the other side."""
    return {frame.index: frame for frame in islice(scene.frames(), 76) if frame.index in (0, 38, 47, 75)}


def astronaut() -> npt.NDArray[np.float64]:
    return data.astronaut()[..., ::-1].astype(np.float64)


def looked_up(image: Any, transform: npt.NDArray[Any], places: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(N, 3): colours of a picture where a transform puts places (N, 2)."""
    at = (places @ transform[:, :2].T + transform[:, 2]).astype(np.float32)
    return cv2.remap(image, at[:, None, 0], at[:, None, 1], cv2.INTER_LINEAR)[:, 0].astype(np.float64)


@pytest.mark.parametrize("index", [0, 47, 75])
@pytest.mark.parametrize("walker", [FAR, NEAR], ids=["far", "near"])
def test_each_face_is_where_its_transform_puts_it(frames: dict[int, PhotoFrame], index: int, walker: int) -> None:
    places = np.stack(np.meshgrid(np.arange(185, 265, 3), np.arange(85, 150, 3)), axis=2).reshape(-1, 2)
    source = cv2.GaussianBlur(astronaut(), (0, 0), 0.8)[places[:, 1], places[:, 0]]
    transform = WALKERS[walker].transform(index)
    error = np.abs(looked_up(frames[index].image, transform, places) - source).mean()
    assert error < 5
    for shift in ([2, 0], [-2, 0], [0, 2], [0, -2]):
        moved = transform + np.column_stack([np.zeros((2, 2)), shift])
        assert np.abs(looked_up(frames[index].image, moved, places) - source).mean() > 1.5 * error


@pytest.mark.parametrize(
    ("index", "num_visible", "least_seen", "most_seen"),
    [
        pytest.param(0, 5, 0.8, 1.0, id="apart: her helmet is in front of the other's"),
        pytest.param(38, 0, 0.0, 0.15, id="hidden, but for a helmet"),
        pytest.param(47, 4, 0.4, 0.65, id="half: one shoulder is behind the other person"),
        pytest.param(75, 5, 0.99, 1.0, id="apart"),
    ],
)
def test_the_nearer_one_hides_the_other(
    frames: dict[int, PhotoFrame], index: int, num_visible: int, least_seen: float, most_seen: float
) -> None:
    frame = frames[index]
    assert frame.people.visible.sum(axis=1).tolist() == [num_visible, 5]
    assert least_seen <= frame.seen[FAR] <= most_seen
    assert frame.seen[NEAR] == 1
