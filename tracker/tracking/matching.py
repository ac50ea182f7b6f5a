"""Greedy one-to-one matching of people to ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tracker.types import BoolArray, FloatArray, IntArray


def are_among(ids: IntArray, others: IntArray) -> BoolArray:
    """Which of the ids (N,) are others (M,), too; of few ids NumPy's own takes five times as long.

    >>> are_among(np.array([3, 5]), np.array([5, 7])).tolist()
    [False, True]
    """
    return np.asarray((ids[:, None] == others).any(axis=1))


def match_greedily(similarity: npt.NDArray[Any], column_ids: IntArray, gate: float) -> tuple[IntArray, FloatArray]:
    """Give each row at most one id and each id to at most one row, the largest similarity first.

    similarity: (N, M) of N people with M remembered poses, whose ids are `column_ids` (M,); an id may stand
    in several columns, and all of them are struck with it. Returns ids (N,), −1 where no similarity ≥ `gate`
    is left, and the similarities (N,) of the matches, NaN where there is none. Ties go to the first row,
    then the first column. Source: Xiao et al. 2018, section 3.3.

    >>> match_greedily(np.array([[0.9, 0.8], [0.7, 0.1]]), np.array([5, 6]), gate=0.2)[0].tolist()
    [5, -1]
    """
    ids = np.full(len(similarity), -1, np.int64)
    values = np.full(len(similarity), np.nan, np.float32)
    flat = similarity.ravel()
    places = np.flatnonzero(flat >= gate)
    places = places[np.argsort(-flat[places], kind="stable")]
    rows, columns = np.divmod(places, max(len(column_ids), 1))
    open_rows, taken = set(range(len(similarity))), set[int]()
    for row, column, track_id in zip(rows.tolist(), columns.tolist(), column_ids[columns].tolist(), strict=True):
        if row in open_rows and track_id not in taken:
            ids[row], values[row] = track_id, similarity[row, column]
            taken.add(track_id)
            open_rows.remove(row)
            if not open_rows:
                break
    return ids, values
