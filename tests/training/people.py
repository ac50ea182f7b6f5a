"""Annotated people made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from tracker.skeletons import COCO_17
from tracker.training.annotations import Annotations
from tracker.training.loop import Task

Points = dict[str, tuple[float, float]]


def arrays_of(batch: Any) -> list[bytes]:
    """What is in a batch, whatever the nesting."""
    if isinstance(batch, np.ndarray | Tensor):
        return [np.asarray(batch).tobytes()]
    parts = batch if isinstance(batch, tuple) else vars(batch).values()
    return [content for part in parts for content in arrays_of(part)]


def assert_batches_depend_on_seed_and_step_alone(task: Task, other_seed: Task) -> None:
    """Whatever was made before."""
    first, later, again, other = (t.make_batch(n) for t, n in ((task, 5), (task, 6), (task, 5), (other_seed, 5)))
    assert arrays_of(first) == arrays_of(again)
    assert arrays_of(first) not in (arrays_of(later), arrays_of(other))


def annotate(
    paths: Sequence[Path],
    people: Sequence[tuple[int, Sequence[float], Points]],
    negatives: Sequence[int] = (),
) -> Annotations:
    """People as picture, box and keypoints by name, all sure; some pictures show nobody."""
    keypoints = np.full((len(people), COCO_17.num_keypoints, 2), np.nan, np.float32)
    for row, (_, _, points) in enumerate(people):
        for name, point in points.items():
            keypoints[row, COCO_17.index(name)] = point
    return Annotations(
        skeleton=COCO_17,
        paths=tuple(paths),
        is_negative=np.isin(np.arange(len(paths)), negatives),
        picture=np.array([picture for picture, _, _ in people], np.int64),
        boxes=np.array([box for _, box, _ in people], np.float32).reshape(-1, 4),
        box_scores=np.ones(len(people), np.float32),
        certainties=np.ones(len(people), np.float32),
        keypoints=keypoints,
        weights=(~np.isnan(keypoints[..., 0])).astype(np.float32),
    )
