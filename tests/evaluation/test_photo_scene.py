"""The truth of the photographed scene agrees with its pixels, and it holds what it is there for."""

from __future__ import annotations

import sys
from itertools import islice
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tracker.errors import DependencyError
from tracker.evaluation.photo_scene import NUM_FRAMES, SIZE_WH, WALKERS, PhotoFrame, PhotoScene, camera, cut_out
from tracker.skeletons import COCO_17

data = pytest.importorskip("skimage.data", reason="the photographs come with scikit-image (the extra `demo`)")

FAR, NEAR = 0, 1
KNOWN = [COCO_17.index(name) for name in ("nose", "left_eye", "right_eye", "left_shoulder", "right_shoulder")]


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


@pytest.mark.parametrize("index", range(0, NUM_FRAMES, 10))
def test_transforms_are_similarities(index: int) -> None:
    for walker in WALKERS:
        linear = walker.transform(index)[:, :2]
        determinant = np.linalg.det(linear)
        np.testing.assert_allclose(linear.T @ linear, abs(determinant) * np.eye(2), atol=1e-12)
        assert (determinant < 0) == walker.mirrored


def test_the_camera_moves_everything_alike(scene: PhotoScene) -> None:
    steps = np.diff([camera(index) for index in range(NUM_FRAMES)], axis=0)
    assert 1 < np.abs(steps).max() < 10
    first, second = (frame.image[:150].astype(np.float32) for frame in islice(scene.frames(), 2))
    back = cv2.warpAffine(second, np.column_stack([np.eye(2), steps[0]]), SIZE_WH)[: len(second)]
    inner = np.s_[10:140, 10:-10]
    assert np.abs(back - first)[inner].mean() < 0.5 * np.abs(second - first)[inner].mean()


def test_the_picture_and_its_truth_have_the_promised_form(frames: dict[int, PhotoFrame]) -> None:
    for index, frame in frames.items():
        people = frame.people
        assert frame.size_wh == SIZE_WH
        assert frame.time_s == index / 25
        assert people.track_ids.tolist() == [1, 2]
        assert people.depth_ranks.tolist() == [1, 0]
        assert np.flatnonzero(~np.isnan(people.keypoints).any(axis=(0, 2))).tolist() == sorted(KNOWN)
        assert not np.delete(people.visible, KNOWN, axis=1).any()


def test_the_same_frames_come_each_time(frames: dict[int, PhotoFrame]) -> None:
    again = next(PhotoScene().frames(1))
    np.testing.assert_array_equal(again.image, frames[0].image)
    np.testing.assert_array_equal(again.people.keypoints, frames[0].people.keypoints)


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


def test_both_stay_in_the_picture_and_cross_twice(scene: PhotoScene) -> None:
    crossings = 0
    side = None
    for frame in scene.frames():
        people = frame.people
        known = people.keypoints[:, KNOWN]
        assert ((known >= 10) & (known < np.array(SIZE_WH) - 10)).all()
        heights = people.boxes[:, 3] - people.boxes[:, 1]
        assert ((heights >= 250) & (heights <= 450)).all()
        assert people.boxes[:, 3].tolist() == [SIZE_WH[1]] * 2
        nose, left, right, *_ = known.transpose(1, 0, 2)
        assert (right[:, 0] < nose[:, 0]).all()
        assert (nose[:, 0] < left[:, 0]).all()
        crossings += side is not None and side != (nose[FAR, 0] < nose[NEAR, 0])
        side = nose[FAR, 0] < nose[NEAR, 0]
    assert crossings == 2


@pytest.mark.parametrize("walker", WALKERS, ids=["far", "near"])
def test_the_cut_through_the_body_is_below_the_picture(walker: Any) -> None:
    edge = np.array([[0, 511.5, 1], [511, 511.5, 1]])
    for index in range(4 * NUM_FRAMES):
        assert (edge @ walker.transform(index).T)[:, 1].min() > SIZE_WH[1]


def test_the_figure_is_cut_out_without_the_colour_behind_it() -> None:
    orange, grey = np.array([40.0, 90, 230]), np.array([200.0, 205, 210])
    outline = cut_out(data.astronaut())[..., 3:] > 0.5
    within = cv2.GaussianBlur(outline.astype(np.float32), (0, 0), 1)[..., None]
    figure = cut_out((orange * within + grey * (1 - within)).round().astype(np.uint8))
    share = figure[..., 3:]
    assert (share.min(), share.max()) == (0, 1)
    assert 0.4 < share.mean() < 0.7
    # The outline of the photograph is to 2 pixels: a few tips and notches are beyond the band in which it mixes.
    assert (np.abs(figure[..., :3] - orange * share) > 3).mean() < 0.003
    assert (np.abs(share - within) > 0.05).mean() < 0.003


def test_without_scikit_image_one_line_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(DependencyError, match=r"^[^\n]*the extra `demo`\); run: pip install scikit-image$"):
        PhotoScene()
