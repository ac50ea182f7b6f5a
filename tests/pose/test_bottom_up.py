"""The bottom-up estimator: the official numbers, and networks made for the test that draw people they know."""

from __future__ import annotations

import numpy as np
import pytest

from tests.vectors import cases, read_json
from tracker.errors import InputError, ModelError
from tracker.pose.bottom_up import BottomUpEstimator
from tracker.pose.grouping import GroupingConfig, group_keypoints
from tracker.skeletons import COCO_17, CROWDPOSE_14
from tracker.types import Origin


class Network:
    """What the networks of the tests have in common."""

    name = "made up"
    engine = "numpy"
    note = None
    skeleton = CROWDPOSE_14
    input_size_hw = (192, 128)


class Recorded(Network):
    """Gives the stored outputs of a reference case, run by run, for inputs of the stored size."""

    def __init__(self, case, settings):
        self.case = case
        self.skeleton = CROWDPOSE_14 if settings["dataset"] == "crowdpose" else COCO_17
        self.input_size_hw = (settings["input_size"],) * 2
        self.flips = iter(range(1 + settings["flip"]))

    def run(self, images):
        flip = next(self.flips)
        assert images.shape[1:3] == tuple(self.case["_s0_resized_hw"])
        tags = self.case.fixed_point(f"_s0_stage0_flip{flip}_tag", bits=6)
        coarse, fine = (self._heatmaps(f"_s0_stage{stage}_flip{flip}_heat") for stage in (0, 1))
        return {"heatmaps_0": coarse[None], "tags_0": tags[None], "heatmaps_1": fine[None]}

    def _heatmaps(self, key):
        heatmaps = self.case.fixed_point(key, bits=10)
        cells = np.arange(heatmaps[0].size).reshape(heatmaps.shape[1:])
        return heatmaps + (cells % 1024 * 2.0**-20).astype(np.float32)


@pytest.mark.vectors_litepose
@pytest.mark.parametrize("case", cases("LP-2_pipeline.npz", r"(case\d+)_"))
def test_the_way_from_outputs_to_people_is_the_official_one(case):
    settings = read_json(case.path.with_suffix(".json"))[case.name]
    if settings["scale_factor"] != [1]:
        pytest.skip("several scales are not averaged here")
    options = {"flip_test": settings["flip"], "project": settings["project2image"]}
    network = Recorded(case, settings)
    width, height = case["_image_wh"]
    image = np.zeros((height, width, 3), np.uint8)
    maps = BottomUpEstimator(network, **options).look(image)
    np.testing.assert_allclose(maps.heatmaps[:, ::7, ::5], case["_final_heatmaps_sample"], atol=1e-6)
    tags = np.moveaxis(maps.tags, 0, -1)[:, ::7, ::5]
    np.testing.assert_allclose(tags, case["_final_tags_sample"], atol=1e-5)
    if not settings["same_result_scipy"]:
        pytest.skip("the best assignment is tied: the official people depend on the solver")

    best_first = np.argsort(-case["_scores"], kind="stable")
    groups, scores = group_keypoints(maps.heatmaps, maps.tags, network.skeleton, GroupingConfig())
    rows = np.concatenate([groups.positions, groups.scores[..., None], groups.tags], axis=2)
    np.testing.assert_allclose(rows, case["_grouped"][best_first], rtol=0, atol=1e-4)
    np.testing.assert_allclose(scores, case["_scores"][best_first], rtol=0, atol=1e-6)

    (poses,) = BottomUpEstimator(Recorded(case, settings), **options).find([image])
    official = case["_final_results"][best_first]
    present = official[..., 2] > 0
    np.testing.assert_allclose(poses.keypoints[present], official[present][:, :2] - 0.5, rtol=0, atol=1e-3)
    np.testing.assert_array_equal(np.isnan(poses.keypoints[..., 0]), ~present)
    np.testing.assert_allclose(poses.scores, official[..., 2], rtol=0, atol=1e-6)


