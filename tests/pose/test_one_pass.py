"""Networks that give people: RTMO and YOLO, on graphs of their signatures, and their decoders by independent ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from tests.onnx_graphs import write_constant_graph
from tests.pose.people_graphs import HALF_WH, OFFSETS, SIZE_HW, STATED, VISIBLE, spotted, write_people
from tracker.boxes import iou
from tracker.errors import ModelError, UsageError
from tracker.pose import load_estimator, load_pose_network, load_poses
from tracker.pose.family import FinderSettings
from tracker.pose.grouping import GroupingConfig
from tracker.pose.networks import FAMILIES
from tracker.runtime import OutOfMemoryError, TensorInfo
from tracker.skeletons import COCO_17

RTMO, YOLO_POSE = FAMILIES[1:3]
IMAGE = TensorInfo("images", (1, 3, *SIZE_HW), "float32")
NUM_CELLS = 126
# 300 by 180 pixels fill the width of 96 by 64, at 0.32, from row 3.2 on.
IMAGE_WH, GAIN, MARGIN = (300, 180), 0.32, np.array([0, 3.2])


@pytest.mark.parametrize("batch", [1, "batch"], ids=["batch of one", "open batch"])
@pytest.mark.parametrize("layout", ["rtmo", "cells", "rows"])
def test_people_are_found_where_they_are_alone_and_in_batches(tmp_path, layout, batch):
    finder = load_poses(write_people(tmp_path / "a.onnx", layout, batch), "cpu", bottom_up=True)
    spots = [{0: (80.3, 60.8), 1: (200.5, 110.2)}, {}, {1: (150.0, 90.0)}]
    pictures = [spotted(IMAGE_WH, places) for places in spots]
    together = finder.find(pictures)
    for picture, places, found in zip(pictures, spots, together, strict=True):
        assert len(found) == len(places)
        (alone,) = finder.find([picture])
        for name in ("keypoints", "scores", "boxes", "box_scores"):
            np.testing.assert_array_equal(getattr(found, name), getattr(alone, name))
        for spot in np.array(list(places.values())):
            row = int(np.linalg.norm(found.keypoints.mean(axis=1) - spot, axis=1).argmin())
            assert np.abs(found.keypoints[row] - (spot + OFFSETS / GAIN)).max() < 1
            box = np.clip([*(spot - HALF_WH / GAIN), *(spot + HALF_WH / GAIN)], 0, [*IMAGE_WH, *IMAGE_WH])
            assert np.abs(found.boxes[row] - box).max() < 1
            np.testing.assert_allclose(found.scores[row], VISIBLE, rtol=1e-6)
    # Pictures of several sizes, and none at all.
    mixed = finder.find([pictures[0], np.ascontiguousarray(pictures[2][::2])])
    np.testing.assert_array_equal(mixed[0].keypoints, together[0].keypoints)
    assert finder.find([]) == []


def test_an_open_input_has_the_shape_of_the_picture(tmp_path):
    image = TensorInfo("images", (None, 3, None, None), "float32")
    values = {"output0": np.zeros((1, 300, 57), np.float32)}
    network = load_pose_network(
        write_constant_graph(tmp_path / "a.onnx", [image], values, STATED | {"imgsz": "[640, 480]"}), "cpu"
    )
    sizes = []
    network.run = lambda images: sizes.append(images.shape[1:3]) or values
    finder = network.family.finder(network, FinderSettings())
    assert [len(people) for people in finder.find([np.zeros((1080, 1920, 3), np.uint8)])] == [0]
    network.metadata = STATED | {"stride": "64"}
    finder.find([np.zeros((100, 99, 3), np.uint8)])
    assert sizes == [(384, 640), (640, 640)]


class AfraidOfBatches:
    """A network that gives as many people as the picture is blue, and whose memory holds one picture."""

    name, engine, note, skeleton, input_size_hw, has_open_size = "given", "numpy", None, COCO_17, SIZE_HW, False
    metadata: Mapping[str, str] = {}

    def run(self, images):
        if len(images) > 1:
            raise OutOfMemoryError("too many")
        number = int(images[0, 32, 48, 0])
        dets = np.tile(np.float32([0, 20, 8, 40, 0]), (1, number, 1))
        dets[0, :, [0, 2]] += 10 * np.arange(number)
        dets[..., 4] = 0.9
        return {"dets": dets, "keypoints": np.full((1, number, 17, 3), 0.75, np.float32)}


def test_parts_of_a_batch_may_have_other_numbers_of_people():
    finder = RTMO.finder(AfraidOfBatches(), FinderSettings())
    found = finder.find([np.full((64, 96, 3), number, np.uint8) for number in (1, 0, 4, 2)])
    assert [len(people) for people in found] == [1, 0, 4, 2]
    assert found[2].boxes[:, 0].tolist() == [0, 10, 20, 30]
    assert (found[3].keypoints == 0.75).all()


class Given:
    """A network that gives outputs made for the test."""

    name, engine, note, skeleton, input_size_hw, has_open_size = "given", "numpy", None, COCO_17, SIZE_HW, False

    def __init__(self, outputs, metadata=None):
        self.outputs, self.metadata = outputs, metadata or {}

    def run(self, images):
        return self.outputs


def in_picture(points):
    return (np.asarray(points, np.float64) - MARGIN) / GAIN


def without_duplicates(people, limit):
    """Greedy suppression, one pair at a time; people: (score, box, keypoints)."""
    kept = []
    for one in sorted(people, key=lambda person: -person[0]):
        if all(iou(one[1][None], other[1][None])[0, 0] <= limit for other in kept):
            kept.append(one)
    return kept


def by_paper(layout, outputs, least):
    """What RTMO's and YOLO's documentation say of each output, person by person, in pixels of the picture."""
    if layout == "rtmo":
        rows = [(d[4], d[:4], k) for d, k in zip(outputs["dets"][0], outputs["keypoints"][0], strict=True)]
    elif layout == "rows":
        rows = [(row[4], row[:4], row[6:].reshape(17, 3)) for row in outputs["output0"][0] if row[5] == 0]
    else:
        rows = []
        for cell in outputs["output0"][0].T:
            x, y, w, h = cell[:4]
            rows.append((cell[4], np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]), cell[-51:].reshape(17, 3)))
    rows = [row for row in rows if row[0] >= least]
    return rows if layout == "rows" else without_duplicates(rows, 0.65 if layout == "rtmo" else 0.7)


def made(layout, rng, num_classes=1):
    """Random outputs of a layout; boxes lie inside the picture."""
    n = {"rtmo": 12, "rows": 30, "cells": NUM_CELLS}[layout]
    centres, halves = rng.uniform((12, 14), (84, 50), (n, 2)), rng.uniform(2, 10, (n, 2))
    boxes, scores = np.concatenate([centres - halves, centres + halves], axis=1), rng.uniform(0.01, 1, (n, num_classes))
    keypoints = np.concatenate([rng.uniform(0, 96, (n, 17, 2)), rng.uniform(0.01, 1, (n, 17, 1))], axis=2)
    if layout == "rtmo":
        outputs = {"dets": np.concatenate([boxes, scores], axis=1), "keypoints": keypoints}
    elif layout == "rows":
        classes = rng.integers(0, num_classes, (n, 1))
        outputs = {"output0": np.concatenate([boxes, scores[:, :1], classes, keypoints.reshape(n, 51)], axis=1)}
    else:
        table = np.concatenate([centres, 2 * halves, scores, keypoints.reshape(n, 51)], axis=1)
        outputs = {"output0": np.ascontiguousarray(table.T)}
    return {name: values[None].astype(np.float32) for name, values in outputs.items()}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("layout", "num_classes", "metadata"),
    [
        ("rtmo", 1, {}),
        ("cells", 1, {}),
        ("cells", 3, {"names": "{0: 'person', 1: 'ball', 2: 'bat'}"}),
        ("rows", 1, {}),
        ("rows", 2, {"names": "{0: 'Person', 1: 'ball'}"}),
    ],
)
def test_decoding_agrees_with_an_independent_decoder(seed, layout, num_classes, metadata):
    outputs = made(layout, np.random.default_rng(seed), num_classes)
    family = RTMO if layout == "rtmo" else YOLO_POSE
    finder = family.finder(Given(outputs, metadata), FinderSettings(least_score=0.4))
    (found,) = finder.find([np.zeros((180, 300, 3), np.uint8)])
    expected = sorted(by_paper(layout, outputs, 0.4), key=lambda person: -person[0])
    assert len(found) == len(expected) > 2
    for row, (score, box, keypoints) in enumerate(expected):
        assert found.box_scores[row] == score
        np.testing.assert_allclose(found.boxes[row].reshape(2, 2), in_picture(box.reshape(2, 2)), rtol=0, atol=1e-4)
        np.testing.assert_allclose(found.keypoints[row], in_picture(keypoints[:, :2]), rtol=0, atol=1e-4)
        np.testing.assert_array_equal(found.scores[row], keypoints[:, 2])


def test_other_layouts_of_the_same_networks():
    (cells,) = made("cells", np.random.default_rng(0), num_classes=3).values()

    def find(values, metadata):
        network = Given({"output0": values}, metadata)
        return YOLO_POSE.finder(network, FinderSettings(least_score=0.9)).find([np.zeros((180, 300, 3), np.uint8)])[0]

    # The second class is people; without names the surest of all counts.
    second = find(cells, {"names": "{0: 'ball', 1: 'person', 2: 'bat'}"})
    assert set(second.box_scores.tolist()) <= set(cells[0, 5].tolist())
    assert len(find(cells, {}).box_scores) > len(second) > 0
    # Keypoints without visibility are as sure as their person.
    flat = np.delete(cells, np.s_[9::3], axis=1)
    assert flat.shape[1] == 4 + 3 + 34
    found = find(flat, {})
    np.testing.assert_array_equal(found.scores, np.repeat(found.box_scores[:, None], 17, axis=1))
    rows = np.zeros((1, 300, 6 + 34), np.float32)
    rows[0, 0] = 10, 10, 50, 50, 0.95, *np.arange(35)
    assert find(rows, {}).scores.tolist() == [[np.float32(0.95)] * 17]


def test_nobody_copies_and_the_hidden(tmp_path):
    def find(dets, keypoints, **settings):
        network = Given({"dets": np.float32(dets), "keypoints": np.float32(keypoints)})
        return RTMO.finder(network, FinderSettings(**settings)).find([np.zeros((180, 300, 3), np.uint8)])[0]

    assert len(find(np.zeros((1, 0, 5)), np.zeros((1, 0, 17, 3)))) == 0
    person, keypoints = [20, 20, 40, 50, 0.8], np.full((17, 3), 30.0)
    keypoints[:, 2] = 0.5
    keypoints[4, 2] = 0
    # A batch's other pictures have more people: rows of a cell's copy follow, or rows of nothing.
    found = find([[person, person, [0] * 5]], [[keypoints, keypoints, np.zeros((17, 3))]], least_score=0)
    assert len(found) == 1
    assert np.isnan(found.keypoints[0, 4]).all()
    assert found.scores[0, 3:5].tolist() == [0.5, 0]
    with pytest.raises(ModelError, match=r"given gave dets \(1, 2, 5\), keypoints \(1, 1, 17, 3\) for 1 pictures"):
        find([[person, person]], [[keypoints]])
    with pytest.raises(ModelError, match="given gave values that are not finite"):
        find([[person]], [[keypoints * np.nan]])
    # Beside the picture, in the grey: nobody.
    assert len(find([[[20, 0, 40, 3, 0.9]]], [[keypoints]])) == 0


def outputs_of(*shape):
    return {"output0": np.zeros(shape, np.float32)}


def rtmo_of(num_keypoints):
    return {"dets": np.zeros((1, 2, 5), np.float32), "keypoints": np.zeros((1, 2, num_keypoints, 3), np.float32)}


NAMED = STATED | {"kpt_shape": "[3, 2]", "kpt_names": "{0: ['head', 'left_end', 'right_end']}"}


@pytest.mark.parametrize(
    ("outputs", "stated", "toml", "family", "skeleton"),
    [
        pytest.param(rtmo_of(17), {}, "", RTMO, "coco17", id="RTMO"),
        pytest.param(rtmo_of(14), {}, "", RTMO, "crowdpose14", id="RTMO of CrowdPose"),
        pytest.param(rtmo_of(26), {}, 'skeleton = "halpe26"', RTMO, "halpe26", id="RTMO, described"),
        pytest.param(outputs_of(1, 56, NUM_CELLS), {}, "", YOLO_POSE, "coco17", id="cells, nothing stated"),
        pytest.param(outputs_of(1, 300, 57), {}, "", YOLO_POSE, "coco17", id="rows, nothing stated"),
        pytest.param(outputs_of(1, 4 + 80 + 51, NUM_CELLS), STATED, "", YOLO_POSE, "coco17", id="80 classes"),
        pytest.param(outputs_of(1, 300, 57), {"kpt_shape": "{}"}, "", YOLO_POSE, "coco17", id="a damaged statement"),
        pytest.param(outputs_of(1, 300, 12), NAMED, "", YOLO_POSE, "own3", id="names of its own, no visibility"),
        pytest.param(outputs_of(1, 68, NUM_CELLS), {}, 'skeleton = "hand21"', YOLO_POSE, "hand21", id="described"),
    ],
)
def test_networks_are_recognised(tmp_path, outputs, stated, toml, *, family, skeleton):
    path = write_constant_graph(tmp_path / "a.onnx", [IMAGE], outputs, stated)
    path.with_suffix(".toml").write_text(toml)
    network = load_pose_network(path, "cpu")
    assert (network.family, network.skeleton.name, network.input_size_hw) == (family, skeleton, SIZE_HW)
    pixels = np.full((1, *SIZE_HW, 3), (10, 20, 255), np.uint8)
    values = network._normalization.apply(pixels)[0, :, 0, 0]
    np.testing.assert_allclose(values, [10, 20, 255] if family is RTMO else np.float32([255, 20, 10]) / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("outputs", "stated", "words"),
    [
        pytest.param(outputs_of(1, 84, NUM_CELLS), {}, "supported is one image", id="a detector's cells"),
        pytest.param(outputs_of(1, 300, 6), {}, "supported is one image", id="a detector's rows"),
        pytest.param(outputs_of(1, 56, 100), {}, "supported is one image", id="no cells of any input"),
        pytest.param(outputs_of(1, 84, NUM_CELLS), {"task": "detect"}, "name it with --detector", id="and says so"),
        pytest.param(outputs_of(1, 300, 57), {"task": "segment"}, "states the task segment", id="masks"),
        pytest.param(outputs_of(1, 68, NUM_CELLS), {}, "has 21 keypoints and is not described; write the", id="21"),
        pytest.param(
            outputs_of(1, 20, NUM_CELLS), STATED | {"kpt_shape": "[5, 3]", "kpt_names": "{0: ['0', '1']}"},
            "has 5 keypoints and is not described", id="numbers are no names",
        ),
        pytest.param(outputs_of(1, 20, NUM_CELLS), NAMED | {"kpt_shape": "[5, 3]"}, "of 3 keypoints", id="other names"),
        pytest.param(rtmo_of(26), {}, "has 26 keypoints and is not described", id="RTMO of 26"),
    ],
)  # fmt: skip
def test_others_are_refused_in_one_line(tmp_path, outputs, stated, words):
    path = write_constant_graph(tmp_path / "a.onnx", [IMAGE], outputs, stated)
    with pytest.raises(ModelError) as error:
        load_poses(path, "cpu", bottom_up=True)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_what_such_networks_have_not(tmp_path):
    path = write_people(tmp_path / "a.onnx", "rows")
    with pytest.raises(UsageError, match=r"a\.onnx gives people, which a flip test cannot average; leave out --flip"):
        load_poses(path, "cpu", bottom_up=True, settings=FinderSettings(flip_test=True))
    with pytest.raises(UsageError, match=r"a\.onnx gives people, whose keypoints are grouped already; leave"):
        load_poses(path, "cpu", bottom_up=True, settings=FinderSettings(GroupingConfig(max_people=3)))
    with pytest.raises(ModelError, match=r"a\.onnx sees everybody in a picture; take --pose bottom-up without"):
        load_estimator(path, "cpu")
    assert load_poses(path, "cpu", bottom_up=True).note.endswith(
        "a.onnx states AGPL-3.0: a program or a service that runs it must offer its source under that licence, or have "
        "another one of its makers"
    )
    assert load_poses(write_people(tmp_path / "rtmo.onnx", "rtmo"), "cpu", bottom_up=True).note is None
