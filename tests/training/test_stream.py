"""Which rows make up a step, and batches made ahead."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from tracker.training.stream import rows_of_step, run_ahead


def test_a_batch_may_be_larger_than_the_data() -> None:
    rows = rows_of_step(3, 8, 0, 0)
    assert np.bincount(rows).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


def test_batches_come_in_order_from_several_threads() -> None:
    assert list(run_ahead(lambda step: step**2, range(3, 20), num_threads=4)) == [step**2 for step in range(3, 20)]


def test_at_most_so_many_batches_wait() -> None:
    made: list[int] = []
    batches = run_ahead(made.append, range(100), num_threads=1, ahead=2)
    next(batches)
    batches.close()
    assert len(made) <= 4


def test_an_error_reaches_the_consumer_and_the_threads_end() -> None:
    def fail(step: int) -> int:
        if step == 2:
            raise KeyError("broken")
        return step

    batches = run_ahead(fail, range(10))
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(KeyError, match="broken"):
        next(batches)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loader")]