class Drawn(Network):
    """Draws people whom it knows, (P, K, 2) pixels of a picture of that size, at strides 4 and 2.

    Tags are 3 apart, each as far as the middle between people. It knows a mirrored input by its brighter right half.
    """

    def __init__(self, people, image_wh, heights=None):
        self.people, self.image_wh = people, image_wh
        self.heights = np.full(people.shape[:2], 0.9) if heights is None else heights
        self.inputs = []

    def run(self, images):
        self.inputs.append(images.shape)
        drawn = [[self._draw(image, stride) for image in images] for stride in (4, 2)]
        tags = np.stack([tags for _, tags in drawn[0]])
        coarse, fine = (np.stack([heatmaps for heatmaps, _ in at_stride]) for at_stride in drawn)
        return {"heatmaps_0": coarse, "tags_0": tags, "heatmaps_1": fine}

    def _draw(self, image, stride):
        height, width = image.shape[0] // stride, image.shape[1] // stride
        zoom = min(width, height) / min(self.image_wh)
        centre = np.floor(np.array(self.image_wh) / 2 + 0.5)
        points = (self.people + 0.5 - centre) * zoom + np.array([width, height]) / 2 - 0.5
        columns, rows = np.arange(width), np.arange(height)
        # Of the size that people have in the picture, whatever the size of the input.
        sigma = 2 * min(width, height) / 64
        bells = [
            np.exp(-((cells - points[..., axis, None]) ** 2) / (2 * sigma**2))
            for axis, cells in enumerate((columns, rows))
        ]
        values = self.heights[..., None, None] * bells[1][..., :, None] * bells[0][..., None, :]
        nearest = np.abs(columns - np.nanmean(points[..., 0], axis=1)[:, None]).argmin(axis=0)
        tags = np.broadcast_to(3.0 * nearest, values.shape[1:]).astype(np.float32)
        heatmaps = np.nan_to_num(values).max(axis=0).astype(np.float32)
        if image[:, : image.shape[1] // 2].mean() > image[:, image.shape[1] // 2 :].mean():
            return heatmaps, tags
        return heatmaps[self.skeleton.flip_order, :, ::-1], tags[self.skeleton.flip_order, :, ::-1]


def picture(image_wh):
    """Brighter on its left half."""
    image = np.zeros((image_wh[1], image_wh[0], 3), np.uint8)
    image[:, : image_wh[0] // 2] = 200
    return image


def people_in(image_wh, num_people=2, num_keypoints=14, seed=0):
    """People beside one another, inside the picture; a tenth of their keypoints is missing."""
    rng = np.random.default_rng(seed)
    unit = rng.uniform(0.15, 0.85, (num_people, num_keypoints, 2))
    unit[..., 0] = (unit[..., 0] + np.arange(num_people)[:, None]) / num_people
    people = unit * image_wh
    people[rng.random(people.shape[:2]) < 0.1] = np.nan
    return people


def from_left(poses):
    """The keypoints of the poses, ordered as `people_in` gives people."""
    return poses.keypoints[np.argsort(np.nanmedian(poses.keypoints[..., 0], axis=1))]


@pytest.mark.parametrize(
    "image_wh",
    [
        pytest.param((128, 128), id="as the network takes it"),
        pytest.param((361, 541), id="portrait, odd sides"),
        pytest.param((99, 75), id="landscape, enlarged, odd sides"),
        pytest.param((900, 120), id="wide"),
    ],
)
@pytest.mark.parametrize(
    ("options", "cells"),
    [
        pytest.param({}, 1, id="plain"),
        pytest.param({"flip_test": True}, 1, id="flip test"),
        pytest.param({"project": False}, 2, id="not projected"),
    ],
)
def test_people_are_found_where_they_were_drawn(image_wh, options, cells):
    people = people_in(image_wh)
    estimator = BottomUpEstimator(Drawn(people, image_wh), GroupingConfig(refine=False), **options)
    (poses,) = estimator.find([picture(image_wh)])
    # Half a cell of the maps, of which one has so many pixels of the input.
    tolerance = 0.5 * cells * max(min(image_wh) / 128, 1)
    np.testing.assert_allclose(from_left(poses), people, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(poses.scores > 0, ~np.isnan(poses.keypoints[..., 0]))
    errors = from_left(poses) - people
    assert np.abs(np.nanmean(errors, axis=(0, 1))).max() < tolerance / 3


def test_maps_lie_over_the_picture():
    image_wh = (361, 541)
    people = people_in(image_wh, num_people=1)
    maps = BottomUpEstimator(Drawn(people, image_wh), flip_test=True).look(picture(image_wh))
    assert maps.heatmaps.shape == (14, 192, 128)
    assert maps.tags.shape == (2, 14, 192, 128)
    for heatmap, point in zip(maps.heatmaps, people[0], strict=True):
        if not np.isnan(point).any():
            y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
            np.testing.assert_allclose(maps.to_heatmaps @ [*point, 1], [x, y], atol=1)


def test_people_come_best_first_with_the_mean_of_their_peaks():
    image_wh, heights = (256, 128), np.full((3, 14), 0.4)
    heights[1], heights[2, 5:] = 0.9, 0.0
    people = np.full((3, 14, 2), 64.0) + np.array([-20, 60, 140])[:, None, None] * [1, 0]
    (poses,) = BottomUpEstimator(Drawn(people, image_wh, heights)).find([picture(image_wh)])
    np.testing.assert_allclose(poses.keypoints[:, 0, 0], [124, 44, 204], atol=1)
    found = np.where(poses.scores > 0.1, poses.scores, 0)
    assert np.count_nonzero(found, axis=1).tolist() == [14, 14, 5]
    np.testing.assert_allclose(poses.box_scores, found.sum(axis=1) / 14, rtol=1e-6)
    assert (poses.origin == Origin.DETECTED).all()


def test_boxes_stand_around_what_was_surely_found():
    image_wh, heights = (128, 128), np.full((1, 14), 0.9)
    heights[0, 3:] = 0.05
    people = np.full((1, 14, 2), 30.0)
    people[0, :3] = [60, 60], [80, 100], [70, 70]
    (poses,) = BottomUpEstimator(Drawn(people, image_wh, heights)).find([picture(image_wh)])
    assert (poses.scores[0, 3:] > 0).all()
    # 15 % of 20 and 40 pixels, and half a pixel, on both sides together.
    np.testing.assert_allclose(poses.boxes, [[58, 56.5, 82, 103.5]], atol=1)


def test_a_single_keypoint_has_a_box():
    people = np.full((1, 14, 2), np.nan)
    people[0, 4] = 40, 50
    config = GroupingConfig(refine=False)
    (poses,) = BottomUpEstimator(Drawn(people, (128, 128)), config).find([picture((128, 128))])
    np.testing.assert_allclose(poses.boxes, [[39.5, 49.5, 40.5, 50.5]], atol=0.5)


def test_nobody_is_found_in_an_empty_picture_or_none():
    network = Drawn(people_in((200, 100)), (200, 100), heights=np.zeros((2, 14)))
    (poses,) = BottomUpEstimator(network).find([picture((200, 100))])
    assert poses.keypoints.shape == (0, 14, 2)
    network.inputs.clear()
    assert BottomUpEstimator(network).find([]) == []
    assert network.inputs == []


def test_pictures_of_one_size_run_together_and_others_alone():
    image_wh = (128, 128)
    network = Drawn(people_in(image_wh), image_wh)
    estimator = BottomUpEstimator(network)
    together = estimator.find([picture(image_wh)] * 3)
    assert network.inputs == [(3, 128, 128, 3)]
    for poses in together:
        np.testing.assert_array_equal(poses.keypoints, together[0].keypoints)
    network.inputs.clear()
    assert len(estimator.find([picture(image_wh), picture((140, 128))])) == 2
    assert [shape[0] for shape in network.inputs] == [1, 1]


class BothTagged(Drawn):
    """With the same tags at both scales."""

    def run(self, images):
        maps = super().run(images)
        return maps | {"tags_1": maps["tags_0"].repeat(2, axis=2).repeat(2, axis=3)}


class Coarse(Drawn):
    """One output at stride 4, whose tags have two values, the first of which says next to nothing."""

    def run(self, images):
        maps = super().run(images)
        noise = np.random.default_rng(0).uniform(0, 0.1, maps["tags_0"].shape).astype(np.float32)
        return {"heatmaps_0": maps["heatmaps_0"], "tags_0": np.concatenate([noise, maps["tags_0"]], axis=1)}


@pytest.mark.parametrize(("kind", "side"), [(BothTagged, 128), (Coarse, 32)], ids=["two scales", "two values"])
@pytest.mark.parametrize("flip_test", [False, True])
def test_tags_of_scales_and_values_count_as_so_many_tags(kind, side, flip_test):
    image_wh = (128, 128)
    estimator = BottomUpEstimator(kind(people_in(image_wh), image_wh), flip_test=flip_test)
    tags = estimator.look(picture(image_wh)).tags
    assert tags.shape == (2 + 2 * flip_test, 14, side, side)
    assert tags[0].max() <= 0.1 or kind is BothTagged
    assert tags[1].max() >= 3
    assert len(estimator.find([picture(image_wh)])[0]) == 2


@pytest.mark.parametrize(("network", "cells"), [(Drawn, 128), (Coarse, 32)], ids=["stride 2", "stride 4"])
def test_maps_coarser_than_stride_2_stay_as_they_are(network, cells):
    image_wh = (256, 256)
    look = BottomUpEstimator(network(people_in(image_wh), image_wh)).look
    assert look(picture(image_wh)).heatmaps.shape[1:] == (cells, cells)
    projected = BottomUpEstimator(network(people_in(image_wh), image_wh), project=True).look
    assert projected(picture(image_wh)).heatmaps.shape[1:] == (128, 128)


class Broken(Network):
    """Gives what it is told to."""

    def __init__(self, **outputs):
        self.outputs = outputs

    def run(self, images):
        return self.outputs


def maps_of(num_keypoints=14, value=0.0, side=32):
    return np.full((1, num_keypoints, side, side), value, np.float32)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        pytest.param({"heatmaps_0": maps_of(17), "tags_0": maps_of(17)}, "with K = 14", id="another skeleton"),
        pytest.param({"heatmaps_0": maps_of()}, "not heatmaps_0 .* tags_0", id="heatmaps alone"),
        pytest.param({"heatmaps_0": maps_of(), "tags_0": maps_of(side=8)}, "not heatmaps_0", id="tags of another size"),
        pytest.param({"heatmaps_0": maps_of(), "tags_0": maps_of(20)}, "not heatmaps_0", id="tags of some keypoints"),
        pytest.param({"heatmaps_0": maps_of(value=np.nan), "tags_0": maps_of()}, "not finite", id="no numbers"),
        pytest.param({"heatmaps_0": maps_of(), "tags_0": maps_of(value=np.inf)}, "not finite", id="endless tags"),
    ],
)
def test_outputs_that_make_no_sense_are_explained(outputs, message):
    with pytest.raises(ModelError, match=message) as caught:
        BottomUpEstimator(Broken(**outputs)).find([picture((128, 128))])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("image_wh", [(2000, 100), (3, 900)], ids=["wide", "tall"])
def test_a_picture_too_narrow_is_refused(image_wh):
    with pytest.raises(InputError, match="too narrow for made up"):
        BottomUpEstimator(Broken()).find([picture(image_wh)])
