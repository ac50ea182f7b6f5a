"""Greedy matching is one-to-one and takes the largest similarity first."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.tracking.matching import match_greedily


@pytest.mark.parametrize(
    ("similarity", "column_ids", "expected"),
    [
        pytest.param([[0.9, 0.1], [0.1, 0.8]], [1, 2], [1, 2], id="each takes its own"),
        pytest.param([[0.9, 0.8], [0.85, 0.1]], [1, 2], [1, -1], id="the best pair wins, not the largest sum"),
        pytest.param([[0.5, 0.6], [0.4, 0.7]], [1, 1], [-1, 1], id="an id in two columns is given once"),
        pytest.param([[0.2], [0.19]], [1], [1, -1], id="equal to the gate passes, just under it does not"),
        pytest.param([[0.7], [0.7]], [3], [3, -1], id="a tie between people goes to the first"),
        pytest.param([[0.7, 0.7]], [4, 3], [4], id="a tie between ids goes to the first column"),
    ],
)
def test_hand_computed_cases(similarity: list[list[float]], column_ids: list[int], expected: list[int]) -> None:
    ids, values = match_greedily(np.array(similarity, np.float32), np.array(column_ids), np.float32(0.2))
    assert ids.tolist() == expected
    np.testing.assert_array_equal(np.isnan(values), ids < 0)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)], ids=["nobody", "no people", "no memory"])
def test_empty_sides(shape: tuple[int, int]) -> None:
    ids, values = match_greedily(np.zeros(shape, np.float32), np.arange(shape[1]), 0.2)
    assert ids.tolist() == [-1] * shape[0]
    assert np.isnan(values).all()


@pytest.mark.parametrize("seed", range(20))
def test_never_two_people_with_one_id(seed: int) -> None:
    rng = np.random.default_rng(seed)
    similarity = rng.uniform(0, 1, (12, 40)).round(1).astype(np.float32)
    column_ids = rng.integers(1, 9, 40)
    ids, values = match_greedily(similarity, column_ids, 0.3)
    given = ids[ids >= 0].tolist()
    assert len(set(given)) == len(given)
    for row in np.flatnonzero(ids >= 0):
        assert values[row] in similarity[row, column_ids == ids[row]]
