"""What people look like: colours of drawn torsos, and a network whose vectors are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.onnx_graphs import Node, write_graph
from tracker.appearance import Embedder, TorsoColours, load_appearance
from tracker.errors import ModelError, UsageError
from tracker.nets import IMAGENET_MEAN, IMAGENET_STD
from tracker.runtime import TensorInfo
from tracker.skeletons import COCO_17, Skeleton
from tracker.types import Candidates, Detections, FloatArray, Image, Poses

CORNERS = [COCO_17.index(name) for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")]
GREY, GREEN, VIOLET = (128, 128, 128), (40, 160, 60), (150, 50, 120)


def street(*torsos: tuple[float, float, float, tuple[int, int, int]]) -> tuple[Image, Poses]:
    """A grey noisy picture with torsos of (x, y, size, colour), and the poses of their owners, who face the camera."""
    rng = np.random.default_rng(1)
    image, keypoints = np.full((240, 400, 3), GREY, np.float64), np.full((len(torsos), 17, 2), 5, np.float32)
    for row, (x, y, size, colour) in enumerate(torsos):
        image[round(y) : round(y + 1.5 * size), max(round(x), 0) : max(round(x + size), 0)] = colour
        keypoints[row, CORNERS] = np.array([(x + size, y), (x, y), (x + size, y + 1.5 * size), (x, y + 1.5 * size)])
    noisy = np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
    boxes = np.array([(x, y, x + size, y + 1.5 * size) for x, y, size, _ in torsos], np.float32).reshape(-1, 4)
    found = Candidates.from_detections(Detections(boxes, np.ones(len(boxes), np.float32)))
    return noisy, Poses.in_boxes(found, keypoints, np.full((len(torsos), 17), 0.9, np.float32))


def without(poses: Poses, *corners: int) -> Poses:
    scores = poses.scores.copy()
    scores[:, [CORNERS[corner] for corner in corners]] = 0.1
    return replace(poses, scores=scores)


def colours(*torsos: tuple[float, float, float, tuple[int, int, int]]) -> FloatArray:
    return TorsoColours(COCO_17).features(*street(*torsos))


def test_the_same_clothes_are_alike_wherever_they_are_and_others_are_not() -> None:
    features = colours((20, 20, 60, GREEN), (250, 100, 30, GREEN), (120, 80, 60, VIOLET))
    products = features @ features.T
    np.testing.assert_allclose(np.diag(products), 1, atol=1e-5)
    assert products[0, 1] > 0.9
    assert products[0, 2] < 0.1


def test_what_hides_a_corner_does_not_count() -> None:
    whole = colours((100, 40, 60, GREEN))
    image, poses = street((100, 40, 60, GREEN))
    image[:, 130:] = (60, 60, 60)  # a pillar on the side of the left shoulder and hip, which begins at half the torso
    hidden = TorsoColours(COCO_17).features(image, without(poses, 0, 2))
    assert whole[0] @ hidden[0] > 0.9
    assert whole[0] @ TorsoColours(COCO_17).features(image, poses)[0] < 0.8


@pytest.mark.parametrize("hidden", [(0, 1, 2, 3)])
def test_who_shows_no_corner_is_unknown(hidden: tuple[int, ...]) -> None:
    image, poses = street((100, 40, 60, GREEN))
    assert np.isnan(TorsoColours(COCO_17).features(image, without(poses, *hidden))).all()
    moved = replace(poses, keypoints=poses.keypoints + 1000)
    assert np.isnan(TorsoColours(COCO_17).features(image, moved)).all()
    missing = replace(poses, keypoints=np.full_like(poses.keypoints, np.nan))
    assert np.isnan(TorsoColours(COCO_17).features(image, missing)).all()
    face = Skeleton("face", ("nose",), (), (), np.ones(1))
    assert np.isnan(TorsoColours(face).features(image, poses)).all()


def embedder(path: Path, batch: int | None = None, size_hw: tuple[int | None, int | None] = (256, 128)) -> Path:
    """A network whose vector is the mean colour of the crop."""
    nodes = [Node("GlobalAveragePool", ["image"], "mean"), Node("Flatten", ["mean"], "vector", {"axis": 1})]
    image = TensorInfo("image", (batch, 3, *size_hw), "float32")
    return write_graph(path, [image], [TensorInfo("vector", (batch, 3), "float32")], nodes=nodes)


@pytest.mark.parametrize("batch", [None, 1, 2])
def test_a_network_gets_crops_as_published_ones_are_trained_and_its_vectors_have_length_one(
    tmp_path: Path, batch: int | None
) -> None:
    image, poses = street((20, 20, 60, GREEN), (250, 100, 30, GREEN), (120, 80, 60, VIOLET), (-90, 20, 60, GREEN))
    features = Embedder(embedder(tmp_path / "net.onnx", batch), "cpu").features(image, poses)
    for row, colour in enumerate((GREEN, GREEN, VIOLET)):
        expected = (np.array(colour[::-1]) - IMAGENET_MEAN) / IMAGENET_STD
        np.testing.assert_allclose(features[row], expected / np.linalg.norm(expected), atol=0.03)
    assert np.isnan(features[3]).all()  # whose box is outside
    assert Embedder(tmp_path / "net.onnx", "cpu").features(image, poses[[3]]).shape[0] == 1


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("missing.onnx", ModelError, "there is no network file"),
        ("clothes", UsageError, "take off, colour or the .onnx file"),
        ("square.onnx", ModelError, "tells no people apart"),
    ],
)
def test_what_is_no_such_network_is_refused_in_a_line(tmp_path: Path, name: str, error: type, words: str) -> None:
    embedder(tmp_path / "square.onnx", size_hw=(224, 224))
    with pytest.raises(error, match=words):
        load_appearance(tmp_path / name, COCO_17, "cpu")


def test_off_is_none() -> None:
    assert load_appearance("off", COCO_17) is load_appearance(None, COCO_17) is None
