"""Greedy one-to-one matching of people to ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

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
    pairs = Pairs.of(similarity, gate)
    return match_pairs(pairs, column_ids[pairs.columns], len(similarity))


@dataclass(frozen=True)
class Pairs:
    """Who may be matched with whom: (P,) rows of people and columns of others, in this order, and similarities in 0–1.

    Of many people few are near one another; with pairs, no more is done than for these.
    """

    rows: IntArray
    columns: IntArray
    similarities: npt.NDArray[Any]

    @classmethod
    def of(cls, similarity: npt.NDArray[Any], least: float) -> Self:
        """Those whose similarity (N, M) is not less."""
        flat = similarity.ravel()
        places = np.flatnonzero(flat >= least)
        return cls(*np.divmod(places, max(similarity.shape[1], 1)), flat[places])

    def table(self, shape: tuple[int, int]) -> npt.NDArray[Any]:
        """The similarities (N, M) of that shape, 0 where no pair is."""
        similarity = np.zeros(shape, self.similarities.dtype)
        similarity[self.rows, self.columns] = self.similarities
        return similarity

    def weighed(self, weights: npt.NDArray[Any] | float, least: float) -> Self:
        """The same with their similarities times weights (P,), without those that are less than the least then."""
        weighed = (self.similarities * weights).astype(self.similarities.dtype)
        return type(self)(self.rows, self.columns, weighed).where(weighed >= least)

    def where(self, kept: BoolArray) -> Self:
        """Those of a mask (P,)."""
        places = np.flatnonzero(kept)
        return type(self)(self.rows[places], self.columns[places], self.similarities[places])


def match_pairs(pairs: Pairs, ids: IntArray, num_people: int) -> tuple[IntArray, FloatArray]:
    """`match_greedily` of pairs that have all the similarity it takes; ids: (P,), of their columns."""
    given = np.full(num_people, -1, np.int64)
    values = np.full(num_people, np.nan, np.float32)
    order = np.argsort(-pairs.similarities, kind="stable")
    left, taken = set(range(num_people)), set[int]()
    for place, row, track_id in zip(order.tolist(), pairs.rows[order].tolist(), ids[order].tolist(), strict=True):
        if row in left and track_id not in taken:
            given[row], values[row] = track_id, pairs.similarities[place]
            taken.add(track_id)
            left.remove(row)
            if not left:
                break
    return given, values
