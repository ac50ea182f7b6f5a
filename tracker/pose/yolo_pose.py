"""YOLO of keypoints (v8 to 26) as Ultralytics exports it: the cells of its heads, or rows that need no further NMS.

Layouts: `Pose` and `Detect.postprocess` of Ultralytics 8.4, seen on graphs that it exported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracker.boxes import cxcywh_to_xyxy, nms
from tracker.errors import ModelError
from tracker.fields import class_names, literal
from tracker.pose.family import Outputs, PoseNetwork, Shapes
from tracker.pose.one_pass import one_pass_family
from tracker.types import Candidates, Detections, FloatArray, Poses

_NMS_IOU = 0.7
_PERSON = "person"
_OTHER_TASKS = ("detect", "segment", "obb", "classify", "semantic", "depth")
# Rather than compare all cells with one another.
_MAX_CANDIDATES = 1000
# Cells for each square of the coarsest stride: of strides 8 to 32, and 4 to 32 or 8 to 64.
_CELLS = (21, 85)
# Values of a keypoint: x, y and visibility, or without it.
_DIMS = (3, 2)


def _pick(shapes: Shapes, num_keypoints: int | None) -> Sequence[str]:
    match list(shapes.values()):
        case [(_, rows, columns)]:
            if rows is None or columns is None or _layout(rows, columns, num_keypoints):
                return list(shapes)
    return []


def _layout(num_rows: int, num_columns: int, num_keypoints: int | None) -> tuple[bool, int] | None:
    """Whether an output has a row for each person, and how many values a keypoint; None for another output."""
    num_keypoints = num_keypoints or _count(num_rows, num_columns)
    if num_keypoints is None:
        return None
    for dims in _DIMS:
        if num_columns == 6 + dims * num_keypoints:
            return True, dims
    for dims in _DIMS:
        if num_rows >= 5 + dims * num_keypoints and _are_cells(num_columns):
            return False, dims
    return None


def _are_cells(number: int) -> bool:
    return any(number % cells == 0 for cells in _CELLS)


def _count(num_rows: int, num_columns: int) -> int | None:
    """How many keypoints of three values there are if all boxes are of one class."""
    values = num_rows - 5 if _are_cells(num_columns) else num_columns - 6
    return values // 3 if values > 0 and values % 3 == 0 else None


def _counts(shapes: Shapes, metadata: Mapping[str, str]) -> set[int | None]:
    if stated := stated_count(metadata):
        return {stated}
    ((_, rows, columns),) = shapes.values()
    return {None if rows is None or columns is None else _count(rows, columns)}


def stated_count(metadata: Mapping[str, str]) -> int | None:
    """The number of keypoints that an export of Ultralytics states, None where a file states none."""
    try:
        count = int(literal(metadata.get("kpt_shape", ""))[0])
    except (ValueError, TypeError, LookupError):
        return None
    return count if count > 0 else None


def refuse_other_tasks(metadata: Mapping[str, str], path: Path) -> None:
    """Raise ModelError for an export of Ultralytics that finds no keypoints."""
    if (task := metadata.get("task")) in _OTHER_TASKS:
        remedy = "name it with --detector" if task == "detect" else "export a model of the task pose"
        raise ModelError(f"{path} states the task {task}, so it finds no keypoints; {remedy}")


def _told(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The input's size, and the skeleton where the keypoints have names."""
    size = {"input_size": metadata.get("imgsz", "[640, 640]")}
    try:
        names: Any = next(iter(dict(literal(metadata.get("kpt_names", "{}"))).values()), [])
    except (ValueError, TypeError):
        return size
    # Without names of its data set Ultralytics writes numbers.
    is_named = isinstance(names, list) and any(not str(name).isdigit() for name in names)
    return size | ({"skeleton": names} if is_named else {})


def _decode(outputs: Outputs, network: PoseNetwork, least_score: float) -> Poses:
    """People of cells (4 + classes + keypoints, n), centre, size and a score for each class, or of rows (n, 6 + …).

    Rows have two corners, score and class. Where a class is called person, others are left out.
    """
    (values,) = outputs.values()
    num_keypoints = network.skeleton.num_keypoints
    layout = _layout(len(values), values.shape[1], num_keypoints)
    assert layout, "the reader has seen it"
    is_rows, dims = layout
    table = values if is_rows else values.T
    split = table.shape[1] - dims * num_keypoints
    scores = (_row_scores if is_rows else _cell_scores)(table[:, 4:split], class_names(network.metadata))
    best = np.argsort(-scores, kind="stable")[:_MAX_CANDIDATES]
    best = best[(scores[best] >= least_score) & (scores[best] > 0)]
    boxes, scores = table[best, :4], scores[best]
    found = Candidates.from_detections(Detections(boxes if is_rows else cxcywh_to_xyxy(boxes), scores))
    keypoints = table[best, split:].reshape(-1, num_keypoints, dims)
    visible = keypoints[..., 2] if dims > 2 else np.repeat(scores[:, None], num_keypoints, axis=1)
    people = Poses.in_boxes(found, keypoints[..., :2], visible)
    return people if is_rows else people[nms(people.boxes, people.box_scores, _NMS_IOU)]


def _row_scores(values: FloatArray, names: Mapping[int, str]) -> FloatArray:
    """Scores (n,) of rows of score and class, 0 of other classes than people where one is called so."""
    people = [number for number, name in names.items() if name.lower() == _PERSON]
    return np.where(np.isin(values[:, 1], people or values[:, 1]), values[:, 0], np.float32(0))


def _cell_scores(values: FloatArray, names: Mapping[int, str]) -> FloatArray:
    """Scores (n,) of cells with one for each class: that of people, or the surest where none is called so."""
    people = [number for number, name in names.items() if name.lower() == _PERSON and number < values.shape[1]]
    highest: FloatArray = values[:, people or slice(None)].max(axis=1)
    return highest


YOLO_POSE = one_pass_family(
    _decode,
    signature="people as YOLO's: [b, 4 + classes + 3 K, cells] or [b, n, 6 + 3 K]",
    pick=_pick,
    usual={"color": "rgb", "mean": (0.0, 0.0, 0.0), "std": (255.0, 255.0, 255.0)},
    told=_told,
    counts=_counts,
    numbers=(17,),
)
