"""Graphs of the signatures of RTMO and YOLO whose people follow coloured spots in the picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tracker.types import Image

SIZE_HW = 64, 96
# What stands in the files of Ultralytics' exports, here of 17 keypoints.
STATED = {
    "task": "pose",
    "kpt_shape": "[17, 3]",
    "names": "{0: 'person'}",
    "license": "AGPL-3.0 License",
    "stride": "32",
}
# A person's keypoints around the middle of their spot, and half of the box, in pixels of the input.
OFFSETS = np.stack([np.tile([-4.0, 0, 4], 6)[:17], np.repeat([-9.0, -5, -2, 2, 5, 9], 3)[:17]], axis=1)
HALF_WH = np.array([6.0, 11])
VISIBLE = 0.8
# Blue, and red; others are grey.
_COLORS_BGR = np.array([[1.0, -0.5, -0.5], [-0.5, -0.5, 1.0]])
_NUM_CELLS = 21 * SIZE_HW[0] * SIZE_HW[1] // 32**2


def write_people(path: Path, layout: str, batch: Any = "batch", metadata: Mapping[str, str] | None = None) -> Path:
    """layout: rtmo, cells or rows. A person without a spot has score 0."""
    is_rtmo = layout == "rtmo"
    colors = _COLORS_BGR / 255 if is_rtmo else _COLORS_BGR[:, ::-1]
    y, x = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    constants = {
        "colors": colors[..., None, None], "least": [-0.1, -0.1], "grid": np.stack([x, y])[None, None],
        "little": 1e-6, "much": 3.0, "offsets": OFFSETS[None, None], "half": HALF_WH[None, None],
        "minus_half": -HALF_WH[None, None], "size": np.tile(2 * HALF_WH, (1, 2, 1)),
        "visible": np.full((1, 1, 17, 1), VISIBLE), "zero": 0.0,
    }  # fmt: skip
    whole = {
        "pixels": [2, 3], "planes": [3, 4], "to_planes": [2], "last": [2], "before_last": [2], "twice": [2, 3],
        "flat": [0, 2, 51], "fill": [0, 0, 0, 0, _NUM_CELLS - 2, 0],
    }  # fmt: skip
    steps = [
        ("Conv", ["input", "colors", "least"], "raw"), ("Relu", ["raw"], "map"),
        ("ReduceSum", ["map", "pixels"], "mass", {"keepdims": 0}), ("Add", ["mass", "little"], "safe"),
        ("Unsqueeze", ["map", "to_planes"], "lifted"), ("Mul", ["lifted", "grid"], "moments"),
        ("ReduceSum", ["moments", "planes"], "moment", {"keepdims": 0}), ("Unsqueeze", ["safe", "last"], "weight"),
        ("Div", ["moment", "weight"], "centre"),
        ("Unsqueeze", ["mass", "last"], "lit"), ("Add", ["lit", "much"], "more"), ("Div", ["lit", "more"], "score"),
        ("Unsqueeze", ["centre", "before_last"], "middle"), ("Add", ["middle", "offsets"], "points"),
        ("Unsqueeze", ["score", "last"], "high"), ("Mul", ["high", "zero"], "nought"),
        ("Add", ["nought", "visible"], "seen"),
        ("Concat", ["points", "seen"], "keypoints", {"axis": 3}), ("Reshape", ["keypoints", "flat"], "values"),
        ("Add", ["centre", "minus_half"], "low"), ("Add", ["centre", "half"], "corner"),
        ("Concat", ["low", "corner", "score"], "dets", {"axis": 2}),
    ]  # fmt: skip
    outputs: dict[str, list[Any]] = {"dets": ["n", 5], "keypoints": ["n", 17, 3]}
    if layout == "rows":
        steps += [("Mul", ["score", "zero"], "class"), ("Concat", ["dets", "class", "values"], "output0", {"axis": 2})]
        outputs = {"output0": [2, 57]}
    elif layout == "cells":
        steps += [
            ("Mul", ["centre", "zero"], "none"), ("Add", ["none", "size"], "sizes"),
            ("Concat", ["centre", "sizes", "score", "values"], "few", {"axis": 2}), ("Pad", ["few", "fill"], "cells"),
            ("Transpose", ["cells"], "output0", {"perm": [0, 2, 1]}),
        ]  # fmt: skip
        outputs = {"output0": [56, _NUM_CELLS]}
    graph = helper.make_graph(
        [helper.make_node(step[0], step[1], [step[2]], **(step[3] if len(step) > 3 else {})) for step in steps],
        "test",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, *SIZE_HW])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *sizes]) for name, sizes in outputs.items()],
        [
            *(numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()),
            *(numpy_helper.from_array(np.asarray(value, np.int64), name) for name, value in whole.items()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, dict(metadata or ({} if is_rtmo else STATED)))
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def spotted(size_wh: tuple[int, int], spots: Mapping[int, tuple[float, float]]) -> Image:
    """Texture in grey, with a blue spot (0), a red one (1), or both, at those places."""
    width, height = size_wh
    y, x = np.mgrid[:height, :width].astype(float)
    image = np.repeat((100 + 30 * np.sin(x / 5) * np.cos(y / 7) + 20 * np.sin((x + 2 * y) / 11))[..., None], 3, axis=2)
    for color, (at_x, at_y) in spots.items():
        lit = np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * (height / 14) ** 2))[..., None]
        image = image * (1 - lit) + 255 * (_COLORS_BGR[color] > 0) * lit
    return np.rint(image).astype(np.uint8)
