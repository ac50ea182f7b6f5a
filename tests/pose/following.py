"""Graphs of RTMPose's and ViTPose's signatures around the included pose network, so that they see real people.

What that network has no keypoint for, feet, face and fingers, stands where it would be of somebody upright who faces
the camera, around an ankle, the nose or a wrist.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tracker.skeletons import BODY_19, COCO_17, Skeleton
from tracker.weights import find_default

# Cells of the included network's heatmaps, and bins of a curve for each.
_CELLS_WH, _BINS = (48, 64), 8


def write_vitpose(path: Path, _skeleton: Skeleton = COCO_17) -> Path:
    """COCO's 17 heatmaps, under ViTPose's names and without metadata."""
    model = onnx.load(str(find_default("pose", "cpu")))
    nodes = [helper.make_node("Slice", ["heatmaps", "first", "end", "keypoints"], ["output_0"])]
    _extend(model, nodes, {"first": [0], "end": [17], "keypoints": [1]}, {"output_0": ["batch", 17, 64, 48]})
    onnx.save(model, path)
    return path


def write_rtmpose(path: Path, skeleton: Skeleton) -> Path:
    """Curves of a skeleton's keypoints, whose number the graph leaves open, and no metadata."""
    model = onnx.load(str(find_default("pose", "cpu")))
    sources, offsets = zip(*(_place_of(name) for name in skeleton.keypoint_names), strict=True)
    nodes, constants, outputs = [], {"all": np.ones(len(sources), bool)}, {}
    for axis, name in enumerate(("simcc_x", "simcc_y")):
        length = _BINS * _CELLS_WH[axis]
        moved = np.arange(length) - np.rint(2 * np.array(offsets)[:, axis, None]).astype(int)
        constants |= {
            f"{name}_scale": np.array([1, 1, _BINS], np.float32),
            f"{name}_flat": np.array([0, -1]),
            f"{name}_order": np.array(sources)[:, None] * length + np.clip(moved, 0, length - 1),
        }
        nodes += [
            helper.make_node("ReduceMax", ["heatmaps"], [f"{name}_short"], axes=[2 + axis], keepdims=0),
            helper.make_node(
                "Resize", [f"{name}_short", "", f"{name}_scale"], [f"{name}_long"], mode="linear",
                coordinate_transformation_mode="asymmetric",
            ),
            helper.make_node("Reshape", [f"{name}_long", f"{name}_flat"], [f"{name}_row"]),
            helper.make_node("Compress", [f"{name}_order", "all"], [f"{name}_chosen"], axis=0),
            helper.make_node("Gather", [f"{name}_row", f"{name}_chosen"], [name], axis=1),
        ]  # fmt: skip
        outputs[name] = ["batch", "MatMulsimcc_x_dim_1", length]
    _extend(model, nodes, constants, outputs)
    onnx.save(model, path)
    return path


def _extend(model: ModelProto, nodes, constants, outputs) -> None:
    """Put nodes behind the network, with outputs of those sizes in place of its own, and take its metadata away."""
    graph = model.graph
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    del graph.output[:], model.metadata_props[:]
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name, sizes in outputs.items()
    )


def _place_of(name: str) -> tuple[int, tuple[float, float]]:
    """The included network's keypoint that stands for one, and how far from it that is, in pixels of the crop."""
    side, _, part = name.partition("_")
    outwards = 1 if side == "left" else -1
    if name in BODY_19.keypoint_names:
        return BODY_19.index(name), (0, 0)
    if part in _FOOT:
        x, y = _FOOT[part]
        return BODY_19.index(f"{side}_ankle"), (outwards * x, y)
    if name.startswith("face"):
        x, y = _FACE[int(name.partition("-")[2])]
        return BODY_19.index("nose"), (6 * x, 6 * y)
    if side in ("left", "right"):
        x, y = _HAND[part]
        return BODY_19.index(f"{side}_wrist"), (outwards * x, y)
    return BODY_19.index({"head": "head_top", "hip": "left_hip", "wrist": "left_wrist"}.get(name, "left_wrist")), (0, 0)


_FOOT = {"big_toe": (2, 7), "small_toe": (5, 6), "heel": (-2, 4)}
_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_HAND = {"hand_root": (0.0, 0.0)} | {
    f"{finger}{joint}": ((spread - 2) * (0.6 + 0.45 * joint), 3 + 2 * joint - abs(spread - 2) * 0.8)
    for spread, finger in enumerate(_FINGERS)
    for joint in range(1, 5)
}


def _arc(count: int, x: float, y: float, radius: float, first_deg: float, last_deg: float) -> list[tuple[float, float]]:
    angles = np.radians(np.linspace(first_deg, last_deg, count))
    return [(x + radius * np.cos(angle), y + radius * np.sin(angle)) for angle in angles]


# In halves of a face's width from the nose; of jaw, brows, ridge and base of the nose, eyes, outer and inner lips.
_FACE = [
    *_arc(17, 0, -0.1, 1.1, 180, 0),
    *_arc(5, -0.45, -0.45, 0.35, 200, 330),
    *_arc(5, 0.45, -0.45, 0.35, 210, 340),
    *((0, y) for y in (-0.45, -0.3, -0.15, 0)),
    *((x, 0.12) for x in (-0.2, -0.1, 0, 0.1, 0.2)),
    *_arc(6, -0.45, -0.35, 0.16, 180, 480),
    *_arc(6, 0.45, -0.35, 0.16, 180, 480),
    *_arc(12, 0, 0.5, 0.35, 180, 510),
    *_arc(8, 0, 0.5, 0.2, 180, 495),
]
