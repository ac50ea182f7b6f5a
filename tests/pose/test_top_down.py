"""The top-down estimator around networks made for the test."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.boxes import xyxy_to_xywh
from tracker.errors import ModelError
from tracker.pose import TopDownEstimator
from tracker.pose.crops import transform_points
from tracker.pose.heatmaps import decode_heatmaps, flip_back
from tracker.skeletons import COCO_17
from tracker.types import Candidates

WHITE = 255


class BrightSpots:
    """Shows one channel for all keypoints: the brightness of every fourth pixel of the crop."""

    name = "bright spots"
    engine = "numpy"
    note = None
    skeleton = COCO_17
    input_size_hw = (256, 192)

    def __init__(self):
        self.batches = []

    def run(self, crops):
        self.batches.append(len(crops))
        brightness = crops[:, ::4, ::4].mean(axis=3, dtype=np.float32) / WHITE
        return {"heatmaps": np.repeat(brightness[:, None], self.skeleton.num_keypoints, axis=1)}


class Fixed(BrightSpots):
    """Gives the same heatmaps for every crop."""

    def __init__(self, heatmaps):
        super().__init__()
        self.maps = np.asarray(heatmaps, np.float32)

    def run(self, crops):
        self.batches.append(len(crops))
        return {"heatmaps": np.broadcast_to(self.maps, (len(crops), *self.maps.shape)).copy()}


def image_with_spots(*spots):
    image = np.zeros((400, 600, 3), np.uint8)
    for x, y in spots:
        image[y - 4 : y + 5, x - 4 : x + 5] = WHITE // 2
        image[y, x] = WHITE
    return image


def candidates(*boxes, score=0.5):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Candidates(boxes, np.full(len(boxes), score, np.float32), np.arange(len(boxes)).astype(np.int8) % 2)


def test_the_maps_of_a_look_lie_where_the_poses_are():
    image, boxes = image_with_spots((100, 200), (400, 150)), candidates([40, 100, 160, 300], [340, 70, 460, 240])
    estimator = TopDownEstimator(BrightSpots())
    maps = estimator.look(image, xyxy_to_xywh(boxes.boxes))
    assert maps.crops.shape == (2, 256, 192, 3)
    assert maps.heatmap_wh == (48, 64)
    cells = transform_points(maps.to_heatmaps, estimator.estimate(image, boxes).keypoints)
    np.testing.assert_allclose(cells, decode_heatmaps(maps.heatmaps)[0], atol=1e-3)


def test_nobody_runs_nothing():
    network = BrightSpots()
    estimator = TopDownEstimator(network, flip_test=True)
    poses = estimator.estimate(image_with_spots(), candidates())
    maps = estimator.look(image_with_spots(), candidates().boxes)
    assert poses.keypoints.shape == (0, 17, 2)
    assert (maps.heatmaps.shape, maps.to_heatmaps.shape, network.batches) == ((0, 17, 0, 0), (0, 2, 3), [])


@pytest.mark.parametrize(("people", "batches"), [(1, [1]), (4, [4]), (9, [4, 4, 1])], ids=str)
def test_people_run_in_batches_and_keep_their_order(monkeypatch, people, batches):
    monkeypatch.setattr("tracker.pose.top_down._MAX_BATCH", 4)
    network = BrightSpots()
    image = image_with_spots(*((30 + 60 * i, 100) for i in range(people)))
    boxes = candidates(*([5 + 60 * i, 50, 55 + 60 * i, 150] for i in range(people)))
    poses = TopDownEstimator(network).estimate(image, boxes)
    assert network.batches == batches
    np.testing.assert_allclose(poses.keypoints[:, 0, 0], 30 + 60 * np.arange(people), atol=3)


@pytest.mark.parametrize("peak", [0.0, -0.5])
def test_a_keypoint_without_a_peak_is_missing(peak):
    maps = np.full((17, 64, 48), -1.0)
    maps[:, 30, 20] = 0.7
    maps[3, 30, 20] = peak
    poses = TopDownEstimator(Fixed(maps)).estimate(image_with_spots(), candidates([10, 10, 60, 90]))
    missing = np.arange(17) == 3
    np.testing.assert_array_equal(np.isnan(poses.keypoints[0]).all(axis=1), missing)
    np.testing.assert_allclose(poses.scores[0], np.where(missing, 0, np.float32(0.7)))


@pytest.mark.parametrize(
    "box",
    [
        pytest.param([np.nan] * 4, id="unknown"),
        pytest.param([5, 5, np.inf, 9], id="endless"),
        pytest.param([5, 5, 5, 5], id="a point"),
        pytest.param([9, 9, 5, 5], id="inside out"),
        pytest.param([9, 5, 5, 9], id="inside out on one axis"),
    ],
)
def test_a_box_that_is_none_has_no_keypoints_and_leaves_the_others_alone(box):
    network = BrightSpots()
    image, good = image_with_spots((100, 200)), [40, 100, 160, 300]
    poses = TopDownEstimator(network).estimate(image, candidates(box, good))
    assert network.batches == [1]
    assert np.isnan(poses.keypoints[0]).all()
    assert not poses.scores[0].any()
    np.testing.assert_allclose(poses.keypoints[1, 0], [100, 200], atol=4)


@pytest.mark.parametrize(
    "box",
    [
        pytest.param([100, 100, 100.01, 100.01], id="a hundredth of a pixel"),
        pytest.param([-1e6, -1e6, 1e6, 1e6], id="two million pixels"),
        pytest.param([1e5, 1e5, 1e5 + 40, 1e5 + 90], id="far outside"),
        pytest.param([100, 50, 100, 150], id="no width"),
    ],
)
def test_odd_boxes_give_finite_numbers_or_nothing(box):
    poses = TopDownEstimator(BrightSpots()).estimate(image_with_spots((100, 100)), candidates(box))
    assert np.isfinite(poses.scores).all()
    assert not np.isinf(poses.keypoints).any()


def test_the_flip_test_puts_mirrored_keypoints_back():
    rng = np.random.default_rng(0)
    plain = rng.random((17, 64, 48), np.float32)

    class Mirror(Fixed):
        """Knows a mirrored crop by its brighter left half, and answers as a perfectly symmetric network."""

        def run(self, crops):
            outputs = super().run(crops)
            if crops[0, :, :96].mean() <= crops[0, :, 96:].mean():
                return outputs
            return {name: flip_back(maps, COCO_17.flip_order) for name, maps in outputs.items()}

    image = np.zeros((256, 192, 3), np.uint8)
    image[:, 150:] = WHITE
    network = Mirror(plain)
    poses = TopDownEstimator(network, flip_test=True).estimate(image, candidates([0, 0, 192, 256]))
    assert network.batches == [1, 1]
    back = plain.copy()
    back[..., 1:] = plain[..., :-1]
    np.testing.assert_allclose(poses.scores[0], ((plain + back) / 2).max(axis=(1, 2)), rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_values_that_are_not_finite_are_an_error_in_one_line(value):
    maps = np.zeros((17, 64, 48))
    maps[4, 3, 2] = value
    with pytest.raises(ModelError, match="bright spots gave values that are not finite on numpy") as error:
        TopDownEstimator(Fixed(maps)).estimate(image_with_spots(), candidates([10, 10, 60, 90]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(16, 64, 48), (17, 64)])
def test_heatmaps_of_another_shape_are_an_error(shape):
    with pytest.raises(ModelError, match=r"not heatmaps \[b, K, h, w\] with K = 17"):
        TopDownEstimator(Fixed(np.zeros(shape))).estimate(image_with_spots(), candidates([10, 10, 60, 90]))
