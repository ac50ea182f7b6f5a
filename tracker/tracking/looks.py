"""What people look like, remembered by id: tells lost people apart when they come back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np

from tracker.boxes import iou
from tracker.types import BoolArray, FloatArray, IntArray, Poses

Look: TypeAlias = Callable[[Poses], FloatArray]
"""Gives features (N, D) of N poses, as `Appearance` does."""

# Of products of features, what is up to the first number is unlike, and what is from the second on is alike.
_UNLIKE, _ALIKE = 0.3, 0.7
# Looks weigh the lost against one another and no more, since a first glimpse past a pillar shows much of the pillar: to
# each share of likeness so much is added, and somebody unknown has it, too.
_DOUBT = 0.3
# Somebody out of reach is known by looks that are so alike, and so much more than those of everybody else.
_SAME, _LEAD = 0.85, 0.2
# Who is at least so much as similar to a second one as to the first may be either.
_EITHER = 0.5
# Looks are renewed after so many seconds, or asked for again if too little was seen, and the newest counts so much.
_RENEWED_S, _AGAIN_S, _GAIN = 1.0, 0.2, 0.3
# They are taken of people of whom so many keypoints are kept, and whom nobody in front overlaps by more than this IoU.
_WHOLE, _APART = 0.8, 0.15


def unsure_rows(similarity: FloatArray, of_id: IntArray, gate: float) -> IntArray:
    """Rows (U,) of the people, of N, who may have either of two ids.

    similarity: (N, M) with M poses from the past. of_id: (M,) numbers of their ids, without gaps.
    """
    order = np.argsort(of_id, kind="stable")
    starts = np.flatnonzero(np.diff(of_id[order], prepend=-1))
    if len(starts) < 2:
        return np.zeros(0, np.int64)
    second, first = np.sort(np.maximum.reduceat(similarity[:, order], starts, axis=1), axis=1)[:, -2:].T
    return np.flatnonzero(second >= np.maximum(_EITHER * first, gate))


class Looks:
    """The features of those who are remembered, and when they are to be looked at again."""

    def __init__(self) -> None:
        self._features: dict[int, FloatArray] = {}
        self._due_s: dict[int, float] = {}

    def compare(self, features: FloatArray, ids: IntArray) -> tuple[FloatArray, FloatArray]:
        """Of people with features (N, D) and T ids, (N, T): what is left of their similarity, and who is the same.

        The first is 1 for whoever is most alike. The second is the likeness of those who are the same beyond doubt, by
        comparison with everybody remembered; else 0.
        """
        likeness = self._likeness(features, ids)
        share = np.clip((likeness - _UNLIKE) / (_ALIKE - _UNLIKE), 0, 1)
        share = _DOUBT + np.nan_to_num(share, nan=_DOUBT)
        every = np.nan_to_num(self._likeness(features, np.array([*self._features], np.int64)), nan=-1)
        second = np.sort(np.pad(every, ((0, 0), (2, 0)), constant_values=-1), axis=1)[:, -2:-1]
        is_same = (likeness >= _SAME) & (likeness >= second + _LEAD)
        return share / share.max(axis=1, keepdims=True), np.where(is_same, likeness, 0)

    def due(self, ids: IntArray, boxes: FloatArray, kept: BoolArray, now_s: float) -> BoolArray:
        """Who of these people (N,) is to be looked at. boxes: (N, 4) pixels. kept: (N, K), their keypoints."""
        due = np.array([now_s >= self._due_s.get(track_id, 0) for track_id in ids.tolist()], np.bool_)
        due &= kept.mean(axis=1) >= _WHOLE
        if due.any():
            in_front = boxes[:, 3] > boxes[due, 3, np.newaxis]  # who stands lower is nearer
            due[due] = ((iou(boxes[due], boxes) <= _APART) | ~in_front).all(axis=1)
        return due

    def remember(self, ids: IntArray, features: FloatArray, now_s: float) -> None:
        """Take the features (N, D) of those who were looked at."""
        known = np.isfinite(features.sum(axis=1)).tolist()
        for track_id, feature, is_known in zip(ids.tolist(), features, known, strict=True):
            self._due_s[track_id] = now_s + (_RENEWED_S if is_known else _AGAIN_S)
            if is_known:
                mixed = (1 - _GAIN) * self._features.get(track_id, feature) + _GAIN * feature
                self._features[track_id] = mixed / max(float(np.linalg.norm(mixed)), 1e-6)

    def keep(self, ids: Iterable[int]) -> None:
        """Forget everybody else."""
        for track_id in self._due_s.keys() - {*ids}:
            del self._due_s[track_id]
            self._features.pop(track_id, None)

    def _likeness(self, features: FloatArray, ids: IntArray) -> FloatArray:
        """Products (N, T) of features (N, D) with those of T ids, NaN where either is unknown."""
        unknown = np.full(features.shape[1], np.nan, np.float32)
        known = [self._features.get(track_id, unknown) for track_id in ids.tolist()]
        return features @ np.array(known, np.float32).reshape(len(ids), features.shape[1]).T
